"""The processes of a phase: started, followed by another when one was killed, and always ended.

What they are told is a `job`, what they do is in `worker`.
"""

from __future__ import annotations

import itertools
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

from unstale.tools import leash
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.job import Job, write_job
from unstale.tools.logs import tail

START_SECONDS: Final = 60.0
"""How long a process may take until it is ready, on a machine that is busy."""
END_SECONDS: Final = 60.0
"""How long it may take to end what it is at: a write waits for the database, a call for its time limit."""
GONE_SECONDS: Final = 10.0
"""Between the end of a process's output and its own."""
LOOK_SECONDS: Final = 0.05


@dataclass(slots=True, eq=False)
class Worker:
    """A process that runs, or has run."""

    job: Job
    process: subprocess.Popen[bytes]
    log: Path

    def failed(self) -> ChaosError:
        """What to raise where it has ended, but should not have."""
        status = self.process.returncode
        return ChaosError(
            f"The process {self.job.name} has ended, with status {status}. Its log ends with:\n{self.tail()}"
        )

    def tail(self) -> str:
        """The end of its log."""
        return tail(self.log) or "(nothing)"


class Crew:
    """All processes of a phase. A context manager: at its end none is left.

    Attributes:
        readers: process ids of readers that run; a world's own list, kept up to date.
        writers: the same of writers.
        killed: how many were killed and followed by another.
    """

    def __init__(self, readers: list[int], writers: list[int]) -> None:
        """Take the lists to be kept up to date."""
        self.readers, self.writers, self.killed = readers, writers, 0
        self._workers: list[Worker] = []
        self._last: Worker | None = None
        self._numbers = itertools.count()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Begin with none."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them at once, stopped ones too."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.communicate()
        self._workers.clear()
        self._tell()
        self._stack.close()

    def beside(self, command: list[str], log: Path) -> None:
        """Start a process that the subject needs, and wait until it says that it is ready. It is ended last.

        It is on a leash: the program is not ours, and does not end by itself when this process is killed.
        """
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                start_new_session=True,
            )
        self._stack.callback(_end, process)
        if not _says_ready(process):
            raise ChaosError(f"What runs beside the subject is not ready. Its log ends with:\n{tail(log)}")

    def start(self, jobs: list[Job]) -> None:
        """Start processes, and wait until all are ready.

        Raises:
            ChaosError: one has ended, or is not ready in time.
        """
        started = [self._start(job) for job in jobs]
        self._tell()
        for worker in started:
            self._wait_for(worker)

    def tend(self) -> None:
        """Follow up those that were killed.

        Raises:
            ChaosError: one has ended in another way.
        """
        for worker in [one for one in self._workers if one.process.poll() is not None]:
            self._forget(worker)
            if worker.process.returncode != -signal.SIGKILL:
                raise worker.failed()
            self.killed += 1
            self._start(msgspec.structs.replace(worker.job, number=self.number()))
        self._tell()

    def stop(self) -> None:
        """Have all but the last end what they are at, and wait for it.

        Raises:
            ChaosError: one ended with an error, or did not end.
        """
        ending = [one for one in self._workers if one is not self._last]
        for worker in ending:
            _stdin(worker.process).close()
        until = time.monotonic() + END_SECONDS
        for worker in ending:
            self._join(worker, until - time.monotonic())

    def prepare(self, job: Job) -> None:
        """Start the process that has the last word, and have it wait, so that it costs no time when it is wanted."""
        self._last = self._start(job)

    def conclude(self, seconds: float) -> None:
        """Let that process go on, and wait for its end.

        Raises:
            ChaosError: it failed, or takes longer than so many seconds.
        """
        assert self._last is not None  # noqa: S101 - it was prepared
        _stdin(self._last.process).close()
        self._join(self._last, seconds)

    def number(self) -> int:
        """One that no other process of this phase has."""
        return next(self._numbers)

    def _start(self, job: Job) -> Worker:
        log = Path(job.folder, f"{job.name}.log")
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "unstale.tools.chaos.worker", str(write_job(job))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for the run
            )
        self._workers.append(Worker(job, process, log))
        return self._workers[-1]

    def _wait_for(self, worker: Worker) -> None:
        if not _says_ready(worker.process):
            with suppress(subprocess.TimeoutExpired):  # it has closed its output, and ends, or it is still at work
                worker.process.wait(GONE_SECONDS)
            raise worker.failed()

    def _join(self, worker: Worker, seconds: float) -> None:
        try:
            worker.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            raise ChaosError(f"The process {worker.job.name} does not end. Its log: {worker.tail()}") from None
        self._forget(worker)
        if worker.process.returncode not in {0, -signal.SIGKILL}:
            raise worker.failed()

    def _forget(self, worker: Worker) -> None:
        self._workers.remove(worker)
        _close(worker.process)

    def _tell(self) -> None:
        """Keep the lists up to date. Both are a world's own, so they are changed and not replaced."""
        self.readers[:] = [one.process.pid for one in self._workers if one.job.kind == "reader"]
        self.writers[:] = [one.process.pid for one in self._workers if one.job.kind == "writer"]


def _says_ready(process: subprocess.Popen[bytes]) -> bool:
    out = process.stdout
    assert out is not None  # noqa: S101 - for mypy: it is a pipe
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if select.select([out], [], [], LOOK_SECONDS)[0]:
            return bool(out.readline())
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None  # noqa: S101 - for mypy: it is a pipe
    return process.stdin
