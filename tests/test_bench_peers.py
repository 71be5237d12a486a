"""The bench's comparisons, small: what they count is right. How fast anything is, no test says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import early, fill_race, herd
from bench.peers_redis import RedisPy
from bench.peers_unstale import WAYS, Unstale
from bench.report import Spread, Table
from bench.servers import Server, running

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("untraced_children")]

ROOT = Path(__file__).parent.parent
HOUR = 3_600.0
LIBRARIES = ("aiocache", "cashews", "dogpile.cache", "fastapi_cache", "glide", "glide_sync", "django_redis")
"""In the bench's environment only."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of the bench's own."""
    with running("embedded") as started:
        yield started


@pytest.fixture
def libraries() -> None:
    """Skip where what unstale is compared with is not installed."""
    for name in LIBRARIES:
        pytest.importorskip(name)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_unstale_never_serves_what_was_loaded_before_an_invalidation(way, server):
    """However it is used, the first read after the invalidation is given the new value, by a load of its own."""
    outcome = fill_race.race(way, server)
    assert (outcome.is_old, outcome.loads) == (False, 2)


def test_the_fill_race_shows_the_old_value_where_keys_are_deleted(server):
    """GET, SET EX and UNLINK lose the race, so the race would show it if unstale did; the ttl is what is left."""
    outcome = fill_race.race(RedisPy, server)
    assert (outcome.is_old, outcome.loads) == (True, 1)
    assert 0 < outcome.stale_seconds <= 300


def test_an_old_value_of_unstales_is_fatal():
    """It would make the whole bench fail."""
    [target] = fill_race.targets([fill_race.Outcome(Unstale, fill_race.OLD, 300.0, 1)])
    assert (target.met, target.fatal) == (False, True)


def test_a_fill_race_that_shows_nothing_is_fatal():
    """If plain deletes served the new value, the harness would be blind."""
    [target] = fill_race.targets([fill_race.Outcome(RedisPy, fill_race.NEW, 0.0, 2)])
    assert (target.met, target.fatal) == (False, True)


def test_a_library_that_passes_is_reported_as_passing():
    """The summary names it among those that served the new value."""
    text = fill_race.summary([fill_race.Outcome(RedisPy, fill_race.NEW, 0.0, 2)])
    assert "Others than unstale that served the new one: redis-py." in text


@pytest.mark.usefixtures("libraries")
def test_the_fill_race_runs_as_a_command():
    """`python -m bench.fill_race --markdown` races every library, prints a table for the docs, and ends with 0."""
    command = [sys.executable, "-m", "bench.fill_race", "--markdown", "--server", "embedded"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert lines[0] == "| library | the writer calls | next read | served for | loads |"
    assert len(lines) == 2 + len(fill_race.racers())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # the libraries' own
@pytest.mark.usefixtures("libraries")
def test_each_library_serves_a_group_and_invalidates_it(server):
    """What is compared does what it is measured for; the figures are there for each library and size."""
    from bench import peers

    config = peers.Config(rounds=1, large_rounds=1, hits=2, fills=2, groups=((1, 1), (20, 1)), others=100)
    part = peers.bench("embedded", lambda _: None, config=config)
    hits, _, engine, _, trips = part.tables
    assert {len(table.rows) for table in part.tables} == {len(peers.libraries())}
    assert engine.columns == ("library", "of 1", "of 20")
    assert all(value >= 0 for row in trips.rows for value in row[1:])
    assert all(isinstance(row[2], Spread) or row[1:] == ("-",) * 4 for row in hits.rows)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("size", [1, 20])
def test_an_invalidation_of_unstales_is_one_trip_whatever_the_size(size, server):
    """As the server counts it, through the harness that counts the others'."""
    from bench import peers
    from bench.peers_base import Driver

    server.client.flushall()
    driver = Driver(Unstale(server, 0))
    cost = peers.sample(server, driver, list(peers.invalidations(driver, size, 3)), 0.0)
    driver.close()
    assert cost.trips == 1


SMALL_HERD = herd.Config(processes=2, readers=5, rounds=2, load_seconds=0.1, lease_seconds=1.0, kills=1, waiters=3)


@pytest.mark.parametrize("readers", herd.KINDS)
def test_a_herd_loads_once(readers, server):
    """All readers of an invalidated key, in several processes, are given the new value by one load."""
    rounds = herd.run(server, readers, SMALL_HERD)
    assert [(one.loads, one.old) for one in rounds] == [(1, 0), (1, 0)]


@pytest.mark.parametrize("readers", herd.KINDS)
def test_after_a_killed_loader_one_other_loads(readers, server):
    """Its lease runs out; then one of those who wait loads, and all are served."""
    kill = herd.kill_one(server, readers, f"killed:{readers}", SMALL_HERD)
    assert (kill.loads, kill.unserved) == (2, 0)


def test_two_loads_for_one_invalidation_are_fatal():
    """A herd that loads twice breaks a promise."""
    targets = herd._herd_targets({"tasks": [herd.Round(2, 0, 0.1)]}, SMALL_HERD)
    assert [target.met for target in targets if target.fatal] == [False, True, True]


def simulated(**changes: object) -> early.Outcome:
    """An hour of a key that is read often."""
    return early.simulate(early.Config("a key", **{"seconds": HOUR, "beta": 1.0, **changes}))


def test_without_beta_every_expiry_is_seen():
    """At each end of a ttl a herd of readers finds the value expired."""
    outcome = simulated(beta=0.0)
    assert outcome.expiries == outcome.loads > 10
    assert outcome.at_once > 20


def test_with_beta_no_reader_finds_the_value_expired():
    """One of them loads before the end, the others are served meanwhile; that costs hardly any more loads."""
    outcome = simulated()
    assert (outcome.expired, outcome.at_once) == (0, 0)
    assert outcome.waiting == outcome.loads
    assert 0.9 < outcome.of_ideal <= 1.1


def test_with_a_runner_nobody_waits_at_all():
    """The load that is due early is done by a task of its own."""
    assert simulated(has_runner=True).waiting == 0


def test_a_simulation_is_the_same_each_time():
    """Readers' times and chances come from a seeded generator, the time from a simulated clock."""
    assert simulated(seconds=HOUR / 4) == simulated(seconds=HOUR / 4)


def test_many_keys_are_loaded_little_more_often_than_they_must():
    """Each key has its own draws."""
    outcome = simulated(keys=5, reads_per_second=5.0)
    assert 0.9 < outcome.of_ideal <= 1.1


def test_fewer_readers_see_more_expiries():
    """What the formula expects: with nobody there to draw, a value expires."""
    rates = [early.expected_spike(early.Config("a key", 1.0, reads_per_second=rate)) for rate in (5.0, 50.0, 200.0)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-5


def test_markdown_has_a_line_for_each_row():
    """A header, a rule, the rows."""
    table = Table("title", ("a", "b"), ((1, "x"), (2, "y")))
    part = fill_race.Part("fill-race", (table,))
    assert fill_race.markdown(part).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | x |", "| 2 | y |"]


def test_parts_that_need_libraries_are_imported_when_they_run():
    """`python -m bench --only header` works where only unstale's own requirements are installed."""
    code = "import sys, bench.__main__; print([name for name in sys.modules if name in ('glide_sync', 'cashews')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
