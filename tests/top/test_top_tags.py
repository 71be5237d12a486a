"""The hottest tags and the application's counters."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from babblers import babbler
from servers import Server

from unstale import Cache
from unstale.core.keys import Names
from unstale.errors import ConfigurationError
from unstale.tools.doctor.facts import Asker
from unstale.tools.doctor.gate import Gate
from unstale.tools.doctor.pace import Pace
from unstale.tools.doctor.sampling import Sampler
from unstale.tools.places import Origin, connect
from unstale.tools.top.metrics import Counted, Untold, added_up, check_url, counted
from unstale.tools.top.tags import ALL, Hot, Watch, tag_of


@pytest.mark.parametrize("tag", ["user:1", "user:1/orders", "a{b}c/d", "100%"])
@pytest.mark.parametrize("clustered", [False, True])
def test_a_tag_from_its_stamps_name(tag: str, clustered: bool) -> None:
    """As it was declared, with the namespace before it."""
    assert tag_of(Names("shop", clustered=clustered).stamp(tag)) == f"shop {tag}"


@pytest.mark.parametrize("clustered", [False, True])
def test_the_roots_are_one_line(clustered: bool) -> None:
    """No number that nobody has given: what `clear()` changes, once for each namespace, and not a root's each."""
    names = Names("shop", clustered=clustered)
    watch = Watch(in_cluster=clustered)
    watch._last = {names.stamp(tag): b"" for tag in ("*7", "*12", "a:1")}
    watch._changes.update({names.stamp("*7"): 2, names.stamp("*12"): 2, names.stamp("a:1"): 1})
    watch._entries.update({names.stamp("*7"): 3, names.stamp("*12"): 5, names.stamp("a:1"): 4})
    assert watch.hottest() == [Hot(f"shop {ALL}", 2, 8), Hot("shop a:1", 1, 4)]


def test_changes_are_counted(server: Server) -> None:
    """Of stamps that entries record: each bump between two looks, a lost one and its return, a closed one."""
    gate = Gate(10_000)
    place = Origin(server.url, gate.manner()).places()[0]
    watch = Watch(in_cluster=False)
    with Cache.from_url(server.url, namespace="test", timeout=5) as cache, connect(place, gate.manner()) as client:
        asker = Asker(client)
        for user in range(5):
            cache.set(f"a{user}", 1, tags=[f"user:{user}"])
            cache.set(f"b{user}", 1, tags=[f"user:{user}"])
        stop = threading.Event()
        watch.choose(Sampler(asker, place, Pace(asker, 1.0, stop), time.monotonic() + 30, stop).sample())
        assert watch.count >= 5
        assert [watch.look(asker), watch.look(asker)] == [0, 0]
        cache.invalidate("user:1")
        cache.invalidate("user:1", "user:2")
        assert watch.look(asker) == 2
        cache.invalidate("user:1")
        assert watch.look(asker) == 1
        with server.client as other:
            other.delete("test:s:{user:3}")
        assert watch.look(asker) == 0
        cache.set("a3", 1, tags=["user:3"])
        assert watch.look(asker) == 1
        with cache.strict("user:4"):
            assert watch.look(asker) == 1
    first, second = watch.hottest()[:2]
    assert (first.tag, first.changes, first.entries) == ("test user:1", 2, 2)
    assert second.changes == 1


def test_what_changed_is_watched_on(server: Server) -> None:
    """A new sample does not forget the hottest ones."""
    gate = Gate(10_000)
    place = Origin(server.url, gate.manner()).places()[0]
    watch = Watch(in_cluster=False)
    with Cache.from_url(server.url, namespace="test", timeout=5) as cache, connect(place, gate.manner()) as client:
        asker, stop = Asker(client), threading.Event()
        cache.set("a", 1, tags=["user:1"])

        def sample() -> None:
            watch.choose(Sampler(asker, place, Pace(asker, 1.0, stop), time.monotonic() + 30, stop).sample())

        sample()
        watch.look(asker)
        cache.invalidate("user:1")
        watch.look(asker)
        sample()
        assert watch.hottest()[0].changes == 1


PAGE = """# HELP unstale_stale_total Reads that found a stale entry.
# TYPE unstale_stale_total counter
unstale_stale_total{kind="user",how="bumped"} 3.0
unstale_stale_total{kind="a b}c",how="gone"} 1.5e+01
unstale_stale_hits_total{cause="x"} 100.0
unstale_stale_created 1.7e9
unstale_refused_total{why="stale"} 2.0 1700000000000
"""


def test_a_page_is_added_up() -> None:
    """Over all labels; other counters are not meant."""
    assert added_up(PAGE) == Counted(18.0, 2.0)
    assert added_up("unstale_refused_total 1.0") == Counted(0.0, 1.0)
    assert added_up("other_total 1.0\n<html>") is None


def test_a_page_is_read() -> None:
    """And where there is none, nothing is told."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{served.server_port}"
        assert counted(f"{url}/metrics") == Counted(18.0, 2.0)
        assert counted(f"{url}/elsewhere") is Untold.NOTHING
        served.shutdown()
    assert counted(f"{url}/metrics") is Untold.UNREACHABLE
    assert counted("http://127.0.0.1:port/metrics") is Untold.NOTHING


@pytest.mark.parametrize("says", [b"+OK\r\n", b"$-1\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"], ids=str)
def test_what_is_no_page(says: bytes) -> None:
    """A server of another kind, or one that breaks off, tells nothing."""

    def answer(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(says)

    with babbler(answer) as port:
        assert counted(f"http://127.0.0.1:{port}/metrics") is Untold.NOTHING


def test_only_a_page() -> None:
    """No file of this machine."""
    with pytest.raises(ConfigurationError):
        check_url("file:///etc/passwd")
    check_url("https://h/metrics")
