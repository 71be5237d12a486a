"""Invalidation inside transactions, on real SQLite and PostgreSQL: when it takes effect, what is dirty until then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.core.cache import caches
from django.db import Error, connections, transaction
from ledger_app.models import Order
from servers import Server

from unstale import remembering
from unstale.contrib.django import listening, transactions
from unstale.contrib.django.transactions import Deferred, snapshots, waiting
from unstale.core.keys import ROOT_TAGS
from unstale.errors import InvalidTagError, StoreError
from unstale.events import Invalidated


class RolledBackError(Exception):
    """Ends a block with a rollback."""


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here: transactions are the databases'."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture
def backend(configure: Callable[..., Any]) -> Any:
    """The backend, with one declared pattern."""
    return configure(TAG_PATTERNS=["user:{id}:*"])


@pytest.fixture(params=["default", "postgres"])
def using(request: pytest.FixtureRequest, databases: None) -> Iterator[str]:
    """The alias of a SQLite and of a PostgreSQL database, emptied."""
    if request.param == "postgres":
        request.getfixturevalue("postgres_database")
    Order.objects.using(request.param).all().delete()
    yield request.param
    assert not transactions.pending()
    connections[request.param].close()


@pytest.fixture
def snapshot(postgres_database: str) -> Iterator[str]:
    """The alias of PostgreSQL at REPEATABLE READ."""
    yield "snapshot"
    connections["snapshot"].close()


@pytest.fixture(autouse=True)
def in_a_request(databases: None) -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


@pytest.fixture
def told() -> Iterator[list[tuple[str, ...]]]:
    """The trips that have taken effect, in order."""
    seen: list[tuple[str, ...]] = []
    with listening.invalidations(seen.append):
        yield seen


@contextmanager
def in_manual_transactions(using: str) -> Iterator[None]:
    """Autocommit is off."""
    transaction.set_autocommit(False, using=using)
    try:
        yield
        transaction.commit(using=using)
    except BaseException:
        transaction.rollback(using=using)
        raise
    finally:
        transaction.set_autocommit(True, using=using)


def stored(cache: Any, key: str) -> Any:
    """What any other process would be served: the transaction of this thread is not asked."""
    return cache.core.get(cache.make_key(key), tags=cache._plan(key, None).tags)


def keep(cache: Any, *keys: str, value: Any = "old") -> None:
    """Fill keys, as another process would have."""
    for key in keys:
        cache.core.set(cache.make_key(key), value, tags=cache._plan(key, None).tags, computed=False)
        assert stored(cache, key) == value


class TestWhenItTakesEffect:
    """At COMMIT, or never."""

    def test_in_autocommit_at_once(self, backend: Any, using: str) -> None:
        """Without a block there is nothing to wait for."""
        keep(backend, "user:42:page")
        assert isinstance(backend.invalidate("user:42"), Invalidated)
        assert stored(backend, "user:42:page") is None

    def test_in_a_block_at_its_commit(self, backend: Any, using: str) -> None:
        """Until COMMIT others are served what was there; from then on they are not."""
        keep(backend, "user:42:page")
        with transaction.atomic(using=using):
            assert isinstance(backend.invalidate("user:42"), Deferred)
            assert stored(backend, "user:42:page") == "old"
        assert stored(backend, "user:42:page") is None

    def test_a_rollback_drops_it(self, backend: Any, using: str, told: list[tuple[str, ...]]) -> None:
        """What never happened invalidates nothing, also not later."""
        keep(backend, "user:42:page")
        with suppress(RolledBackError), transaction.atomic(using=using):
            backend.invalidate("user:42")
            raise RolledBackError
        assert backend.get("user:42:page") == "old"
        with transaction.atomic(using=using):
            pass
        assert told == []

    def test_set_rollback_drops_it(self, backend: Any, using: str, told: list[tuple[str, ...]]) -> None:
        """A block that is marked for rollback ends like one that raised."""
        keep(backend, "user:42:page")
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            transaction.set_rollback(True, using=using)
        assert backend.get("user:42:page") == "old"
        assert told == []

    def test_a_savepoint_drops_its_own(self, backend: Any, using: str) -> None:
        """An inner block that is rolled back takes along what was invalidated in it, and no more."""
        keep(backend, "user:1:page", "user:2:page", "user:3:page")
        with transaction.atomic(using=using):
            backend.invalidate("user:1")
            with suppress(RolledBackError), transaction.atomic(using=using):
                backend.invalidate("user:2")
                raise RolledBackError
            with transaction.atomic(using=using):
                backend.invalidate("user:3")
        assert [stored(backend, f"user:{user}:page") for user in (1, 2, 3)] == [None, "old", None]

    def test_a_released_savepoint_falls_with_the_block_around_it(self, backend: Any, using: str) -> None:
        """Two savepoints deep: the inner one is kept, the one around it is not."""
        keep(backend, "user:1:page", "user:2:page")
        with transaction.atomic(using=using):
            with suppress(RolledBackError), transaction.atomic(using=using):
                with transaction.atomic(using=using):
                    backend.invalidate("user:1")
                raise RolledBackError
            with transaction.atomic(using=using):
                backend.invalidate("user:2")
        assert [stored(backend, f"user:{user}:page") for user in (1, 2)] == ["old", None]

    def test_released_savepoints_join_the_block_around_them(self, backend: Any, using: str) -> None:
        """A loop of savepoints leaves a handful of hooks, and a rollback of the loop drops all of it."""
        keep(backend, "user:1:page", "user:2:page")
        with transaction.atomic(using=using):
            with suppress(RolledBackError), transaction.atomic(using=using):
                for _ in range(50):
                    with transaction.atomic(using=using):
                        backend.invalidate("user:1")
                assert len(connections[using].run_on_commit) < 10
                raise RolledBackError
            for _ in range(50):
                with transaction.atomic(using=using):
                    backend.invalidate("user:2")
            assert len(connections[using].run_on_commit) < 10
        assert [stored(backend, f"user:{user}:page") for user in (1, 2)] == ["old", None]

    def test_a_block_without_a_savepoint_falls_with_the_one_around_it(self, backend: Any, using: str) -> None:
        """`atomic(savepoint=False)` marks the outer block for rollback."""
        keep(backend, "user:1:page")
        with suppress(RolledBackError), transaction.atomic(using=using):
            with transaction.atomic(using=using, savepoint=False):
                backend.invalidate("user:1")
            raise RolledBackError
        assert backend.get("user:1:page") == "old"

    def test_one_transaction_is_one_trip(self, backend: Any, using: str, told: list[tuple[str, ...]]) -> None:
        """Many invalidations, in several savepoints, coalesce."""
        with transaction.atomic(using=using):
            backend.invalidate("user:1")
            backend.invalidate("user:2", "user:1")
            with transaction.atomic(using=using):
                backend.invalidate("user:3")
        assert told == [(":1:user:1", ":1:user:2", ":1:user:3")]

    def test_clear_waits_as_well(self, backend: Any, using: str) -> None:
        """`clear()` in a block is an invalidation of everything at its COMMIT."""
        keep(backend, "user:42:page", "plain")
        with transaction.atomic(using=using):
            backend.clear()
            assert backend.get("plain") is None
            assert stored(backend, "plain") == "old"
        assert [stored(backend, key) for key in ("user:42:page", "plain")] == [None, None]

    def test_the_same_decorated_function_twice(self, backend: Any, using: str) -> None:
        """`@atomic` uses one block object for every call."""

        @transaction.atomic(using=using)
        def write() -> None:
            backend.invalidate("user:42")

        for _ in range(2):
            keep(backend, "user:42:page")
            write()
            assert stored(backend, "user:42:page") is None

    def test_manual_transactions(self, backend: Any, using: str) -> None:
        """Under `set_autocommit(False)` it takes effect at once: it is to be called after `commit()`."""
        keep(backend, "user:42:page")
        transaction.set_autocommit(False, using=using)
        try:
            Order.objects.using(using).create(user_id=42)
            transaction.commit(using=using)
            assert isinstance(backend.invalidate("user:42"), Invalidated)
            assert stored(backend, "user:42:page") is None
        finally:
            transaction.rollback(using=using)
            transaction.set_autocommit(True, using=using)

    def test_a_block_in_manual_transactions(self, backend: Any, using: str, told: list[tuple[str, ...]]) -> None:
        """A block there commits nothing: it takes effect at once, and again with `commit()`, each time."""
        with in_manual_transactions(using):
            for count in (1, 3):
                with transaction.atomic(using=using):
                    backend.invalidate("user:42")
                assert len(told) == count
                transaction.commit(using=using)
                assert len(told) == count + 1
        assert len(told) == 4

    def test_what_others_filled_before_a_manual_commit(self, backend: Any, using: str) -> None:
        """Another thread may have read the old row after the first of the two: the second makes that stale."""
        with in_manual_transactions(using):
            with transaction.atomic(using=using):
                backend.invalidate("user:42")
            other = threading.Thread(target=keep, args=(backend, "user:42:page"))
            other.start()
            other.join()
            assert stored(backend, "user:42:page") == "old"
            transaction.commit(using=using)
            assert stored(backend, "user:42:page") is None

    @pytest.mark.parametrize("end", [transaction.commit, transaction.rollback])
    def test_dirty_until_a_manual_transaction_ends(self, backend: Any, using: str, end: Callable[..., None]) -> None:
        """What is computed from its own uncommitted rows is not stored: after a rollback nothing would remove it."""
        with in_manual_transactions(using):
            with transaction.atomic(using=using):
                backend.invalidate("user:42")
            backend.set("user:42:page", "uncommitted")
            assert backend.get("user:42:page") is None
            assert stored(backend, "user:42:page") is None
            end(using=using)
            assert backend.get_or_set("user:42:page", lambda: "new") == "new"
            assert stored(backend, "user:42:page") == "new"

    def test_a_manual_rollback_is_not_told_again(self, backend: Any, using: str, told: list[tuple[str, ...]]) -> None:
        """Nor does the next COMMIT carry out what was rolled back."""
        with in_manual_transactions(using):
            with transaction.atomic(using=using):
                backend.invalidate("user:42")
            transaction.rollback(using=using)
            transaction.commit(using=using)
        transactions.settle()
        assert len(told) == 1

    def test_a_block_rolled_back_in_manual_transactions(
        self, backend: Any, using: str, told: list[tuple[str, ...]]
    ) -> None:
        """Its savepoint took along what was to be done with the COMMIT."""
        with in_manual_transactions(using):
            with transaction.atomic(using=using):
                backend.invalidate("user:42")
                transaction.set_rollback(True, using=using)
            transaction.commit(using=using)
        transactions.settle()
        assert len(told) == 1

    def test_the_projects_hooks_are_left_to_django(self, backend: Any, using: str) -> None:
        """In manual transactions they wait until autocommit is on again, as they always did."""
        ran: list[str] = []
        with in_manual_transactions(using):
            with transaction.atomic(using=using):
                transaction.on_commit(lambda: ran.append("hook"), using=using)
                backend.invalidate("user:42")
            transaction.commit(using=using)
            before = list(ran)
        assert (before, ran) == ([], ["hook"])

    def test_a_connection_that_was_manual_once(self, backend: Any, using: str, told: list[tuple[str, ...]]) -> None:
        """Its later blocks take effect at COMMIT, and once."""
        with in_manual_transactions(using), transaction.atomic(using=using):
            backend.invalidate("user:42")
        told.clear()
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert told == []
        assert len(told) == 1

    def test_a_bad_tag_raises_where_it_is_named(self, backend: Any, using: str) -> None:
        """Not at COMMIT, where nobody knows whence it came."""
        with transaction.atomic(using=using):
            with pytest.raises(InvalidTagError):
                backend.invalidate("user:\n42")
            with pytest.raises(InvalidTagError):
                backend.invalidate()

    def test_a_commit_whose_answer_is_lost_counts_as_one(
        self, backend: Any, postgres_database: str, told: list[tuple[str, ...]]
    ) -> None:
        """Nobody knows whether it committed: an invalidation too many costs a miss."""
        with pytest.raises(Error), transaction.atomic(using="postgres"):  # noqa: PT012 - its end raises
            Order.objects.using("postgres").create(user_id=42)
            backend.invalidate("user:42")
            kill_session(connections["postgres"].connection.info.backend_pid)
        connections["postgres"].close()
        transactions.settle()
        assert told == [(":1:user:42",)]


def kill_session(pid: int) -> None:
    """End a PostgreSQL session, as a crash of the server would."""
    other = connections["postgres"].copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()


class TestSeveralDatabases:
    """Each transaction is its own."""

    def test_at_each_commit(self, backend: Any, told: list[tuple[str, ...]]) -> None:
        """Where none is named it belongs to all that are open: the inner one alone would be too early."""
        with transaction.atomic():
            with transaction.atomic(using="other"):
                backend.invalidate("user:42")
            assert len(told) == 1
            assert backend.get("user:42:page") is None
            keep(backend, "user:42:page")
        assert len(told) == 2
        assert stored(backend, "user:42:page") is None

    def test_dirty_until_the_last_has_ended(self, backend: Any) -> None:
        """After the first COMMIT the tag is still another open transaction's."""
        with transaction.atomic():
            with transaction.atomic(using="other"):
                backend.invalidate("user:42")
            assert transactions.pending()
            assert backend.set("user:42:page", "new") is False
        assert not transactions.pending()

    def test_the_last_may_be_rolled_back(self, backend: Any, told: list[tuple[str, ...]]) -> None:
        """What the first has committed is not lost with it."""
        with suppress(RolledBackError), transaction.atomic():
            with transaction.atomic(using="other"):
                backend.invalidate("user:42")
            raise RolledBackError
        transactions.settle()
        assert len(told) == 1

    def test_the_named_one(self, backend: Any, told: list[tuple[str, ...]]) -> None:
        """Where one is named the others do not matter."""
        with transaction.atomic():
            with transaction.atomic(using="other"):
                assert isinstance(backend.invalidate("user:42", using="other"), Deferred)
            assert len(told) == 1
            assert not transactions.pending()
            assert isinstance(backend.invalidate("user:42", using="other"), Invalidated)

    def test_another_thread_has_its_own(self, backend: Any, told: list[tuple[str, ...]]) -> None:
        """What waits in one thread is neither dirty nor waiting in another."""
        seen: list[object] = []

        def elsewhere() -> None:
            other = caches["default"]
            seen.extend([transactions.pending(), other.get("user:42:page"), other.invalidate("user:1")])

        keep(backend, "user:42:page")
        with transaction.atomic():
            backend.invalidate("user:42")
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            assert seen[:2] == [False, "old"]
            assert told == [(":1:user:1",)]

    def test_this_thread_s_connections(self, using: str) -> None:
        """The quick way to them finds what Django's own way finds."""
        list(Order.objects.using(using))
        quick = [one for one in snapshots.opened() if hasattr(one, "in_atomic_block")]
        assert {one.alias for one in quick} == {one.alias for one in connections.all(initialized_only=True)}


class TestDirty:
    """What this transaction has invalidated neither hits nor fills in it."""

    def test_no_verb_hits(self, backend: Any, using: str) -> None:
        """A dirty entry is absent to every verb, though others are served it."""
        keep(backend, "user:42:page", "user:7:page")
        keep(backend, "user:42:count", value=1)
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert backend.get("user:42:page") is None
            assert backend.get_many(["user:42:page", "user:7:page"]) == {"user:7:page": "old"}
            assert not backend.has_key("user:42:page")
            assert not backend.touch("user:42:page", 60)
            with pytest.raises(ValueError, match="not found"):
                backend.incr("user:42:count")
            assert stored(backend, "user:42:page") == "old"

    def test_no_verb_fills(self, backend: Any, using: str) -> None:
        """Its own uncommitted rows are not for others; after COMMIT it may store again."""
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert backend.set("user:42:page", "uncommitted") is False
            assert backend.add("user:42:page", "uncommitted") is False
            assert backend.set_many({"user:42:page": "uncommitted"}) == ["user:42:page"]
            assert backend.get_or_set("user:42:page", lambda: "uncommitted") == "uncommitted"
            assert stored(backend, "user:42:page") is None
        with remembering():
            assert backend.get_or_set("user:42:page", lambda: "committed") == "committed"
        assert stored(backend, "user:42:page") == "committed"

    def test_a_refused_set_leaves_nothing_dirty(self, backend: Any, using: str) -> None:
        """What was to be replaced goes at once, also if the transaction is rolled back; `add` replaces nothing."""
        keep(backend, "user:42:page", "user:42:other", "user:42:third")
        with suppress(RolledBackError), transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert backend.set("user:42:page", "uncommitted") is False
            assert backend.set_many({"user:42:other": "uncommitted"}) == ["user:42:other"]
            assert backend.add("user:42:third", "uncommitted") is False
            raise RolledBackError
        keys = ("user:42:page", "user:42:other", "user:42:third")
        assert [stored(backend, key) for key in keys] == [None, None, "old"]
        assert backend.get("user:42:third") == "old"

    def test_get_compute_set(self, backend: Any, using: str) -> None:
        """A value that is computed in the block is not stored after it either."""
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            value = backend.get("user:42:page", "computed from uncommitted rows")
        assert backend.set("user:42:page", value) is False
        assert stored(backend, "user:42:page") is None

    def test_ancestors(self, backend: Any, using: str) -> None:
        """A tag that is invalidated makes its descendants dirty."""
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert backend.set("orders", "x", tags=["user:42/orders"]) is False
            assert backend.set("others", "x", tags=["user:421/orders"]) is True

    @pytest.mark.parametrize("url", ["redis://{}:{}", "redis://{}:{}/?db=0"])
    def test_another_alias_for_the_same_entries(
        self, configure: Callable[..., Any], server: Server, using: str, url: str
    ) -> None:
        """With another TIMEOUT, or its LOCATION written otherwise: it is as dirty, and stores as little."""
        first = configure(TAG_PATTERNS=["user:{id}:*"])
        location = url.format("127.0.0.1", server.port)
        long = configure("long", {"TIMEOUT": 3600, "LOCATION": location}, TAG_PATTERNS=["user:{id}:*"])
        keep(first, "user:42:page")
        with transaction.atomic(using=using):
            first.invalidate("user:42")
            assert long.get("user:42:page") is None
            assert long.get_or_set("user:42:page", lambda: "uncommitted") == "uncommitted"
            assert long.set("user:42:page", "uncommitted") is False
        assert stored(first, "user:42:page") is None

    def test_another_alias_of_another_database(self, configure: Callable[..., Any], server: Server, using: str) -> None:
        """Entries that only have the same names are not dirty."""
        first = configure(TAG_PATTERNS=["user:{id}:*"])
        other = configure("other", {"LOCATION": f"{server.url.rpartition('/')[0]}/1"}, TAG_PATTERNS=["user:{id}:*"])
        by_option = configure(
            "third",
            CONNECTION_POOL_KWARGS={"db": 2},
            TAG_PATTERNS=["user:{id}:*"],
            params={"LOCATION": server.url.rpartition("/")[0]},
        )
        with transaction.atomic(using=using):
            first.invalidate("user:42")
            for each in (other, by_option):
                assert each.set("user:42:page", "clean") is True
                each.clear()

    def test_an_outer_loader(self, backend: Any, using: str) -> None:
        """What is computed from a dirty key is not stored, though its own tags are clean."""
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            value = backend.get_or_set("front", lambda: backend.get_or_set("user:42:page", lambda: "uncommitted"))
            assert value == "uncommitted"
        assert stored(backend, "front") is None

    def test_an_outer_loader_that_gets(self, backend: Any, using: str) -> None:
        """The same where the loader gets, computes and sets."""

        def load() -> str:
            found = backend.get("user:42:page")
            return found or "uncommitted"

        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert backend.get_or_set("front", load) == "uncommitted"
        assert stored(backend, "front") is None

    @pytest.mark.parametrize("options", [{}, {"NAMESPACE": "elsewhere"}])
    def test_an_outer_loader_of_another_alias(
        self, backend: Any, configure: Callable[..., Any], using: str, options: dict[str, str]
    ) -> None:
        """The same where the loader's own key is another cache's."""
        other = configure("other", {"TIMEOUT": 5}, **options)
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            other.get_or_set("front", lambda: backend.get_or_set("user:42:page", lambda: "uncommitted"))
        assert stored(other, "front") is None

    def test_a_loader_that_invalidates(self, backend: Any, using: str) -> None:
        """What it computes from its own uncommitted rows is not stored: they may yet be rolled back."""

        def load() -> str:
            backend.invalidate("user:42")
            return "uncommitted"

        with suppress(RolledBackError), transaction.atomic(using=using):
            assert backend.get_or_set("front", lambda: backend.get_or_set("user:42:page", load)) == "uncommitted"
            raise RolledBackError
        backend.close()
        assert [stored(backend, key) for key in ("front", "user:42:page")] == [None, None]

    def test_inherited_tags(self, backend: Any, using: str) -> None:
        """An entry that was computed from a dirty one is dirty, though its key declares no tag."""
        backend.get_or_set("front", lambda: backend.get_or_set("user:42:page", lambda: "old"))
        assert stored(backend, "front") == "old"
        with transaction.atomic(using=using):
            backend.invalidate("user:42")
            assert backend.get("front") is None
            assert backend.get_many(["front"]) == {}

    def test_clean_again_after_a_savepoint_s_rollback(self, backend: Any, using: str) -> None:
        """What was rolled back is not dirty for the rest of the block."""
        keep(backend, "user:42:page")
        with transaction.atomic(using=using):
            with suppress(RolledBackError), transaction.atomic(using=using):
                backend.invalidate("user:42")
                assert backend.get("user:42:page") is None
                raise RolledBackError
            assert backend.get("user:42:page") == "old"

    def test_a_hook_of_the_project_s_reads_what_is_new(self, backend: Any, using: str) -> None:
        """By the time that the project's own hooks run, it has taken effect and nothing is dirty."""
        keep(backend, "user:42:page")
        seen: list[object] = []
        with transaction.atomic(using=using):
            transaction.on_commit(
                lambda: seen.extend([transactions.pending(), stored(backend, "user:42:page")]), using=using
            )
            backend.invalidate("user:42")
        assert seen == [False, None]


class TestSnapshots:
    """What an old snapshot computed is not stored."""

    def test_outside_a_block(self, using: str) -> None:
        """Nothing forbids it, whatever the level."""
        list(Order.objects.using(using))
        assert transactions.forbids_fill() is False

    def test_at_read_committed(self, backend: Any, using: str) -> None:
        """A block at READ COMMITTED, and one of SQLite's with a rollback journal, fills."""
        with transaction.atomic(using=using):
            list(Order.objects.using(using))
            assert backend.get_or_set("user:42:page", lambda: "new") == "new"
        assert stored(backend, "user:42:page") == "new"

    def test_at_repeatable_read(self, backend: Any, snapshot: str) -> None:
        """A fill of another connection's REPEATABLE READ transaction is refused, a hit is not."""
        keep(backend, "user:7:page")
        with transaction.atomic(using=snapshot):
            list(Order.objects.using(snapshot))
            assert backend.get_or_set("user:42:page", lambda: "of the snapshot") == "of the snapshot"
            assert backend.set("user:42:page", "of the snapshot") is False
            assert backend.get("user:7:page") == "old"
        assert stored(backend, "user:42:page") is None

    @pytest.mark.parametrize("key", ["price", "user:7:page"])
    @pytest.mark.parametrize("options", [{}, {"xx": True}])
    def test_a_refused_set_leaves_nothing(
        self, backend: Any, snapshot: str, key: str, options: dict[str, bool]
    ) -> None:
        """What was to be replaced is older still: the key holds nothing then, in the block and after it."""
        keep(backend, key)
        with transaction.atomic(using=snapshot):
            assert backend.set(key, "of the snapshot", **options) is False
            assert backend.get(key) is None
        assert stored(backend, key) is None

    def test_refused_sets_leave_nothing(self, backend: Any, snapshot: str) -> None:
        """The same of many."""
        keep(backend, "price", "user:7:page", "apart")
        with transaction.atomic(using=snapshot):
            given = {"price": "of the snapshot", "user:7:page": "of the snapshot"}
            assert backend.set_many(given) == list(given)
        assert [stored(backend, key) for key in ("price", "user:7:page", "apart")] == [None, None, "old"]

    def test_whoever_fills_it_is_stopped(self, backend: Any, snapshot: str) -> None:
        """A loader that runs while a set of its key is refused does not store what it began before."""

        def load() -> str:
            with transaction.atomic(using=snapshot):
                other = threading.Thread(target=refuse)
                other.start()
                other.join()
            return "from before"

        def refuse() -> None:
            with transaction.atomic(using=snapshot):
                caches["default"].set("price", "of the snapshot")
            connections[snapshot].close()

        assert backend.get_or_set("price", load) == "from before"
        assert stored(backend, "price") is None

    def test_a_lock_in_a_snapshot(self, backend: Any, snapshot: str) -> None:
        """`add` of a key without tags depends on no snapshot; of one with tags it may, and replaces nothing."""
        keep(backend, "user:7:page")
        with transaction.atomic(using=snapshot):
            assert [backend.add("lock:job", 1, 60), backend.add("lock:job", 2, 60)] == [True, False]
            assert [backend.set("mark", 1, nx=True), backend.add("user:42:page", "of the snapshot")] == [True, False]
            assert backend.add("user:7:page", "of the snapshot") is False
        assert [stored(backend, key) for key in ("lock:job", "mark", "user:42:page")] == [1, 1, None]
        assert stored(backend, "user:7:page") == "old"

    def test_counts_and_timeouts_in_a_snapshot(self, backend: Any, snapshot: str) -> None:
        """What changes an entry in its place, and is not computed from rows, works there."""
        keep(backend, "user:42:count", value=1)
        with transaction.atomic(using=snapshot):
            assert [backend.incr("user:42:count"), backend.incr("hits", ignore_key_check=True)] == [2, 1]
            assert [backend.touch("user:42:count", 60), backend.ttl("user:42:count")] == [True, 60]

    def test_a_session_in_a_snapshot(self, backend: Any, snapshot: str) -> None:
        """Nor is a session computed from rows."""
        with transaction.atomic(using=snapshot):
            assert backend.set("django.contrib.sessions.cacheabc", "session") is True

    def test_the_race_itself(self, backend: Any, snapshot: str) -> None:
        """Others commit and invalidate after this snapshot was taken: it does not bring the old value back."""
        Order.objects.using("postgres").all().delete()
        with transaction.atomic(using=snapshot):
            assert Order.objects.using(snapshot).count() == 0
            with transaction.atomic(using="postgres"):
                Order.objects.using("postgres").create(user_id=42)
                backend.invalidate("user:42", using="postgres")
            backend.get_or_set("user:42:page", lambda: Order.objects.using(snapshot).count())
        with remembering():
            assert backend.get_or_set("user:42:page", lambda: Order.objects.using("postgres").count()) == 1
        connections["postgres"].close()

    def test_set_transaction(self, postgres_database: str) -> None:
        """Where a project raises the level itself the server says so, also of a function that was decorated."""

        @transaction.atomic(using="postgres")
        def run(level: str) -> bool:
            with connections["postgres"].cursor() as cursor:
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            list(Order.objects.using("postgres"))
            return transactions.forbids_fill() or transactions.forbids_fill()

        assert [run(level) for level in ("READ COMMITTED", "SERIALIZABLE", "READ COMMITTED")] == [False, True, False]
        connections["postgres"].close()

    def test_asked_before_the_level_is_set(self, postgres_database: str) -> None:
        """An answer from before the transaction's first statement is not kept."""
        with transaction.atomic(using="postgres"):
            assert transactions.forbids_fill() is False
            with connections["postgres"].cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            assert transactions.forbids_fill() is True
        connections["postgres"].close()

    def test_an_aborted_transaction(self, postgres_database: str) -> None:
        """Whatever is computed in one is not stored."""
        with suppress(RolledBackError), transaction.atomic(using="postgres"):
            with suppress(Error), connections["postgres"].cursor() as cursor:
                cursor.execute("SELECT 1/0")
            assert transactions.forbids_fill() is True
            raise RolledBackError
        connections["postgres"].close()

    def test_asked_once_a_transaction(self, postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """No query for each fill, and none that Django would count."""
        connection = connections["postgres"]
        connection.force_debug_cursor = True
        with transaction.atomic(using="postgres"):
            list(Order.objects.using("postgres"))
            connection.queries_log.clear()
            assert transactions.forbids_fill() is False
            monkeypatch.setattr(connection.connection, "cursor", None)
            assert transactions.forbids_fill() is False
            assert list(connection.queries_log) == []
            monkeypatch.undo()
        connection.force_debug_cursor = False
        connection.close()

    def test_sqlite_in_wal_mode(self, databases: None) -> None:
        """There a reader keeps its snapshot while others commit."""
        connection = connections["other"]
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = wal")
        try:
            connection.close()
            with transaction.atomic(using="other"):
                assert transactions.forbids_fill() is True
        finally:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA journal_mode = delete")
            connection.close()

    @pytest.mark.parametrize(
        ("vendor", "level", "forbids"),
        [
            ("mysql", "read committed", False),
            ("mysql", "repeatable read", True),
            ("mysql", None, True),
            ("oracle", None, False),
            ("another", None, True),
        ],
    )
    def test_other_databases(self, vendor: str, level: str | None, forbids: bool) -> None:
        """MySQL by its option, whose default is the server's; what is not known is not trusted."""

        class Connection:
            class Database:
                Error = Error

        connection = Connection()
        connection.vendor, connection.isolation_level = vendor, level  # type: ignore[attr-defined]
        assert snapshots._is_snapshot(connection) is forbids


class TestFailures:
    """The server is away at COMMIT."""

    def test_it_raises(self, own_valkey: Server, configure_on: Callable[..., Any], using: str) -> None:
        """Without an outbox the project hears of it; the thread goes on trying, and what is dirty stays so."""
        backend = configure_on(own_valkey)
        keep(backend, "user:42:page")
        with pytest.raises(StoreError), transaction.atomic(using=using):  # noqa: PT012 - its end raises
            Order.objects.using(using).create(user_id=42)
            backend.invalidate("user:42")
            own_valkey.freeze()
        assert Order.objects.using(using).count() == 1
        own_valkey.thaw()
        assert backend.get("user:42:page") is None
        make_due()
        transactions.settle()
        assert stored(backend, "user:42:page") is None

    def test_a_hook_that_raises_keeps_nothing_from_taking_effect(self, backend: Any, using: str) -> None:
        """The project's own hooks run after ours, whenever they were registered."""

        def fail() -> None:
            raise RolledBackError

        keep(backend, "user:42:page")
        with pytest.raises(RolledBackError), transaction.atomic(using=using):  # noqa: PT012 - its end raises
            transaction.on_commit(fail, using=using)
            backend.invalidate("user:42")
        assert stored(backend, "user:42:page") is None

    def test_a_hook_that_raises_while_the_server_is_away(
        self, own_valkey: Server, configure_on: Callable[..., Any], using: str
    ) -> None:
        """Django then runs no further hook; the thread's next verbs see to it."""

        def fail() -> None:
            own_valkey.thaw()
            raise RolledBackError

        backend = configure_on(own_valkey)
        keep(backend, "user:42:page")
        with pytest.raises(RolledBackError), transaction.atomic(using=using):  # noqa: PT012 - its end raises
            transaction.on_commit(fail, using=using)
            backend.invalidate("user:42")
            own_valkey.freeze()
        assert transactions.pending()
        make_due()
        transactions.settle()
        assert stored(backend, "user:42:page") is None

    def test_what_a_thread_owes_is_bounded(self, own_valkey: Server, configure_on: Callable[..., Any]) -> None:
        """After very many failures it owes one clear."""
        backend = configure_on(own_valkey)
        keep(backend, "plain")
        with pytest.raises(StoreError), transaction.atomic():  # noqa: PT012 - its end raises
            backend.invalidate(*(f"user:{user}" for user in range(waiting.MAX_FAILED_TAGS + 1)))
            own_valkey.kill()
        make_due()
        transactions.settle()
        assert waiting.dirty_tags(backend._engine) == set(ROOT_TAGS)
        own_valkey.start()
        make_due()
        transactions.settle()
        assert not transactions.pending()


def make_due() -> None:
    """Let a second pass."""
    for one in waiting._local.waiting:
        one.tried_at = (one.tried_at or 0) - waiting.RETRY_SECONDS


@pytest.fixture
def own_valkey(tmp_path: Any) -> Iterator[Server]:
    """A server that the test may kill or freeze."""
    with Server("valkey", tmp_path / "server") as started:
        yield started


@pytest.fixture
def configure_on(configure: Callable[..., Any]) -> Callable[..., Any]:
    """The backend on a server of the test's own."""

    def on(server: Server, **options: Any) -> Any:
        options = {"TAG_PATTERNS": ["user:{id}:*"], **options}
        return configure(params={"LOCATION": server.url}, **options)

    return on


class TestStrict:
    """Tags that are closed from the call to the end of the transaction."""

    def test_closed_until_commit(self, backend: Any, using: str) -> None:
        """From the call on nobody is served, and nobody stores; after COMMIT all do."""
        keep(backend, "user:42:page")
        with transaction.atomic(using=using):
            backend.invalidate("user:42", strict=True)
            assert stored(backend, "user:42:page") is None
            assert elsewhere_stores(backend) is False
        assert elsewhere_stores(backend) is True

    def test_a_rollback_opens_them(self, backend: Any, using: str) -> None:
        """What was closed for nothing is opened by the thread's next verb, or at the request's end."""
        with suppress(RolledBackError), transaction.atomic(using=using):
            backend.invalidate("user:42", strict=True)
            raise RolledBackError
        assert elsewhere_stores(backend) is False
        backend.close()
        assert elsewhere_stores(backend) is True

    def test_each_database_closes_for_itself(self, backend: Any) -> None:
        """The first COMMIT does not open what another open transaction has closed."""
        with transaction.atomic():
            with transaction.atomic(using="other"):
                backend.invalidate("user:42", strict=True)
            assert elsewhere_stores(backend) is False
        assert elsewhere_stores(backend) is True

    def test_by_the_option(self, configure: Callable[..., Any], using: str) -> None:
        """STRICT makes it the rule; a call may still say otherwise."""
        backend = configure(TAG_PATTERNS=["user:{id}:*"], STRICT=True)
        keep(backend, "user:1:page", "user:2:page")
        with transaction.atomic(using=using):
            backend.invalidate("user:1")
            backend.invalidate("user:2", strict=False)
            assert [stored(backend, f"user:{user}:page") for user in (1, 2)] == [None, "old"]
        assert stored(backend, "user:2:page") is None

    def test_the_server_is_away(self, own_valkey: Server, configure_on: Callable[..., Any], using: str) -> None:
        """What cannot be closed must not be committed."""
        backend = configure_on(own_valkey)
        own_valkey.kill()
        with pytest.raises(StoreError), transaction.atomic(using=using):  # noqa: PT012 - its end raises
            Order.objects.using(using).create(user_id=42)
            backend.invalidate("user:42", strict=True)
        assert Order.objects.using(using).count() == 0

    def test_as_a_block(self, backend: Any, using: str) -> None:
        """`strict` opens the transaction itself."""
        with transactions.strict(backend._engine, (":1:user:42",), using):
            Order.objects.using(using).create(user_id=42)
            assert elsewhere_stores(backend) is False
        assert elsewhere_stores(backend) is True
        assert Order.objects.using(using).count() == 1

    def test_a_block_that_raises(self, backend: Any, using: str) -> None:
        """It is rolled back, and its tags open at once."""
        with suppress(RolledBackError), transactions.strict(backend._engine, (":1:user:42",), using):
            Order.objects.using(using).create(user_id=42)
            raise RolledBackError
        assert elsewhere_stores(backend) is True
        assert Order.objects.using(using).count() == 0


def elsewhere_stores(backend: Any) -> bool:
    """Whether another request, in another thread, can load and store user 42's page."""
    seen: list[bool] = []

    def run() -> None:
        with remembering():
            backend.core.get_or_set(":1:user:42:page", lambda: "new", tags=[":1:user:42"])
            seen.append(stored(backend, "user:42:page") == "new")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return seen[0]


class TestAsync:
    """No transaction can be open in asynchronous code."""

    def test_at_once(self, backend: Any, databases: None) -> None:
        """`ainvalidate` has taken effect when it returns."""
        keep(backend, "user:42:page")
        done = asyncio.run(transactions.ainvalidate(backend._engine, (":1:user:42",)))
        assert isinstance(done, Invalidated)
        assert stored(backend, "user:42:page") is None

    def test_the_server_is_away(self, own_valkey: Server, configure_on: Callable[..., Any]) -> None:
        """Without an outbox it raises."""
        backend = configure_on(own_valkey)
        own_valkey.kill()
        with pytest.raises(StoreError):
            asyncio.run(transactions.ainvalidate(backend._engine, (":1:user:42",)))
