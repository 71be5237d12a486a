"""What the phases put through their faults: each subject, on a real server, does what its name says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from servers import Server

from unstale.tools.chaos.rows import Rows, database
from unstale.tools.chaos.subject import PEERS, SUBJECTS, Place, Value, beside, maker, writer_of

ROWS, KINDS = 4, 3
ROW = 1
KEYS = [ROW + kind * ROWS for kind in range(KINDS)]
LOADS = {"unstale-nested": (1, 1), "unstale-lag": (2 * KINDS, KINDS)}
"""By the first two reads of each key, and by one after the write: a nested value loads but its innermost one, and
where the database's replica may lag nothing is stored at first."""
LEFT = """
INSERT INTO unstale_outbox_invalidation (cache, tags, soft, owner, mark, attempts, last_error, created_at)
VALUES ('default', '["row:1"]', 0, '', 'mark', 0, '', '2020-01-01 00:00:00')
"""
IN_THREADS = [name for name in SUBJECTS if name != "unstale-async"]

CHILD = Path(__file__).parent.parent / "children" / "chaos_subject.py"


@pytest.fixture
def place(server: Server, tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Makes a place on a server, with a new database."""
    with database("sqlite", tmp_path, ROWS) as url:
        yield lambda **options: Place(server.url, "chaos-test", options, str(tmp_path), url, ROWS, KINDS)


def told_by(name: str, place: Place) -> dict[str, Any]:
    """What a process says that reads, writes and reads again."""
    given = [name, msgspec.json.encode(place).decode(), str(ROW), json.dumps(KEYS)]
    done = subprocess.run([sys.executable, CHILD, *given], check=True, stdout=subprocess.PIPE, timeout=60)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("name", IN_THREADS)
def test_a_subject_serves_and_invalidates(name: str, place: Callable[..., Place], server: Server) -> None:
    """It loads once and then serves; after a write all keys of the row are loaded anew; a rollback moves nothing."""
    options = {"replica_lag": 0.05} if name == "unstale-lag" else {}
    told = told_by(name, place(**options))
    assert told["first"] == told["again"] == [[key, ROW, 1] for key in KEYS]
    assert told["after"] == [[key, ROW, 2] for key in KEYS]
    assert (told["version"], told["rolled_back"]) == (2, True)
    assert told["effect"] == ("STRICT" if name == "unstale-strict" else "EFFECTIVE")
    assert told["moments"] == told["moments_after"] == ["committed"]
    assert (told["loads"], told["loads_after"]) == LOADS.get(name, (KINDS, KINDS))
    with server.client as client:
        assert all(key.startswith(b"chaos-test") or b"chaos-test" in key for key in client.keys("*"))


def test_readers_that_are_tasks_see_what_writers_do(place: Callable[..., Place]) -> None:
    """The asyncio subject reads what the subject of its writers invalidates."""
    at = place()
    rows = Rows(at.database)
    loads: list[int] = []

    async def read_and_write() -> list[Value]:
        subject: Any = maker("unstale-async")(at)
        writer: Any = maker(writer_of("unstale-async"))(at)

        async def load() -> Value:
            loads.append(1)
            return Value(ROW, ROW, rows.load(ROW))

        found = [await subject.read(ROW, ROW, load) for _ in range(2)]
        writer.write(ROW, lambda cursor=None: rows.write(ROW), lambda name: None)
        found += [await subject.read(ROW, ROW, load) for _ in range(2)]
        writer.close()
        await subject.close()
        return found

    found = asyncio.run(read_and_write())
    rows.close()
    assert [value.version for value in found] == [1, 1, 2, 2]
    assert len(loads) == 2


def test_the_relay_beside_drains_the_outbox(place: Callable[..., Place]) -> None:
    """What a writer that died has left in the outbox is carried out by the process beside it."""
    at = place()
    command = beside("unstale-django", at)
    assert command is not None
    assert at.database not in " ".join(command)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as relay:
        assert relay.stdout is not None
        assert relay.stdout.readline() == b"ready\n"
        row = (
            "INSERT INTO unstale_outbox_invalidation (cache, tags, soft, owner, mark, attempts, last_error, created_at)"
        )
        rows = Rows(at.database)
        connection = rows._connection()
        connection.execute(f"{row} VALUES ('default', '[\"row:1\"]', 0, '', 'm', 0, '', '2020-01-01 00:00:00')")
        left = 1
        for _ in range(600):
            [left] = connection.execute("SELECT count(*) FROM unstale_outbox_invalidation").fetchone()
            if not left:
                break
            relay.poll()
            __import__("time").sleep(0.05)
        rows.close()
        relay.terminate()
        assert relay.wait(30) == 0
    assert left == 0


def test_peers_are_subjects() -> None:
    """What unstale is shown beside are subjects, and none of them is unstale."""
    assert set(PEERS) <= set(SUBJECTS)
    assert not [name for name in PEERS if name.startswith("unstale")]
