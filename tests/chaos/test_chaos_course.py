"""One phase from its beginning to its end: what its processes do, what is found, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from grounds import Unwatched

from unstale.tools.chaos.course import Tick, run_phase
from unstale.tools.chaos.phases import PHASES
from unstale.tools.chaos.plan import Phase, Plan
from unstale.tools.chaos.results import Outcome

PLAN = Plan(phases=(), seconds=1.0, calm_seconds=0.2, rows=8, reads_per_second=500.0, writes_per_second=20.0)
"""Small: the processes are traced here, for coverage."""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where phases have their folders."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def of_this_run(scratch: Path) -> list[psutil.Process]:
    """Processes that were told of a folder in it."""
    running = psutil.process_iter(["cmdline"])
    return [one for one in running if any(str(scratch) in word for word in one.info["cmdline"] or [])]


class Watched(Unwatched):
    """A watcher who does something once the load has begun."""

    def __init__(self, do: object) -> None:
        self.do = do
        self.said: list[str] = []
        self.done = False

    def goes_on(self, what: str, tick: Tick | None = None) -> None:
        self.said.append(what)
        if tick is not None and tick.reads and not self.done:
            self.done = True
            self.do()


def run(phase: Phase, plan: Plan = PLAN, watch: Unwatched | None = None, peer: str | None = None) -> Outcome:
    """Its outcome, with seed 1."""
    return run_phase(phase, plan, 1, watch or Unwatched(), peer=peer)


def changed(name: str, **fields: object) -> Phase:
    """A phase that differs."""
    return msgspec.structs.replace(PHASES[name], **fields)


def test_a_calm_phase(scratch: Path) -> None:
    """It passes, says what it was run on, and leaves no process and no file."""
    watch = Watched(lambda: None)
    outcome = run(PHASES["calm"], watch=watch)
    assert (outcome.status, outcome.problems, outcome.mishaps) == ("complete", [], {})
    assert (outcome.server.split()[0], outcome.database, outcome.subject) == ("Valkey", "sqlite", "unstale")
    assert outcome.counts.final_reads == 2 * PLAN.rows
    assert list(dict.fromkeys(watch.said)) == ["starting", "load", "settling", "judging"]
    assert (of_this_run(scratch), list(scratch.iterdir())) == ([], [])


def test_tasks_of_a_loop_that_are_cancelled() -> None:
    """They are counted apart, and are no errors."""
    outcome = run(changed("asyncio", faults=(), least_hit_rate=None))
    assert outcome.problems == []
    assert outcome.counts.cancelled > 0
    assert outcome.counts.hits > 0


def test_deleting_keys_fails_where_the_database_lags() -> None:
    """So the judge finds what is there to be found: a cache of another kind is stale, and stays so."""
    outcome = run(changed("lagging-database", faults=(), least_hit_rate=None), peer="deletes")
    assert outcome.counts.stale > 0
    assert outcome.counts.lost > 0
    assert outcome.is_peer
    assert outcome.problems
    assert not outcome.is_bad


def test_what_is_interrupted_is_judged_as_far_as_it_came(scratch: Path) -> None:
    """Ctrl-C ends the load; then all goes its way."""
    watch = Watched(lambda: os.kill(os.getpid(), signal.SIGINT))
    outcome = run(PHASES["calm"], msgspec.structs.replace(PLAN, seconds=600.0), watch)
    assert (outcome.status, outcome.reason) == ("interrupted", "stopped from outside")
    assert outcome.counts.reads > 0
    assert outcome.counts.final_reads == 2 * PLAN.rows
    assert (of_this_run(scratch), list(scratch.iterdir())) == ([], [])


def test_a_worker_that_fails_fails_the_phase(scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the end of its log; its log is kept, and nothing else."""
    logs = tmp_path_factory.mktemp("logs")
    outcome = run_phase(changed("calm", subject="builtins:int"), PLAN, 1, Unwatched(), logs=logs)
    assert outcome.status == "failed"
    assert "status 1. Its log ends with:" in outcome.reason
    assert "int()" in outcome.reason
    assert any("int()" in log.read_text() for log in logs.rglob("*.log"))
    assert (of_this_run(scratch), list(scratch.iterdir())) == ([], [])


def test_a_worker_that_ends_meanwhile_fails_the_phase(scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Unless it was killed by SIGKILL, which faults do."""

    def end_one() -> None:
        next(one for one in of_this_run(scratch) if "reader-" in one.cmdline()[-1]).terminate()

    logs = tmp_path_factory.mktemp("logs")
    plan = msgspec.structs.replace(PLAN, seconds=600.0)
    outcome = run_phase(PHASES["calm"], plan, 1, Watched(end_one), logs=logs)
    assert outcome.status == "failed"
    assert "status -15" in outcome.reason
    assert any(path.name.startswith("reader-") for path in logs.rglob("*.log"))
    assert (of_this_run(scratch), list(scratch.iterdir())) == ([], [])


def test_a_killed_reader_is_followed_by_another(scratch: Path) -> None:
    """It is counted."""

    def kill_one() -> None:
        next(one for one in of_this_run(scratch) if "reader-" in one.cmdline()[-1]).kill()

    plan = msgspec.structs.replace(PLAN, seconds=5.0)  # there must be time left for another to begin
    outcome = run(PHASES["calm"], plan, Watched(kill_one))
    assert (outcome.status, outcome.restarts) == ("complete", 1)


@pytest.mark.parametrize(
    ("name", "plan", "peer", "words"),
    [
        ("outage", {"server": "redis://127.0.0.1:1/0"}, None, "not the run's own"),
        ("old-snapshots", {}, None, "--database"),
        ("asyncio", {}, "deletes", "for threads"),
        ("strict", {}, "deletes", "every cache can do"),
    ],
)
def test_what_cannot_be_run_is_skipped(name: str, plan: dict[str, object], peer: str | None, words: str) -> None:
    """With the reason, and without starting anything."""
    outcome = run(PHASES[name], msgspec.structs.replace(PLAN, **plan), peer=peer)
    assert outcome.status == "skipped"
    assert words in outcome.reason


OWNER = """
import sys
from unstale.tools.chaos.course import run_phase
from unstale.tools.chaos.phases import PHASES
from unstale.tools.chaos.plan import Plan
sys.path.insert(0, sys.argv[1])
from grounds import Unwatched
run_phase(PHASES[sys.argv[2]], Plan(phases=(), seconds=600.0, server="embedded"), 1, Unwatched())
"""


@pytest.mark.parametrize("name", ["stopped-readers", "killed-writers"])
def test_nothing_outlives_a_run_that_is_killed(scratch: Path, name: str) -> None:
    """No worker, though one of them may be stopped at that moment, no server, and no relay."""
    import subprocess
    import sys

    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(Path(__file__).parent), name], env={**os.environ, "TMPDIR": str(scratch)}
    )
    try:
        deadline = time.monotonic() + 60
        while sum("reader-" in one.cmdline()[-1] for one in of_this_run(scratch)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        owner.kill()
        owner.wait()
    left = of_this_run(scratch)
    assert psutil.wait_procs(left, timeout=60)[1] == []


def test_a_fault_that_fails_fails_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of the cache's, and must not look as if nothing had been struck."""
    from unstale.tools.chaos import striking
    from unstale.tools.chaos.world import Fault

    def strike(world: object, draw: object) -> str:
        raise ZeroDivisionError("as it was asked")

    monkeypatch.setattr(striking, "FAULTS", {"flush": Fault("flush", "", strike)})
    outcome = run(PHASES["flushed"])
    assert outcome.status == "failed"
    assert "ZeroDivisionError: as it was asked" in outcome.reason
    assert threading.active_count() == 1
