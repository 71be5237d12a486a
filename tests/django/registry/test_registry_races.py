"""A registered write and its transaction, and what another transaction does just before it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connections, transaction
from django.test import override_settings
from registry_app import recording
from registry_app.models import Line, Purchase
from registry_app.world import World

from unstale.contrib.django.registry import invalidates

PERSON = "person:{person_id}"


def test_a_write_in_autocommit_opens_a_transaction(world: World, recorded: Any) -> None:
    """The row and what the invalidation leaves in the database commit together; a failing invalidation undoes it."""
    with invalidates(Purchase, PERSON), override_settings(CACHES={**settings.CACHES, "default": BROKEN}):
        with pytest.raises(RuntimeError):
            world.of(Purchase).filter(number="1").update(status="x")
        assert Broken.inside == [True]
    assert world.of(Purchase).get(number="1").status == "new"


BROKEN = {"BACKEND": "test_registry_races.Broken", "LOCATION": "memory://"}


class Broken(recording.RecordingCache):
    inside: list[bool] = []  # noqa: RUF012 - the test looks at it

    def invalidate(self, *tags: str, using: str | None = None, **options: Any) -> Any:
        self.inside[:] = [connections[using].in_atomic_block]
        raise RuntimeError("no")


def test_a_failed_write_bumps_nothing(world: World, recorded: Any) -> None:
    """An error of the database goes to the caller as it is, and a savepoint around it is enough to go on."""
    with invalidates(Purchase, PERSON), transaction.atomic(using=world.db):
        with pytest.raises(IntegrityError), transaction.atomic(using=world.db):
            world.of(Purchase).create(person=world.b, number="1")
        world.of(Purchase).filter(number="1").update(status="x")
    assert recorded() == world.tags("a")


def test_sqlite_takes_the_write_lock_before_it_looks(databases: None, recorded: Any) -> None:
    """A look before the write must not make the write fail because another wrote meanwhile."""
    connection = connections["default"]
    connection.ensure_connection()
    mode, connection.transaction_mode = connection.transaction_mode, None
    try:
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as context, invalidates(Purchase, PERSON):
            Purchase.objects.filter(number="none").update(status="x")
        assert context.captured_queries[0]["sql"] == "BEGIN IMMEDIATE"
        assert connection.transaction_mode is None
    finally:
        connection.transaction_mode = mode


def before(word: str, meanwhile: Callable[[], None], db: str) -> Any:
    """Let another connection do something just before the first statement that begins with a word."""
    done: list[None] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(word) and not done:
            done.append(None)
            thread = threading.Thread(target=in_thread, args=(meanwhile,))
            thread.start()
            thread.join()
        return execute(sql, params, many, context)

    return connections[db].execute_wrapper(wrapper)


def in_thread(work: Callable[[], None]) -> None:
    """Run in this thread with connections of its own."""
    try:
        work()
    finally:
        connections.close_all()


def test_a_row_that_appears_after_the_look_is_not_written(pg: World) -> None:
    """A row that another transaction commits between look and write keeps its value: its tag was not looked up."""

    def meanwhile() -> None:
        pg.of(Purchase).create(person=pg.b, number="late", status="open")

    pg.of(Purchase).filter(person=pg.a).update(status="open")
    with invalidates(Purchase, PERSON), before("UPDATE", meanwhile, pg.db):
        recording.calls.clear()
        pg.of(Purchase).filter(status="open").update(status="paid")
    assert pg.of(Purchase).get(number="late").status == "open"
    assert pg.of(Purchase).filter(person=pg.a, status="paid").count() == 2


def test_no_row_may_appear_where_there_was_none(pg: World) -> None:
    """The same where the look found nothing at all."""
    with (
        invalidates(Purchase, PERSON),
        before("UPDATE", lambda: pg.of(Purchase).create(person=pg.b, number="late"), pg.db),
    ):
        touched = pg.of(Purchase).filter(number="late").update(status="paid")
    assert touched == 0


def test_a_row_that_was_looked_at_cannot_move(pg: World) -> None:
    """It is locked until COMMIT: another transaction's move waits, and so bumps what it finds then."""
    refused: list[str] = []

    def meanwhile() -> None:
        with connections[pg.db].cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
            try:
                cursor.execute("UPDATE registry_app_purchase SET person_id = %s WHERE number = '1'", [pg.b.pk])
            except Exception as error:  # noqa: BLE001 - whichever the driver raises
                refused.append(type(error.__cause__).__name__)

    with invalidates(Purchase, PERSON), before("UPDATE", meanwhile, pg.db):
        pg.of(Purchase).filter(number="1").update(status="x")
    assert refused == ["LockNotAvailable"]


def test_a_row_that_is_followed_cannot_move(pg: World) -> None:
    """The purchase of a new line is locked: a move of it waits until the line is there for everybody."""
    refused: list[str] = []

    def meanwhile() -> None:
        with connections[pg.db].cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
            try:
                cursor.execute("UPDATE registry_app_purchase SET person_id = %s WHERE number = '1'", [pg.b.pk])
            except Exception as error:  # noqa: BLE001 - whichever the driver raises
                refused.append(type(error.__cause__).__name__)

    with invalidates(Line, "person:{purchase.person_id}"), transaction.atomic(using=pg.db):
        pg.of(Line).create(purchase=pg.purchase)
        thread = threading.Thread(target=in_thread, args=(meanwhile,))
        thread.start()
        thread.join()
    assert refused == ["LockNotAvailable"]


def test_an_upsert_that_may_have_met_a_new_row_bumps_the_parent(pg: World) -> None:
    """A row that appears just before an INSERT that overwrites it was not seen as it was."""
    with (
        invalidates(Purchase, PERSON, parent="people"),
        before("INSERT", lambda: pg.of(Purchase).bulk_create([Purchase(person=pg.a, number="late")]), pg.db),
    ):
        pg.of(Purchase).bulk_create(
            [Purchase(person=pg.b, number="late")],
            update_conflicts=True,
            unique_fields=["number"],
            update_fields=["person"],
        )
    assert "people" in recording.tags()
