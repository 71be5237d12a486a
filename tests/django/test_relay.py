"""The relay: what a dead process or a dead server left behind takes effect, once at least, whoever else is at it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import Error, connections, transaction
from django.test import override_settings
from ledger_app.models import Order
from servers import Server

from unstale import remembering
from unstale.contrib.django import listening
from unstale.contrib.django.outbox import relay as relaying
from unstale.contrib.django.outbox.models import Invalidation
from unstale.contrib.django.outbox.relay import relay

HERE = Path(__file__).parent
TAG = ":1:user:42"


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill."""
    with Server("valkey", tmp_path / "server") as started:
        yield started


@pytest.fixture
def server(own_valkey: Server) -> Server:
    """The tests here kill it."""
    return own_valkey


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
def backend(configure: Callable[..., Any]) -> Any:
    """The backend, with an outbox in the database whose transaction it is."""
    return configure(TAG_PATTERNS=["user:{id}:*"], OUTBOX=True)


@pytest.fixture
def told() -> Iterator[list[tuple[str, ...]]]:
    """The trips that have taken effect in this process, in order."""
    seen: list[tuple[str, ...]] = []
    with listening.invalidations(seen.append):
        yield seen


def queue(using: str, *tags: str, **fields: Any) -> int:
    """A row that some process has left."""
    row: Any = Invalidation.objects.using(using).create(**{"cache": "default", "tags": list(tags), **fields})
    return int(row.pk)


def rows(using: str) -> list[tuple[int, int, str]]:
    """What is left: keys, attempts, and the last errors' kinds."""
    return list(Invalidation.objects.using(using).order_by("pk").values_list("pk", "attempts", "last_error"))


class TestARound:
    """One round through one outbox."""

    def test_what_is_left_takes_effect(self, backend: Any, using: str, told: list[tuple[str, ...]]) -> None:
        """In one trip for a batch, and then the rows are gone."""
        backend.set("user:42:page", "old")
        queue(using, TAG)
        queue(using, TAG, ":1:user:7")
        assert relay(using, grace=0).done == 2
        assert rows(using) == []
        assert told == [(TAG, ":1:user:7")]
        assert backend.core.get(":1:user:42:page", tags=[TAG]) is None

    def test_batches(self, backend: Any, using: str, told: list[tuple[str, ...]]) -> None:
        """A round goes through all there is, a batch at a time."""
        for number in range(7):
            queue(using, f":1:user:{number}")
        assert relay(using, batch=3, grace=0).done == 7
        assert [len(tags) for tags in told] == [3, 3, 1]

    def test_a_young_row_is_left_to_its_own_process(self, backend: Any, using: str) -> None:
        """By the database's clock."""
        queue(using, TAG)
        assert relay(using, grace=60).done == 0
        assert relay(using, grace=0).done == 1

    def test_a_row_that_is_committed_late(self, backend: Any, using: str) -> None:
        """There is no cursor: a row with a lower key than what is done is not passed over."""
        key = queue(using, TAG)
        queue(using, ":1:user:7")
        Invalidation.objects.using(using).filter(pk=key).delete()
        assert relay(using, grace=0).done == 1
        queue(using, TAG, pk=key)
        assert relay(using, grace=0).done == 1

    def test_soft(self, configure: Callable[..., Any], using: str) -> None:
        """A soft one stays soft: what has a stale ttl may still be served."""
        backend = configure(TAG_PATTERNS=["user:{id}:*"], OUTBOX=True, STALE_TTL=60)
        backend.get_or_set("user:42:page", lambda: "old")
        queue(using, TAG, soft=True)
        assert relay(using, grace=0).done == 1
        assert backend.core.inspect(":1:user:42:page", tags=[TAG]).tag == TAG
        assert backend.core.get_or_set(":1:user:42:page", lambda: 1 / 0, tags=[TAG]) == "old"

    def test_everything(self, backend: Any, using: str) -> None:
        """A `clear()` that waited."""
        backend.set("plain", "old")
        queue(using, *(f"*{number}" for number in range(16)))
        assert relay(using, grace=0).done == 1
        assert backend.core.get(":1:plain") is None

    def test_no_such_cache(self, backend: Any, using: str) -> None:
        """A row of a cache that CACHES has no more is told of and kept; the others are done."""
        stranger = queue(using, TAG, cache="gone")
        queue(using, TAG)
        report = relay(using, grace=0)
        assert report.done == 1
        assert report.kept == {"no such cache in CACHES": 1}
        assert rows(using) == [(stranger, 0, "")]

    def test_a_row_that_is_none_of_ours(self, backend: Any, using: str) -> None:
        """It says why it stays, and keeps no other from being done, before or behind it."""
        queue(using, ":1:user:1")
        bad = queue(using, "a\nb")
        queue(using, ":1:user:2")
        report = relay(using, batch=2, grace=0)
        assert report.done == 2
        assert rows(using) == [(bad, 1, "InvalidTagError")]

    def test_the_server_is_away(self, backend: Any, own_valkey: Server, using: str) -> None:
        """The rows stay, say why, and are done when it is back."""
        keys = [queue(using, f":1:user:{number}") for number in range(3)]
        own_valkey.kill()
        report = relay(using, batch=2, grace=0)
        assert report.done == 0
        assert rows(using) == [
            (keys[0], 1, "StoreUnavailableError"),
            (keys[1], 1, "StoreUnavailableError"),
            (keys[2], 0, ""),
        ]
        own_valkey.start()
        assert relay(using, grace=0).done == 3
        assert rows(using) == []

    def test_a_rollback_of_the_relay_s_own(
        self, backend: Any, using: str, told: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a row cannot be removed it is done again: bumped first, removed then."""

        def fail(*_: object) -> None:
            raise Error("no")

        queue(using, TAG)
        monkeypatch.setattr("django.db.models.query.QuerySet.delete", fail)
        with pytest.raises(Error):
            relay(using, grace=0)
        monkeypatch.undo()
        assert told == [(TAG,)]
        assert relay(using, grace=0).done == 1
        assert told == [(TAG,), (TAG,)]


class TestSideBySide:
    """Relays do not keep each other from anything."""

    def test_two_relays(self, backend: Any, using: str, told: list[tuple[str, ...]]) -> None:
        """A thousand rows, two relays at once: each row is done, none is left."""
        Invalidation.objects.using(using).bulk_create(
            Invalidation(cache="default", tags=[f":1:user:{number}"]) for number in range(1000)
        )
        reports, start = [], threading.Barrier(2)

        def run() -> None:
            start.wait()
            reports.append(relay(using, batch=50, grace=0))
            connections[using].close()

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(reports) == 2
        assert {tag for tags in told for tag in tags} == {f":1:user:{number}" for number in range(1000)}
        assert rows(using) == []

    def test_what_another_holds_is_skipped(
        self, backend: Any, postgres_database: str, told: list[tuple[str, ...]]
    ) -> None:
        """Where the database can lock rows, nobody waits for another relay, and no row is done twice."""
        Invalidation.objects.using("postgres").all().delete()
        queue("postgres", ":1:user:1")
        queue("postgres", ":1:user:2")
        other = connections["postgres"].copy("held")
        with transaction.atomic(using="postgres"):
            relaying._take("postgres", "default", 0, 1, 0)
            connections["held"] = other
            settings.DATABASES["held"] = settings.DATABASES["postgres"]
            try:
                assert relay("held", grace=0).done == 1
            finally:
                del settings.DATABASES["held"], connections["held"]
                other.close()
        assert told == [(":1:user:2",)]
        assert relay("postgres", grace=0).done == 1
        connections["postgres"].close()


class TestTheCommand:
    """`manage.py unstale_relay`."""

    def test_once(self, backend: Any, using: str) -> None:
        """It goes through all outboxes, and says what it did."""
        queue(using, TAG)
        queue("other", TAG)
        out = StringIO()
        call_command("unstale_relay", once=True, grace=0, stdout=out)
        assert f"{using}: 1 done" in out.getvalue()
        assert rows(using) == rows("other") == []

    def test_once_on_one_database(self, backend: Any, using: str) -> None:
        """`--database` leaves the others alone."""
        queue(using, TAG)
        queue("other", TAG)
        call_command("unstale_relay", once=True, grace=0, database=["other"], stdout=StringIO())
        assert len(rows(using)) == 1
        assert rows("other") == []

    def test_once_with_the_server_away(self, backend: Any, own_valkey: Server, using: str) -> None:
        """The exit status says that rows were tried in vain."""
        queue(using, TAG)
        own_valkey.kill()
        with pytest.raises(CommandError, match=r"1: The server cannot be reached \(StoreUnavailableError\)"):
            call_command("unstale_relay", once=True, grace=0, database=[using])
        assert len(rows(using)) == 1

    @pytest.mark.parametrize("using", ["default"], indirect=True)
    @pytest.mark.parametrize(
        ("outbox", "options"), [(True, {}), ("default", {}), (True, {"database": ["default"]})], ids=str
    )
    def test_once_without_a_table(
        self, configure: Callable[..., Any], using: str, outbox: Any, options: dict[str, Any]
    ) -> None:
        """Nothing can be relayed before `migrate`: it says so, and fails."""
        configure(OUTBOX=outbox)
        with connections["default"].schema_editor() as editor:
            editor.delete_model(Invalidation)
        try:
            with (
                override_settings(DATABASE_ROUTERS=["test_outbox.OnlyDefault"]),
                pytest.raises(CommandError, match=r"database 'default': run manage\.py migrate"),
            ):
                call_command("unstale_relay", once=True, **options)
        finally:
            with connections["default"].schema_editor() as editor:
                editor.create_model(Invalidation)

    @pytest.mark.parametrize("using", ["default"], indirect=True)
    def test_once_without_a_database(self, configure: Callable[..., Any], using: str) -> None:
        """A mistyped alias is an error, not a traceback."""
        configure(OUTBOX="nosuch")
        with pytest.raises(CommandError, match="'nosuch'"):
            call_command("unstale_relay", once=True, skip_checks=True)
        with pytest.raises(CommandError, match="'nowhere'"):
            call_command("unstale_relay", once=True, database=["nowhere"])

    @pytest.mark.parametrize("using", ["default"], indirect=True)
    def test_once_without_an_outbox(self, configure: Callable[..., Any], using: str) -> None:
        """A relay that has nothing to do says why."""
        configure()
        errors = StringIO()
        call_command("unstale_relay", once=True, stderr=errors)
        assert "No cache in CACHES has OPTIONS['OUTBOX']" in errors.getvalue()

    def test_once_with_a_stranger(self, backend: Any, using: str) -> None:
        """So it does of a cache that CACHES does not have."""
        queue(using, TAG, cache="gone")
        with pytest.raises(CommandError, match="no such cache"):
            call_command("unstale_relay", once=True, grace=0, database=[using])

    @pytest.mark.parametrize("options", [{"batch": 0}, {"interval": 0.0}, {"grace": -1.0}])
    def test_options_that_make_no_sense(self, backend: Any, options: dict[str, Any]) -> None:
        """They are named before anything is done."""
        with pytest.raises(CommandError, match="must be above zero"):
            call_command("unstale_relay", once=True, **options)

    @pytest.mark.parametrize("using", ["default"], indirect=True)
    def test_as_a_service(self, backend: Any, own_valkey: Server, using: str, tmp_path: Path) -> None:
        """With the server down it waits; with it up it does what waits; SIGTERM ends it cleanly."""
        backend.set("user:42:page", "old")
        queue(using, TAG)
        own_valkey.freeze()
        process = start_relay(using, tmp_path)
        try:
            wait_for(lambda: rows(using)[0][1] >= 1, process)
            own_valkey.thaw()
            wait_for(lambda: rows(using) == [], process)
            queue(using, TAG)
            wait_for(lambda: rows(using) == [], process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            out, errors = process.communicate()
        assert "waiting" in errors
        assert out.splitlines()[-1] == "ended"
        assert backend.core.get(":1:user:42:page", tags=[TAG]) is None


def child_settings(**more: Any) -> str:
    """What a child needs to know of this process's settings."""
    return json.dumps(
        {
            "SECRET_KEY": settings.SECRET_KEY,
            "DATABASES": {
                alias: {key: one[key] for key in ("ENGINE", "NAME", "HOST", "PORT", "USER") if key in one}
                for alias, one in settings.DATABASES.items()
                if alias in ("default", "other", "postgres")
            },
            "CACHES": settings.CACHES,
            **more,
        }
    )


def start_relay(using: str, folder: Path) -> subprocess.Popen[str]:
    """The command in a process of its own, with settings in a module of its own."""
    given = json.loads(child_settings())
    lines = [f"{name} = {value!r}" for name, value in given.items()]
    lines += ["INSTALLED_APPS = ['unstale.contrib.django.outbox']", "USE_TZ = True"]
    (folder / "relay_settings.py").write_text("\n".join(lines))
    command = ["unstale_relay", "--interval", "0.05", "--grace", "0", "--database", using]
    return subprocess.Popen(
        [sys.executable, "-m", "django", *command, "--settings", "relay_settings", "--pythonpath", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )


def child_environment() -> dict[str, str]:
    """Our sources and the tests' apps are found."""
    source = HERE.parent.parent / "src"
    paths = [str(source), str(HERE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def wait_for(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is so, or the process has ended."""
    deadline = time.monotonic() + 30
    while not is_so():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestKilledProcesses:
    """A process that dies between COMMIT and the bump loses nothing."""

    @pytest.mark.parametrize("mode", ["atomic", "autocommit"])
    def test_nothing_is_lost(self, backend: Any, using: str, mode: str) -> None:
        """25 processes die (a hundred in the four tests); all orders are committed, after the relay all are stale."""
        users = list(range(25))
        for user in users:
            backend.set(f"user:{user}:page", "old")
        assert died(using, mode, users) == len(users)
        orders = Counter(Order.objects.using(using).values_list("user_id", flat=True))
        assert orders == Counter(users)
        assert len(still_fresh(backend, users)) == len(users)
        assert relay(using, grace=0).done == len(users)
        assert still_fresh(backend, users) == []

    @pytest.mark.parametrize("using", ["default"], indirect=True)
    def test_closed_tags_are_opened(self, backend: Any, using: str) -> None:
        """What a dead process had closed is opened by the relay, not only by its deadline."""
        users = list(range(3))
        assert died(using, "strict", users) == len(users)
        load(backend, users)
        assert still_fresh(backend, users) == []
        assert relay(using, grace=0).done == len(users)
        load(backend, users)
        assert len(still_fresh(backend, users)) == len(users)


def died(using: str, mode: str, users: list[int]) -> int:
    """Let one process for each user be killed; how many were."""
    given = child_settings(using=using, mode=mode, users=users)
    script = HERE.parent / "children" / "django_killed.py"
    done = subprocess.run(
        [sys.executable, str(script), given], env=child_environment(), capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def still_fresh(backend: Any, users: list[int]) -> list[int]:
    """The users whose page is still served."""
    return [user for user in users if backend.core.get(f":1:user:{user}:page", tags=[f":1:user:{user}"]) is not None]


def load(backend: Any, users: list[int]) -> None:
    """Load the users' pages, each in a request of its own."""
    for user in users:
        with remembering():
            backend.core.get_or_set(f":1:user:{user}:page", lambda: "new", tags=[f":1:user:{user}"])


class TestCelery:
    """The task for beat."""

    def test_it_goes_through_all_outboxes(self, backend: Any, using: str) -> None:
        """Called as a worker calls it."""
        from unstale.contrib.django.outbox.tasks import relay as task

        queue(using, TAG)
        queue("other", TAG)
        assert task.apply(kwargs={"grace": 0}).get() == 2
        assert task.name == "unstale.contrib.django.outbox.tasks.relay"

    def test_what_stays_is_told_to_the_log(
        self, backend: Any, own_valkey: Server, using: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No exception: beat's next run tries again."""
        from unstale.contrib.django.outbox.tasks import relay as task

        queue(using, TAG)
        own_valkey.kill()
        assert task.apply(kwargs={"database": using, "grace": 0}).get() == 0
        assert "keeps rows" in caplog.text
