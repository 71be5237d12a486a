"""The rows of a run, in SQLite and in PostgreSQL: versions, transactions, snapshots, the replica."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from grounds import DATABASES, database_of

from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.judge import FIRST_VERSION
from unstale.tools.chaos.replica import replicate
from unstale.tools.chaos.rows import NEVER, RolledBackError, Rows, check_database, connect, database, kind_of


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind, with three rows."""
    with database(database_of(request.param), tmp_path, 3) as made:
        yield made


@pytest.fixture
def rows(url: str) -> Iterator[Rows]:
    """A process's way to it."""
    one = Rows(url)
    yield one
    one.close()


def elsewhere(work: object, *arguments: object) -> object:
    """What a function gives in another thread, and so by another connection."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work(*arguments)))
    thread.start()
    thread.join()
    return found[0]


def test_versions_count_up(rows: Rows) -> None:
    """Each row's by itself, from the first on."""
    assert [rows.write(1), rows.write(1), rows.write(2)] == [FIRST_VERSION + 1, FIRST_VERSION + 2, FIRST_VERSION + 1]
    assert rows.newest() == [FIRST_VERSION, FIRST_VERSION + 2, FIRST_VERSION + 1]


def test_what_is_not_committed_is_seen_inside_only(rows: Rows) -> None:
    """By the same thread it is; by others from the COMMIT on."""
    seen = []
    rows.write(1, before_commit=lambda version: seen.append((version, rows.load(1), elsewhere(rows.load, 1))))
    assert seen == [(FIRST_VERSION + 1, FIRST_VERSION + 1, FIRST_VERSION)]
    assert elsewhere(rows.load, 1) == FIRST_VERSION + 1


def test_a_write_that_is_rolled_back_is_marked_and_gone(rows: Rows) -> None:
    """Its version is beyond all that are ever committed."""
    with pytest.raises(RolledBackError) as raised:
        rows.write(1, is_rolled_back=True)
    assert raised.value.version == FIRST_VERSION + 1 + NEVER
    assert rows.load(1) == FIRST_VERSION


def test_a_write_whose_hook_raises_is_rolled_back(rows: Rows) -> None:
    """And the connection can be used again."""
    with pytest.raises(ZeroDivisionError):
        rows.write(1, before_commit=lambda version: version / 0)
    assert rows.write(1) == FIRST_VERSION + 1


def test_a_snapshot_sees_nothing_younger(rows: Rows) -> None:
    """What another commits after its beginning is seen after its end."""
    with rows.snapshot():
        elsewhere(rows.write, 1)
        inside = rows.load(1)
    assert (inside, rows.load(1)) == (FIRST_VERSION, FIRST_VERSION + 1)


def test_writers_wait_for_each_other(rows: Rows) -> None:
    """No version is given twice."""
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(rows.write(0) for _ in range(10))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(FIRST_VERSION + 1, FIRST_VERSION + 41))


def test_the_replica_is_behind_and_says_by_how_much(rows: Rows) -> None:
    """A version is there after its time, with a moment before which all that was committed is in it."""
    stop = threading.Event()
    thread = threading.Thread(target=replicate, args=(rows, 0.2, stop))
    thread.start()
    try:
        rows.write(1)
        written = time.monotonic_ns()
        deadline = time.monotonic() + 30
        while rows.load_from_replica(1)[0] == FIRST_VERSION and time.monotonic() < deadline:
            time.sleep(0.005)
        version, as_of = rows.load_from_replica(1)
    finally:
        stop.set()
        thread.join()
    assert version == FIRST_VERSION + 1
    assert as_of <= time.monotonic_ns() - 0.1e9
    assert time.monotonic_ns() - written >= 0.1e9


def test_a_database_is_gone_afterwards(tmp_path: Path) -> None:
    """Also if what it was for has failed, and somebody is still connected."""
    with suppress(ZeroDivisionError), database(database_of("postgresql"), tmp_path, 1) as url:
        connection = connect(url)
        raise ZeroDivisionError
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://me:secret@127.0.0.1/x", "postgres://user:password@host"),
        ("postgres://me:secret/word@127.0.0.1:1/x", "cannot be read"),
        ("postgres://me:secret@127.0.0.1:1/x", "refused"),
    ],
)
def test_a_database_that_cannot_be_had_is_told_without_its_password(url: str, words: str) -> None:
    """Before anything is started."""
    with pytest.raises(ChaosError, match=words) as raised:
        check_database(url)
    assert "secret" not in str(raised.value)


def test_the_kind_of_a_database() -> None:
    """By its URL, or what a plan calls it."""
    assert [kind_of(url) for url in ("sqlite", "sqlite:///x", "postgres://x/y")] == ["sqlite", "sqlite", "postgresql"]
