"""The course of one phase, from an empty server to its judged outcome.

It starts, waits and ends what the other modules are; it judges nothing itself, and prints nothing: whoever calls it is
told by a `Watcher`.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from unstale.errors import UnstaleError
from unstale.tools.chaos.crew import Crew
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.job import Job, Kind
from unstale.tools.chaos.judge import History, Promise, judge
from unstale.tools.chaos.mishaps import mishaps_in
from unstale.tools.chaos.plan import Phase, Plan
from unstale.tools.chaos.record import Read, Strike, Write
from unstale.tools.chaos.recording import READ, WRITE, count_of, reads_in, writes_in
from unstale.tools.chaos.results import Outcome, problems_of
from unstale.tools.chaos.rows import database, kind_of
from unstale.tools.chaos.settler import Settled, settled_file
from unstale.tools.chaos.striking import Striker
from unstale.tools.chaos.subject import Place, beside
from unstale.tools.chaos.world import World
from unstale.tools.chaos.worlds import standing
from unstale.tools.programs import name_of

RESULTS_FILE: Final = "results.json"
LOOK_SECONDS: Final = 0.1
SETTLE_SECONDS: Final = 300.0
WRITER_THREADS: Final = 4
"""A write waits for the server for up to a second while that is away; others are to go on meanwhile."""
OPTIONS: Final = {"lease": 1.0, "LEASE": 1.0}
"""Of every subject, in unstale's words and in those of its Django backend: loads take milliseconds here, and the lease
of a process that was killed, or is never heard of again, keeps all other readers of its key waiting."""
LAG_SECONDS: Final = 0.5
"""How far behind a database's replica may be, where the phase's options do not say `replica_lag`."""


class Tick(NamedTuple):
    """How far a phase has come.

    Attributes:
        seconds: under load.
        reads: so far.
        writes: so far, about: a third of their steps.
        strikes: so far.
        last: what the last one was.
    """

    seconds: float = 0.0
    reads: int = 0
    writes: int = 0
    strikes: int = 0
    last: str = ""


class Watcher(Protocol):
    """Who is told what happens, as it happens."""

    def begins(self, outcome: Outcome) -> None:
        """A phase begins."""

    def goes_on(self, what: str, tick: Tick | None = None) -> None:
        """What is being done: "starting", "load", "settling", "judging"."""

    def ended(self, outcome: Outcome) -> None:
        """A phase has ended, in whatever way."""


def run_phase(
    phase: Phase, plan: Plan, seed: int, watch: Watcher, *, logs: Path | None = None, peer: str | None = None
) -> Outcome:
    """One phase, with one seed.

    Args:
        phase: which.
        plan: says how long, with which load, on what.
        seed: of all its draws.
        watch: is told what happens.
        logs: where the logs of all processes are kept if something goes wrong.
        peer: another subject in the place of the phase's own.

    Returns:
        Its outcome; whatever was started has ended. What stopped it is in there, too: `status`, `reason`.
    """
    subject = peer or phase.subject
    outcome = Outcome(
        phase=phase.name, says=phase.says, seed=seed, subject=subject, is_peer=peer is not None, mode=phase.mode
    )
    watch.begins(outcome)
    if reason := cannot_be(phase, plan, peer):
        outcome.status, outcome.reason = "skipped", reason
    else:
        _guarded(_Course(phase, plan, seed, watch, outcome), logs)
    watch.ended(outcome)
    return outcome


def cannot_be(phase: Phase, plan: Plan, peer: str | None) -> str | None:
    """Why a phase cannot be run with this plan; None: it can."""
    if "://" in plan.server and not phase.is_safe:
        return "it does what may not be done to a server that is not the run's own"
    if phase.database is not None and phase.database != kind_of(plan.database):
        return f"it needs {phase.database}: name one by --database"
    if peer and (phase.mode == "asyncio" or not phase.for_peers):
        return f"{peer} is for threads, and for what every cache can do"
    return None


def _guarded(course: _Course, logs: Path | None) -> None:
    """Run it. Whatever goes wrong is written down in its outcome, and loses no phase before it."""
    outcome = course.outcome
    kept = logs / f"{outcome.phase}-{outcome.seed}-{outcome.subject.replace(':', '.')}" if logs else None
    try:
        with _scratch(kept) as scratch:
            course.run(scratch)
    except KeyboardInterrupt:
        outcome.status, outcome.reason = "interrupted", "stopped before there was anything to judge"
    except (UnstaleError, OSError) as error:
        outcome.status, outcome.reason = "failed", str(error)
    except Exception as error:  # noqa: BLE001 - a fault of our own must not lose the phases before it
        where = "".join(traceback.format_exception(error))
        outcome.status, outcome.reason = "failed", f"{type(error).__name__}: {error}\n{where}"


class _Course:
    """The course of one phase."""

    def __init__(self, phase: Phase, plan: Plan, seed: int, watch: Watcher, outcome: Outcome) -> None:
        self.outcome = outcome
        self._phase, self._plan, self._seed, self._watch = phase, plan, seed, watch

    def run(self, scratch: Path) -> None:
        """From nothing to the judged outcome."""
        plan, outcome = self._plan, self.outcome
        self._watch.goes_on("starting")
        with ExitStack() as stack:
            url = stack.enter_context(database(plan.database, scratch, plan.rows))
            servers = scratch / "servers"
            servers.mkdir()
            world = stack.enter_context(standing(self._phase.topology, plan, servers, self._phase.faults))
            outcome.database, outcome.server = kind_of(url), _name_of_server(world)
            options = {**OPTIONS, **self._phase.options}
            self._place = Place(world.url, world.namespace, options, str(scratch), url, plan.rows, self._phase.kinds)
            crew = stack.enter_context(Crew(world.readers, world.writers))
            strikes = self._load(crew, world, scratch)
            settled = self._settle(crew, scratch)
            outcome.restarts = crew.killed
        self._judge(scratch, settled, strikes)

    def _load(self, crew: Crew, world: World, scratch: Path) -> list[Strike]:
        """The load, with faults; at its end all is healed, and no reader or writer is left."""
        if command := beside(self.outcome.subject, self._place):
            crew.beside(command, scratch / "beside.log")
        crew.start(self._jobs(crew, scratch))
        crew.prepare(self._job("settler", crew, scratch))
        striker, began = Striker(self._phase, world, self._seed), time.monotonic()
        self.outcome.status = "complete"
        try:
            with striker:
                self._watched(crew, striker, scratch, began)
        except KeyboardInterrupt:
            self.outcome.status, self.outcome.reason = "interrupted", "stopped from outside"
        world.heal()
        self._healed_at = time.monotonic()
        self._tended(crew, time.monotonic() + self._plan.calm_seconds)
        crew.stop()
        self.outcome.seconds = time.monotonic() - began
        return striker.strikes

    def _watched(self, crew: Crew, striker: Striker, scratch: Path, began: float) -> None:
        while (seconds := time.monotonic() - began) < self._plan.seconds or striker.is_wanted:
            striker.check()
            reads = sum(count_of(path, READ) for path in scratch.glob("*.reads"))
            steps = sum(count_of(path, WRITE) for path in scratch.glob("*.writes"))
            last = striker.strikes[-1].what if striker.strikes else ""
            self._watch.goes_on("load", Tick(seconds, reads, steps // 3, len(striker.strikes), last))
            self._tended(crew, time.monotonic() + LOOK_SECONDS)

    def _tended(self, crew: Crew, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            crew.tend()
            time.sleep(min(left, LOOK_SECONDS / 2))

    def _settle(self, crew: Crew, scratch: Path) -> Settled:
        self._watch.goes_on("settling")
        crew.conclude(SETTLE_SECONDS)
        return msgspec.json.decode(settled_file(scratch).read_bytes(), type=Settled)

    def _judge(self, scratch: Path, settled: Settled, strikes: list[Strike]) -> None:
        self._watch.goes_on("judging")
        outcome, phase = self.outcome, self._phase
        outcome.settle_seconds, outcome.healed_seconds = settled.seconds, settled.at - self._healed_at
        history = History(
            rows=self._plan.rows,
            reads=_reads(scratch.glob("reader-*.reads")),
            writes=_writes(scratch.glob("*.writes")),
            final=_reads(scratch.glob("settler-*.reads")),
            newest=settled.newest,
            strikes=strikes,
        )
        outcome.counts = judge(history, Promise(phase.outbox, phase.grace_seconds, phase.graced))
        outcome.mishaps = dict(mishaps_in(scratch).most_common())
        outcome.problems = problems_of(outcome, phase)

    def _jobs(self, crew: Crew, scratch: Path) -> list[Job]:
        """Those of the load. The replica comes first: who reads it finds it."""
        numbers: dict[Kind, int] = {
            "replica": bool(self._lag()),
            "reader": self._plan.readers,
            "writer": self._plan.writers,
        }
        return [self._job(kind, crew, scratch) for kind, number in numbers.items() for _ in range(number)]

    def _job(self, kind: Kind, crew: Crew, scratch: Path) -> Job:
        plan, is_writer = self._plan, kind == "writer"
        reads, writes = plan.reads_per_second / plan.readers, self._phase.writes * plan.writes_per_second / plan.writers
        return Job(
            kind=kind,
            number=crew.number(),
            subject=self.outcome.subject,
            place=self._place,
            folder=str(scratch),
            seed=self._seed,
            mode=self._phase.mode,
            work=self._phase.work,
            threads=WRITER_THREADS if is_writer else plan.threads,
            per_second=writes if is_writer else reads,
            lives=self._phase.writers_live,
            load_seconds=(0.0, 0.0) if kind == "settler" else plan.load_seconds,  # at the end nothing races
            lag_seconds=self._lag(),
        )

    def _lag(self) -> float:
        """How far behind the database's replica may be; 0: there is none."""
        return float(self._phase.options.get("replica_lag", LAG_SECONDS)) if "lagging" in self._phase.work else 0.0


def _reads(paths: Iterable[Path]) -> Iterator[Read]:
    return chain.from_iterable(reads_in(path) for path in paths)


def _writes(paths: Iterable[Path]) -> list[Write]:
    return [write for path in paths for write in writes_in(path)]


def _name_of_server(world: World) -> str:
    for client in world.clients():
        with client:
            about: dict[str, Any] = client.info("server")
            return name_of(about)
    raise ChaosError("There is no primary.")


@contextmanager
def _scratch(logs: Path | None) -> Iterator[Path]:
    """A folder for one phase. Its logs are kept where something went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="unstale-chaos-"))
    try:
        yield folder
    except BaseException:
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
            for log in folder.rglob("*.log"):
                shutil.copy(log, logs)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
