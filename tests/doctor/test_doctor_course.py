"""An examination of real servers: the cause is named, good traffic is left alone, and bad servers are reported."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import redis
from reports import ids, only
from servers import Server

from unstale import Cache
from unstale.tools import engine
from unstale.tools.doctor.costs import IDLE_PERCENT
from unstale.tools.doctor.course import Plan, examine
from unstale.tools.doctor.findings import findings
from unstale.tools.doctor.results import Engine

TRAFFIC = Path(__file__).parent.parent / "children" / "doctor_traffic.py"
USERS, PAGES = 5000, 20
NOISE = 1.5
"""Of two short windows on a machine that has other work."""
SHORT = Plan(seconds=3, share=0.05)


@pytest.fixture
def server(server: Server) -> Server:
    """The session's server, without what other tests left in its slow log and statistics."""
    with server.client as client:
        client.slowlog_reset()
        client.config_resetstat()
    return server


@contextmanager
def traffic(way: str, url: str, per_second: float) -> Iterator[None]:
    """A child process that reads and invalidates."""
    words = [sys.executable, str(TRAFFIC), way, url, str(USERS), str(PAGES), str(per_second)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdin is not None
            assert child.stdout.readline() == b"ready\n"
            yield
        finally:
            child.stdin.close()
            child.wait(30)


def fill(server: Server) -> None:
    """A keyspace of 100,000 keys, as django-redis names them."""
    with server.client as client:
        for first in range(0, USERS * PAGES, 1000):
            with client.pipeline(transaction=False) as pipeline:
                for number in range(first, first + 1000):
                    user, page = divmod(number, PAGES)
                    pipeline.set(f"shop:1:user:{user}:orders:{page}", "x" * 200, ex=3600)
                pipeline.execute()


@pytest.mark.usefixtures("untraced_children")
def test_pattern_deletes_are_named(server: Server) -> None:
    """Who deletes by pattern is told so: nearly all of the invalidation, the pattern, and what stamps would cost."""
    fill(server)
    with traffic("pattern", server.url, 4):
        report = examine(server.url, msgspec.structs.replace(SHORT, monitor_seconds=1.5))
    node = only(report)
    assert node.status == "complete"
    assert node.costs is not None
    assert node.costs.by_pattern >= 0.9
    assert node.costs.counted
    assert node.costs.engine_percent.mid < node.costs.engine_now_percent
    assert node.costs.us_per_walk.mid > 20 * node.costs.us_per_stamp.mid
    assert node.engine is not None
    assert node.engine.commands[0].name == "scan"
    assert node.monitored is not None
    assert node.monitored.patterns[0].pattern == "shop:1:user:{id}:*"
    assert node.monitored.deleted_by_key == 0
    assert node.monitored.deleted_by_pattern >= PAGES
    assert node.keyspace is not None
    assert [one.shape for one in node.keyspace.shapes] == ["shop:1:user:*:orders:*"]
    assert ids(report, "warning", "serious") - {"slow-walks"} == {"pattern-deletes"}  # a busy machine makes a SCAN slow
    assert any("shop:1:user:{id}:*" in one.evidence for one in report.findings if one.id == "pattern-deletes")


@pytest.mark.usefixtures("untraced_children")
def test_patterns_without_monitor(server: Server) -> None:
    """The cause is named by the statistics alone; the number of walks is then estimated, and said to be so."""
    fill(server)
    with traffic("pattern", server.url, 4):
        report = examine(server.url, SHORT)
    costs = only(report).costs
    assert costs is not None
    assert costs.by_pattern >= 0.9
    assert not costs.counted
    assert 0 < costs.walks_per_second.low < costs.walks_per_second.mid < costs.walks_per_second.high
    assert ids(report, "warning", "serious") - {"slow-walks"} == {"pattern-deletes"}  # a busy machine makes a SCAN slow


@pytest.mark.usefixtures("untraced_children")
def test_nothing_to_change_with_unstale(server: Server) -> None:
    """The same traffic with stamps: nothing but what is good to know."""
    with traffic("unstale", server.url, 20):
        time.sleep(1)
        report = examine(server.url, msgspec.structs.replace(SHORT, monitor_seconds=0.5))
    node = only(report)
    assert ids(report, "warning", "serious") == set()
    assert node.costs is None
    assert node.keyspace is not None
    assert {one.kind for one in node.keyspace.shapes} >= {"entry", "stamp"}
    assert node.keyspace.stamps is not None
    assert node.keyspace.stamps.entries > 0
    assert (node.keyspace.stamps.missing, node.keyspace.stamps.short) == (0, 0)
    assert node.monitored is not None
    assert node.monitored.stamps_written > 0


@pytest.mark.usefixtures("untraced_children")
def test_the_prediction_holds(server: Server) -> None:
    """What stamps would take, as the doctor says, and what the same traffic with stamps then takes: by stored value."""

    def by_fill(engine_percent: float, engine: Engine, command: str) -> float:
        fills = next(one.calls_per_second for one in engine.commands if one.name == command)
        return (engine_percent - IDLE_PERCENT.mid) / fills

    fill(server)
    with traffic("pattern", server.url, 4):
        now = only(examine(server.url, SHORT))
    with server.client as client:
        client.flushall()
    with traffic("unstale", server.url, 4):
        then = only(examine(server.url, SHORT))
    assert now.costs is not None
    assert now.engine is not None
    assert then.engine is not None
    measured = by_fill(then.engine.percent, then.engine, "evalsha")
    least, most = (
        by_fill(one, now.engine, "set") for one in (now.costs.engine_percent.low, now.costs.engine_percent.high)
    )
    assert least <= measured <= most


def test_keys_is_serious(server: Server) -> None:
    """KEYS at any rate; without a delete it is no pattern delete."""
    fill(server)
    over = threading.Event()

    def ask() -> None:
        with server.client as client:
            while not over.wait(0.2):
                client.keys("nothing:*")

    thread = threading.Thread(target=ask)
    thread.start()
    report = examine(server.url, SHORT)
    over.set()
    thread.join()
    costs = only(report).costs
    assert costs is not None
    assert costs.counted
    assert {"keys-in-use"} <= ids(report, "serious")
    assert "scan-walks" in ids(report)
    assert "pattern-deletes" not in ids(report)


def test_its_own_cost_is_kept(server: Server) -> None:
    """A server of 100,000 keys and no traffic: what its engine used is no more than the doctor says and may use."""
    fill(server)
    plan = Plan(seconds=6)
    with server.client as client:
        before = engine.look(client)
        time.sleep(2)
        first = engine.look(client)
        report = examine(server.url, plan)
        last = engine.look(client)
    idle, work = engine.between(before, first), engine.between(first, last)
    node = only(report)
    assert node.keyspace is not None
    assert node.keyspace.sampled >= 100
    assert not node.keyspace.whole
    assert node.own_percent is not None
    assert node.own_percent <= 1.0
    assert work.engine_percent - idle.engine_percent <= 1.0


def test_few_commands_are_enough_to_end_it(server: Server) -> None:
    """As many as may be, and what there is until then."""
    fill(server)
    report = examine(server.url, Plan(seconds=3, share=0.5, most_commands=100))
    node = only(report)
    assert node.commands_sent <= 100
    assert (node.status, node.why) == ("interrupted", "As many commands were sent as may be.")
    assert node.engine is not None


def test_stopped_from_outside(server: Server) -> None:
    """It ends at once, with what there is."""
    stop = threading.Event()
    timer = threading.Timer(1.0, stop.set)
    timer.start()
    report = examine(server.url, Plan(seconds=600), stop=stop)
    node = only(report)
    assert (node.status, node.why) == ("interrupted", "Stopped.")
    assert node.engine is not None
    assert node.engine.seconds < 300


def test_a_server_that_goes_away(own_server: Server) -> None:
    """What there was is reported, and that it has gone."""
    timer = threading.Timer(1.0, own_server.kill)
    timer.start()
    node = only(examine(own_server.url, Plan(seconds=4)))
    timer.join()
    assert node.status == "interrupted"
    assert "cannot be reached" in node.why
    assert node.facts.name
    assert node.engine is None


def test_a_server_that_goes_away_while_keys_are_looked_at(own_server: Server) -> None:
    """The engine's part is there, and the keys so far."""
    fill(own_server)
    with own_server.client as client:
        client.config_resetstat()
        over = threading.Event()

        def kill_at_the_keys() -> None:
            while not over.wait(0.01) and client.info("commandstats").get("cmdstat_scan", {}).get("calls", 0) < 5:
                pass
            own_server.kill()

        thread = threading.Thread(target=kill_at_the_keys)
        thread.start()
        node = only(examine(own_server.url, Plan(seconds=4)))
        over.set()
        thread.join()
    assert node.status == "interrupted"
    assert node.engine is not None
    assert node.keyspace is not None
    assert not node.keyspace.whole


def test_statistics_that_are_reset_meanwhile(server: Server) -> None:
    """The rest is reported, and why the engine's part is not."""

    def reset() -> None:
        with server.client as client:
            client.config_resetstat()

    timer = threading.Timer(1.0, reset)
    timer.start()
    node = only(examine(server.url, Plan(seconds=4, share=0.05)))
    timer.join()
    assert node.engine is None
    assert node.status == "complete"
    assert any("reset" in one.why for one in node.refusals)
    assert "info-hidden" not in {one.id for one in findings([node])}
    assert node.keyspace is not None


def test_another_database(server: Server) -> None:
    """Its keys, not those of database 0."""
    with redis.Redis(port=server.port, db=3) as client:
        client.mset({"third:a": 1, "third:b": 2})
    node = only(examine(server.url.replace("/0", "/3"), Plan(seconds=1)))
    assert node.keyspace is not None
    assert (node.keyspace.keys, node.keyspace.sampled, node.keyspace.whole) == (2, 2, True)


@pytest.mark.usefixtures("untraced_children")
def test_walks_of_another_database_than_the_url_s(server: Server) -> None:
    """How often it is walked is estimated by the keys that are walked, and the report says where they are."""
    fill(server)
    with server.client as client, redis.Redis(port=server.port, db=3) as other:
        client.swapdb(0, 4)
        other.mset({f"third:{number}": 1 for number in range(50)})
    try:
        with traffic("pattern", server.url.replace("/0", "/4"), 4):
            report = examine(server.url.replace("/0", "/3"), SHORT)
    finally:
        with server.client as client:
            client.swapdb(0, 4)
    node = only(report)
    assert node.facts.databases == {3: 50, 4: pytest.approx(USERS * PAGES, rel=0.05)}
    assert node.facts.walked_databases in ([], [4])  # whoever walks may have just sent an UNLINK
    assert node.keyspace is not None
    assert node.keyspace.sampled == 50
    assert node.costs is not None
    assert not node.costs.counted
    assert node.costs.walks_per_second.low <= 4
    assert node.costs.engine_percent.mid < node.costs.engine_now_percent
    assert "other-database" in ids(report, "info")


def test_an_empty_server(server: Server) -> None:
    """No keys are no trouble."""
    node = only(examine(server.url, Plan(seconds=1)))
    assert node.keyspace is not None
    assert (node.keyspace.keys, node.keyspace.shapes, node.keyspace.stamps) == (0, [], None)


def test_keys_of_all_types(server: Server) -> None:
    """What has unstale's names but is not unstale's is another's, whatever its type."""
    with server.client as client:
        client.rpush("a:e:list", 1, 2)
        client.hset("a:e:hash", "f", 1)
        client.set("a:e:text", "no entry")
        client.set(b"\xff\x00\x1b[31m", 1)
        client.set("a:e:b:s:{c}", 1)
    node = only(examine(server.url, Plan(seconds=1)))
    assert node.keyspace is not None
    assert {one.kind for one in node.keyspace.shapes} == {"another's"}
    assert node.keyspace.sampled == 5
    assert not any("\x1b" in one.shape for one in node.keyspace.shapes)


def test_stamps_that_go_too_early(server: Server) -> None:
    """Stamps that are gone, and stamps that expire before their entries."""
    with Cache.from_url(server.url, namespace="test", timeout=5) as cache:
        for number in range(30):
            cache.set(f"k{number}", 1, tags=[f"t:{number}"], ttl=3600)
    with server.client as client:
        for number in range(10):
            client.delete(f"test:s:{{t:{number}}}")
            client.expire(f"test:s:{{t:{number + 10}}}", 100)
    report = examine(server.url, Plan(seconds=1, share=0.5))
    keyspace = only(report).keyspace
    assert keyspace is not None
    assert keyspace.stamps is not None
    assert msgspec.to_builtins(keyspace.stamps) == {
        "entries": 30,
        "tags": 30,
        "looked_at": 30,
        "missing": 10,
        "short": 10,
    }
    assert "stamps-expire" in ids(report, "warning")


def test_looking_does_not_make_a_key_seem_used(own_server: Server) -> None:
    """Where the server can be told so (Redis 7.2, Valkey)."""
    with Cache.from_url(own_server.url, namespace="test", timeout=5) as cache:
        cache.set("k", 1, tags=["t"])
    with own_server.client as client:
        if own_server.kind == "redis" and client.info("server")["redis_version"] < "7.2":
            pytest.skip("this redis-server has no CLIENT NO-TOUCH")
        time.sleep(2.1)
        examine(own_server.url, Plan(seconds=1, share=0.5))
        assert client.object("idletime", "test:e:k") >= 2


def test_every_finding_is_documented() -> None:
    """By its id, in docs/doctor.md, and no other."""
    root = Path(__file__).parent.parent.parent
    text = (root / "docs" / "doctor.md").read_text(encoding="utf-8").partition("## Findings")[2]
    table = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    source = "".join(path.read_text() for path in (root / "src/unstale/tools/doctor").glob("findings*.py"))
    assert set(re.findall(r"`([a-z-]+)`", table)) == set(re.findall(r'id="([a-z-]+)"', source))


def test_another_doctor_is_no_application(server: Server) -> None:
    """What it looks at while this one watches gives no warning."""
    fill(server)
    stop = threading.Event()
    other = threading.Thread(target=examine, args=(server.url, Plan(seconds=16)), kwargs={"stop": stop})
    with server.client as client:
        other.start()
        while not client.info("commandstats").get("cmdstat_scan"):
            time.sleep(0.05)
    report = examine(server.url, Plan(seconds=4))
    stop.set()
    other.join()
    watched = only(report).engine
    assert watched is not None
    assert "scan" in {one.name for one in watched.commands}
    assert {"scan-walks", "pattern-deletes"} & ids(report, "warning", "serious") == set()
