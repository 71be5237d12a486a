"""What is kept of MONITOR's lines: patterns, what they deleted, busy shapes, stamps; and no value."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest
import redis
from servers import Server

from unstale import Cache
from unstale.core.keys import is_stamp_name
from unstale.tools.doctor.gate import Gate
from unstale.tools.doctor.monitoring import Heard, listen, monitored, words_of
from unstale.tools.places import Origin, connect


def line(*words: str) -> bytes:
    """A line of MONITOR's."""
    return b"1700000000.123456 [0 127.0.0.1:5000] " + b" ".join(f'"{word}"'.encode() for word in words)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (line("get", "a"), [b"get", b"a"]),
        (line("set", 'a\\"b', "c d"), [b"set", b'a"b', b"c d"]),
        (line("set", "a\\\\", "\\x00\\xff\\n\\r\\t\\a\\b"), [b"set", b"a\\", b"\x00\xff\n\r\t\a\b"]),
        (b'1.1 [0 lua] "get" "a"', [b"get", b"a"]),
        (b'1.1 [0 unix:/a/b] "get" ""', [b"get", b""]),
        (b'1.1 [0 [::1]:500] "get" "[a] "', [b"get", b"[a] "]),
        (line("set", "a", "cut off")[:-4], [b"set", b"a", b"cut "]),
        (b"OK", []),
    ],
)
def test_a_line(told: bytes, words: list[bytes]) -> None:
    """Words as they were sent; the last may be cut off."""
    assert words_of(told) == words


def kept(*lines: bytes, seconds: float = 1.0) -> object:
    """What is kept of lines."""
    return monitored(Heard(seconds, lines, whole=True))


def test_patterns_and_what_they_delete() -> None:
    """Walks are counted where they begin, and deleted names by the pattern that matches them."""
    found = kept(
        line("scan", "0", "match", "user:41:*", "count", "10"),
        line("SCAN", "17", "MATCH", "user:41:*", "COUNT", "10"),
        line("del", "user:41:a", "user:41:b", "other"),
        line("scan", "0", "MATCH", "user:42:*"),
        line("unlink", "user:42:a"),
        line("keys", "tmp?"),
        line("unlink", "tmpx"),
        line("scan", "0"),
    )
    assert [(one.command, one.pattern, one.walks, one.calls, one.deleted) for one in found.patterns] == [
        ("SCAN", "user:{id}:*", 2, 3, 3),
        ("KEYS", "tmp?", 1, 1, 1),
        ("SCAN", "*", 1, 1, 1),
    ]
    assert (found.deleted_by_pattern, found.deleted_by_key, found.part_by_pattern) == (5, 0, 1.0)


def test_deletes_without_a_walk_are_by_key() -> None:
    """No pattern, no share."""
    found = kept(line("del", "a", "b"), line("get", "a"))
    assert (found.deleted_by_pattern, found.deleted_by_key, found.part_by_pattern) == (0, 2, 0.0)
    assert kept().part_by_pattern == 0.0


def test_busy_names() -> None:
    """By command and shape; what has no key first is left out."""
    found = kept(
        *[line("get", f"user:{user}") for user in range(9)], line("ping"), line("scan", "0"), line("set", "a", "secret")
    )
    assert [(one.command, one.shape, one.calls) for one in found.busiest] == [("GET", "user:*", 9), ("SET", "*", 1)]


def test_a_word_that_is_no_key_is_not_taken_for_one() -> None:
    """FLUSHALL ASYNC names none; HSCAN does, as any read of one key."""
    found = kept(line("flushall", "async"), *[line("hscan", f"user:{n}", "0") for n in range(3)], line("scan", "0"))
    assert [(one.command, one.shape) for one in found.busiest] == [("HSCAN", "user:*")]


def test_no_value_is_kept() -> None:
    """Nor a user's own name for a key."""
    found = kept(line("set", "user:123456:mail", "secret word"), line("eval", "return 'secret'", "0"))
    assert b"secret" not in msgspec.json.encode(found)
    assert b"123456" not in msgspec.json.encode(found)


def test_an_invalidation_of_ours_is_counted(server: Server) -> None:
    """From a real server: one for each, and none for a fill or for what nobody caches."""
    gate = Gate(100, monitor=True)
    heard: list[Heard] = []
    with connect(Origin(server.url, gate.manner()).places()[0], gate.manner()) as client:
        stop = threading.Event()
        thread = threading.Thread(target=lambda: heard.append(listen(client, 60, stop)))
        thread.start()
        with server.client as other:
            while not any(one["cmd"] == "monitor" for one in other.client_list()):
                time.sleep(0.01)
        with Cache.from_url(server.url, namespace="test", timeout=5) as cache:
            cache.get_or_set("a", lambda: 1, tags=["user:1"])
            cache.invalidate("user:1")
            cache.get_or_set("a", lambda: 1, tags=["user:1"])
            cache.invalidate("user:1")
        stop.set()
        thread.join(30)
    found = monitored(heard[0])
    assert found.stamps_written == 2
    assert found.whole
    assert found.commands >= 6
    with server.client as other:
        assert any(is_stamp_name(name) for name in other.scan_iter())


def test_too_much_is_ended_early(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """And said to be so."""
    monkeypatch.setattr("unstale.tools.doctor.monitoring.MOST_LINES", 5)
    gate = Gate(100, monitor=True)
    stop = threading.Event()

    def ping() -> None:
        with server.client as other:
            while not stop.wait(0.002):
                other.ping()

    thread = threading.Thread(target=ping)
    thread.start()
    with connect(Origin(server.url, gate.manner()).places()[0], gate.manner()) as client:
        heard = listen(client, 60, threading.Event())
    stop.set()
    thread.join()
    assert (heard.whole, len(heard.lines)) == (False, 5)


def test_a_refusal_is_raised(server: Server) -> None:
    """The connection is not kept."""
    with server.client as admin:
        admin.execute_command("ACL", "SETUSER", "some", "reset", "on", ">word", "~*", "+ping")
    gate = Gate(100, monitor=True)
    url = server.url.replace("redis://", "redis://some:word@")
    with (
        connect(Origin(url, gate.manner()).places()[0], gate.manner()) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        listen(client, 1, threading.Event())
    with server.client as admin:
        admin.execute_command("ACL", "DELUSER", "some")
