"""The cost model: held against the lab's committed run, and its arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from unstale.tools.doctor.costs import IDLE_PERCENT, Beside, costs_of, engine_of, keys_walked
from unstale.tools.doctor.results import GROUPS, Costs, Engine, Monitored, Pattern
from unstale.tools.engine import Command, Work
from unstale.tools.lab.results import Outcome, Results, figures, read

RUN = Path(__file__).parent.parent.parent / "docs" / "runs" / "lab-2026-11-26" / "results.json"
MAIN = {"reads": "get", "writes": "set", "deletes": "del", "scans": "scan", "scripts": "evalsha", "other": "client"}
"""A command of each class, to stand for it: the lab keeps classes."""


@pytest.fixture(scope="module")
def run() -> Results:
    """The lab's run that the documentation shows."""
    return read(RUN)


def work_of(outcome: Outcome) -> Work:
    """What the lab saw of an engine, as the doctor would have."""
    samples = outcome.samples
    commands = {
        name: Command(sum(one.calls[kind] for one in samples), sum(one.by_class[kind] for one in samples))
        for kind, name in MAIN.items()
        if sum(one.calls[kind] for one in samples)
    }
    return Work(
        seconds=sum(one.seconds for one in samples),
        engine_seconds=sum(one.engine_seconds for one in samples),
        process_seconds=sum(one.process_seconds for one in samples),
        trips=sum(one.trips for one in samples),
        commands=commands,
    )


def examined(run: Results, variant: str) -> tuple[Engine, Costs | None]:
    """What the doctor would have said of a step."""
    outcome = run.outcome(variant)
    assert outcome is not None
    engine = engine_of(work_of(outcome), beside=Beside())
    return engine, costs_of(engine, outcome.samples[-1].keys, None)


@pytest.mark.parametrize("variant", ["bigger-scans", "async-deletes"])
def test_the_prediction_within_two_of_what_the_lab_then_measured(run: Results, variant: str) -> None:
    """The steps that walk and still held the rate: with stamps their engine would be as busy as `unstale`'s was."""
    costs, measured = examined(run, variant)[1], examined(run, "unstale")[0].percent
    assert costs is not None
    assert measured / 2 <= costs.engine_percent.mid <= 2 * measured
    assert costs.engine_percent.low <= measured <= costs.engine_percent.high


@pytest.mark.parametrize("variant", ["baseline", "second-node", "hiredis", "pipelined-deletes"])
def test_the_same_for_those_that_did_not_hold_the_rate(run: Results, variant: str) -> None:
    """By answered request, beside idling: of the load they did only a part."""

    def by_request(percent: float, of: str) -> float:
        outcome = run.outcome(of)
        assert outcome is not None
        return (percent - IDLE_PERCENT.mid) / figures(outcome, run.plan).rate

    costs, ours = examined(run, variant)[1], examined(run, "unstale")[0]
    assert costs is not None
    predicted, measured = by_request(costs.engine_percent.mid, variant), by_request(ours.percent, "unstale")
    assert measured / 2 <= predicted <= 2 * measured


@pytest.mark.parametrize("variant", ["baseline", "bigger-node", "bigger-scans", "async-deletes"])
def test_patterns_are_named_as_the_cause(run: Results, variant: str) -> None:
    """At least nine tenths of the invalidation, and of the engine."""
    engine, costs = examined(run, variant)
    assert costs is not None
    assert costs.by_pattern >= 0.9
    assert engine.group("invalidation by pattern").percent >= 0.9 * engine.percent
    assert costs.times_the_traffic.mid > 20


@pytest.mark.parametrize("variant", ["known-keys", "no-deletes", "timestamps", "unstale", "unstale-strict"])
def test_where_nothing_is_walked_there_is_nothing_to_save(run: Results, variant: str) -> None:
    """Not even with deletes by key."""
    assert examined(run, variant)[1] is None


def test_the_walks_of_the_lab_are_in_the_estimates_range(run: Results) -> None:
    """6 actions a second, each of which walked the keyspace once."""
    costs = examined(run, "bigger-scans")[1]
    assert costs is not None
    assert not costs.counted
    assert costs.walks_per_second.low <= 0.1 * run.plan.rate <= costs.walks_per_second.high


def made(seconds: float = 10.0, engine: float = 5.0, trips: int = 1000, **commands: tuple[int, float]) -> Engine:
    """An engine that did these calls, in so many seconds."""
    told = {name: Command(*one) for name, one in commands.items()}
    return engine_of(Work(seconds, engine, engine, trips, told), beside=Beside())


def test_the_groups_sum_to_the_engine_less_its_idling() -> None:
    """Each second inside commands is in one group, and the rest is shared out by trips."""
    engine = made(engine=5.0, trips=1000, scan=(600, 2.0), get=(300, 0.5), set=(100, 0.5))
    assert [one.name for one in engine.groups] == list(GROUPS)
    assert sum(one.percent for one in engine.groups) == pytest.approx(engine.percent - 0.2)
    assert engine.us_per_trip == pytest.approx(1e6 * (5.0 - 3.0 - 0.02) / 1000)
    pattern = engine.group("invalidation by pattern")
    assert pattern.trips_percent == pytest.approx(600 * engine.us_per_trip / 1e5)
    assert engine.group("reads").trips_percent == pytest.approx(300 * engine.us_per_trip / 1e5)
    assert engine.headroom == 40.0


def test_pipelines_share_their_trips() -> None:
    """Ten commands in one trip cost a tenth of a trip each."""
    engine = made(engine=1.0, trips=100, get=(1000, 0.1))
    assert engine.group("reads").trips_percent == pytest.approx(100 * engine.us_per_trip / 1e5)


def test_deletes_by_pattern_are_put_to_patterns() -> None:
    """By the part of the names that a walk had found."""
    work = Work(10.0, 5.0, 5.0, 100, {"del": Command(100, 1.0), "scan": Command(10, 1.0)})
    engine = engine_of(work, by_pattern=0.75, beside=Beside())
    assert engine.group("invalidation by key").inside_percent == pytest.approx(2.5)
    assert engine.group("invalidation by pattern").inside_percent == pytest.approx(17.5)
    assert {one.name: one.group for one in engine.commands}["del"] == "invalidation by pattern"


def test_one_keys_commands_are_no_walks() -> None:
    """HSCAN reads one key; FLUSHALL is no invalidation of anything in particular."""
    engine = made(hscan=(10, 1.0), flushall=(1, 1.0), getdel=(1, 1.0), unheard_of=(1, 1.0))
    assert {one.name: one.group for one in engine.commands} == {
        "hscan": "reads", "flushall": "other", "getdel": "writes", "unheard_of": "other"
    }  # fmt: skip
    assert costs_of(engine, 1000, None) is None


def test_keys_is_counted_without_monitor() -> None:
    """Each is one walk."""
    costs = costs_of(made(keys=(20, 1.0)), 1000, None)
    assert costs is not None
    assert costs.counted
    assert costs.walks_per_second.low == costs.walks_per_second.mid == costs.walks_per_second.high == 2.0
    assert costs.us_per_walk.mid > 50_000


def test_monitor_counts_walks() -> None:
    """And says how sure the count is."""
    pattern = Pattern(command="SCAN", pattern="a*", walks=4, calls=400, deleted=0)
    told = Monitored(
        seconds=2.0, commands=400, whole=True, patterns=[pattern], busiest=[], deleted_by_pattern=0, deleted_by_key=0,
        stamps_written=0,
    )  # fmt: skip
    costs = costs_of(made(scan=(2000, 1.0)), 1000, told)
    assert costs is not None
    assert costs.counted
    assert (costs.walks_per_second.low, costs.walks_per_second.mid, costs.walks_per_second.high) == (0.5, 2.0, 4.0)


def vars_of(costs: Costs) -> list[object]:
    """All that is in it."""
    return [getattr(costs, field) for field in costs.__struct_fields__]


def test_ranges_are_in_order() -> None:
    """Least, middle, most, for every estimate, also on an empty database and a busy engine."""
    for keys, engine in ((0, 0.5), (100, 9.9), (10**7, 5.0)):
        costs = costs_of(made(engine=engine, scan=(500, 0.4), get=(100_000, 0.05), set=(9, 0.001)), keys, None)
        assert costs is not None
        for name in (
            "walks_per_second",
            "us_per_walk",
            "us_per_stamp",
            "stamps_percent",
            "engine_percent",
            "core_needed",
        ):
            one = getattr(costs, name)
            assert 0 <= one.low <= one.mid <= one.high


def test_a_window_without_commands() -> None:
    """No division by nothing."""
    engine = made(engine=0.0, trips=0)
    assert (engine.percent, engine.us_per_trip, engine.commands) == (0.0, 0.0, [])


@pytest.mark.parametrize(
    ("databases", "walked", "keys"),
    [
        ({0: 5, 1: 50}, [0], 5),
        ({0: 5, 1: 50}, [], 50),
        ({0: 5, 1: 50}, [7], 50),
        ({0: 5, 1: 50}, [0, 1], 50),
        ({}, [], 0),
    ],
)
def test_the_keys_that_a_walk_passes(databases: dict[int, int], walked: list[int], keys: int) -> None:
    """Those of the database that is walked, as far as that is known."""
    assert keys_walked(databases, walked) == keys


def test_a_walk_takes_a_scan_at_the_least() -> None:
    """Also of a database that has next to no keys."""
    commands = {"scan": Command(1000, 0.05), "del": Command(10, 0.001)}
    work = Work(seconds=10, engine_seconds=0.2, process_seconds=0.2, trips=1010, commands=commands)
    costs = costs_of(engine_of(work, beside=Beside()), 1, None)
    assert costs is not None
    assert costs.walks_per_second.high <= 100
