"""The process that measures for `unstale lab scale`: python -m unstale.tools.lab.scale_child, told what by its stdin.

Its first line of input is a `ScaleJob`; each line of its output is a `Told`. It ends when its input does, which is when
its parent has ended, in whatever way. It is a process of its own since Django can be configured once in a process only.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from unstale.errors import UnstaleError
from unstale.tools.lab.scale_fill import EACH, Others, fill_in, values_for
from unstale.tools.lab.scale_job import Doing, LeftOut, ScaleJob, Told
from unstale.tools.lab.scale_plan import KEYSETS, METHODS, WALKS, Station, share, stations
from unstale.tools.lab.scale_results import Verb
from unstale.tools.lab.scale_sample import Meter, Task, users_of
from unstale.tools.lab.scale_ways import TTL_SECONDS, WAYS, Pages, configure

LONGEST: Final = 0.8
"""The part of a station's time that one method's walks may take, the first apart."""
CHEAP_SECONDS: Final = 1.0
"""A walk that takes no longer is done also where no time is left, until the round is over."""
RESERVED_SECONDS: Final = 15.0
"""For each station that is still to come, half of what is left at most: what is cheap is then measured there."""
LEAST_ROUNDS: Final = 3
"""Of what is cheap, also where a station has used up its share of the time."""
ORDER: Final[tuple[Verb, ...]] = ("read", "invalidate")
"""In a round; within each the methods as METHODS has them, the dearest last."""

Tell: TypeAlias = Callable[[Told], None]


class Measuring:
    """A whole run: station after station, in the time that there is."""

    def __init__(self, job: ScaleJob, tell: Tell) -> None:
        self._plan = job.plan
        self._prefix = job.prefix
        self._tell = tell
        self._meter = Meter(job.url)
        self._began = time.monotonic()
        self._others = 0
        """Users who never come, so far."""
        self._filled = 0
        """Keys of the last station."""
        self._fill_seconds = 0.0
        """For a key."""
        self._last: dict[str, Task] = {}
        """What was invalidated last, by method."""

    @property
    def _left(self) -> float:
        return self._began + self._plan.seconds - time.monotonic()

    def _say(self, what: str) -> None:
        self._tell(Doing(what, min(1.0, 1 - self._left / self._plan.seconds)))

    def run(self) -> None:
        """Measure all stations; those for which no time is left are told as left out."""
        rest, _ = stations(self._plan)
        for at, station in enumerate(rest):
            needed = self._fill_seconds * (station.keys - self._filled)
            if needed >= self._left:
                why = f"filling it in {self._no_time(needed)}" if self._left > 0 else "no time was left"
                self._tell(LeftOut(f"{station.name}: {why}."))
                continue
            self._station(station, rest[at:])

    def _station(self, station: Station, rest: Sequence[Station]) -> None:
        pages = Pages(station.per_user, self._plan.seed)
        ways = {method: WAYS[method](pages) for method in METHODS if method in self._plan.methods}
        owners = [
            (way, user)
            for method, way in {KEYSETS[method]: (method, way) for method, way in ways.items()}.values()
            for user in users_of(method, station)
        ]
        for way, user in owners:
            way.store(user)
        self._fill(station)
        self._meter.calibrate()
        self._rounds(
            [Task(verb, method, station, way, self._plan.seed) for verb in ORDER for method, way in ways.items()],
            share(self._left, rest),
            min(RESERVED_SECONDS * (len(rest) - 1), self._left / 2),
        )
        for way, user in owners:
            way.forget(user)

    def _rounds(self, tasks: list[Task], seconds: float, reserved: float) -> None:
        """All tasks in turns, since the machine has other work too; those that take too long leave.

        Args:
            tasks: of one station.
            seconds: its share of the time.
            reserved: seconds that are to be left for other stations; `seconds` may be exceeded, but not so far.
        """
        until = time.monotonic() + seconds
        for one in range(self._plan.rounds):
            if tasks and self._is_over(one, until, seconds):
                where = tasks[0].station.name
                self._tell(LeftOut(f"{where}: {one} of {self._plan.rounds} rounds; its share of the time was over."))
                return
            for task in list(tasks):
                why = self._too_long(task, seconds, reserved)
                if why:
                    tasks.remove(task)
                    self._tell(LeftOut(f"{task.name}: {task.rounds} of {self._plan.rounds} rounds; {why}."))
                    continue
                self._say(f"{task.name}, round {one + 1}")
                self._tell(task.sample(self._meter))
                if task.verb == "invalidate":
                    self._last[task.method] = task

    @staticmethod
    def _is_over(rounds: int, until: float, seconds: float) -> bool:
        """Whether a station has had its time: on a slow machine up to twice that, for LEAST_ROUNDS."""
        over = time.monotonic() - until
        return over >= 0 and rounds >= (LEAST_ROUNDS if over < seconds else 1)

    def _too_long(self, task: Task, seconds: float, reserved: float) -> str:
        """Why a walk over the keyspace is not to be sampled again; empty: it is, and so is all else: it is cheap."""
        if task.verb != "invalidate" or task.method not in WALKS:
            return ""
        if task.rounds and task.spent + task.last > LONGEST * seconds:
            return f"each takes {task.last:.1f} s"
        expected = task.last if task.rounds else self._expected(task)
        is_possible = expected < max(self._left - reserved, CHEAP_SECONDS)
        return "" if is_possible else f"another {self._no_time(expected, reserved)}"

    def _expected(self, task: Task) -> float:
        """Seconds of a first sample, by the last one elsewhere and how many keys there are to walk."""
        last = self._last.get(task.method)
        return last.last * task.station.keys / last.station.keys if last else 0.0

    def _no_time(self, needed: float, reserved: float = 0.0) -> str:
        left = max(0.0, self._left - reserved)
        return f"would take about {needed:.1f} s, and {left:.1f} s are left" + (" for it" if reserved else "")

    def _fill(self, station: Station) -> None:
        """Add others' keys until there are as many as the station has."""
        missing = max(0, station.keys - int(self._meter.client.dbsize()))
        others = Others(self._prefix, station.per_user, TTL_SECONDS, values_for(station.keys, self._plan.seed))

        def told(written: int) -> None:
            self._say(f"filling in: {station.keys - missing + written:,} of {station.keys:,} keys")

        began = time.monotonic()
        self._others = fill_in(self._meter.client, others, self._others, missing, told)
        self._filled = station.keys
        if missing > EACH:
            self._fill_seconds = (time.monotonic() - began) / missing


def main() -> int:
    """Measure what stdin says."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=ScaleJob)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(told: Told) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()

    configure(job.url, job.prefix)
    try:
        Measuring(job, tell).run()
    except UnstaleError as error:
        sys.stderr.write(f"{error}\n")  # which the parent says on
        return 1
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1024):  # not sys.stdin: its lock would be held when this process ends
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
