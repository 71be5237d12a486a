"""Files of records: what each worker has seen, written while it happens, and read again by the judge.

A reader's records wait in its thread's own buffer for at most a second. A writer's are written at once, each step of a
write on its own, so that what a killed process had begun is known: an intent before COMMIT, then that it is committed,
then what became of its invalidation. A file ends with at most one torn record, which is left out.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from unstale.tools.chaos.record import Effect, Read, Source, Write

READ: Final = struct.Struct("<iqqBxxxiq")
WRITE: Final = struct.Struct("<BBxxiqqqq")
FLUSH_NS: Final = 1_000_000_000
"""How long a read may wait in its buffer."""
FLUSH_BYTES: Final = 64 * 1024
CHUNK: Final = 8192
"""Records that are read at a time."""
_SOURCES: Final = tuple(Source)


class Step(IntEnum):
    """How far a write had come when the record was written."""

    INTENT = 0
    """The transaction is about to be committed."""
    COMMITTED = 1
    """It is."""
    DONE = 2
    """What became of its invalidation is known."""


class _Appended:
    """A file that is only ever appended to, each time by one system call."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def append(self, data: bytes | bytearray) -> None:
        """Write all of it, or raise OSError."""
        if self._file.write(data) != len(data):
            raise OSError(f"{self._file.name} could not be written whole.")

    def __enter__(self) -> Self:
        """Use as a context manager that closes at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self._file.close()


class Reads(_Appended):
    """A process's file of reads."""

    def buffer(self) -> Buffer:
        """For one thread, or one event loop."""
        return Buffer(self)


class Buffer:
    """The reads of one thread that are not in the file yet."""

    def __init__(self, file: Reads) -> None:
        """Begin with none."""
        self._file = file
        self._waiting = bytearray()
        self._flush_at = time.monotonic_ns() + FLUSH_NS

    def add(self, read: Read) -> None:
        """Take a read; write what waits if it is due."""
        self._waiting += READ.pack(*read)
        if read.ended >= self._flush_at or len(self._waiting) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._file.append(self._waiting)
            self._waiting.clear()
        self._flush_at = time.monotonic_ns() + FLUSH_NS


class Writes(_Appended):
    """A process's file of writes. Each step is in the file when its call returns."""

    def intend(self, row: int, version: int, began: int) -> None:
        """To be called before COMMIT."""
        self.append(WRITE.pack(Step.INTENT, Effect.UNKNOWN, row, version, began, 0, 0))

    def committed(self, row: int, version: int, began: int, at: int) -> None:
        """To be called after COMMIT."""
        self.append(WRITE.pack(Step.COMMITTED, Effect.UNKNOWN, row, version, began, at, 0))

    def done(self, write: Write) -> None:
        """To be called when it is known what became of it."""
        row, version, began, committed, ended, effect = write
        self.append(WRITE.pack(Step.DONE, effect, row, version, began, committed, ended))


def reads_in(path: Path) -> Iterator[Read]:
    """The reads of a file, in the order in which they were written."""
    for key, began, ended, source, row, version in _records(path, READ):
        yield Read(key, began, ended, _SOURCES[source], row, version)


def writes_in(path: Path) -> list[Write]:
    """The writes of a file, each as far as it had come: one that was begun and never done is UNKNOWN."""
    found: dict[tuple[int, int, int], Write] = {}
    for _, effect, row, version, began, committed, ended in _records(path, WRITE):
        found[row, version, began] = Write(row, version, began, committed, ended, Effect(effect))
    return list(found.values())


def count_of(path: Path, record: struct.Struct) -> int:
    """How many whole records a file has; none if it is not there yet."""
    try:
        return path.stat().st_size // record.size
    except FileNotFoundError:
        return 0


def _records(path: Path, record: struct.Struct) -> Iterator[tuple[Any, ...]]:
    with path.open("rb") as file:
        whole = os.fstat(file.fileno()).st_size // record.size * record.size
        while whole:
            chunk = file.read(min(whole, CHUNK * record.size))
            whole -= len(chunk)
            yield from record.iter_unpack(chunk)
