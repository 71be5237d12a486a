"""A process that is stopped for a while, as a serverless one is between requests, and goes on as if nothing had been.

It has no thread that could have kept its connections, and need not have: what the server has closed meanwhile is made
anew by the read that finds out, and what has come meanwhile is not taken for late.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from children.launch import Child
from servers import Server

from unstale import Cache

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="what a server has not read, Linux tells")
AWAY = 1.2
"""Seconds for which it is stopped: longer than its lease (1 s), and than a proof holds (1 s)."""
LATE = 2.0
"""The same, longer than its limit for a read (1.5 s)."""
TRIES = 10
ASKED = 0.7
"""Seconds in which its question must have come: less than its limit, so that it is stopped before that is over."""
kinds = pytest.mark.parametrize(("mode", "number"), [("threads", 1), ("threads", 8), ("asyncio", 1), ("asyncio", 8)])


@pytest.fixture
def cache(own_server: Server) -> Iterator[Cache]:
    """A cache of this process's, with k = "v"."""
    with Cache.from_url(own_server.url, namespace="test", timeout=5.0) as made:
        made.set("k", "v", tags=["t"])
        yield made


def stop(child: Child) -> None:
    """Stop a process, and wait until it is."""
    os.kill(child.process.pid, signal.SIGSTOP)
    os.waitpid(child.process.pid, os.WUNTRACED)


def go_on(child: Child) -> None:
    """Let it go on."""
    os.kill(child.process.pid, signal.SIGCONT)


def close_connections(server: Server) -> int:
    """Have the server close all its clients' connections, as its `timeout` or a proxy would; how many."""
    with server.client as client:
        return int(client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))


@kinds
def test_the_first_read_after_it_is_a_hit(own_server: Server, cache: Cache, mode: str, number: int) -> None:
    """The server has closed its connections: nothing fails, nothing is loaded, and there is no thread to see to it."""
    cache.close()
    with Child("frozen.py", mode, own_server.url, str(number)) as child:
        child.say("read")
        assert child.hear()["values"] == ["v"] * number
        stop(child)
        assert close_connections(own_server) >= 1
        time.sleep(AWAY)
        go_on(child)
        child.say("read")
        assert child.hear() == {"values": ["v"] * number, "failed": [], "refused": [], "threads": 1}
        assert child.end() == 0


@kinds
def test_an_idle_connection_that_still_stands(own_server: Server, cache: Cache, mode: str, number: int) -> None:
    """Where nobody has closed anything, the first read is a hit as well, and proves the server's role anew."""
    with Child("frozen.py", mode, own_server.url, str(number)) as child:
        child.say("read")
        assert child.hear()["values"] == ["v"] * number
        stop(child)
        time.sleep(AWAY)
        go_on(child)
        child.say("read")
        assert child.hear() == {"values": ["v"] * number, "failed": [], "refused": [], "threads": 1}


@kinds
def test_an_answer_that_came_while_it_was_stopped(own_server: Server, cache: Cache, mode: str, number: int) -> None:
    """It asks, is stopped before the answer, and goes on long after its limit: the answer is there, and it counts."""
    with Child("frozen.py", mode, own_server.url, str(number)) as child:
        child.say("read")
        child.hear()
        for _ in range(TRIES):
            own_server.freeze()
            child.say("read")
            asked = is_asked(own_server)
            stop(child)
            own_server.thaw()
            time.sleep(LATE)
            go_on(child)
            said = child.hear()
            if asked:
                break
        assert (asked, said["values"], said["failed"]) == (True, ["v"] * number, [])


def is_asked(server: Server) -> bool:
    """Wait until a stopped server has something to read. False: too late, the limit of who asked may be over."""
    port, deadline = f":{server.port:04X}", time.monotonic() + ASKED
    while time.monotonic() < deadline:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        if any(row[1].endswith(port) and int(row[4].partition(":")[2], 16) for row in rows):
            return True
        time.sleep(0.002)
    return False


@pytest.mark.parametrize("mode", ["threads", "asyncio"])
def test_stopped_in_a_load_while_a_tag_is_invalidated(own_server: Server, cache: Cache, mode: str) -> None:
    """What it loaded before is its caller's; nobody else is given it."""
    with Child("frozen.py", mode, own_server.url, "1") as child:
        child.say("load")
        assert child.hear() == "loading"
        stop(child)
        cache.invalidate("t")
        time.sleep(AWAY)
        child.say("go on")
        go_on(child)
        said = child.hear()
        assert (said["values"], said["failed"]) == (["old"], [])
        assert said["refused"] in (["STALE"], ["LEASE"])
    assert cache.get("slow", tags=["t"]) is None


@pytest.mark.parametrize("mode", ["threads", "asyncio"])
def test_stopped_in_a_load_for_longer_than_its_lease(own_server: Server, cache: Cache, mode: str) -> None:
    """Another has loaded meanwhile, after an invalidation: that value stays."""
    with Child("frozen.py", mode, own_server.url, "1") as child:
        child.say("load")
        assert child.hear() == "loading"
        stop(child)
        time.sleep(AWAY)
        cache.invalidate("t")
        assert cache.get_or_set("slow", lambda: "new", tags=["t"]) == "new"
        close_connections(own_server)
        child.say("go on")
        go_on(child)
        said = child.hear()
        assert (said["values"], said["refused"]) == (["old"], ["LEASE"])
    assert cache.get("slow", tags=["t"]) == "new"
