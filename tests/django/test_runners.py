"""Work off the request path: threads, a Celery worker on a real broker, django-tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.conf import settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.test import override_settings
from ledger_app.models import Order
from servers import Server, binary_of, free_port
from worker_project import work

from unstale import remembering
from unstale.cache import Job
from unstale.contrib.django import cached, jobs, listening, runners
from unstale.contrib.django.backend.redis_verbs import UndeclaredPatternError
from unstale.contrib.django.later import When
from unstale.contrib.django.travelling import CannotTravelError
from unstale.errors import ConfigurationError, InvalidTagError, StoreError
from unstale.events import Event, LoadFailed

HERE = Path(__file__).parent
OPTIONS: dict[str, Any] = {"TAG_PATTERNS": ["user:{id}:*"], "SOCKET_TIMEOUT": 5}
PID = os.getpid()


@pytest.fixture(scope="module")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The cache's server, for this process and the worker."""
    with Server("valkey", tmp_path_factory.mktemp("cache")) as started:
        yield started


@pytest.fixture
def server(cache_server: Server) -> Server:
    """In place of a server of each kind: the worker knows one."""
    return cache_server


@pytest.fixture(autouse=True)
def in_a_request() -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


@pytest.fixture
def user() -> int:
    """A user that no other test has."""
    return uuid.uuid4().int % 10**12


def wait_until(is_so: Callable[[], Any], what: str = "") -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def soften(backend: Any, *tags: str) -> None:
    """From here on what is kept under tags may be served, and is to be loaded anew."""
    backend.invalidate(*tags, soft=True)


class Kept:
    """A runner that keeps its jobs."""

    is_remote = False

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> None:
        self.jobs.append(job)


# The decorator


class TestCached:
    """`cached` on functions of a project."""

    def test_a_result_is_kept(self, configure: Callable[..., Any], user: int) -> None:
        """The second call is a hit."""
        configure(**OPTIONS)
        assert work.orders(user) == work.orders(user)

    def test_the_key_is_the_project_s(self, configure: Callable[..., Any], user: int) -> None:
        """KEY_PREFIX, VERSION and KEY_FUNCTION make it, and `get` finds it."""
        backend = configure(params={"KEY_PREFIX": "shop", "VERSION": 3}, **OPTIONS)
        first = work.orders(user)
        assert backend.get(f"orders:{user}") == first
        assert work.orders.key_for(user) == f"orders:{user}"

    def test_declared_patterns_count(self, configure: Callable[..., Any], user: int) -> None:
        """A key that matches carries the pattern's tag besides its own."""
        backend = configure(**{**OPTIONS, "TAG_PATTERNS": ["orders:{id}"]})
        first = work.orders(user)
        assert backend.delete_pattern(f"orders:{user}") == 1
        assert work.orders(user) != first

    def test_its_tags_invalidate_it(self, configure: Callable[..., Any], user: int) -> None:
        """Also an ancestor of one."""
        backend = configure(**OPTIONS)
        first = work.orders(user)
        backend.invalidate(f"user:{user}")
        assert work.orders(user) != first

    def test_its_own_verbs(self, configure: Callable[..., Any], user: int) -> None:
        """`refresh` loads anew, `invalidate` makes it stale."""
        configure(**OPTIONS)
        first = work.orders(user)
        second = work.orders.refresh(user)
        assert first != second == work.orders(user)
        work.orders.invalidate(user)
        assert work.orders(user) != second

    def test_what_a_transaction_has_dirtied(self, configure: Callable[..., Any], user: int) -> None:
        """Inside it the function is called, and nothing is stored; after a rollback the old result is there."""
        configure(**OPTIONS)
        first = work.orders(user)
        with transaction.atomic():
            work.orders.invalidate(user)
            assert work.orders(user) not in (first, work.orders.refresh(user))
            transaction.set_rollback(True)
        assert work.orders(user) == first

    def test_an_async_function(self, configure: Callable[..., Any], user: int) -> None:
        """The same, awaited."""
        from asgiref.sync import async_to_sync

        configure(**OPTIONS)

        @cached("later:{user_id}", tags=["user:{user_id}"])
        async def load(user_id: int) -> str:
            return uuid.uuid4().hex

        async def steps() -> list[str]:
            found = [await load(user), await load(user), await load.refresh(user), await load(user)]
            await load.invalidate(user)
            return [*found, await load(user)]

        first, again, anew, kept, last = async_to_sync(steps)()
        assert first == again
        assert len({first, anew, last}) == 3
        assert anew == kept

    def test_another_backend(self, configure: Callable[..., Any], user: int) -> None:
        """It has no tags: the error says what to do."""
        configure(**OPTIONS)
        with (
            override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}),
            pytest.raises(ConfigurationError, match="no UnstaleCache"),
        ):
            work.orders(user)

    def test_mistakes_show_when_it_is_decorated(self) -> None:
        """A key that leaves an argument out, and a ttl below zero."""
        with pytest.raises(ConfigurationError, match="leaves out"):
            cached("orders")(lambda user_id: user_id)
        with pytest.raises(ValueError, match="ttl"):
            cached("orders", ttl=-1)

    def test_no_timeout_keeps_nothing(self, configure: Callable[..., Any], user: int) -> None:
        """Where the cache's TIMEOUT is 0 a function without a ttl is called each time."""
        configure(params={"TIMEOUT": 0}, **OPTIONS)
        calls: list[int] = []

        def load(user_id: int) -> None:
            calls.append(user_id)

        function = cached("counted:{user_id}")(load)
        function(user)
        function(user)
        function.refresh(user)
        assert len(calls) == 3


# Threads


class TestThreads:
    """OPTIONS["RUNNER"] is "threads"."""

    def test_a_refresh(self, configure: Callable[..., Any], user: int) -> None:
        """The reader is served at once; a thread has it loaded, then it is fresh."""
        backend = configure(RUNNER="threads", STALE_TTL=300, **OPTIONS)
        key, names = f"user:{user}:page", []
        backend.set(key, "none")
        backend.delete(key)

        def load() -> str:
            names.append(threading.current_thread().name)
            return f"load {len(names)}"

        assert backend.get_or_set(key, load) == "load 1"
        soften(backend, f"user:{user}")
        assert backend.get_or_set(key, load) == "load 1"
        wait_until(lambda: backend.get(key) == "load 2")
        assert names[0] == "MainThread"
        assert names[1].startswith("unstale-refresh")

    def test_its_connections_are_closed(self, configure: Callable[..., Any], user: int, databases: None) -> None:
        """A thread that lives on must not keep what its jobs opened."""
        backend = configure(RUNNER=runners.threads(1), STALE_TTL=300, **OPTIONS)
        seen: list[Any] = []

        def load() -> int:
            seen.append(connection.connection)
            found = Order.objects.count()
            seen.append(connection.connection)
            return found

        def left_open() -> Any:
            runner = backend._engine.options.cache["runner"]
            return runner._run(lambda: connection.connection).result(30)

        key = f"user:{user}:count"
        backend.get_or_set(key, load)
        soften(backend, f"user:{user}")
        backend.get_or_set(key, load)
        wait_until(lambda: len(seen) == 4)
        wait_until(lambda: backend.get(key) is not None)
        assert seen[3] is not None
        assert left_open() is None

    def test_a_failing_job_is_told(
        self, configure: Callable[..., Any], user: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody waits for a large invalidation: the log says that it failed, without values."""
        runner = runners.threads(1)
        configure(**OPTIONS)
        future: Any = runner.send({"do": "invalidate", "cache": "nowhere", "tags": ["x"], "version": 1, "soft": False})
        assert future.exception(30) is not None
        assert "invalidate has failed" in caplog.text


# Another process's work, as data


class TestTravelling:
    """What may be told to another process, and what it does with what is told."""

    @pytest.fixture
    def kept(self) -> Kept:
        """Jobs."""
        return Kept()

    def job(self, configure: Callable[..., Any], kept: Kept, function: Any, *arguments: Any) -> Job:
        """The job that a call of a function makes, when its result is soft-stale."""
        backend = configure(RUNNER=kept, STALE_TTL=300, **OPTIONS)
        function(*arguments)
        backend.clear()
        function(*arguments)
        soften(backend, "user:1", "user:1/orders", "invoices", "wrapped", "shops", "fails")
        function(*arguments)
        return kept.jobs.pop()

    @pytest.mark.parametrize(
        ("function", "arguments"),
        [
            (work.orders, (1,)),
            (work.invoice, (uuid.UUID(int=7),)),
            (work.wrapped, ("a",)),
            (work.Shop.static, ("a",)),
        ],
        ids=["function", "uuid", "below another decorator", "static method"],
    )
    def test_it_travels(
        self, configure: Callable[..., Any], kept: Kept, function: Any, arguments: tuple[Any, ...]
    ) -> None:
        """By JSON; and it is done where it arrives."""
        data = json.loads(json.dumps(jobs.refresh_data(self.job(configure, kept, function, *arguments))))
        before = function(*arguments)
        assert jobs.perform(data) is True
        assert kept.jobs == []
        assert function(*arguments) == before or function is work.orders

    def test_it_is_fresh_then(self, configure: Callable[..., Any], kept: Kept) -> None:
        """The new value is served, and no further job is made."""
        data = jobs.refresh_data(self.job(configure, kept, work.orders, 1))
        before = work.orders(1)
        jobs.perform(data)
        assert work.orders(1) != before
        assert work.orders(1) == work.orders(1)
        assert kept.jobs == []

    def test_a_method_s_object_does_not(self, configure: Callable[..., Any], kept: Kept) -> None:
        """It is more than data."""
        job = self.job(configure, kept, work.Shop().method, "a")
        with pytest.raises(CannotTravelError, match="Shop"):
            jobs.refresh_data(job)

    def test_a_closure_does_not(self, configure: Callable[..., Any], kept: Kept) -> None:
        """Nobody else finds it."""
        job = self.job(configure, kept, cached("local:{n}", tags=["user:1"])(lambda n: n), 1)
        with pytest.raises(CannotTravelError, match="lambda"):
            jobs.refresh_data(job)

    def test_a_loader_without_a_name_does_not(self, configure: Callable[..., Any], kept: Kept) -> None:
        """`get_or_set` with a function of the moment."""
        job = self.job(configure, kept, lambda: caches["default"].get_or_set("user:1:page", lambda: "x"))
        with pytest.raises(CannotTravelError):
            jobs.refresh_data(job)

    def test_what_is_not_decorated_is_not_called(self, configure: Callable[..., Any], kept: Kept) -> None:
        """A job in the queue that names any other function is refused."""
        data = jobs.refresh_data(self.job(configure, kept, work.orders, 1))
        for name in ("worker_project.work:plain", "os:system", "worker_project.work:nothing"):
            with pytest.raises(CannotTravelError, match="not decorated"):
                jobs.perform({**data, "function": name})

    def test_another_key_is_not_filled(self, configure: Callable[..., Any], kept: Kept) -> None:
        """Where the other process makes another key of the arguments, its code or settings are others."""
        data = jobs.refresh_data(self.job(configure, kept, work.orders, 1))
        with pytest.raises(CannotTravelError, match="another key"):
            jobs.perform({**data, "key": "elsewhere"})

    def test_an_unknown_job(self) -> None:
        """A newer process's words."""
        with pytest.raises(CannotTravelError, match="older version"):
            jobs.perform({"do": "dance"})

    def test_a_queue_that_works_at_once_in_a_transaction(self, configure: Callable[..., Any], kept: Kept) -> None:
        """What the open transaction has dirtied is not stored."""
        data = jobs.refresh_data(self.job(configure, kept, work.orders, 1))
        with transaction.atomic():
            caches["default"].invalidate("user:1/orders")
            assert jobs.perform(data) is False
            transaction.set_rollback(True)


# Celery


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a broker: Redis where there is one."""
    kind = "redis" if binary_of("redis") else "valkey"
    with Server(kind, tmp_path_factory.mktemp("broker")) as started:
        yield started.url


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests shut and open the worker's gates."""
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module")
def worker(
    cache_server: Server, broker: str, gates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker of its own process, ended with the module."""
    folder = tmp_path_factory.mktemp("worker")
    one = {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": cache_server.url, "OPTIONS": OPTIONS}
    paths = [str(HERE.parent.parent / "src"), str(HERE), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "worker_project.settings",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "WORKER_SECRET_KEY": settings.SECRET_KEY,
        "WORKER_CACHES": json.dumps({"default": one}),
        "WORKER_DATABASE": str(folder / "db.sqlite3"),
        "WORKER_BROKER": broker,
        "WORKER_GATES": str(gates),
    }
    command = [sys.executable, "-m", "celery", "-A", "worker_project.celery_app", "worker", "--pool", "solo"]
    command += ["--loglevel", "INFO", "--without-mingle", "--without-gossip"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def celery_app(broker: str) -> Iterator[Celery]:
    """The app by which this process sends."""
    app = Celery("sends", broker=broker)
    app.set_current()
    yield app
    app.close()


@pytest.fixture
def elsewhere(
    configure: Callable[..., Any], worker: subprocess.Popen[bytes], celery_app: Celery, databases: None
) -> Any:
    """The backend, with the worker for its runner."""
    celery_app.set_current()
    return configure(RUNNER="celery", **OPTIONS)


@pytest.fixture
def no_broker(elsewhere: Any, celery_app: Celery) -> Iterator[None]:
    """The broker cannot be reached. (redis-py takes six seconds to say so.)."""
    dead = Celery("dead", broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    dead.set_current()
    yield
    celery_app.set_current()
    dead.close()
    elsewhere._engine.options.cache["runner"]._away_until = 0.0


class TestCelery:
    """OPTIONS["RUNNER"] is "celery"."""

    def test_a_refresh(self, elsewhere: Any, worker: subprocess.Popen[bytes], user: int) -> None:
        """Whoever reads is served the old value at once; the worker loads, then all are served the new one."""
        first = work.orders(user)
        soften(elsewhere, f"user:{user}")
        assert work.orders(user) == first
        wait_until(lambda: elsewhere.get(f"orders:{user}"))
        assert first["pid"] == PID
        assert work.orders(user)["pid"] == worker.pid
        assert work.orders(user)["user"] == user

    def test_an_argument_beyond_json(self, elsewhere: Any, worker: subprocess.Popen[bytes]) -> None:
        """It arrives as it was."""
        number = uuid.uuid4()
        work.invoice(number)
        soften(elsewhere, "invoices")
        work.invoice(number)
        wait_until(lambda: elsewhere.get(f"invoice:{number}"))
        assert work.invoice(number) == (number, worker.pid)

    def test_an_invalidation_during_the_load(self, elsewhere: Any, gates: Path, user: int) -> None:
        """What the worker loaded before it is not stored; the next load is somebody's own."""
        work.orders(user)
        soften(elsewhere, f"user:{user}")
        (gates / f"orders-{user}.shut").touch()
        work.orders(user)
        wait_until((gates / f"orders-{user}.began").exists)
        elsewhere.invalidate(f"user:{user}")
        (gates / f"orders-{user}.shut").unlink()
        (gates / f"orders-{user}.open").touch()
        fence = user + 1
        work.orders(fence)
        soften(elsewhere, f"user:{fence}")
        work.orders(fence)
        wait_until(lambda: elsewhere.get(f"orders:{fence}"))  # one worker does one after the other
        assert elsewhere.get(f"orders:{user}") is None
        assert work.orders(user)["pid"] == PID

    def test_a_load_that_fails_there(self, elsewhere: Any, user: int) -> None:
        """It stores nothing, and readers go on being served."""
        name = f"n{user}"
        work.fails_elsewhere(name)
        soften(elsewhere, "fails")
        assert work.fails_elsewhere(name) == name
        work.orders(user)
        soften(elsewhere, f"user:{user}")
        work.orders(user)
        wait_until(lambda: elsewhere.get(f"orders:{user}"))
        assert elsewhere.get(f"fails:{name}") is None
        assert work.fails_elsewhere(name) == name

    def test_what_cannot_travel_is_loaded_here(self, elsewhere: Any, user: int) -> None:
        """By the reader who got the lease."""
        shop, name = work.Shop(), f"n{user}"
        shop.method(name)
        soften(elsewhere, "shops")
        assert shop.method(name) == PID
        assert elsewhere.get(f"shop:{name}") == PID

    def test_a_loader_without_a_name_is_not_even_offered(
        self, configure: Callable[..., Any], elsewhere: Any, user: int
    ) -> None:
        """`get_or_set` loads here, and no event says that a runner refused."""
        events: list[Event] = []
        backend = configure(RUNNER="celery", STALE_TTL=300, ON_EVENT=events.append, **OPTIONS)
        backend.get_or_set(f"user:{user}:page", lambda: "old")
        soften(backend, f"user:{user}")
        assert backend.get_or_set(f"user:{user}:page", lambda: "new") == "new"
        assert not any(isinstance(event, LoadFailed) for event in events)

    def test_a_refresh_without_a_broker(self, elsewhere: Any, no_broker: None, user: int) -> None:
        """The reader loads himself; the next ones do not wait for the broker, and store what they load."""
        first = work.orders(user)
        soften(elsewhere, f"user:{user}")
        second = work.orders(user)
        assert second != first
        assert second["pid"] == PID
        work.orders(user)
        kept = work.orders(user)
        assert kept["pid"] == PID
        assert work.orders(user) == kept

    def test_a_large_invalidation(self, elsewhere: Any, user: int) -> None:
        """More tags than one trip takes are the worker's."""
        for number in (0, 700, 1200):
            elsewhere.set(f"user:{user}{number:04}:page", "old")
        tags = [f"user:{user}{number:04}" for number in range(1201)]
        assert elsewhere.later().invalidate(*tags) is When.SOON
        wait_until(lambda: not elsewhere.get_many([f"user:{user}{number:04}:page" for number in (0, 700, 1200)]))

    @pytest.mark.filterwarnings("ignore:.*is not declared")
    def test_an_undeclared_pattern(self, elsewhere: Any, user: int) -> None:
        """The scan is the worker's."""
        elsewhere.set(f"old-{user}-page", "old")
        assert elsewhere.later().delete_pattern(f"old-{user}-*") is When.SOON
        wait_until(lambda: elsewhere.get(f"old-{user}-page") is None)

    def test_a_ramped_clear(self, elsewhere: Any, user: int) -> None:
        """The worker takes its time."""
        keys = [f"user:{user}:{number}" for number in range(40)]
        elsewhere.set_many(dict.fromkeys(keys, "old"))
        assert elsewhere.later().clear(over=0.1) is When.SOON
        wait_until(lambda: not elsewhere.get_many(keys))

    @pytest.mark.filterwarnings("ignore:.*is not declared")
    def test_an_invalidation_without_a_broker(
        self, elsewhere: Any, no_broker: None, user: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is done here, and the log says why it took so long."""
        elsewhere.set(f"old-{user}-page", "old")
        assert elsewhere.later().delete_pattern(f"old-{user}-*") is When.NOW
        assert elsewhere.get(f"old-{user}-page") is None
        assert "the queue refused" in caplog.text


# What is sent, and when


class Sent:
    """A runner that keeps what it is sent."""

    is_remote = True

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []

    def send(self, data: dict[str, Any]) -> None:
        self.jobs.append(data)

    def __call__(self, job: Job) -> None:
        raise RuntimeError


@pytest.mark.filterwarnings("ignore:.*is not declared")
class TestLater:
    """`cache.later()`."""

    @pytest.fixture
    def sent(self) -> Sent:
        """A queue."""
        return Sent()

    @pytest.fixture
    def backend(self, configure: Callable[..., Any], sent: Sent, databases: None) -> Any:
        """A backend that sends to it."""
        return configure(RUNNER=sent, **OPTIONS)

    @pytest.fixture
    def told(self) -> Iterator[list[tuple[str, ...]]]:
        """What has taken effect."""
        seen: list[tuple[str, ...]] = []
        with listening.invalidations(seen.append):
            yield seen

    def test_what_is_small_is_done_at_once(self, backend: Any, sent: Sent, told: list[tuple[str, ...]]) -> None:
        """One write is cheaper than a message."""
        later = backend.later()
        assert later.invalidate("user:1", "user:2") is When.NOW
        assert later.delete_pattern("user:3:*") is When.NOW
        assert later.clear() is When.NOW
        assert sent.jobs == []
        assert told[:2] == [(":1:user:1", ":1:user:2"), (":1:user:3",)]
        assert len(told) == 3

    def test_what_is_small_waits_for_commit_as_ever(self, backend: Any, told: list[tuple[str, ...]]) -> None:
        """In a block."""
        with transaction.atomic():
            assert backend.later().invalidate("user:1") is When.AT_COMMIT
            assert backend.later().clear() is When.AT_COMMIT
            assert told == []
        assert len(told) == 1

    def test_many_tags_are_several_jobs(self, backend: Any, sent: Sent) -> None:
        """Each of a bounded size; together they are all tags."""
        tags = [f"user:{number}" for number in range(6000)]
        assert backend.later().invalidate(*tags, soft=True) is When.SOON
        assert [len(job["tags"]) for job in sent.jobs] == [5000, 1000]
        assert [tag for job in sent.jobs for tag in job["tags"]] == tags
        assert {(job["cache"], job["version"], job["soft"]) for job in sent.jobs} == {("default", 1, True)}

    def test_a_commit_sends(self, backend: Any, sent: Sent) -> None:
        """Not before."""
        with transaction.atomic():
            assert backend.later().delete_pattern("old:*") is When.AT_COMMIT
            assert sent.jobs == []
        assert [job["pattern"] for job in sent.jobs] == ["old:*"]

    def test_a_rollback_sends_nothing(self, backend: Any, sent: Sent) -> None:
        """Also of a savepoint."""
        with transaction.atomic():
            with transaction.atomic():
                backend.later().delete_pattern("old:*")
                transaction.set_rollback(True)
            backend.later().clear(over=5)
        assert [job["do"] for job in sent.jobs] == ["clear"]

    def test_the_version_travels(self, backend: Any, sent: Sent) -> None:
        """The caller's, or the cache's own."""
        backend.later().delete_pattern("old:*", version=7, prefix="other")
        backend.version = 4
        backend.later().delete_pattern("old:*")
        backend.version = 1
        assert [(job["version"], job["prefix"]) for job in sent.jobs] == [(7, "other"), (4, None)]

    def test_jobs_are_json(self, backend: Any, sent: Sent) -> None:
        """Whatever the queue."""
        backend.later().delete_pattern("old:*")
        backend.later().clear(over=5)
        backend.later().invalidate(*map(str, range(501)))
        assert json.loads(json.dumps(sent.jobs)) == sent.jobs

    def test_the_server_is_away_too(self, configure: Callable[..., Any], cache_server: Server, databases: None) -> None:
        """Where neither the queue nor the cache's server can be reached the caller hears of it."""

        def full(job: Any) -> None:
            raise RuntimeError

        backend = configure(params={"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}, RUNNER=full, **OPTIONS)
        with pytest.raises(StoreError):
            backend.later().clear(over=0.1)

    def test_a_queue_that_refuses_at_commit(self, configure: Callable[..., Any], databases: None) -> None:
        """It is done here then, when the transaction has been committed."""

        def full(job: Any) -> None:
            raise RuntimeError

        backend = configure(RUNNER=full, **OPTIONS)
        backend.set("old:page", "old")
        with transaction.atomic():
            assert backend.later().delete_pattern("old:*") is When.AT_COMMIT
            assert backend.get("old:page") == "old"
        assert backend.get("old:page") is None

    def test_any_callable_is_a_runner(self, configure: Callable[..., Any], databases: None) -> None:
        """`executor.submit`, for one: it is given something to call."""
        backend = configure(**OPTIONS)
        taken: list[Callable[[], object]] = []
        backend.set("old:page", "old")
        assert backend.later(taken.append).delete_pattern("old:*") is When.SOON
        assert backend.get("old:page") == "old"
        taken[0]()
        assert backend.get("old:page") is None

    def test_mistakes_show_at_once(self, configure: Callable[..., Any], backend: Any, sent: Sent) -> None:
        """Not in a worker."""
        with pytest.raises(InvalidTagError):
            backend.later().invalidate()
        with pytest.raises(InvalidTagError):
            backend.later().invalidate(*map(str, range(600)), "bad\n")
        with pytest.raises(ValueError, match="over"):
            backend.later().clear(over=-1)
        with pytest.raises(ConfigurationError):
            backend.later().clear(over=None)
        assert sent.jobs == []
        strict = configure(RUNNER=sent, STRICT_PATTERNS=True, **OPTIONS)
        with pytest.raises(UndeclaredPatternError):
            strict.later().delete_pattern("old:*")

    def test_without_a_runner(self, configure: Callable[..., Any]) -> None:
        """It says so."""
        with pytest.raises(ConfigurationError, match="needs a runner"):
            configure(**OPTIONS).later()

    def test_a_cache_that_is_not_in_caches(self, configure: Callable[..., Any], sent: Sent) -> None:
        """No other process would find it."""
        from unstale.contrib.django import UnstaleCache

        configure(**OPTIONS)
        loose = UnstaleCache("memory://", {"OPTIONS": {"RUNNER": sent}})
        with pytest.raises(ImproperlyConfigured, match="stands in CACHES"):
            loose.later().delete_pattern("old:*")


# A queue that is away


class TestAway:
    """Who asks a broker that is away waits for seconds: few are to."""

    def test_it_is_not_asked_again_for_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then once more."""
        asked: list[Any] = []
        now = [1000.0]

        def enqueue(data: Any) -> None:
            asked.append(data)
            raise OSError("away")

        monkeypatch.setattr(runners, "monotonic", lambda: now[0])
        remote = runners._Remote(enqueue)
        with pytest.raises(OSError, match="away"):
            remote.send({})
        with pytest.raises(runners.QueueAwayError):
            remote.send({})
        with pytest.raises(runners.QueueAwayError):
            remote(None)
        now[0] += runners.AWAY_SECONDS
        with pytest.raises(OSError, match="away"):
            remote.send({})
        assert len(asked) == 2


# Naming a runner


class TestNames:
    """OPTIONS["RUNNER"]."""

    def test_none_of_that_name(self, configure: Callable[..., Any]) -> None:
        """The error lists what there is."""
        with pytest.raises(ImproperlyConfigured, match="'celery'"):
            configure(RUNNER="rq", **OPTIONS).get("k")

    def test_a_path_of_one_s_own(self, configure: Callable[..., Any]) -> None:
        """It is imported."""
        backend = configure(RUNNER="worker_project.work.plain", **OPTIONS)
        assert backend._engine.options.cache["runner"] is work.plain

    def test_what_is_not_installed(self, configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """It says what to install."""
        monkeypatch.setattr(runners, "find_spec", lambda name: None)
        with pytest.raises(ImproperlyConfigured, match="pip install django-tasks"):
            configure(RUNNER="django_tasks", **OPTIONS).get("k")


# django-tasks


DUMMY = {"default": {"BACKEND": "django_tasks.backends.dummy.DummyBackend", "QUEUES": ["default", "slow"]}}


class TestDjangoTasks:
    """OPTIONS["RUNNER"] is "django_tasks". The package's own backends: one that keeps, one that works at once."""

    @pytest.fixture
    def queue(self) -> Iterator[Any]:
        """What is queued."""
        from django_tasks import default_task_backend

        with override_settings(TASKS=DUMMY):
            default_task_backend.clear()
            yield default_task_backend

    @pytest.fixture
    def tasks_backend(self, configure: Callable[..., Any], databases: None) -> Any:
        """The backend."""
        return configure(RUNNER="django_tasks", **OPTIONS)

    def test_a_refresh(self, tasks_backend: Any, queue: Any, user: int) -> None:
        """What is queued is data; done, the value is fresh."""
        first = work.orders(user)
        soften(tasks_backend, f"user:{user}")
        assert work.orders(user) == first
        [result] = queue.results
        result.task.call(*result.args, **result.kwargs)
        assert work.orders(user) != first
        assert len(queue.results) == 1

    def test_at_once(self, tasks_backend: Any, user: int) -> None:
        """With the backend that works in the caller's thread, the reader is still served, and has refreshed it."""
        immediate = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}
        with override_settings(TASKS=immediate):
            first = work.orders(user)
            soften(tasks_backend, f"user:{user}")
            assert work.orders(user) == first
            assert work.orders(user) != first

    @pytest.mark.filterwarnings("ignore:.*is not declared")
    def test_an_invalidation_to_a_queue_of_one_s_own(self, tasks_backend: Any, queue: Any, user: int) -> None:
        """The options of the runner are the task's."""
        tasks_backend.set(f"old-{user}-page", "old")
        slow = runners.django_tasks(queue_name="slow")
        assert tasks_backend.later(slow).delete_pattern(f"old-{user}-*") is When.SOON
        [result] = queue.results
        assert result.task.queue_name == "slow"
        result.task.call(*result.args, **result.kwargs)
        assert tasks_backend.get(f"old-{user}-page") is None
