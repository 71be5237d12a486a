"""The bench's race, small: nothing stale from unstale where the same harness catches deletes and time stamps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import Server

from bench import race
from bench.report import Target

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("untraced_children")]

SMALL = race.Config(reads=20_000, overlaps=200, limit_seconds=60)
TINY = race.Config(reads=3_000, overlaps=50, limit_seconds=60)


@pytest.fixture
def url(session_servers: Callable[[str], Server]) -> str:
    """An emptied embedded server."""
    server = session_servers("valkey")
    with server.client as client:
        client.flushall()
    return server.url


def test_get_or_set_serves_nothing_stale(url):
    """20,000 racing reads by `get_or_set`, while writers invalidate what is being loaded: none stale, most hits."""
    result = race.run("unstale get_or_set", url, SMALL)
    assert result.stale == 0
    assert result.hit_rate >= 0.6
    assert result.reads >= SMALL.reads
    assert result.overlaps >= SMALL.overlaps


def test_get_then_set_serves_nothing_stale(url):
    """Racing reads by `get`, load, `set`, two fragments in each view: none stale, most hits."""
    result = race.run("unstale get, then set", url, TINY)
    assert result.stale == 0
    assert result.hit_rate >= 0.6


@pytest.mark.parametrize("name", ["GET, SETEX, DEL", "time stamps"])
def test_the_harness_catches_the_others(name, url):
    """The same race with deletes and with time stamps counts stale reads, so it would count ours."""
    assert race.run(name, url, TINY).stale > 0


def test_a_broken_promise_is_missed_and_fatal():
    """One stale read of unstale's misses a target that makes the whole bench fail."""
    result = race.Result("unstale get_or_set", 100_000, 1_000, 2_000, 1_000, stale=1, seconds=1.0)
    assert [target.what for target in race.targets(result) if target.fatal and not target.met] == [
        "unstale get_or_set: stale reads"
    ]


def test_a_blind_harness_is_missed_and_fatal():
    """No stale read of deletes means that the harness shows nothing: that fails as well."""
    result = race.Result("GET, SETEX, DEL", 100_000, 1_000, 2_000, 1_000, stale=0, seconds=1.0)
    assert [target.met for target in race.targets(result) if target.fatal] == [False]


@pytest.mark.parametrize(("value", "at_least", "met"), [(1.0, False, True), (1.1, False, False), (1.1, True, True)])
def test_a_target_is_met_on_the_right_side_of_its_limit(value, at_least, met):
    """A target's limit is the most a figure may be, or the least."""
    assert Target("figure", value, 1.0, at_least=at_least).met is met


def test_the_bench_runs_as_a_command(tmp_path):
    """`python -m bench` with a part, a server and a file: it prints, writes the figures, and ends with 0."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "--only", "header", "--server", "embedded", "--json", str(figures)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "targets met" in done.stdout
    assert [part["name"] for part in json.loads(figures.read_text())["parts"]] == ["header"]
