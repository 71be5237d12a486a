"""The load process as the lab sees it: started, listened to, and ended. What it does is in `load`.

It is a process of its own, since locust and gevent want the whole of one; what sends requests is never imported here.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from unstale.tools.lab.errors import LabError
from unstale.tools.lab.load import read_requests, write_job
from unstale.tools.lab.place import Job
from unstale.tools.lab.results import Requests
from unstale.tools.lab.tally import Second
from unstale.tools.logs import tail

LOOK_SECONDS: Final = 0.2
END_SECONDS: Final = 15.0
"""How long the load process may take to write what it has, after its grace."""


class Generator:
    """The load process, and what it says."""

    def __init__(self, process: subprocess.Popen[bytes], job: Job, log: Path) -> None:
        self._process = process
        self._ends_by = job.window_at + job.plan.seconds + job.plan.grace_seconds + END_SECONDS
        self._log = log
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def watch(self, check: Callable[[], None], tell: Callable[[Second], None]) -> None:
        """Until the load has ended.

        Args:
            check: raises if something else has died.
            tell: is given each second.

        Raises:
            LabError: it has died, or does not end.
        """
        while self._process.poll() is None:
            check()
            if time.monotonic() > self._ends_by:
                raise LabError(f"The load process did not end. Its log: {tail(self._log)}")
            self._tell(tell, LOOK_SECONDS)
        self._listener.join(END_SECONDS)
        while not self._said.empty():
            self._tell(tell, 0.0)
        if self._process.returncode:
            raise LabError(f"The load process ended with {self._process.returncode}. Its log: {tail(self._log)}")

    def stop(self) -> None:
        """Have it write what it has, and end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._listener.join(END_SECONDS)

    def _tell(self, tell: Callable[[Second], None], wait_seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            tell(msgspec.json.decode(self._said.get(timeout=wait_seconds), type=Second))

    def _listen(self) -> None:
        if self._process.stdout is not None:  # it is a pipe
            with self._process.stdout as lines:
                for line in lines:
                    self._said.put(line)


@contextmanager
def generating(job: Job, scratch: Path) -> Iterator[Generator]:
    """The load process, in a session of its own: Ctrl-C in the terminal reaches it by way of us."""
    path, log = scratch / "job.json", scratch / "load.log"
    write_job(job, path)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "unstale.tools.lab.load", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    generator = Generator(process, job, log)
    try:
        yield generator
    finally:
        generator.stop()


def requests_of(job: Job) -> Requests:
    """What the load process has written; nothing, if it was stopped before it had anything."""
    return read_requests(job.out) if job.out.exists() else Requests()
