"""`unstale lab scale`: real servers and real processes, small keyspaces; what it costs is counted, never timed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from servers import Server

from unstale.errors import ConfigurationError
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.scale import point_of, run_scale
from unstale.tools.lab.scale_job import Doing, Sampled
from unstale.tools.lab.scale_plan import (
    METHODS,
    REAL_TO,
    ScalePlan,
    Station,
    bytes_needed,
    checked,
    fitting,
    measured_keys,
    share,
    stations,
)  # fmt: skip
from unstale.tools.lab.scale_results import VERBS, ScalePoint, ScaleResults, read, write
from unstale.tools.lab.scale_sample import Meter, Task

CHILD = Path(__file__).parent.parent / "children" / "lab_scale.py"
SMALL, LARGE = 600, 2400
TOO_MANY = 10**13
"""Keys, for the memory of any machine."""


def ignore(doing: Doing) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def measured() -> ScaleResults:
    """A whole run, with a size that is too large and a user who has too many keys."""
    plan = ScalePlan(sizes=(SMALL, LARGE, TOO_MANY), per_user=(10, 500), rounds=2, seconds=100)
    return run_scale(plan, ignore)


def point(results: ScaleResults, method: str, verb: str, keys: int) -> ScalePoint:
    """One of those with 10 keys a user."""
    [found] = [
        one for one in results.points if (one.method, one.verb, one.keys, one.keys_per_user) == (method, verb, keys, 10)
    ]
    return found


def test_every_combination_is_measured_or_left_out(measured: ScaleResults) -> None:
    """There is a point for each method, verb and size that has room, and a sentence for each that has not."""
    combinations = {(one.method, one.verb, one.keys, one.keys_per_user, one.rounds) for one in measured.points}
    expected = {(method, verb, keys, 10, 2) for method in METHODS for verb in VERBS for keys in (SMALL, LARGE)}
    assert combinations == expected
    assert [said.partition(":")[0] for said in measured.skipped] == [
        f"{TOO_MANY:,} keys",
        f"500 keys a user among {SMALL:,}",
        f"500 keys a user among {LARGE:,}",
    ]


def test_every_point_has_a_cost_between_its_quartiles(measured: ScaleResults) -> None:
    """The engine has worked for everything, and the median lies between the quartiles."""
    assert all(0 < one.engine_us_low <= one.engine_us <= one.engine_us_high for one in measured.points)
    assert all(one.client_us > 0 for one in measured.points)


@pytest.mark.parametrize("method", ["pattern-deletes", "pattern-deletes-1000"])
def test_a_pattern_walks_the_whole_keyspace(measured: ScaleResults, method: str) -> None:
    """With four times the keys, an invalidation by pattern takes more than twice the trips, and more of the engine."""
    small, large = (point(measured, method, "invalidate", keys) for keys in (SMALL, LARGE))
    assert large.trips > (2 * small.trips if method == "pattern-deletes" else small.trips)
    assert large.engine_us > small.engine_us


@pytest.mark.parametrize(("method", "trips"), [("unstale", 1), ("timestamps", 1), ("known-keys", 2)])
def test_other_invalidations_take_the_same_trips_everywhere(measured: ScaleResults, method: str, trips: int) -> None:
    """A stamp is one write, and an index one read and one delete, however many keys there are."""
    found = [round(point(measured, method, "invalidate", keys).trips, 1) for keys in (SMALL, LARGE)]
    assert found == [trips, trips]


@pytest.mark.parametrize("method", METHODS)
def test_trips_of_a_read(measured: ScaleResults, method: str) -> None:
    """A hit is one trip, and two with time stamps, as the article has it."""
    trips = 2 if method == "timestamps" else 1
    assert round(point(measured, method, "read", LARGE).trips, 1) == trips


def test_results_can_be_written_and_read(measured: ScaleResults, tmp_path: Path) -> None:
    """They say on what they were measured, and come back from their file as they were."""
    write(measured, tmp_path / "scale.json")
    assert read(tmp_path / "scale.json") == measured
    assert {"server", "django-redis"} <= measured.versions.keys()


def test_an_own_server_is_left_empty(own_server: Server) -> None:
    """After a run on the user's own server there is nothing left in its database; another one was not touched."""
    with own_server.client as client:
        client.set("mine", "1")
        plan = ScalePlan(server=f"{own_server.url[:-1]}3", sizes=(400,), per_user=(5,), rounds=1, seconds=60)
        results = run_scale(plan, ignore)
        assert len(results.points) == len(METHODS) * len(VERBS)
        assert client.info("keyspace").keys() == {"db0"}


def test_an_own_server_with_data_is_refused(tmp_path: Path) -> None:
    """A database that holds anything is not measured in, and not touched."""
    with Server("valkey", tmp_path / "server") as server, server.client as client:
        client.set("mine", "1")
        with pytest.raises(LabError, match="holds 1 keys"):
            run_scale(ScalePlan(server=server.url, sizes=(400,), per_user=(5,)), ignore)
        assert client.keys() == [b"mine"]


def test_what_there_is_no_time_for_is_told() -> None:
    """A run ends when its time is over, with what it has, and says what was measured too seldom, or not."""
    results = run_scale(ScalePlan(sizes=(400, 800), per_user=(5,), rounds=100_000, seconds=0.1), ignore)
    assert {one.keys for one in results.points} <= {400}
    assert len(results.skipped) == 2
    assert all(f"5 keys a user among {keys}: " in said for keys, said in zip((400, 800), results.skipped, strict=True))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A process that runs `run_scale`, and has measured something; and those that it has started."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # a process that is killed removes no files
    with subprocess.Popen(
        [sys.executable, str(CHILD)], stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, [psutil.Process(pid) for pid in json.loads(process.stdout.readline())]
        finally:
            process.kill()


def assert_gone(processes: list[psutil.Process]) -> None:
    """See that all of them end."""
    assert len(processes) >= 3  # the warden, the server, the measuring process
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []


def test_ctrl_c_keeps_what_was_measured(running: tuple[subprocess.Popen[str], list[psutil.Process]]) -> None:
    """After Ctrl-C the results so far are returned, marked, and all processes end."""
    process, started = running
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the whole group
    out, _ = process.communicate(timeout=30)
    results = msgspec.json.decode(out, type=ScaleResults)
    assert {one.method for one in results.points} == set(METHODS)
    assert results.skipped == [
        "5 keys a user among 1,000: interrupted before it.",
        "Interrupted: where there are fewer rounds than planned, this is why.",
    ]
    assert_gone(started)


def test_nothing_outlives_a_killed_run(running: tuple[subprocess.Popen[str], list[psutil.Process]]) -> None:
    """If the run is killed, its server and its measuring process end by themselves."""
    process, started = running
    process.kill()
    assert_gone(started)


def test_a_dead_measuring_process_is_told() -> None:
    """If the measuring process dies, that is an error, not a short result."""

    def kill(doing: Doing) -> None:
        for child in psutil.Process().children():
            if "unstale.tools.lab.scale_child" in child.cmdline():
                child.kill()

    with pytest.raises(LabError, match="has ended with status -9"):
        run_scale(ScalePlan(sizes=(400,), per_user=(5,), rounds=100_000, seconds=60), kill)


class Still:
    """A way whose users' pages are what they are, whatever is done."""

    def __init__(self, page: str | None) -> None:
        self.page = page

    def store(self, user: int) -> None: ...

    def read(self, user: int, page: int) -> str | None:
        return self.page

    def invalidate(self, user: int) -> object: ...

    def forget(self, user: int) -> None: ...


@pytest.mark.parametrize(
    ("verb", "page", "problem"),
    [("invalidate", "old", "served after their invalidation"), ("read", None, "reads found nothing fresh")],
)
def test_a_method_that_does_not_work_is_not_measured(verb: str, page: str | None, problem: str, tmp_path: Path) -> None:
    """A page that is served after its invalidation, or not before, is an error: the figure would mean nothing."""
    with Server("valkey", tmp_path / "server") as server:
        meter = Meter(server.url)
        task = Task(verb, "unstale", Station(keys=100, per_user=5, users=2), Still(page), 1)
        with pytest.raises(LabError, match=problem):
            task.sample(meter)
        meter.client.close()


def test_half_of_every_keyspace_is_others() -> None:
    """In the default plan, and in one with single keys, measured users fill half of the keyspace at most."""
    for plan in (ScalePlan(), ScalePlan(per_user=(1,), sizes=(50, 5_000))):
        found, _ = stations(plan)
        assert all(2 * measured_keys(plan, station) <= station.keys for station in found)


def test_keyspaces_only_grow() -> None:
    """From one station to the next others' keys are only added, or the station is left out and says so."""
    plan = ScalePlan(sizes=(10_000, 10_100, 100_000), per_user=(10, 1000))
    found, skipped = stations(plan)
    others = [station.keys - measured_keys(plan, station) for station in found]
    assert others == sorted(others)
    assert any("choose sizes farther apart" in said for said in skipped)


def test_the_shares_use_all_of_the_time() -> None:
    """If every station takes its share, the last one ends when the time is over."""
    rest, _ = stations(ScalePlan())
    left = 100.0
    while rest:
        left -= share(left, rest)
        rest.pop(0)
    assert left == pytest.approx(0.0)


def test_sizes_that_do_not_fit_are_left_out() -> None:
    """A size that needs more memory than there is goes, with the reason; where none is left, that is an error."""
    plan, skipped = fitting(ScalePlan(sizes=(100, 1000)), bytes_needed(500))
    assert plan.sizes == (100,)
    assert [said.partition(":")[0] for said in skipped] == ["1,000 keys"]
    with pytest.raises(LabError, match="too little memory for any"):
        fitting(ScalePlan(sizes=(1000,)), bytes_needed(500))


def test_large_keyspaces_have_small_values() -> None:
    """Above REAL_TO a key takes less memory, since its value is small."""
    assert bytes_needed(REAL_TO + 1) < bytes_needed(REAL_TO)


@pytest.mark.parametrize(
    "plan",
    [
        ScalePlan(methods=("nonsense",)),
        ScalePlan(methods=()),
        ScalePlan(sizes=()),
        ScalePlan(sizes=(0,)),
        ScalePlan(per_user=(-1,)),
        ScalePlan(rounds=0),
        ScalePlan(seconds=0),
        ScalePlan(seconds=float("nan")),
    ],
)
def test_plans_without_sense_are_refused(plan: ScalePlan) -> None:
    """A plan that cannot be run is refused before anything is started."""
    with pytest.raises(ConfigurationError):
        checked(plan)


def test_a_point_is_the_median_of_its_rounds() -> None:
    """A round that was disturbed moves neither the median nor the quartiles far."""
    rounds = [
        Sampled(method="unstale", verb="read", keys=10, per_user=1, engine_us=engine_us, client_us=engine_us, trips=1.0)
        for engine_us in (11.0, 10.0, 12.0, 500.0, 13.0)
    ]
    found = point_of(("unstale", 10, 1, "read"), rounds)
    assert (found.engine_us_low, found.engine_us, found.engine_us_high) == (11.0, 12.0, 13.0)
    assert (found.client_us, found.rounds) == (12.0, 5)
