"""What a server and this machine do while the load runs, in slices of about a second that cover the window exactly.

One INFO a second is all that a server notices of it. What the slices mean is said in `results`.
"""

from __future__ import annotations

import math
import threading
import time
from types import TracebackType
from typing import Final, Self

import psutil

from unstale.tools import engine
from unstale.tools.engine import CLASS_OF, CLASSES, CommandClass, Look, Work
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.node import Node, asking, connect
from unstale.tools.lab.results import Sample

OWN_TRIPS: Final = 1
"""A look is a trip of its own, and not counted. Its INFO is in the class `other`: some tenths of a millisecond."""
LEAVE_SECONDS: Final = 2.0
"""How long Ctrl-C waits for a look that is on its way; the thread then ends with its connection."""


class Sampler:
    """Samples a server in a thread, from the beginning of a window to its end. Use as a context manager.

    Leaving the context waits for the look at the window's end; after an exception (Ctrl-C), it ends at once and keeps
    the slices so far.
    """

    def __init__(self, node: Node, *, window_at: float, seconds: float, interval: float = 1.0) -> None:
        """Begin nothing yet.

        Args:
            node: the server.
            window_at: second of the monotonic clock at which the window begins.
            seconds: how long it is.
            interval: from one look to the next, in seconds.
        """
        self._node = node
        self._database = node.database
        self._window_at = window_at
        self._seconds = seconds
        self._interval = interval
        self._over = threading.Event()
        self._samples: list[Sample] = []
        self._client = connect(node.url)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        """Connect, so that this takes no time of the window, and wait for it in the thread."""
        with asking(self._node):
            self._client.ping()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the last look."""
        if kind is not None:
            self._over.set()
        self._thread.join(None if kind is None else LEAVE_SECONDS)
        self._client.close()
        if kind is None:
            self.check()

    @property
    def samples(self) -> list[Sample]:
        """The slices so far."""
        return list(self._samples)

    def check(self) -> None:
        """Raise LabError if the server has ended, was restarted, or had its statistics reset."""
        if isinstance(self._failure, LabError | ValueError):
            raise LabError(str(self._failure)) from self._failure
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._sample()
        except Exception as error:  # noqa: BLE001 - a thread's end: `check` raises it where it is seen
            self._failure = error

    def _sample(self) -> None:
        end_at = self._window_at + self._seconds
        if self._over.wait(max(0.0, self._window_at - time.monotonic())):
            return
        psutil.cpu_percent()  # the host's is counted from here on
        last = self._look()
        if last.at >= end_at:
            raise LabError(f"{self._node.name} did not answer once in the {self._seconds:g} seconds measured.")
        began_at = self._window_at
        while began_at < end_at:
            due_at = self._window_at + due_after(last.at - self._window_at, self._seconds, self._interval)
            if self._over.wait(max(0.0, due_at - time.monotonic())):
                return
            now = self._look()
            until = min(now.at, end_at)
            work = engine.between(last, now)
            self._samples.append(slice_of(work, now, seconds=until - began_at, at=until - self._window_at))
            began_at, last = until, now

    def _look(self) -> Look:
        with asking(self._node):
            return engine.look(self._client, self._database)


def due_after(at: float, seconds: float, interval: float) -> float:
    """When a window's next look is due, so that slices are as even as may be: what a short one shows is chance.

    Only a look that had to wait until shortly before the window's end leaves a short slice.

    Args:
        at: of the last look, in seconds of the window.
        seconds: how long the window is.
        interval: how long a slice should be, in seconds.
    """
    due = math.ceil(at / interval + 0.5) * interval
    return seconds if due + interval / 2 > seconds else due


def slice_of(work: Work, now: Look, *, seconds: float, at: float) -> Sample:
    """A slice of the window, from two looks that were a little beside its ends: what is counted is scaled to it.

    Args:
        work: between the two looks.
        now: the later one.
        seconds: how long the slice is.
        at: where it ends in the window, in seconds.
    """
    part = seconds / work.seconds
    calls: dict[CommandClass, int] = dict.fromkeys(CLASSES, 0)
    for name, command in work.commands.items():
        calls[CLASS_OF.get(name, "other")] += command.calls
    return Sample(
        at=at,
        seconds=seconds,
        engine_seconds=work.engine_seconds * part,
        process_seconds=work.process_seconds * part,
        host_percent=psutil.cpu_percent(),
        by_class={kind: spent * part for kind, spent in work.seconds_by_class().items()},
        calls={kind: round(count * part) for kind, count in calls.items()},
        trips=round((work.trips - OWN_TRIPS) * part),
        memory_bytes=now.memory_bytes,
        keys=now.keys,
    )


def idle_percent(node: Node, seconds: float) -> float:
    """The engine's CPU while nobody asks it anything, in percent of a core.

    Args:
        node: the server, filled.
        seconds: how long it is watched.

    Raises:
        LabError: it refused, or is gone.
    """
    with asking(node), connect(node.url) as client:
        first = engine.look(client, node.database)
        time.sleep(seconds)
        return engine.between(first, engine.look(client, node.database)).engine_percent
