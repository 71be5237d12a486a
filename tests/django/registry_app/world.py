"""What the tests of the registry share: a world of two people and their purchases, and what a write asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.test.utils import CaptureQueriesContext

from registry_app.models import Gift, Label, Person, Purchase

DATABASES = ("default", "postgres")
RECORDING = {"BACKEND": "registry_app.recording.RecordingCache", "LOCATION": "memory://"}


@dataclass
class World:
    """Rows to write to.

    Attributes:
        db: the database's alias.
        a: has a purchase, a gift and a label on both.
        b: has one more purchase.
    """

    db: str
    a: Person
    b: Person
    purchase: Purchase
    other: Purchase
    gift: Gift
    label: Label

    def of(self, model: Any) -> Any:
        """A model's manager on this database."""
        return model._default_manager.using(self.db)

    def tags(self, names: str) -> list[str]:
        """The tags of people by their letters."""
        return sorted(f"person:{getattr(self, name).pk}" for name in names)


def make_world(db: str) -> World:
    """Two people with their purchases."""
    a, b = (Person.objects.using(db).create(name=name) for name in "ab")
    label = Label.objects.using(db).create(name="red")
    made = World(
        db,
        a,
        b,
        Purchase.objects.using(db).create(person=a, number="1"),
        Purchase.objects.using(db).create(person=b, number="2"),
        Gift.objects.using(db).create(person=a, number="3"),
        label,
    )
    made.purchase.labels.add(label)
    made.gift.labels.add(label)
    return made


def statements(db: str, write: Callable[[], Any]) -> list[str]:
    """The first words of what a write sends to the database, beginnings and ends of transactions left out."""
    with CaptureQueriesContext(connections[db]) as context:
        write()
    words = [query["sql"].split()[0] for query in context.captured_queries]
    return [word for word in words if word in ("SELECT", "INSERT", "UPDATE", "DELETE")]
