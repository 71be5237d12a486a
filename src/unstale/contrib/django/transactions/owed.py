"""What is owed to one cache: tags to invalidate, strict writes to complete. And how it is carried out, in few trips."""

from __future__ import annotations

from unstale.contrib.django.backend.engine import ROOT_TAGS, Engine
from unstale.contrib.django.listening import tell
from unstale.core.closing import Closing
from unstale.core.keys import ROOT_TAGS as ROOTS


class Owed:
    """What is to be done for one cache.

    Attributes:
        hard: tags to invalidate.
        soft: tags to invalidate softly.
        closings: strict writes to complete, which invalidates as well.
        rows: where the outbox holds it: a database's alias and a primary key.
        queued: those of the tags that it holds.
    """

    __slots__ = ("closings", "hard", "queued", "rows", "soft")

    def __init__(self) -> None:
        """Owe nothing."""
        self.hard: set[str] = set()
        self.soft: set[str] = set()
        self.closings: list[Closing] = []
        self.rows: list[tuple[str, int]] = []
        self.queued: set[tuple[str, bool]] = set()

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
