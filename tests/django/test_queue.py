"""OPTIONS["QUEUE"]: what the server did not take waits in a local file, where there is no database to hold it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import transaction

from unstale import remembering
from unstale.contrib.django.describe import event_row
from unstale.errors import StoreTimeoutError
from unstale.events import BreakerClosed, BreakerOpened, Drained, Queued


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the queue is."""
    return tmp_path / "queue"


@pytest.fixture
def backend(configure: Callable[..., Any], path: Path) -> Iterator[Any]:
    """The backend with a queue, and k = "v" under user:1."""
    made = configure(TAG_PATTERNS=["user:{id}:*"], QUEUE=str(path), STRICT_LIMIT=30)
    with remembering():
        made.set("user:1:k", "v")
        yield made


@pytest.fixture
def cut_off(backend: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Invalidations do not reach the server until the function is called."""

    def fail(*_: Any, **__: Any) -> Any:
        raise StoreTimeoutError

    async def fail_later(*_: Any, **__: Any) -> Any:
        raise StoreTimeoutError

    with monkeypatch.context() as patch:
        for verb in ("bump", "complete"):
            patch.setattr(backend._engine.cache._store, verb, fail)
            patch.setattr(backend._engine.async_cache._store, verb, fail_later)
        yield patch.undo


def drained() -> int:
    """What `manage.py unstale drain` says that it has done."""
    out = StringIO()
    call_command("unstale", "drain", "--json", stdout=out)
    return int(json.loads(out.getvalue())["drained"])


def test_it_is_queued_and_drained(backend: Any, path: Path, cut_off: Callable[[], None]) -> None:
    """By a command, for cron; until then this process serves nothing of it."""
    assert backend.invalidate("user:1") == Queued((":1:user:1",))
    assert path.stat().st_size > 0
    cut_off()
    assert (drained(), drained()) == (1, 0)
    with remembering():
        assert backend._engine.cache.inspect("user:1:k") is not None
    assert path.stat().st_size == 0


def checked() -> dict[str, Any]:
    """What `manage.py unstale check` says of the queue."""
    out = StringIO()
    call_command("unstale", "check", "--json", stdout=out)
    return dict(json.loads(out.getvalue())["queue"])


def test_how_much_is_queued(backend: Any, path: Path, cut_off: Callable[[], None]) -> None:
    """`check` says it, with the path; and where the file is of no use the command fails."""
    backend.invalidate("user:1")
    assert checked() == {"path": str(path), "waiting": 1, "damaged": 0}
    cut_off()
    path.chmod(0o666)
    with pytest.raises(CommandError, match="cannot be used"):
        checked()


def test_a_drain_without_a_queue(configure: Callable[..., Any]) -> None:
    """A job that drains nothing does not look like one that works."""
    configure()
    with pytest.raises(CommandError, match="has no OPTIONS"):
        drained()


def test_at_commit(backend: Any, path: Path, cut_off: Callable[[], None]) -> None:
    """A block whose invalidation is queued at COMMIT ends as one whose invalidation took effect."""
    with transaction.atomic():
        backend.invalidate("user:1")
        assert path.stat().st_size == 0
    assert path.stat().st_size > 0
    cut_off()
    assert drained() == 1


def test_rolled_back(backend: Any, path: Path, cut_off: Callable[[], None]) -> None:
    """What never happened is not queued."""
    with transaction.atomic():
        backend.invalidate("user:1")
        transaction.set_rollback(True)
    assert path.stat().st_size == 0


def test_a_strict_write(backend: Any, path: Path, cut_off: Callable[[], None]) -> None:
    """Its end is queued."""
    with transaction.atomic():
        backend.invalidate("user:1", strict=True)
    assert path.stat().st_size > 0
    cut_off()
    assert drained() == 1


def test_asynchronously(backend: Any, path: Path, cut_off: Callable[[], None]) -> None:
    """The same for `ainvalidate`."""
    assert async_to_sync(backend.ainvalidate)("user:1") == Queued((":1:user:1",))
    cut_off()
    assert drained() == 1


def test_clear_takes_the_structures_along(backend: Any, path: Path, cut_off: Callable[[], None]) -> None:
    """What a clear removes besides entries goes when it is drained, and not before."""
    backend.sadd("names", "a")
    backend.clear()
    assert path.stat().st_size > 0
    assert backend.smembers("names") == {"a"}
    cut_off()
    drained()
    assert backend.smembers("names") == set()


@pytest.mark.parametrize("other", [{"OUTBOX": "default"}, {"OUTBOX": True}, {"MIGRATING": True}])
def test_what_it_does_not_go_with(configure: Callable[..., Any], path: Path, other: dict[str, Any]) -> None:
    """Where the database holds invalidations there is no need of a file; a migration has two sides."""
    with pytest.raises(ImproperlyConfigured, match="QUEUE"):
        configure(QUEUE=str(path), **other).get("k")


def test_a_bad_path(configure: Callable[..., Any]) -> None:
    """The mistake names the cache."""
    with pytest.raises(ValueError, match=r"CACHES\['default'\].*queue"):
        configure(QUEUE="/nowhere/at/all").get("k")


ROWS = {
    "queued": (Queued(("a", "b"), StoreTimeoutError("late")), ("queued", "a, b", "late")),
    "drained": (Drained(3, 1), ("drained", "", "3 invalidations, 1 damaged lines")),
    "opened": (BreakerOpened(5, StoreTimeoutError("late")), ("breaker opened", "", "5 failures in a row: late")),
    "closed": (BreakerClosed(1.25), ("breaker closed", "", "reads went on without the server for 1.2 s")),
}


@pytest.mark.parametrize(("event", "row"), ROWS.values(), ids=ROWS)
def test_rows_for_people(event: Any, row: tuple[str, str, str]) -> None:
    """What the debug toolbar's panel shows of it."""
    assert tuple(event_row(event).values()) == row
