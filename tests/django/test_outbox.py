"""The outbox's rows: written in the transaction that they belong to, gone when the invalidation has taken effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import Error, OperationalError, ProgrammingError, connections, transaction
from django.test import modify_settings, override_settings
from ledger_app.models import Order
from servers import Server

from unstale import remembering
from unstale.contrib.django import UnstaleCache, transactions
from unstale.contrib.django.outbox import rows
from unstale.contrib.django.outbox.models import Invalidation
from unstale.contrib.django.outbox.relay import depth_and_age, outboxes, relay
from unstale.contrib.django.transactions import Deferred, Queued
from unstale.contrib.django.transactions import waiting as pending
from unstale.errors import StoreError
from unstale.events import Invalidated

TAG = ":1:user:42"
UNSTALE = "unstale.contrib.django.UnstaleCache"


class RolledBackError(Exception):
    """Ends a block with a rollback."""


class Patient(UnstaleCache):
    """A backend that alters its options."""

    def __init__(self, location: object, params: dict[str, Any]) -> None:
        super().__init__(location, {**params, "OPTIONS": {**params["OPTIONS"], "SOCKET_TIMEOUT": 2}})


class OnlyDefault:
    """A router that gives the outbox's table to one database."""

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return db == "default" if app_label == "unstale_outbox" else None


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill."""
    with Server("valkey", tmp_path / "server") as started:
        yield started


@pytest.fixture(params=["default", "postgres"])
def using(request: pytest.FixtureRequest, databases: None) -> Iterator[str]:
    """The alias of a SQLite and of a PostgreSQL database, with an empty outbox."""
    if request.param == "postgres":
        request.getfixturevalue("postgres_database")
    for alias in {"default", "other", request.param}:
        Invalidation.objects.using(alias).all().delete()
    Order.objects.using(request.param).all().delete()
    with remembering():
        yield request.param
    connections[request.param].close()


@pytest.fixture
def server(own_valkey: Server) -> Server:
    """The tests here kill it."""
    return own_valkey


@pytest.fixture
def backend(configure: Callable[..., Any]) -> Any:
    """The backend, with an outbox in the database whose transaction it is."""
    return configure(TAG_PATTERNS=["user:{id}:*"], OUTBOX=True)


def waiting(using: str) -> list[Any]:
    """The outbox's tags, as anybody sees them."""
    return [row.tags for row in Invalidation.objects.using(using).order_by("pk")]


class TestInABlock:
    """The row is the transaction's."""

    def test_there_before_commit_and_gone_after_it(self, backend: Any, using: str) -> None:
        """A row is written at the call, and removed when the invalidation has taken effect."""
        with transaction.atomic(using=using):
            assert isinstance(backend.invalidate("user:42"), Deferred)
            assert waiting(using) == [[TAG]]
        assert waiting(using) == []

    def test_a_rollback_takes_it_along(self, backend: Any, using: str) -> None:
        """What never happened is not relayed."""
        with suppress(RolledBackError), transaction.atomic(using=using):
            backend.invalidate("user:42")
            raise RolledBackError
        assert waiting(using) == []

    def test_so_does_a_savepoint(self, backend: Any, using: str) -> None:
        """And what it said already is said again by the next one."""
        seen: list[Any] = []
        with transaction.atomic(using=using):
            with suppress(RolledBackError), transaction.atomic(using=using):
                backend.invalidate("user:42")
                raise RolledBackError
            seen.append(waiting(using))
            backend.invalidate("user:42")
            seen.append(waiting(using))
        assert seen == [[], [[TAG]]]

    def test_in_manual_transactions(self, backend: Any, using: str) -> None:
        """There before `commit()`; after it gone, and not only in a transaction that somebody else must end."""
        transaction.set_autocommit(False, using=using)
        try:
            with transaction.atomic(using=using):
                backend.invalidate("user:42", using=using)
            assert waiting(using) == [[TAG]]
            transaction.commit(using=using)
            transaction.rollback(using=using)
            assert waiting(using) == []
        finally:
            transaction.rollback(using=using)
            transaction.set_autocommit(True, using=using)

    def test_what_is_said_twice_is_one_row(self, backend: Any, using: str) -> None:
        """A loop over the same tag writes once; a soft and a hard invalidation are two."""
        with transaction.atomic(using=using):
            for _ in range(3):
                backend.invalidate("user:42")
            backend.invalidate("user:42", "user:7", soft=True)
            backend.invalidate("user:42", "user:9")
            assert waiting(using) == [[TAG], [TAG, ":1:user:7"], [":1:user:9"]]
        assert waiting(using) == []

    def test_a_savepoint_by_its_number(self, backend: Any, using: str) -> None:
        """Django tells nobody of its rollback: what its row said is said again, by a row of its own."""
        with transaction.atomic(using=using):
            backend.invalidate("user:7")
            number = transaction.savepoint(using=using)
            backend.invalidate("user:42")
            transaction.savepoint_rollback(number, using=using)
            backend.invalidate("user:7", "user:42")
            assert waiting(using) == [[":1:user:7"], [TAG]]

    def test_a_savepoint_in_raw_sql(self, backend: Any, using: str) -> None:
        """The same where Django does not even know that there is one."""
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute("SAVEPOINT mine")
            backend.invalidate("user:42", "user:7")
            cursor.execute("ROLLBACK TO SAVEPOINT mine")
            backend.invalidate("user:42")
            assert waiting(using) == [[TAG]]

    def test_a_number_that_comes_again(self, backend: Any, using: str) -> None:
        """SQLite gives the primary key of a row that was rolled back to the next one, which says something else."""
        with transaction.atomic(using=using):
            number = transaction.savepoint(using=using)
            backend.invalidate("user:42")
            transaction.savepoint_rollback(number, using=using)
            backend.invalidate("user:7")
            backend.invalidate("user:42")
            assert waiting(using) == [[":1:user:7"], [TAG]]

    def test_another_s_row_with_the_same_number(self, backend: Any, using: str) -> None:
        """It is not removed with what this transaction has written."""
        with transaction.atomic(using=using):
            number = transaction.savepoint(using=using)
            backend.invalidate("user:42")
            key = Invalidation.objects.using(using).get().pk
            transaction.savepoint_rollback(number, using=using)
            Invalidation.objects.using(using).create(pk=key, cache="default", tags=["another's"])
        assert waiting(using) == [["another's"]]

    def test_a_savepoint_by_its_number_and_the_server_is_away(
        self, backend: Any, own_valkey: Server, using: str
    ) -> None:
        """What the outbox is believed to hold is counted first: the row is gone, and is written now."""
        with transaction.atomic(using=using):
            number = transaction.savepoint(using=using)
            backend.invalidate("user:42")
            transaction.savepoint_rollback(number, using=using)
            own_valkey.kill()
        assert waiting(using) == [[TAG]]

    def test_the_outbox_cannot_be_looked_at(
        self, backend: Any, own_valkey: Server, using: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then it is believed to hold nothing, and if nothing can be written either it is raised."""

        def fail(*_: object, **__: object) -> None:
            raise Error("no")

        def write() -> None:
            with transaction.atomic(using=using):
                backend.invalidate("user:42")
                own_valkey.kill()
                monkeypatch.setattr("django.db.models.query.QuerySet.values_list", fail)
                monkeypatch.setattr("django.db.models.query.QuerySet.create", fail)

        with pytest.raises(StoreError):
            write()
        monkeypatch.undo()
        own_valkey.start()
        monkeypatch.setattr(pending, "RETRY_SECONDS", 0.0)
        transactions.settle()
        assert not transactions.pending()

    def test_many_tags_are_several_rows(self, backend: Any, using: str) -> None:
        """No row grows without bound."""
        with transaction.atomic(using=using):
            backend.invalidate(*(f"user:{user}" for user in range(rows.MAX_ROW_TAGS + 1)))
            assert [len(tags) for tags in waiting(using)] == [rows.MAX_ROW_TAGS, 1]

    def test_the_server_is_away_at_commit(self, backend: Any, own_valkey: Server, using: str) -> None:
        """Nothing is raised: the row is there, the relay sees to it."""
        backend.set("user:42:page", "old")
        own_valkey.kill()
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
        assert waiting(using) == [[TAG]]
        assert not transactions.pending()
        own_valkey.start()
        assert relay(using, grace=0).done == 1
        assert waiting(using) == []

    def test_a_row_that_cannot_be_removed(
        self, backend: Any, using: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is told to the log, and done again by the relay."""

        def fail(*_: object) -> None:
            raise Error("no")

        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            monkeypatch.setattr("django.db.models.query.QuerySet.delete", fail)
        monkeypatch.undo()
        assert "keeps rows that are done" in caplog.text
        assert relay(using, grace=0).done == 1

    def test_strict(self, backend: Any, using: str) -> None:
        """The row knows who closed the tags, so that any process can open them."""
        with transaction.atomic(using=using):
            backend.invalidate("user:42", strict=True)
            [row] = Invalidation.objects.using(using)
            assert len(row.owner) == 32
        assert waiting(using) == []

    def test_strict_and_the_server_is_away_at_commit(self, backend: Any, own_valkey: Server, using: str) -> None:
        """The relay opens what was closed, before its deadline."""
        with transaction.atomic(using=using):
            backend.invalidate("user:42", strict=True)
            own_valkey.freeze()
        own_valkey.thaw()
        assert may_store(backend) is False
        assert relay(using, grace=0).done == 1
        assert may_store(backend) is True

    def test_two_databases(self, backend: Any, using: str) -> None:
        """Each has the row of its own transaction."""
        with transaction.atomic(using="other"), transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert [waiting(using), waiting("other")] == [[[TAG]], [[TAG]]]
        assert [waiting(using), waiting("other")] == [[], []]


def may_store(backend: Any) -> bool:
    """Whether a value can be loaded and stored under user 42's tag."""
    with remembering():
        backend.core.get_or_set(":1:user:42:page", lambda: "new", tags=[TAG])
        return bool(backend.core.get(":1:user:42:page", tags=[TAG]) == "new")


class TestInAutocommit:
    """There the row is written only when the server is away."""

    def test_at_once(self, backend: Any, using: str) -> None:
        """Where it has taken effect there is no row."""
        assert isinstance(backend.invalidate("user:42", using=using), Invalidated)
        assert waiting(using) == []

    def test_the_server_is_away(self, backend: Any, own_valkey: Server, using: str) -> None:
        """The row is in the named database, and says so."""
        own_valkey.kill()
        assert isinstance(backend.invalidate("user:42", using=using), Queued)
        assert waiting(using) == [[TAG]]

    def test_no_database_named(self, backend: Any, own_valkey: Server, using: str) -> None:
        """Then it is the default one."""
        own_valkey.kill()
        assert isinstance(backend.clear(), bool)
        assert len(waiting("default")) == 1
        own_valkey.start()
        assert relay("default", grace=0).done == 1

    def test_in_asynchronous_code(self, backend: Any, own_valkey: Server, using: str) -> None:
        """The row is written in a thread."""
        own_valkey.kill()

        async def run() -> Any:
            return await transactions.ainvalidate(backend._engine, (TAG,))

        assert isinstance(asyncio.run(run()), Queued)
        assert waiting("default") == [[TAG]]

    def test_the_database_is_away_as_well(
        self, backend: Any, own_valkey: Server, using: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What nobody has is raised."""

        def fail(*_: object, **__: object) -> None:
            raise Error("no")

        own_valkey.kill()
        monkeypatch.setattr("django.db.models.query.QuerySet.create", fail)
        with pytest.raises(StoreError):
            backend.invalidate("user:42", using=using)


class TestWhichDatabase:
    """OUTBOX names one, or is True."""

    def test_a_named_one(self, configure: Callable[..., Any], own_valkey: Server, using: str) -> None:
        """Its own transactions have their rows in it; those of others have none until they have failed."""
        backend = configure(TAG_PATTERNS=["user:{id}:*"], OUTBOX="other")
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert [waiting(using), waiting("other")] == [[], []]
        with transaction.atomic(using="other"):
            backend.invalidate("user:42")
            assert waiting("other") == [[TAG]]
        own_valkey.kill()
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
        assert [waiting(using), waiting("other")] == [[], [[TAG]]]

    def test_a_row_that_would_be_rolled_back_is_none(
        self, configure: Callable[..., Any], own_valkey: Server, using: str
    ) -> None:
        """After one database's COMMIT, a row in another's open transaction could still be lost: it raises."""
        backend = configure(TAG_PATTERNS=["user:{id}:*"], OUTBOX="other")
        own_valkey.kill()
        with transaction.atomic(using="other"), pytest.raises(StoreError):
            backend.invalidate("user:42", using=using)
        assert waiting("other") == []

    def test_a_router_decides(self, backend: Any, using: str) -> None:
        """A database that does not have the table is written no row."""
        with override_settings(DATABASE_ROUTERS=["test_outbox.OnlyDefault"]), transaction.atomic(using="other"):
            backend.invalidate("user:42")
            assert waiting("other") == []

    def test_outboxes(self, backend: Any, using: str) -> None:
        """Those that the relay looks at when none is named."""
        assert {"default", "other", using} <= set(outboxes())
        with override_settings(DATABASE_ROUTERS=["test_outbox.OnlyDefault"]):
            assert outboxes() == ["default"]

    def test_the_app_is_not_installed(self, backend: Any, using: str) -> None:
        """The error names the remedy."""
        without = modify_settings(INSTALLED_APPS={"remove": "unstale.contrib.django.outbox"})
        with without, transaction.atomic(using=using), pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"):
            backend.invalidate("user:42")

    @pytest.mark.parametrize("asynchronously", [False, True])
    def test_a_database_that_there_is_not(self, configure: Callable[..., Any], asynchronously: bool) -> None:
        """A mistyped alias shows with the first invalidation, not with the first outage."""
        backend = configure(OUTBOX="nosuch")
        invalidate = async_to_sync(backend.ainvalidate) if asynchronously else backend.invalidate
        with pytest.raises(ImproperlyConfigured, match="database 'nosuch', which is not in DATABASES: default"):
            invalidate("user:42")

    def test_without_its_table(self, backend: Any, using: str) -> None:
        """What the database says is said, as its own kind, with the remedy."""
        with connections[using].schema_editor() as editor:
            editor.delete_model(Invalidation)
        try:
            with (
                pytest.raises((OperationalError, ProgrammingError), match=r"run manage\.py migrate") as raised,
                transaction.atomic(using=using),
            ):
                backend.invalidate("user:42")
        finally:
            with connections[using].schema_editor() as editor:
                editor.create_model(Invalidation)
        assert type(raised.value.__cause__) is type(raised.value)
        assert "unstale_outbox_invalidation" in str(raised.value.__cause__)

    def test_a_cache_that_stands_nowhere(self, backend: Any, using: str, own_valkey: Server) -> None:
        """No relay would find it: this is said at the call, and the transaction ends with it."""
        stray = type(backend)(own_valkey.url, {"OPTIONS": {"OUTBOX": True, "NAMESPACE": "stray"}})
        with pytest.raises(ImproperlyConfigured, match="CACHES"), transaction.atomic(using=using):
            stray.invalidate("user:42")

    def test_a_subclass_with_options_of_its_own(
        self, configure: Callable[..., Any], own_valkey: Server, using: str
    ) -> None:
        """Its cache is found by the backend that stands in CACHES, also by the relay."""
        backend = configure("sub", {"BACKEND": f"{__name__}.Patient"}, OUTBOX=True)
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert [row.cache for row in Invalidation.objects.using(using)] == ["sub"]
            own_valkey.kill()
        own_valkey.start()
        assert relay(using, grace=0).done == 1

    def test_beside_caches_that_cannot_be_made(
        self, configure: Callable[..., Any], own_valkey: Server, using: str
    ) -> None:
        """They do not keep another's invalidations from being written."""
        there = {"first": {"BACKEND": "not.there.Cache"}, "second": {"BACKEND": UNSTALE, "LOCATION": "nowhere"}}
        mine = {"BACKEND": UNSTALE, "LOCATION": own_valkey.url, "OPTIONS": {"OUTBOX": True}}
        with override_settings(CACHES={**there, "mine": mine}), transaction.atomic(using=using):
            caches["mine"].invalidate("user:42")
            assert [row.cache for row in Invalidation.objects.using(using)] == ["mine"]

    def test_several_caches(self, configure: Callable[..., Any], using: str) -> None:
        """A row names its own."""
        configure(alias="first", OUTBOX=True, NAMESPACE="first")
        configure(alias="second", OUTBOX=True, NAMESPACE="second")
        with transaction.atomic(using=using):
            caches["second"].invalidate("user:42")
            assert [row.cache for row in Invalidation.objects.using(using)] == ["second"]


class TestTheApp:
    """Its migration, and what is told of its health."""

    def test_the_migration_is_complete(self, databases: None) -> None:
        """The model and its migration say the same."""
        out = StringIO()
        call_command("makemigrations", "unstale_outbox", check=True, dry_run=True, stdout=out)
        assert "No changes" in out.getvalue()

    def test_depth_and_age(self, using: str) -> None:
        """By the database's own clock."""
        assert depth_and_age(using) == (0, 0.0)
        Invalidation.objects.using(using).create(cache="default", tags=[TAG])
        Invalidation.objects.using(using).create(cache="default", tags=[TAG])
        depth, age = depth_and_age(using)
        assert depth == 2
        assert 0 <= age < 60
