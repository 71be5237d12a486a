"""Faults on one server: each does what it claims, and leaves nothing behind."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
from servers import SERVERS, Server
from struck import outcome, strike, tell, world_of

from unstale.tools.chaos.faults import FAULTS
from unstale.tools.chaos.layouts import LIMITS, One
from unstale.tools.chaos.plan import Plan
from unstale.tools.chaos.servers import DUMP, client_of, until
from unstale.tools.chaos.world import World
from unstale.tools.chaos.worlds import standing

CONNECTED = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    sock.sendall(b"PING\\r\\n")
    sock.recv(100)
    print("connected", flush=True)
    sys.exit(3 if not sock.recv(100) else 4)
"""


@pytest.fixture(scope="module", params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of one server of each kind."""
    with world_of(request.param, "one", tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    """The same, with nothing in it."""
    with client_of(running.url) as client:
        client.flushall()
        client.config_resetstat()
    return running


@pytest.fixture
def client(world: World) -> Iterator[redis.Redis]:
    """A client of its server."""
    with client_of(world.url) as one:
        yield one


@contextmanager
def a_reader(port: int) -> Iterator[subprocess.Popen[str]]:
    """A process that is connected to a server; it ends with 3 when it is cut off."""
    command = [sys.executable, "-c", CONNECTED, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "connected\n"
            yield process
        finally:
            process.kill()


def filled(client: redis.Redis, world: World) -> None:
    """Put some of each kind of name there, and some of somebody else's."""
    space = world.namespace
    client.mset({f"{space}:{kind}{number}": "x" for kind in ("s:", "r:", "e:", "h:", "l:") for number in range(50)})
    client.zadd(f"{space}:s:closed", {"owner": 1})
    client.mset({f"other:s:{number}": "x" for number in range(50)})


def left(client: redis.Redis) -> dict[str, int]:
    """How many names of each kind there are."""
    counts: dict[str, int] = {}
    for name in client.scan_iter(count=1000):
        space, kind, _ = name.decode().split(":", 2)
        kind = kind if space != "other" else space
        counts[kind] = counts.get(kind, 0) + 1
    return counts


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_says_what_it_stands_for(name: str) -> None:
    """For the table, and for who chooses."""
    assert FAULTS[name].name == name
    assert FAULTS[name].says.endswith(".")


def test_stamps_are_evicted(world: World, client: redis.Redis) -> None:
    """Closed ones too; nothing else goes, and nothing of anybody else's."""
    filled(client, world)
    assert strike(world, "evict-stamps").endswith("of 101 stamps were evicted")
    until(lambda: left(client) == {"e": 50, "h": 50, "l": 50, "other": 50}, "a server without stamps")


def test_open_stamps_are_evicted(world: World, client: redis.Redis) -> None:
    """And what a strict write has closed stays."""
    filled(client, world)
    strike(world, "evict-open-stamps")
    until(lambda: left(client) == {"s": 1, "e": 50, "h": 50, "l": 50, "other": 50}, "a server without open stamps")
    assert client.type(f"{world.namespace}:s:closed") == b"zset"


def test_entries_are_evicted(world: World, client: redis.Redis) -> None:
    """Their stamps stay."""
    filled(client, world)
    strike(world, "evict-entries")
    until(lambda: left(client) == {"s": 51, "r": 50, "l": 50, "other": 50}, "a server without entries")


def test_a_flush_leaves_nothing(world: World, client: redis.Redis) -> None:
    """On a server of the run's own."""
    filled(client, world)
    strike(world, "flush")
    assert client.dbsize() == 0


def test_a_flush_of_a_users_server_is_of_the_runs_names(server: Server, tmp_path: Path) -> None:
    """What else is there stays; and so it is when the run has ended."""
    with standing("one", Plan(phases=(), server=server.url), tmp_path) as world, server.client as client:
        filled(client, world)
        assert strike(world, "flush") == "251 names were flushed"
        assert left(client) == {"other": 50}
        filled(client, world)
    with server.client as client:
        assert left(client) == {"other": 50}


def test_a_users_server_is_not_broken(server: Server, tmp_path: Path) -> None:
    """What touches others cannot be struck there."""
    with standing("one", Plan(phases=(), server=server.url), tmp_path, ["delay"]) as world:
        can = {name for name, fault in FAULTS.items() if fault.can_be_struck(world)}
    names = {"evict-stamps", "evict-open-stamps", "evict-entries", "flush"}
    processes = {"client-kill", "sigstop-reader", "sigstop-writer"}
    assert can == names | processes | {"delay", "stragglers", "cut", "reset", "black-hole", "refuse"}


def test_clients_are_cut_off(world: World, client: redis.Redis) -> None:
    """All there are, whoever they are."""
    mine = client.client_id()
    with a_reader(world.servers(One).servers[0].port) as reader:
        assert strike(world, "client-kill") == "2 of 2 clients were cut off"
        assert reader.wait(10) == 3
    assert client.client_id() != mine


def test_only_the_runs_clients_are_cut_off_from_a_users_server(server: Server, tmp_path: Path) -> None:
    """They are known by where their connections come from."""
    with (
        standing("one", Plan(phases=(), server=server.url), tmp_path) as world,
        server.client as client,
        a_reader(server.port) as reader,
    ):
        world.readers.append(reader.pid)
        mine = client.client_id()
        assert strike(world, "client-kill") == "1 of 1 clients were cut off"
        assert reader.wait(10) == 3
        assert client.client_id() == mine


def test_clients_are_paused_and_go_on(world: World, client: redis.Redis) -> None:
    """The server counts both."""
    strike(world, "client-pause")
    told = client.info("commandstats")
    assert told["cmdstat_client|pause"]["calls"] == 1
    assert told["cmdstat_client|unpause"]["calls"] == 1
    assert client.set("x", 1)


def test_a_reader_stands_still_and_goes_on(world: World) -> None:
    """So does a writer."""
    port = world.servers(One).servers[0].port
    for fault, pids in (("sigstop-reader", world.readers), ("sigstop-writer", world.writers)):
        with a_reader(port) as reader:
            pids.append(reader.pid)
            strike(world, fault, lambda pid=reader.pid: see_stopped(pid))
            until(
                lambda pid=reader.pid: psutil.Process(pid).status() == psutil.STATUS_SLEEPING, "a reader that goes on"
            )
        pids.clear()


def test_a_reader_that_has_ended_stands_still_by_itself(world: World) -> None:
    """A writer that kills itself may be gone at any time."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    world.readers.append(process.pid)
    assert strike(world, "sigstop-reader") == f"the reader {process.pid} had ended"
    world.readers.clear()
    assert strike(world, "sigstop-reader") == "there was no reader"


def test_a_server_stands_still_and_goes_on(world: World, client: redis.Redis) -> None:
    """Connections to it are made all the same."""
    server = world.servers(One).servers[0]

    def act() -> None:
        see_stopped(server.pid)
        socket.create_connection(server.address, 5).close()

    strike(world, "sigstop-server", act)
    assert client.ping()


def see_stopped(pid: int) -> None:
    """Wait until the kernel has stopped a process."""
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "a process that stands still")


@pytest.mark.parametrize("name", ["outage", "restart-empty"])
def test_a_server_comes_back_empty(world: World, client: redis.Redis, name: str) -> None:
    """On the same port, as another one."""
    client.set("x", 1)
    before = tell(world.url, "server", "run_id")
    met: list[object] = []
    strike(world, name, lambda: met.append(outcome(client.ping)))
    assert met == [redis.ConnectionError]
    assert tell(world.url, "server", "run_id") != before
    assert client.dbsize() == 0


def test_an_old_stamp_comes_back_with_a_snapshot(world: World, client: redis.Redis) -> None:
    """What was written after it is forgotten; and the snapshot is not kept for the next restart."""
    client.set("stamp", "old")
    before = tell(world.url, "server", "run_id")
    strike(world, "restart-from-snapshot", lambda: client.set("stamp", "new"))
    assert client.get("stamp") == b"old"
    assert tell(world.url, "server", "run_id") != before
    assert not (world.servers(One).servers[0].directory / DUMP).exists()


def test_a_full_server_refuses(world: World, client: redis.Redis) -> None:
    """What it has stays, and can be removed; then there is no limit any more."""
    client.set("stamp", "old")
    met: list[object] = []

    def act() -> None:
        met.extend((outcome(lambda: client.set("stamp", "new")), client.get("stamp"), client.unlink("stamp")))

    strike(world, "oom", act)
    assert met == [redis.OutOfMemoryError, b"old", 1]
    assert client.set("other", "new")
    assert limits(client) == dict(LIMITS)


def test_a_full_server_evicts(world: World, client: redis.Redis) -> None:
    """Some of what is there; then there is no limit any more."""
    client.mset({f"name:{number}": "x" * 1000 for number in range(2000)})
    strike(world, "evictions")
    assert 0 < client.dbsize() < 2000
    assert tell(world.url, "stats", "evicted_keys") == 2000 - client.dbsize()
    assert limits(client) == dict(LIMITS)


def limits(client: redis.Redis) -> dict[str, str]:
    """What limits of memory a server has."""
    return {name: client.config_get(name)[name] for name, _ in LIMITS}
