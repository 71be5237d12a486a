"""`unstale exporter`: what it tells of real servers, and of those that are away. It writes nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from babblers import always, babbler, trickle
from clusters import Cluster
from prometheus_client.parser import text_string_to_metric_families
from sentinels import SERVICE, Deployment, Sentinel, until
from servers import Server, free_port, require

from unstale.errors import ConfigurationError
from unstale.tools import engine
from unstale.tools.classes import CLASS_OF, CLASSES, class_of
from unstale.tools.doctor.costs import group_of
from unstale.tools.engine import command_of
from unstale.tools.exporter import nodes, watch
from unstale.tools.exporter.errors import ExporterError
from unstale.tools.exporter.figures import FIGURES, OF_WATCH
from unstale.tools.exporter.serve import serving
from unstale.tools.exporter.watch import Watch
from unstale.tools.places import NobodyTellsError, Origin, Place

SECRET = "0f-the-sentinels"
TRICKLE = trickle(b"$100000\r\n")
"""The beginning of an answer whose rest takes hours."""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scrape asks."""
    monkeypatch.setattr(watch, "FRESH_SECONDS", 0.0)


@contextmanager
def exporting(url: str, timeout: float = 5.0, password: str | None = None) -> Iterator[Callable[[], Samples]]:
    """An exporter's page, as Prometheus reads it; the password is the sentinels'."""
    with closing(Watch(url, timeout, password)) as asks, serving(asks, "127.0.0.1", 0) as port:
        yield lambda: scraped(port)


def scraped(port: int) -> Samples:
    """All samples of a page."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        assert answer.status == 200
        text = answer.read().decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def of(found: Samples, name: str, **labels: str) -> float:
    """The one sample with this name and these labels, and perhaps more of them."""
    [value] = [
        value
        for (one, has), value in found.items()
        if one == f"unstale_server_{name}" and labels.items() <= dict(has).items()
    ]
    return value


@pytest.mark.usefixtures("each_time")
def test_every_figure_of_a_server(server: Server) -> None:
    """All that the table names is there, and right where it can be known from outside."""
    with exporting(server.url) as page, server.client as client:
        client.set("a", "x" * 1000)
        client.get("a")
        list(client.scan_iter("a*"))
        client.keys("a*")
        client.unlink("a")
        client.eval("return redis.call('set', KEYS[1], 1)", 1, "b")
        before, info = page(), client.info("all")
    names = {name for name, _ in before}
    assert names == {one.name for one in (*FIGURES, *OF_WATCH)}
    node = f"127.0.0.1:{server.port}"
    assert {dict(labels)["node"] for _, labels in before} == {node}
    assert of(before, "up") == 1
    assert of(before, "primary") == 1
    assert of(before, "info", role="master", server=server.kind) == 1
    assert (
        0
        < of(before, "engine_cpu_seconds_total")
        <= info["used_cpu_user_main_thread"] + info["used_cpu_sys_main_thread"]
    )
    assert of(before, "connections_limit") == info["maxclients"]
    assert of(before, "command_calls_total", **{"class": "patterns"}) >= 2
    assert of(before, "command_calls_total", **{"class": "deletes"}) >= 1
    assert min(of(before, "command_seconds_total", **{"class": name}) for name in CLASSES if name != "scans") > 0


@pytest.mark.usefixtures("each_time")
def test_work_is_counted_in_its_class(server: Server) -> None:
    """From scrape to scrape, each call in its own class and no other."""
    with exporting(server.url) as page, server.client as client:
        client.ping()
        page()
        before = page()
        for _ in range(3):
            client.get("a")
        client.set("a", 1)
        client.keys("nothing*")
        after = page()
    grown = {
        name: of(after, "command_calls_total", **{"class": name}) - of(before, "command_calls_total", **{"class": name})
        for name in CLASSES
    }
    assert grown == {"reads": 3, "writes": 1, "deletes": 0, "patterns": 1, "scans": 0, "scripts": 0, "other": 1}  # INFO


@pytest.mark.usefixtures("each_time")
def test_it_only_asks(own_server: Server) -> None:
    """Whatever a scrape sends, by the server's own word: INFO, once, and what connecting takes."""
    with own_server.client as client:
        with exporting(own_server.url) as page:
            page()
            client.config_resetstat()
            page()
        stats = client.info("commandstats")
    assert {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()} == {
        "info": 1,
        "config|resetstat": 1,
    }


def test_a_server_is_asked_once_a_second(own_server: Server) -> None:
    """However many scrape."""
    with own_server.client as client, exporting(own_server.url) as page:
        page()
        client.config_resetstat()
        for _ in range(5):
            page()
        assert client.info("commandstats").get("cmdstat_info", {"calls": 0})["calls"] <= 2


@pytest.mark.usefixtures("each_time")
def test_a_server_that_goes_and_comes(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """It is a figure, never an error page; and once in the log each time."""
    with exporting(own_server.url, timeout=1.0) as page:
        assert of(page(), "up") == 1
        own_server.kill()
        for _ in range(2):
            found = page()
            assert of(found, "up") == 0
            assert {name for name, _ in found} == {one.name for one in OF_WATCH}
        own_server.start()
        assert of(page(), "up") == 1
    said = [record.getMessage() for record in caplog.records if record.name == "unstale"]
    assert [line.partition(".1:")[2].partition(" ")[2][:12] for line in said] == ["does not ans", "answers agai"]


@pytest.mark.usefixtures("each_time")
def test_a_server_that_is_silent(own_server: Server) -> None:
    """It accepts connections, and answers nothing: that is over in time."""
    with exporting(own_server.url, timeout=0.5) as page:
        own_server.freeze()
        assert of(page(), "up") == 0


def test_nothing_there() -> None:
    """From the first scrape on."""
    with exporting(f"redis://127.0.0.1:{free_port()}") as page:
        assert of(page(), "up") == 0


@pytest.mark.usefixtures("each_time")
def test_a_user_who_may_not(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Without the right to INFO, or with a wrong password, it is as if away; the log says why, and no password."""
    with own_server.client as client:
        client.execute_command("ACL", "SETUSER", "poor", "on", ">s3cret", "~*", "+ping")
    for password in ("s3cret", "wr0ng"):
        with exporting(f"redis://poor:{password}@127.0.0.1:{own_server.port}/0") as page:
            assert of(page(), "up") == 0
    assert "permission" in caplog.text.lower()
    assert "s3cret" not in caplog.text
    assert "wr0ng" not in caplog.text


@pytest.mark.usefixtures("each_time")
def test_the_least_rights(own_server: Server) -> None:
    """Of one server: INFO, and no key."""
    with own_server.client as client:
        client.execute_command("ACL", "SETUSER", "teller", "on", ">s3cret", "resetkeys", "+info")
    for database in (0, 1):  # it selects none
        with exporting(f"redis://teller:s3cret@127.0.0.1:{own_server.port}/{database}") as page:
            assert of(page(), "up") == 1


def test_a_cluster_that_is_none(server: Server) -> None:
    """One server that is named as a cluster is told of all the same: it answers INFO."""
    with exporting(f"redis+cluster://127.0.0.1:{server.port}") as page:
        assert of(page(), "up") == 1


@pytest.mark.parametrize("form", ["redis://{}", "redis+cluster://{}"])
def test_what_is_no_server(form: str) -> None:
    """A server of another kind is one that is away."""
    import http.server

    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with exporting(form.format(f"127.0.0.1:{other.server_port}"), timeout=1.0) as page:
            assert of(page(), "up") == 0
        other.shutdown()


def asking() -> list[threading.Thread]:
    """The threads that ask."""
    return [one for one in threading.enumerate() if one.name == "unstale-exporter"]


@pytest.mark.usefixtures("each_time")
@pytest.mark.parametrize("form", ["redis://{}", "redis+cluster://{}"])
def test_an_answer_that_trickles(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """No single read is late, but the whole is: it is hung up, so no thread stays for it, however often one asks."""
    with babbler(TRICKLE) as port:
        with exporting(form.format(f"127.0.0.1:{port}"), timeout=0.3) as page:
            for _ in range(3):
                assert of(page(), "up") == 0
            assert len(asking()) <= 1
        for thread in asking():
            thread.join(10)
        assert not asking()
    assert "has not answered in time" in caplog.text


@pytest.mark.usefixtures("each_time")
def test_a_node_is_not_asked_while_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be hung up holds one thread, and not one more with each scrape; it is asked again after its end."""
    held, calls = threading.Event(), []

    def ask(*_: object) -> watch.Answer:
        calls.append(0)
        held.wait(60)
        return watch.Answer({"used_memory": 1}, 0.0)

    monkeypatch.setattr(watch, "_ask", ask)
    with exporting("redis://127.0.0.1:1", timeout=0.1) as page:
        for _ in range(3):
            assert of(page(), "up") == 0
        assert len(calls) == 1
        held.set()
        assert of(page(), "up") == 1
        page()
        assert len(calls) >= 2


@pytest.mark.parametrize("answer", [b"+OK\r\n", b"$-1\r\n", b":1\r\n", b"*0\r\n", b"$7\r\nfoo:bar\r\n"], ids=str)
@pytest.mark.parametrize("form", ["redis://{}", "redis+cluster://{}"])
def test_who_answers_and_says_nothing(answer: bytes, form: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it is, it is no server that is up; the log says so."""
    with babbler(always(answer)) as port, exporting(form.format(f"127.0.0.1:{port}"), timeout=2.0) as page:
        assert ups(page()) == {f"127.0.0.1:{port}": 0}
    assert f"127.0.0.1:{port} does not answer. What answers there is no Redis and no Valkey." in caplog.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_the_command_ends_while_an_answer_trickles(number: signal.Signals) -> None:
    """With the status 0, and at once."""
    reached = threading.Event()

    def answer(connection: socket.socket, over: threading.Event) -> None:
        reached.set()
        TRICKLE(connection, over)

    with babbler(answer) as port:
        words = [sys.executable, "-m", "unstale", "exporter", f"redis://127.0.0.1:{port}", "--timeout", "60"]
        with subprocess.Popen([*words, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            found = re.search(r":(\d+)/metrics", process.stdout.readline())
            assert found is not None
            scrape = threading.Thread(target=_scrape_in_vain, args=(int(found[1]),))
            scrape.start()
            assert reached.wait(60)
            process.send_signal(number)
            assert process.wait(20) == 0
            scrape.join()


def _scrape_in_vain(port: int) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the exporter ends meanwhile
        scraped(port)


def until_all(page: Callable[[], Samples], count: int) -> Samples:
    """The page, once so many nodes are on it: replicas come to be known one after the other."""
    deadline = time.monotonic() + 60
    while True:
        found = page()
        if sum(name == "unstale_server_up" for name, _ in found) == count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


@pytest.mark.usefixtures("each_time")
def test_every_node_of_a_cluster(cluster: Cluster) -> None:
    """Primaries and replicas, found from one of them; each by its own name."""
    with exporting(cluster.url_of(cluster.nodes[0])) as page:
        found = until_all(page, len(cluster.nodes))
    assert ups(found) == {f"127.0.0.1:{node.client_port}": 1 for node in cluster.nodes}
    primaries = sum(value for (name, _), value in found.items() if name == "unstale_server_primary")
    assert primaries == 3


@pytest.mark.usefixtures("each_time")
def test_a_cluster_with_a_dead_node(tmp_path: Path) -> None:
    """The dead one is named and is down, the others are told of as ever; also if it was the one to ask."""
    with Cluster("valkey", tmp_path) as cluster:
        gone = cluster.primaries[0]
        with exporting(cluster.url_of(gone), timeout=2.0) as page:
            until_all(page, len(cluster.nodes))
            gone.kill()
            found = ups(page())
    assert found.pop(f"127.0.0.1:{gone.client_port}") == 0
    assert list(found.values()) == [1] * 5


@pytest.mark.usefixtures("each_time")
def test_a_node_that_has_left_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while: one that was named long ago, and is named no more."""
    named: list[str] = []

    def places(self: Origin) -> list[Place]:
        if not named:
            raise NobodyTellsError("Nobody.")
        return [replace(self.seeds[0], name=name) for name in named]

    monkeypatch.setattr(Origin, "places", places)
    one = nodes.Nodes("redis+cluster://seed:1", 0.1)
    later = nodes.REMEMBER_SECONDS
    with closing(one):
        assert set(one.named(0.0)) == {"seed:1"}  # nobody tells yet: it is asked itself
        named[:] = ["a:1", "b:1"]
        assert set(one.named(1.0)) == {"a:1", "b:1"}
        named[:] = ["a:1"]
        assert set(one.named(later + 1.0)) == {"a:1", "b:1"}
        assert set(one.named(later + 2.0)) == {"a:1"}
        named.clear()
        assert set(one.named(3 * later)) == {"a:1"}  # that nobody tells is no reason to forget


@pytest.mark.usefixtures("each_time")
def test_a_service_under_sentinels(tmp_path: Path) -> None:
    """The primary and its replica."""
    require("redis")
    with Deployment(tmp_path) as deployment, exporting(deployment.url) as page:
        found = page()
    roles = {dict(labels)["node"]: value for (name, labels), value in found.items() if name == "unstale_server_primary"}
    assert roles == {f"127.0.0.1:{deployment.primary.port}": 1, f"127.0.0.1:{deployment.replica.port}": 0}


@pytest.mark.usefixtures("each_time")
def test_sentinels_that_do_not_know(tmp_path: Path) -> None:
    """Where none names the service it is told of as down; one that does is enough; a primary that dies stays named."""
    require("redis")
    with Deployment(tmp_path) as deployment:
        ports = [one.port for one in deployment.sentinels]
        with exporting(deployment.url_of(*ports, service="nobody")) as page:
            assert ups(page()) == {"nobody": 0}
        with exporting(deployment.url_of(free_port(), ports[0]), timeout=2.0) as page:
            assert of(page(), "up", node=f"127.0.0.1:{deployment.primary.port}") == 1
            for sentinel in deployment.sentinels:
                sentinel.kill()
            deployment.primary.kill()
            assert of(page(), "up", node=f"127.0.0.1:{deployment.primary.port}") == 0


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment whose one sentinel that is asked wants a password."""
    require("redis")
    with Deployment(tmp_path) as deployment:
        sentinel = Sentinel(tmp_path / "guarded", deployment.primary.port, f"requirepass {SECRET}")
        deployment.sentinels.append(sentinel)
        until(lambda: sentinel.ask("PING", password=SECRET))
        yield deployment


def ups(found: Samples) -> dict[str, float]:
    """Whether each node answers."""
    return {dict(labels)["node"]: value for (name, labels), value in found.items() if name == "unstale_server_up"}


def test_sentinels_with_a_password(guarded: Deployment, caplog: pytest.LogCaptureFixture) -> None:
    """With theirs, which is not the servers', the servers are told of; without it the log says why not."""
    url, primary = guarded.url_of(guarded.sentinels[-1].port), f"127.0.0.1:{guarded.primary.port}"
    with exporting(url) as page:
        assert ups(page()) == {SERVICE: 0}
    assert "Authentication required" in caplog.text
    with exporting(url, password="wr0ng") as page:
        assert ups(page()) == {SERVICE: 0}
    assert "wr0ng" not in caplog.text
    with exporting(url, password=SECRET) as page:
        assert ups(page())[primary] == 1


@pytest.mark.parametrize("by_variable", [True, False])
def test_the_command_takes_the_sentinels_password(guarded: Deployment, *, by_variable: bool) -> None:
    """As the doctor does: by an option, or by a variable that no list of processes shows."""
    words = [sys.executable, "-m", "unstale", "exporter", guarded.url_of(guarded.sentinels[-1].port)]
    words += ["--listen", "127.0.0.1:0", *([] if by_variable else ["--sentinel-password", SECRET])]
    environment = {**os.environ, **({"UNSTALE_SENTINEL_PASSWORD": SECRET} if by_variable else {})}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        found = re.search(r":(\d+)/metrics", process.stdout.readline())
        assert found is not None
        assert ups(scraped(int(found[1])))[f"127.0.0.1:{guarded.primary.port}"] == 1
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.usefixtures("each_time")
def test_servers_stay_when_all_sentinels_are_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are told of as ever; that nobody says who they are is one line in the log."""
    require("redis")
    with Deployment(tmp_path) as deployment, exporting(deployment.url, timeout=2.0) as page:
        before = ups(page())
        for sentinel in deployment.sentinels:
            sentinel.kill()
        assert [ups(page()) for _ in range(2)] == [before] * 2
    assert set(before.values()) == {1}
    assert caplog.text.count("Which servers there are is not known now. No sentinel names a primary of shop") == 1


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "memory://", "redis://localhost:port"])
def test_a_url_that_makes_no_sense(url: str) -> None:
    """It is said at once."""
    with pytest.raises(ConfigurationError):
        Watch(url, 1.0)


def test_a_port_that_is_taken(server: Server) -> None:
    """It is said, too."""
    with closing(Watch(server.url, 1.0)) as asks:
        page = serving(asks, "127.0.0.1", server.port)
        with pytest.raises(ExporterError, match=f"127.0.0.1:{server.port}"):
            page.__enter__()


@pytest.mark.parametrize(
    ("command", "kind", "group"),
    [
        ("get", "reads", "reads"),
        ("set", "writes", "writes"),
        ("getdel", "writes", "writes"),
        ("unlink", "deletes", "invalidation by key"),
        ("flushdb", "other", "other"),
        ("keys", "patterns", "invalidation by pattern"),
        ("scan", "patterns", "invalidation by pattern"),
        ("sscan", "scans", "reads"),
        ("evalsha", "scripts", "scripts"),
        ("exec", "other", "other"),
        ("of_a_module", "other", "other"),
    ],
)
def test_a_command_is_for_the_same_here_and_in_the_doctors_report(command: str, kind: str, group: str) -> None:
    """The doctor's groups are the exporter's classes, by other names, and the scans within a key are reads."""
    assert (class_of(command), group_of(command)) == (kind, group)


def test_classes_refine_those_of_the_engine() -> None:
    """What walks the keyspace is apart; all else is as the lab has it."""
    assert {name: kind for name, kind in CLASS_OF.items() if engine.CLASS_OF[name] != kind} == {
        "keys": "patterns",
        "scan": "patterns",
    }
    assert set(CLASS_OF.values()) <= set(CLASSES)
    told = ("cmdstat_KEYS", "cmdstat_config|get", "cmdstat_evalsha")
    assert [class_of(command_of(field)) for field in told] == ["patterns", "other", "scripts"]


def test_the_figures_names() -> None:
    """As Prometheus wants them: a unit in the name, `_total` for what only grows."""
    for figure in FIGURES:
        assert re.fullmatch(r"unstale_server(_[a-z]+)+", figure.name)
        assert figure.name.endswith("_total") == (figure.kind == "counter")


def test_figures_of_a_server_that_tells_little() -> None:
    """What it does not tell is left out, what a proxy makes of it as well; nothing is made up."""
    told = {"used_memory": 5, "maxclients": "unlimited", "db0": {"keys": 2}, "cmdstat_get": "hidden"}
    found: dict[str, Any] = {one.name: list(one.read(told)) for one in FIGURES}
    assert {name for name, figures in found.items() if figures} == {
        "unstale_server_memory_bytes",
        "unstale_server_keys",
        "unstale_server_info",
    }


@pytest.fixture
def command(server: Server, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, serving."""
    words = [sys.executable, "-m", "unstale", "exporter", f"redis://:p4ssword@127.0.0.1:{server.port}/0"]
    with server.client as client:
        client.execute_command("ACL", "SETUSER", "default", ">p4ssword")
        with subprocess.Popen([*words, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as process:
            yield process
            process.kill()
        client.execute_command("ACL", "SETUSER", "default", "nopass")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_the_command(command: subprocess.Popen[str], number: signal.Signals) -> None:
    """It says where its page is, without the password; it is meant to be stopped, so that is no failure."""
    assert command.stdout is not None
    line = command.stdout.readline()
    found = re.search(r"redis://127\.0\.0\.1:\d+/0 is told of at http://127\.0\.0\.1:(\d+)/metrics", line)
    assert found is not None, line
    assert of(scraped(int(found[1])), "up") == 1
    command.send_signal(number)
    assert command.wait(20) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nonsense"], "must begin with one of"),
        (["redis://localhost", "--listen", "here"], "--listen needs a host and a port"),
        (["redis://localhost", "--listen", "127.0.0.1:99999"], "--listen needs a host and a port"),
    ],
)
def test_what_the_command_cannot_do(words: list[str], says: str) -> None:
    """A sentence and the status 2, no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "unstale", "exporter", *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert says in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
