"""The proxy: what passes, what waits, what breaks off, and where new connections lead."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
from servers import Server
from struck import Shortest, outcome, strike, world_of

from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.layouts import One
from unstale.tools.chaos.plan import Plan, Topology
from unstale.tools.chaos.proxy import Proxy
from unstale.tools.chaos.proxy_program import Manner
from unstale.tools.chaos.servers import HOST, client_of, until
from unstale.tools.chaos.world import World
from unstale.tools.chaos.worlds import standing

HOLDING = Manner(hold=True)
OWNER = """
import sys
from pathlib import Path
from unstale.tools.chaos.plan import Plan, Topology
from unstale.tools.chaos.proxy import Proxy
print(Proxy(Path(sys.argv[1]), ("127.0.0.1", 1)).pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of one server with a proxy before it."""
    with world_of("valkey", "one", tmp_path_factory.mktemp("world"), "delay") as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    """The same, empty."""
    with direct(running) as client:
        client.flushall()
    return running


@pytest.fixture
def proxy(world: World) -> Proxy:
    """Its proxy."""
    return world.through()


@pytest.fixture
def client(world: World) -> Iterator[redis.Redis]:
    """A client of the proxy."""
    with client_of(world.url) as one:
        yield one


def direct(world: World) -> redis.Redis:
    """A client of the server itself."""
    return client_of(world.servers(One).url)


@contextmanager
def a_socket(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection to the proxy."""
    with socket.create_connection((HOST, proxy.port), 10) as sock:
        yield sock


def received(sock: socket.socket) -> bytes | type[OSError]:
    """All that comes until the connection ends, or how it was broken."""
    whole = b""
    try:
        while piece := sock.recv(65536):
            whole += piece
    except OSError as error:
        return whole or type(error)
    return whole


def test_what_passes_is_whole(client: redis.Redis, world: World) -> None:
    """Large and small, in both directions; to the subject it is the server's own address."""
    values = {f"name:{number}": bytes([number]) * 10 ** (number % 7) for number in range(40)}
    client.mset(values)
    assert client.mget(values) == list(values.values())
    assert world.url == world.through().url


def test_what_is_held_arrives_afterwards(world: World, proxy: Proxy, client: redis.Redis) -> None:
    """Nothing of it before."""
    client.ping()
    answered = threading.Event()

    def ask() -> None:
        client.set("stamp", "new")
        answered.set()

    with proxy.behaving(HOLDING), direct(world) as other:
        before = proxy.look().delayed
        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: proxy.look().delayed > before, "a request that is held")
        assert not answered.is_set()
        assert other.get("stamp") is None
    thread.join()
    with direct(world) as other:
        assert other.get("stamp") == b"new"


def test_a_request_arrives_late_whose_sender_has_gone(world: World, proxy: Proxy) -> None:
    """An invalidation that timed out, say."""
    with proxy.behaving(HOLDING):
        before = proxy.look().delayed
        with a_socket(proxy) as sock:
            sock.sendall(b"SET late 1\r\n")
            until(lambda: proxy.look().delayed > before, "a request that is held")
    with direct(world) as other:
        until(lambda: other.get("late") == b"1", "the late request")
    until(lambda: proxy.look().open == 0, "a proxy without connections")


def test_what_is_delayed_keeps_its_order(world: World, proxy: Proxy) -> None:
    """Each piece by a time of its own, none before the one that was sent before it."""
    before = proxy.look().delayed
    with proxy.behaving(Manner(delay=(0.0, 0.02))), a_socket(proxy) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(100):
            sock.sendall(b"RPUSH order %d\r\n" % number)
        sock.shutdown(socket.SHUT_WR)
        received(sock)
    with direct(world) as other:
        until(lambda: other.llen("order") == 100, "all requests")
        assert other.lrange("order", 0, -1) == [b"%d" % number for number in range(100)]
    assert proxy.look().delayed > before


def test_an_answer_breaks_off_in_the_middle(proxy: Proxy) -> None:
    """A part of it arrives, or nothing, and the connection with it is gone."""
    before = proxy.look().cut
    seen = set()
    for _ in range(30):
        with a_socket(proxy) as sock:
            sock.sendall(b"PING\r\n")
            assert sock.recv(100) == b"+PONG\r\n"
            with proxy.behaving(Manner(cut=1.0)):
                sock.sendall(b"ECHO 0123456789\r\n")
                seen.add(received(sock))
    assert proxy.look().cut == before + 30
    assert b"$10\r\n0123456789\r\n" not in seen
    assert seen & {b"", ConnectionResetError}


def test_a_cut_of_answers_alone(world: World, client: redis.Redis, proxy: Proxy) -> None:
    """What was asked is done, and who asked does not know."""
    met = set()
    with proxy.behaving(Manner(cut=0.5)):
        for number in range(200):
            failed = outcome(lambda n=number: client.set(f"name:{n}", 1)) is not True
            with direct(world) as other:
                met.add((failed, bool(other.exists(f"name:{number}"))))
    assert met == {(False, True), (True, True), (True, False)}


def test_connections_are_reset(world: World, client: redis.Redis, proxy: Proxy) -> None:
    """Those that are there; new ones are made."""
    with a_socket(proxy) as sock:
        until(lambda: proxy.look().open, "a connection")
        assert strike(world, "reset").endswith("connections were reset")
        assert received(sock) is ConnectionResetError
    assert client.ping()


def test_connections_are_refused(world: World, client: redis.Redis) -> None:
    """For a while."""
    met: list[object] = []
    strike(world, "refuse", lambda: met.append(outcome(client.ping)))
    assert met == [redis.ConnectionError]
    assert client.ping()


@pytest.mark.parametrize("name", ["delay", "stragglers", "cut", "black-hole"])
def test_a_fault_of_the_network_ends(world: World, client: redis.Redis, proxy: Proxy, name: str) -> None:
    """Afterwards everything passes as before."""
    before = broken(proxy)

    def ask() -> bool:
        with a_socket(proxy) as sock:
            sock.sendall(b"PING\r\n")
        return broken(proxy) != before

    strike(world, name, lambda: until(ask, "something that does not pass as before"))
    until(lambda: proxy.look().open == 0, "an end of what is late")
    after = broken(proxy)
    assert client.mget([f"name:{number}" for number in range(1000)]) == [None] * 1000
    assert broken(proxy) == after


def broken(proxy: Proxy) -> tuple[int, int]:
    """How much did not pass as it should."""
    seen = proxy.look()
    return seen.delayed, seen.cut


def test_a_server_that_is_away_is_away_for_clients(world: World, client: redis.Redis) -> None:
    """Their connections end with it, and new ones are not made."""
    client.ping()
    met: list[object] = []
    strike(world, "outage", lambda: met.extend(outcome(client.ping) for _ in range(3)))
    assert met == [redis.ConnectionError] * 3
    assert client.ping()


def test_only_new_connections_lead_elsewhere(world: World, proxy: Proxy, client: redis.Redis, tmp_path: Path) -> None:
    """As with a name in DNS: those that are there stay where they are."""
    with Server("valkey", tmp_path) as other, client_of(proxy.url) as later:
        old = client.info("server")["run_id"]
        proxy.lead_to((HOST, other.port))
        assert client.info("server")["run_id"] == old
        with other.client as behind:
            assert later.info("server")["run_id"] == behind.info("server")["run_id"] != old
        proxy.lead_to(world.servers(One).servers[0].address)


def test_a_proxy_ends_with_its_owner(tmp_path: Path) -> None:
    """Also if that is killed."""
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        process = psutil.Process(int(owner.stdout.readline()))
        owner.send_signal(signal.SIGKILL)
    psutil.wait_procs([process], 20)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_proxy_that_has_died_is_said(tmp_path: Path) -> None:
    """Rather than waited for."""
    with Proxy(tmp_path, (HOST, 1)) as proxy:
        psutil.Process(proxy.pid).kill()
        with pytest.raises(ChaosError, match="The proxy has ended"):
            until(lambda: proxy.look() is None, "nothing")


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
def test_no_proxy_stands_before_many(topology: Topology, tmp_path: Path) -> None:
    """Sentinels and clusters tell the servers' own addresses. Found out before anything is started."""
    with (
        pytest.raises(ChaosError, match="A proxy stands before one server"),
        world_of("valkey", topology, tmp_path, "delay"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_proxy_stands_before_a_users_server(server: Server, tmp_path: Path) -> None:
    """With the database that its URL names."""
    plan = Plan(phases=(), server=server.url.replace("/0", "/3"))
    with standing("one", plan, tmp_path, ["reset"]) as world, client_of(world.url) as client:
        client.set("x", 1)
        with server.client as behind:
            assert behind.info("keyspace")["db3"]["keys"] == 1
        assert world.url.startswith(world.through().url.removesuffix("0"))
        client.unlink("x")


def test_no_proxy_stands_before_a_users_tls(tmp_path: Path) -> None:
    """A certificate is the server's own, not the proxy's."""
    plan = Plan(phases=(), server="rediss://127.0.0.1:1/0")
    with pytest.raises(ChaosError, match="A proxy stands"), standing("one", plan, tmp_path, ["reset"]):
        pass


def test_a_draw_is_the_shortest() -> None:
    """What these tests rely on."""
    assert (Shortest().uniform(1, 2), Shortest().choice((1, 2))) == (1, 2)
