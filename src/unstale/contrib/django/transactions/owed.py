"""What is owed to one cache: tags to invalidate, strict writes to complete. And how it is carried out, in few trips."""

from __future__ import annotations

from typing import NamedTuple

from unstale.contrib.django.backend.engine import ROOT_TAGS, Engine
from unstale.contrib.django.listening import tell
from unstale.core.closing import Closing
from unstale.core.keys import ROOT_TAGS as ROOTS


class Row(NamedTuple):
    """Where a row of the outbox is to be found, if it is there still.

    Attributes:
        using: the database's alias.
        key: its primary key. What was rolled back may have had the same one.
        mark: its own, which comes only once.
    """

    using: str
    key: int
    mark: str


class Owed:
    """What is to be done for one cache.

    Attributes:
        hard: tags to invalidate.
        soft: tags to invalidate softly.
        closings: strict writes to complete, which invalidates as well.
        rows: the rows of the outbox that were written for it. One that was written inside a savepoint of which Django's
            commit hooks know nothing (`transaction.savepoint()`, raw SQL) may have gone with it.
        queued: of a tag, and of whether that is soft: the row that says it.
    """

    __slots__ = ("closings", "hard", "queued", "rows", "soft")

    def __init__(self) -> None:
        """Owe nothing."""
        self.hard: set[str] = set()
        self.soft: set[str] = set()
        self.closings: list[Closing] = []
        self.rows: list[Row] = []
        self.queued: dict[tuple[str, bool], Row] = {}

    def tags(self) -> set[str]:
        """All tags that are dirty for its sake."""
        return self.hard.union(self.soft, *(closing.tags for closing in self.closings))

    def add(self, other: Owed) -> None:
        """Owe what another owes as well."""
        self.hard |= other.hard
        self.soft |= other.soft
        self.closings += other.closings
        self.rows += other.rows
        self.queued |= other.queued

    def carry_out(self, engine: Engine) -> None:
        """Do it: at most one trip for what is hard, one for what is soft, and one a closing. Raises StoreError."""
        hard, soft = self.hard, self.soft - self.hard
        if not ROOTS.isdisjoint(hard | soft):
            hard, soft = set(ROOT_TAGS), set()
        if hard:
            engine.bump(ROOT_TAGS if hard >= ROOTS else tuple(sorted(hard)))
        if soft:
            engine.bump(tuple(sorted(soft)), soft=True)
        for closing in self.closings:
            complete(engine, closing)


def complete(engine: Engine, closing: Closing) -> None:
    """End a strict write. Raises StoreError."""
    engine.cache.complete(closing)
    tell(closing.tags)
