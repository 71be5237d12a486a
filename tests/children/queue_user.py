"""Uses a queue's file from a process of its own: `append PATH NUMBER`, or `die PATH STEP` in the middle of it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn

from unstale import outbox
from unstale.core.pending import Pending
from unstale.outbox import QueueFile

APPENDS = 200


def record(number: int) -> Pending:
    """A record of one's own."""
    return Pending(f"{number:032x}", (f"test:s:{{user:{number}}}".encode(),), 86400.0)


def die(*_: Any) -> NoReturn:
    """End here and now."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def after(function: Any) -> Any:
    """A function, and then the end."""

    def called(*arguments: Any) -> NoReturn:
        function(*arguments)
        die()

    return called


def half_written(opened: int, text: bytes) -> NoReturn:
    """A write that ends in the middle."""
    os.write(opened, text[: len(text) // 2])
    die()


def die_at(queue: QueueFile, step: str) -> None:
    """Do what the step belongs to, and die at it. The queue holds the records 1 and 2."""
    match step:
        case "append written":
            outbox._write = half_written
            queue.append(record(3))
        case "append synced":
            os.fsync = after(os.fsync)
            queue.append(record(3))
        case "remove written":
            os.fsync = after(os.fsync)
            queue.remove({record(1).mark})
        case "remove replaced":
            os.fsync = _after_the_second(os.fsync)
            queue.remove({record(1).mark})
        case "remove truncated":
            os.ftruncate = after(os.ftruncate)
            queue.remove({record(1).mark, record(2).mark})


def _after_the_second(function: Any) -> Any:
    """The new file is synced first, then the directory."""
    calls = []

    def called(*arguments: Any) -> None:
        function(*arguments)
        calls.append(1)
        if len(calls) == 2:
            die()

    return called


if __name__ == "__main__":
    what, path, argument = sys.argv[1:]
    used = QueueFile(path)
    if what == "append":
        for one in range(APPENDS):
            used.append(record(int(argument) * APPENDS + one))
    else:
        die_at(used, argument)
