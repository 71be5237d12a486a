"""The load: a process of its own that sends a plan's requests at their times, and checks every answer.

    python -m unstale.tools.lab.load JOBFILE

It prints a `tally.Second` as a JSON line each second, from its start on. At the end it writes the window's requests to
`Job.out`; so it does, with those that there are, when it is told to end by SIGINT or SIGTERM (exit codes 130 and 143).
If nobody reads its lines any more it ends (141) and writes nothing.

Here are the process, its signals and its files. What is sent, and what is made of the answers, is in `visitors`, which
is imported last: locust is slow to import, and nothing else in the lab needs it.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from unstale.tools.lab.place import Job
from unstale.tools.lab.results import Requests
from unstale.tools.lab.tally import Second

if TYPE_CHECKING:
    from unstale.tools.lab.visitors import Visit

GONE: Final = 128 + signal.SIGPIPE
"""Exit code: nobody reads the lines."""
_STDOUT: Final = 1
_OPEN_MAX: Final = 10_240  # macOS names no limit, and takes no more than this


def write_job(job: Job, path: Path) -> None:
    """Write what the load process is to be told."""
    path.write_bytes(msgspec.json.encode(job, enc_hook=str))


def read_job(path: Path) -> Job:
    """What `write_job` wrote.

    Raises:
        OSError: there is no such file.
        msgspec.DecodeError: it is no job.
    """
    return msgspec.json.decode(path.read_bytes(), type=Job, dec_hook=_path)


def read_requests(path: Path) -> Requests:
    """What the load process wrote at its end.

    Raises:
        OSError: it wrote nothing: it was killed, or nobody read its lines.
    """
    return msgspec.json.decode(path.read_bytes(), type=Requests)


def main(arguments: list[str]) -> int:
    """Send the requests of a job.

    Args:
        arguments: the job's file.

    Returns:
        The exit code.
    """
    early: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda given, _: early.append(given))
    job = read_job(Path(arguments[0]))
    _allow_open_files()
    os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")  # all that we use of it is gevent's own
    from unstale.tools.lab.visitors import Visit  # noqa: PLC0415 - see the module's docstring

    visit = Visit(job)
    for number in (signal.SIGINT, signal.SIGTERM):
        visit.ends_on(number, 128 + number)
    code = 128 + early[0] if early else _watched(visit, job)
    if code != GONE:
        _write(visit.requests(), job.out)
    return code


def _watched(visit: Visit, job: Job) -> int:
    """Send it all, with a line each second. Returns the exit code."""
    visit.begin()
    try:
        code = None
        while code is None:
            number = math.floor(time.monotonic() - job.window_at) + 1
            code = visit.wait_until(job.window_at + number)
            if code is not None:
                visit.end()
            _say(visit.tally.second(number, None if code is None else visit.cpu_seconds))
    except BrokenPipeError:
        return GONE
    return code


def _say(second: Second) -> None:
    os.write(_STDOUT, msgspec.json.encode(second) + b"\n")


def _write(requests: Requests, path: Path) -> None:
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_bytes(msgspec.json.encode(requests))
    beside.replace(path)


def _allow_open_files() -> None:
    """As many as the system lets this process have: each request that waits for its answer is a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_MAX if hard == resource.RLIM_INFINITY else hard
    if most > soft >= 0:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _path(kind: type, given: Any) -> Any:
    return kind(given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
