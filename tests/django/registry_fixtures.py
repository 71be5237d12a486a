"""What the tests of the registry share: a world of two people and their purchases, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from registry_app import recording
from registry_app.models import Club, Gift, Label, Line, Person, Purchase, Team, Unregistered

from unstale.contrib.django.registrations import all_registrations

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


@pytest.fixture(params=DATABASES)
def db(request: pytest.FixtureRequest, databases: None) -> Iterator[str]:
    """A database's alias; what the test leaves there goes."""
    if request.param == "postgres":
        request.getfixturevalue("postgres_database")
    yield request.param
    assert all_registrations() == ()
    for model in (Line, Gift, Purchase, Unregistered, Label, Club, Person, Team):
        model._base_manager.using(request.param).all().delete()


@pytest.fixture
def world(db: str) -> World:
    """Two people with their purchases."""
    return make_world(db)


def make_world(db: str) -> World:
    """See `world`."""
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


@pytest.fixture
def recorded() -> Iterator[Callable[[], list[str]]]:
    """What is invalidated in the default cache, beginning with nothing."""
    recording.calls.clear()
    recording.clears.clear()
    with override_settings(CACHES={**settings.CACHES, "default": RECORDING}):
        yield recording.tags


def statements(db: str, write: Callable[[], Any]) -> list[str]:
    """The first words of what a write sends to the database, beginnings and ends of transactions left out."""
    with CaptureQueriesContext(connections[db]) as context:
        write()
    words = [query["sql"].split()[0] for query in context.captured_queries]
    return [word for word in words if word in ("SELECT", "INSERT", "UPDATE", "DELETE")]
