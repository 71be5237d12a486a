"""The doctor only reads: what its gate lets through, and what a real server saw of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from reading import READING
from servers import Server

import unstale.tools
from unstale.tools.doctor.course import MONITOR_STEP, STEPS, Plan, examine
from unstale.tools.doctor.errors import NotReadOnlyError, SpentError
from unstale.tools.doctor.gate import ALLOWED, Gate
from unstale.tools.doctor.monitoring import words_of
from unstale.tools.places import Origin, connect


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "a", 1),
        ("DEL", "a"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("flushall",),
        ("CONFIG", "SET", "maxmemory", 1),
        ("CONFIG SET", "maxmemory", 1),
        ("CONFIG RESETSTAT",),
        ("SCAN", 0),
        ("SCAN", 0, "COUNT", 101),
        ("SCAN", 0, "COUNT", "many"),
        ("SCAN", 0, "MATCH", "*", "COUNT", 10),
        ("GETRANGE", "a", 0, 1024),
        ("GETRANGE", "a", 0, -1),
        ("GET", "a"),
        ("MEMORY USAGE", "a", "SAMPLES", 0),
        ("MEMORY USAGE", "a"),
        ("MEMORY", "PURGE"),
        ("SLOWLOG", "RESET"),
        ("SLOWLOG GET", 1000),
        ("CLIENT KILL", "a"),
        ("CLIENT", "NO-EVICT", "on"),
        ("EVAL", "return 1", 0),
        ("MONITOR",),
        ("",),
        ("SENTINEL", "FAILOVER", "a"),
        ("CLUSTER", "FORGET", "a"),
        ("ACL", "SETUSER", "a"),
    ],
)
def test_what_is_not_on_the_list_is_refused(command: tuple[object, ...]) -> None:
    """Nothing is sent, and nothing counted."""
    gate = Gate(10)
    with pytest.raises(NotReadOnlyError):
        gate.pack(*command)
    assert gate.count == 0


def test_what_is_no_word_is_refused() -> None:
    """Only what packs as it is."""
    with pytest.raises(NotReadOnlyError, match="NoneType"):
        Gate(1).pack("GETRANGE", None, 0, 5)


def test_what_passes_is_packed_as_redis_wants_it() -> None:
    """A subcommand behind a space is a word of its own."""
    assert Gate(1).pack("memory usage", b"a\xff", "SAMPLES", "1") == [
        b"*5\r\n$6\r\nmemory\r\n$5\r\nusage\r\n$2\r\na\xff\r\n$7\r\nSAMPLES\r\n$1\r\n1\r\n"
    ]


def test_monitor_only_for_who_asks_for_it() -> None:
    """And it is MONITOR alone."""
    gate = Gate(10, monitor=True)
    assert gate.pack("MONITOR")
    assert gate.sent == {"MONITOR": 1}
    with pytest.raises(NotReadOnlyError):
        gate.pack("MONITOR", "x")


def test_no_more_than_it_may() -> None:
    """The bound is of all commands together."""
    gate = Gate(2)
    gate.pack("PING")
    gate.pack("INFO")
    with pytest.raises(SpentError):
        gate.pack("PING")
    assert gate.sent == {"PING": 1, "INFO": 1}


def test_what_is_announced_is_what_is_allowed() -> None:
    """No command is on the gate's list that is not told beforehand, and none is told that is not on it."""
    told = {command for _, commands in (*STEPS, MONITOR_STEP) for command in commands}
    assert told == {*ALLOWED, "MONITOR"}


def test_only_the_gate_says_how_servers_are_talked_to() -> None:
    """In the doctor and in top no connection is made in another manner than a gate's."""
    tools = Path(unstale.tools.__file__).parent
    files = [
        *(tools / "doctor").glob("*.py"),
        *(tools / "top").glob("*.py"),
        tools / "cli" / "doctor.py",
        tools / "cli" / "top.py",
    ]
    makes = re.compile(r"\b(?:Manner|Redis|ConnectionPool|Connection|from_url)\(")
    assert {file.name for file in files if makes.search(file.read_text(encoding="utf-8"))} == {"gate.py"}


def test_no_other_way_to_a_server(server: Server) -> None:
    """A client of the doctor's refuses to write, pipelines included."""
    gate = Gate(100)
    with connect(Origin(server.url, gate.manner()).places()[0], gate.manner()) as client:
        with pytest.raises(NotReadOnlyError):
            client.set("a", 1)
        with pytest.raises(NotReadOnlyError):
            client.pipeline(transaction=False).delete("a").execute()
        with pytest.raises(NotReadOnlyError):
            client.pipeline(transaction=True).ping().execute()
    with server.client as client:
        assert client.dbsize() == 0


@contextmanager
def overheard(server: Server) -> Iterator[list[str]]:
    """The names of all commands that the server tells of while this is open."""
    names: list[str] = []
    with server.client as listener, listener.monitor() as monitor:

        def listen() -> None:
            while True:
                words = [word.lower() for word in words_of(monitor.connection.read_response())]
                if b"the end" in words:
                    return
                both = b"|".join(words[:2]).decode(errors="replace")
                names.append(both if both in READING else words[0].decode(errors="replace"))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield names
        with server.client as client:
            client.echo("the end")
        thread.join(30)


def test_a_real_server_saw_only_reading(server: Server) -> None:
    """By MONITOR, and by its own statistics, which know also what MONITOR does not show."""
    with server.client as client:
        client.mset({f"shop:e:user:{number}": "x" * 50 for number in range(300)})
        client.config_resetstat()
    plan = Plan(seconds=2, monitor_seconds=0.3)
    with overheard(server) as names:
        report = examine(server.url, plan)
    with server.client as client:
        counted = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert report.nodes[0].keyspace is not None
    assert {"scan", "info", "memory|usage"} <= set(names)
    assert set(names) - {"client"} <= READING
    assert counted - {"client", "config|resetstat", "echo"} <= READING  # Redis 7.0 knows no NO-TOUCH
    assert {"slowlog|get", "acl|dryrun", "config|get"} <= counted
