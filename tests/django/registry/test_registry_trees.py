"""Rows that refer to rows of their own table: what a write touches there, and what its tags are read from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from registry_app.models import House, Owner, Reply
from registry_app.world import statements

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


AUTHOR = "replies-to:{parent.author}"


def test_a_tree_that_is_deleted_at_once(tree: Tree, recorded: Any) -> None:
    """A cascade deletes a row together with the one that its template follows: that is read before."""
    with invalidates(Reply, AUTHOR):
        tree.top.delete()
    assert recorded() == ["replies-to:7"]


def test_a_raw_delete_of_a_tree(tree: Tree, recorded: Any) -> None:
    """The same without a cascade."""
    with invalidates(Reply, AUTHOR):
        tree.rows.all()._raw_delete(tree.db)
    assert recorded() == ["replies-to:7"]


def test_a_tree_that_is_deleted_in_parts(tree: Tree, recorded: Any) -> None:
    """Django deletes a hundred rows at a time, a parent perhaps before its reply, and the reply still tells of it."""
    replies = tree.rows.bulk_create(Reply() for _ in range(150))
    tops = tree.rows.bulk_create(Reply(author=number) for number in range(1000, 1150))  # Django deletes these first
    for top, reply in zip(tops, replies, strict=True):
        reply.parent = top
    tree.rows.bulk_update(replies, ["parent"])
    with invalidates(Reply, AUTHOR, above=None):
        tree.rows.filter(author__gte=1000).delete()
    assert recorded() == [f"replies-to:{number}" for number in range(1000, 1150)]


def test_a_tree_with_many_rows_bumps_the_parent(tree: Tree, recorded: Any) -> None:
    """What is read ahead does not count twice."""
    with invalidates(Reply, AUTHOR, parent="replies", above=1):
        tree.top.delete()
    assert recorded() == ["replies"]


def test_models_that_refer_to_each_other(db: str, recorded: Any) -> None:
    """A cascade deletes one table after the other: what a row refers to may go first, and is read before."""
    house = House.objects.using(db).create()
    owner = Owner.objects.using(db).create(house=house, name="ann")
    House.objects.using(db).update(owner=owner)
    with invalidates(House, "house-of:{owner.name}"), invalidates(Owner, "lives-in:{house.color}"):
        house.delete()
    assert recorded() == ["house-of:ann", "lives-in:red"]


def test_one_update_of_a_row_and_of_what_it_follows(tree: Tree, recorded: Any) -> None:
    """Old tag and new one, though the row's own reference stays the same."""
    with invalidates(Reply, AUTHOR):
        tree.rows.update(author=9)
    assert recorded() == ["replies-to:7", "replies-to:9"]


def test_one_upsert_of_a_row_and_of_what_it_follows(tree: Tree, recorded: Any) -> None:
    """The same with INSERT … ON CONFLICT … UPDATE."""
    rows = [Reply(pk=tree.top.pk, author=9), Reply(pk=tree.reply.pk, author=9, parent=tree.top)]
    with invalidates(Reply, AUTHOR):
        tree.rows.bulk_create(rows, update_conflicts=True, unique_fields=["pk"], update_fields=["author"])
    assert recorded() == ["replies-to:7", "replies-to:9"]


def test_a_small_tree_asks_no_more(tree: Tree, recorded: Any) -> None:
    """Where one DELETE has all rows, nothing is read ahead: after two queries of the cascade, two of the DELETE."""
    with invalidates(Reply, AUTHOR):
        sent = statements(tree.db, lambda: Reply.objects.using(tree.db).filter(pk=tree.reply.pk).delete())
    assert sent == [*["SELECT"] * 2, *["SELECT"] * 2, "DELETE"]
