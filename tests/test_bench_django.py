"""The bench's Django part, small: it measures what it says it does. How fast anything is, no test says."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench import django_calls, django_patterns, django_shop
from bench.django_load import Load
from bench.django_site import DJANGO_REDIS, REDIS_CACHE, UNSTALE, Config
from bench.hit import Cost
from bench.servers import Counted

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("untraced_children")]

ROOT = Path(__file__).parent.parent
RUN = """
import json, pathlib, sys
from bench import django_part
from bench.django_site import Config
config = Config(1, 20, (200,), 1, 1, 0.2, 3, ("SQLite",))
part = django_part.bench("embedded", print, config=config)
part.text()
pathlib.Path(sys.argv[1]).write_text(json.dumps(part.data()))
"""
"""A process of its own: the bench configures Django."""


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The part's figures, of as little as possible."""
    figures = tmp_path_factory.mktemp("bench") / "figures.json"
    command = [sys.executable, "-c", RUN, str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(figures.read_text())
    return made


def table(part: dict[str, Any], begins: str) -> dict[str, dict[str, Any]]:
    """The rows of the table whose title begins so, by their first column."""
    [found] = [one for one in part["tables"] if one["title"].startswith(begins)]
    return {next(iter(row.values())): row for row in found["rows"]}


@pytest.mark.parametrize("verb", ["get,", "get of a new entry", "get_many of 10", "set", "delete", "incr", "aget"])
def test_each_verb_is_measured_beside_the_others(part, verb):
    """A table for each verb has unstale, django-redis and RedisCache, with CPU of client and engine, and trips."""
    rows = table(part, f"cache.{verb}")
    assert {UNSTALE, DJANGO_REDIS, REDIS_CACHE} <= set(rows)
    for row in rows.values():
        assert len(row["client us"]["rounds"]) == len(row["engine us"]["rounds"]) == 1
        assert row["client us"]["median"] > 0
        assert row["trips"] >= 1


def test_a_read_is_one_command_whatever_it_reads(part):
    """The server counts one MGET for a get, of whatever entry, for an aget, and for a get_many of ten."""
    for verb in ("get,", "get of a new entry", "aget", "get_many of 10"):
        row = table(part, f"cache.{verb}")[UNSTALE]
        assert (row["trips"], row["commands a call"]) == (1, "1 mget")


def test_a_declared_pattern_takes_one_trip_and_a_scan_takes_many(part):
    """Among 200 keys: one trip for ours, at least one for each ten keys with django-redis as it comes."""
    rows = table(part, "delete_pattern of one user's 20 keys among 200")
    assert rows[django_patterns.OURS]["round trips"] == 1
    assert rows[f"{DJANGO_REDIS}, {django_patterns.DEFAULT}"]["round trips"] >= 15


def test_the_shop_is_asked_with_every_view(part):
    """Requests a second and the time that answers took, for the view uncached, with `cache_page`, with the mixin."""
    rows = table(part, "A list of 20 orders on SQLite")
    assert set(rows) == set(django_shop.VIEWS)
    for row in rows.values():
        assert row["requests a second"]["median"] > 0
        assert 0 < row["p50 ms"]["median"] <= row["p99 ms"]["median"]


def test_the_targets_of_a_small_run_are_those_of_the_calls(part):
    """What is promised for 100,000 keys is not judged by 200."""
    assert [target["what"] for target in part["targets"]] == [
        "client CPU of cache.get: django-redis / unstale",
        "client CPU of cache.get: Django RedisCache / unstale",
        "round trips of unstale's get_many of 10",
        "commands of unstale's get_many of 10",
    ]


def measured(ours: float, redis: float, django: float, commands: int) -> django_calls.Measured:
    """Figures of two rounds of which the second took twice as long for all."""
    times = {UNSTALE: ours, DJANGO_REDIS: redis, REDIS_CACHE: django}
    costs = {name: Cost((each, 2 * each), (each, 2 * each)) for name, each in times.items()}
    many = Counted(commands * django_calls.COUNTED, {"mget": commands * django_calls.COUNTED})
    return django_calls.Measured(costs, dict.fromkeys(times, many))


@pytest.mark.parametrize(
    ("figures", "met"),
    [((10.0, 30.0, 80.0, 1), [True] * 4), ((10.0, 29.0, 79.0, 2), [False] * 4)],
)
def test_calls_are_judged_on_the_right_side(figures, met):
    """Three times django-redis's CPU, eight times RedisCache's, one trip of one command: less of it is missed."""
    one = measured(*figures)
    assert [target.met for target in django_calls.judged({"get": one, "get_many of 10": one})] == met


@pytest.mark.parametrize(("theirs", "met"), [(50_000.0, True), (49_000.0, False)])
def test_patterns_are_judged_among_100_000_keys(theirs, met):
    """A thousand times less engine CPU than a scan, or it is missed."""
    engine = {django_patterns.OURS: [50.0, 50.0], "scan": [theirs, theirs]}
    assert [target.met for target in django_patterns.judged(engine, 100_000)] == [met]
    assert django_patterns.judged(engine, 10_000) == ()


def test_a_scale_makes_rounds_fewer_and_never_none():
    """A tenth of the rounds; below one round, fewer calls."""
    tenth, least = Config().scaled(0.1), Config().scaled(0)
    assert (tenth.rounds, tenth.calls, tenth.load_rounds) == (4, 500, 1)
    assert (least.rounds, least.calls, least.pattern_rounds, least.load_rounds) == (1, 20, 1, 1)


class _Refusing(http.server.BaseHTTPRequestHandler):
    """A view that refuses."""

    def do_GET(self):
        self.send_error(403)

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing() -> Iterator[int]:
    """The port of a server that answers 403."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def test_a_refused_request_ends_the_load(refusing):
    """An answer that is not 200 is an error, not a quick answer."""
    load = Load(refusing, users=1, seconds=30)
    load.run(at_once=1)
    assert load.took == []
    assert "403" in load.errors[0]


def test_the_database_of_a_run_is_its_own_and_is_dropped():
    """On PostgreSQL: it can be used meanwhile; afterwards it is gone."""
    with django_shop.own_database() as (url, why):
        if why and not os.environ.get("CI"):
            pytest.skip(f"PostgreSQL: {why}")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)
