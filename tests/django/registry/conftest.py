"""The world of the registry's tests on SQLite and on PostgreSQL, and what is invalidated in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.test import override_settings
from registry_app import recording
from registry_app.models import Club, Gift, House, Label, Line, Person, Purchase, Reply, Seat, Team, Unregistered
from registry_app.world import DATABASES, RECORDING, World, make_world

from unstale.contrib.django.registry.registrations import all_registrations


def wipe(alias: str) -> None:
    """Remove all rows."""
    for model in (Line, Gift, Purchase, Reply, House, Seat, Unregistered, Label, Club, Person, Team):
        model._base_manager.using(alias).all().delete()


@pytest.fixture(params=DATABASES)
def db(request: pytest.FixtureRequest, databases: None) -> Iterator[str]:
    """A database's alias; what the test leaves there goes."""
    if request.param == "postgres":
        request.getfixturevalue("postgres_database")
    yield request.param
    assert all_registrations() == ()
    wipe(request.param)


@pytest.fixture
def world(db: str) -> World:
    """Two people with their purchases."""
    return make_world(db)


@pytest.fixture
def recorded() -> Iterator[Callable[[], list[str]]]:
    """What is invalidated in the default cache, beginning with nothing."""
    recording.calls.clear()
    recording.clears.clear()
    with override_settings(CACHES={**settings.CACHES, "default": RECORDING}):
        yield recording.tags


@pytest.fixture
def pg(postgres_database: str, recorded: Callable[[], list[str]]) -> Iterator[World]:
    """A world on PostgreSQL alone."""
    yield make_world(postgres_database)
    wipe(postgres_database)
