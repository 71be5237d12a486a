"""Rows that refer to rows of their own table: what a write touches there, and what its tags are read from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from registry_app.models import Reply

from unstale.contrib.django.registry import invalidates


@dataclass
class Tree:
    """Two rows.

    Attributes:
        db: the database's alias.
        top: of author 7.
        reply: to it, of author 8.
    """

    db: str
    top: Reply
    reply: Reply

    @property
    def rows(self) -> Any:
        """The manager on this database."""
        return Reply.objects.using(self.db)


@pytest.fixture
def tree(db: str) -> Tree:
    """A row and a reply to it."""
    top = Reply.objects.using(db).create(author=7)
    return Tree(db, top, Reply.objects.using(db).create(author=8, parent=top))


BY_REPLY: dict[str, Callable[[Tree], Any]] = {
    "update, by a joined key": lambda t: t.rows.filter(replies__pk=t.reply.pk).update(author=1),
    "update, by a joined row": lambda t: t.rows.filter(replies=t.reply).update(author=1),
    "update, by joined keys": lambda t: t.rows.filter(replies__in=[t.reply.pk]).update(author=1),
    "delete, by a joined row": lambda t: t.rows.filter(replies=t.reply).delete(),
    "raw delete, by a joined row": lambda t: t.rows.filter(replies=t.reply)._raw_delete(t.db),
}


@pytest.mark.parametrize("name", BY_REPLY)
def test_a_joined_row_of_the_same_table_is_not_the_one_written(tree: Tree, recorded: Any, name: str) -> None:
    """A key named of a row's child is not the row's: what is written is the row in front of it."""
    with invalidates(Reply, "reply:{pk}"):
        BY_REPLY[name](tree)
    assert f"reply:{tree.top.pk}" in recorded()
