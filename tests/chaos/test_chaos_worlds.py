"""Worlds: empty at first, on ports of their own, and ended however the run ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from servers import SERVERS, Server
from struck import PROGRAMS, world_of

from unstale.errors import ConfigurationError
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.layouts import One, Pair
from unstale.tools.chaos.plan import Plan, Topology
from unstale.tools.chaos.servers import PORTS, client_of
from unstale.tools.chaos.servers import Server as ChaosServer
from unstale.tools.chaos.worlds import standing
from unstale.tools.programs import program_of

RUN = """
import sys
from pathlib import Path
from unstale.tools.chaos.layouts import Own
from unstale.tools.chaos.plan import Plan
from unstale.tools.chaos.sentinels import Sentinels
from unstale.tools.chaos.worlds import standing
with standing(sys.argv[1], Plan(phases=(), server=sys.argv[2]), Path(sys.argv[3])) as world:
    layout = world.servers(Own)
    layout.servers[0].freeze()
    own = [*layout.servers, *(layout.sentinels if isinstance(layout, Sentinels) else ()), *filter(None, [world.proxy])]
    print(*(one.pid for one in own), flush=True)
    sys.stdin.read()
"""


@contextmanager
def a_run(topology: Topology, server: str, directory: Path) -> Iterator[tuple[subprocess.Popen[str], set[int]]]:
    """A process that has a world, one of whose servers is frozen; and all processes of that world."""
    command = [sys.executable, "-c", RUN, topology, server, str(directory)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        try:
            assert run.stdout is not None
            yield run, set(map(int, run.stdout.readline().split()))
        finally:
            run.kill()


def all_end(pids: set[int]) -> bool:
    """Whether processes end within 30 seconds. Nobody may be there to collect them: then they are zombies."""
    for pid in pids:
        try:
            psutil.Process(pid).wait(30)
        except psutil.NoSuchProcess:
            continue
        except psutil.TimeoutExpired:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return False
    return True


@pytest.mark.parametrize("kind", SERVERS)
def test_a_world_is_empty_and_alone(kind: str, tmp_path: Path) -> None:
    """It keeps nothing on disk, listens to this machine alone, and its names have a prefix of their own."""
    with world_of(kind, "one", tmp_path) as world, world_of(kind, "one", tmp_path / "other") as other:
        server = world.servers(One).servers[0]
        with client_of(world.url) as client:
            assert client.dbsize() == 0
            settings = [client.config_get(name)[name] for name in ("save", "appendonly", "bind")]
            assert settings == ["", "no", "127.0.0.1"]
            assert client.info("server")["process_id"] == server.pid
        assert server.port in PORTS
        assert world.url != other.url
        assert world.namespace != other.namespace


@pytest.mark.parametrize("kind", SERVERS)
def test_a_world_ends_with_its_context(kind: str, tmp_path: Path) -> None:
    """Also by an exception, while a server is frozen."""
    pids: set[int] = set()

    def broken() -> None:
        with world_of(kind, "pair", tmp_path) as world:
            pids.update(server.pid for server in world.servers(Pair).servers)
            pids.add(world.through().pid)
            world.servers(Pair).primary.freeze()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert len(pids) == 3
    assert all_end(pids)


@pytest.mark.parametrize(("topology", "kind", "count"), [("pair", "valkey", 3), ("sentinel", "redis", 5)])
def test_a_world_ends_with_a_run_that_is_killed(topology: Topology, kind: str, count: int, tmp_path: Path) -> None:
    """By kill -9, which leaves the run no time for anything, while a server is frozen."""
    with a_run(topology, PROGRAMS[kind], tmp_path) as (run, pids):
        assert len(pids) == count
        run.send_signal(signal.SIGKILL)
        assert all_end(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_server_ends_with_its_leash(tmp_path: Path) -> None:
    """If someone kills that."""
    with world_of("valkey", "one", tmp_path) as world:
        server = world.servers(One).servers[0]
        pid = server.pid
        psutil.Process(pid).parent().kill()
        assert all_end({pid})


def test_a_server_that_does_not_start_is_said(tmp_path: Path) -> None:
    """With the end of its log."""
    program = tmp_path / "no-server"
    program.write_text("#!/bin/sh\necho I am no server\n")
    program.chmod(0o755)
    with (
        pytest.raises(ChaosError, match=r"(?s)did not start.*I am no server"),
        standing("one", Plan(phases=(), server=str(program)), tmp_path),
    ):
        pass


def test_a_port_that_is_taken_is_said(own_server: Server, tmp_path: Path) -> None:
    """Another server that answers there is not taken for the own one."""
    server = ChaosServer(program_of(PROGRAMS[own_server.kind]), tmp_path, port=own_server.port)
    with pytest.raises(ChaosError, match=r"(?s)did not start.*[Aa]ddress already in use"):
        server.start()
    server.kill()


def test_a_program_that_is_not_installed_is_said(tmp_path: Path) -> None:
    """Before anything is started."""
    with (
        pytest.raises(ConfigurationError, match="There is no program nothing-like-it"),
        standing("pair", Plan(phases=(), server="nothing-like-it"), tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_no_server_of_ours_is_refused(tmp_path: Path) -> None:
    """memory:// has no server to break."""
    with (
        pytest.raises(ChaosError, match="memory:// is no server"),
        standing("one", Plan(phases=(), server="memory://"), tmp_path),
    ):
        pass


def test_a_fault_is_not_struck_where_it_cannot_be(tmp_path: Path) -> None:
    """It says what it needs."""
    with world_of("valkey", "one", tmp_path) as world:
        with pytest.raises(ChaosError, match=r"needs servers as Pair has them, not One\."):
            world.servers(Pair)
        with pytest.raises(ChaosError, match="needs a proxy"):
            world.through()
