"""The end of a phase, all being healed: what is queued is carried out, and then every key is read once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import cast

import msgspec

from unstale.tools.chaos.job import Job
from unstale.tools.chaos.loading import Loading
from unstale.tools.chaos.mishaps import Mishaps
from unstale.tools.chaos.reader import Reader
from unstale.tools.chaos.recording import Reads
from unstale.tools.chaos.rows import Rows
from unstale.tools.chaos.subject import Subject, maker, writer_of


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        at: the monotonic time, in seconds, by which all that was queued was carried out.
        seconds: that this took from the end of the load.
        newest: each row's version in the database.
    """

    at: float
    seconds: float
    newest: list[int]


def settled_file(folder: Path) -> Path:
    """Where it is written."""
    return folder / "settled.json"


def settle(job: Job, rows: Rows, mishaps: Mishaps, stop: threading.Event) -> None:
    """Once told to: carry out, read every key, and write it down.

    Raises:
        Whatever the subject's `settle` raises: a queue that cannot be carried out on a healed server is a fault.
    """
    subject = cast("Subject", maker(writer_of(job.subject))(job.place))
    stop.wait()
    began = time.monotonic()
    subject.settle()
    settled = time.monotonic()
    found = Settled(at=settled, seconds=settled - began, newest=rows.newest())
    reader = Reader(job, 0, subject, Loading(job, rows), mishaps)
    with Reads(job.reads_file) as file:
        buffer = file.buffer()
        for key in range(job.place.rows * job.place.kinds):
            buffer.add(reader.read(key))
        buffer.flush()
    subject.close()
    settled_file(Path(job.folder)).write_bytes(msgspec.json.encode(found))
