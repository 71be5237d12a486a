"""An invalidation that has not taken effect, as a record that can be kept, and where it is kept.

A record is a line: a checksum, then plain data in JSON. What of a last line is missing was never acknowledged.

A line is data of others: what is no record is counted as damaged, and never raises. Only stamps can be named in it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol
from zlib import crc32

from unstale.core.keys import is_stamp_name
from unstale.core.policy import MAX_SECONDS

_CHECKSUM: Final = 8
_FORM: Final = re.compile(rb'[0-9a-f]{8} \["')
_BEGINNING: Final = b'00000000 ["'
BEGINNING: Final = len(_BEGINNING)
"""So many bytes tell what kind of file it is."""
OF_COMPLETION: Final = 25
"""A strict write's end is a trip of its own, which takes about as long as so many stamps of a larger one."""
_MARK: Final = re.compile("[0-9a-f]{32}")


class Pending(NamedTuple):
    """What has to be done at the server.

    Attributes:
        mark: this record's own, 32 hexadecimal digits.
        names: the names of the stamps.
        stamp_ttl: see `Store.bump`.
        soft: see `Store.bump`.
        lag: see `Store.bump`.
        owner: of a strict write that is to be completed; empty for an invalidation.
        keep: see `Store.complete`.
    """

    mark: str
    names: tuple[bytes, ...]
    stamp_ttl: float
    soft: bool = False
    lag: float = 0.0
    owner: str = ""
    keep: float = 0.0


class Part(NamedTuple):
    """The last records of a queue, as many as are done in one go.

    Attributes:
        records: in the order in which they were kept.
        damaged: lines among them that are none.
        start: the byte at which the first begins.
    """

    records: list[Pending]
    damaged: int
    start: int


class Queue(Protocol):
    """Where such records are kept until they have taken effect."""

    def join(self, hold: Callable[[], None]) -> bool:
        """Have a method called when this process has kept one, with whatever cache: nothing must be served then.

        It is held weakly. Whether it is new.
        """

    def hold(self) -> None:
        """Call all who have joined."""

    def follow(self, follow: Callable[[Sequence[Pending]], None]) -> None:
        """Have a method called, held weakly, with records that have taken effect, before they are removed.

        It raises StoreError where they are to stay.
        """

    def tell(self, done: Sequence[Pending]) -> None:
        """Call all who follow. Raises StoreError."""

    def append(self, pending: Pending) -> None:
        """Keep a record: on return it is on the disk. Raises QueueError."""

    def last(self, most: int) -> Part:
        """The last records, no more than this, at least one if there is any. Raises QueueError."""

    def remove(self, marks: set[str], start: int = 0) -> None:
        """Remove records by their marks, and damaged lines, from a byte on (`Part.start`). Raises QueueError."""

    def has_any(self) -> bool:
        """Whether there may be one."""

    def take_turn(self) -> bool:
        """Whether the caller may drain on the side, as nobody in this process does. It must `give_turn` then."""

    def give_turn(self) -> None:
        """Let another."""


def packed(pending: Pending) -> bytes:
    """A record's line."""
    names = [name.decode("utf-8", "surrogateescape") for name in pending.names]
    body = json.dumps([*pending._replace(names=tuple(names))], separators=(",", ":")).encode()  # type: ignore[arg-type]
    return b"%08x %b\n" % (crc32(body), body)


def unpacked(lines: bytes) -> tuple[list[Pending], int]:
    """The records of some lines, and how many lines are none. A last one that is cut off does not count."""
    found, damaged = [], 0
    for line in lines.split(b"\n")[:-1]:
        one = _unpacked(line)
        if one is None:
            damaged += 1
        else:
            found.append(one)
    return found, damaged


def last_of(text: bytes, at: int, most: int) -> Part:
    """The last records of the end of a file.

    Args:
        text: the end; where it is not the whole file, its first line may be cut off.
        at: where in the file it begins.
        most: units of work: a stamp is one, and a strict write's end OF_COMPLETION. One record may be more.
    """
    *lines, _ = text.split(b"\n")
    end = at + sum(map(len, lines)) + len(lines)
    if at:
        del lines[0]
    records, damaged, start, left = list[Pending](), 0, end, most
    for line in reversed(lines):
        one = _unpacked(line)
        left -= 1 if one is None else OF_COMPLETION if one.owner else len(one.names)
        if left < 0 and start != end:
            break
        start -= len(line) + 1
        if one is None:
            damaged += 1
        else:
            records.append(one)
    return Part(records[::-1], damaged, start)


def begins_queue(head: bytes) -> bool:
    """Whether a file that begins so (with BEGINNING bytes, or less if it has less) may be a queue, damaged or torn."""
    return _FORM.match(head + _BEGINNING[len(head) :]) is not None


def _unpacked(line: bytes) -> Pending | None:
    checksum, body = line[:_CHECKSUM], line[_CHECKSUM + 1 :]
    if checksum != b"%08x" % crc32(body):
        return None
    try:
        given = json.loads(body)
        if type(given) is not list or len(given) != len(Pending._fields) or not _is_record(given):
            return None
        mark, names, *rest = given
        return Pending(mark, tuple(name.encode("utf-8", "surrogateescape") for name in names), *rest)
    except (ValueError, RecursionError):  # no JSON, no text, or lists in lists
        return None


def _is_record(given: list[Any]) -> bool:
    mark, names, stamp_ttl, soft, lag, owner, keep = given
    return (
        _is_text(mark, _MARK)
        and type(names) is list
        and len(names) > 0
        and all(type(name) is str and is_stamp_name(name.encode("utf-8", "surrogateescape")) for name in names)
        and _is_seconds(stamp_ttl)
        and stamp_ttl > 0
        and type(soft) is bool
        and _is_seconds(lag)
        and (owner == "" or _is_text(owner, _MARK))
        and _is_seconds(keep)
    )


def _is_text(given: Any, form: re.Pattern[str]) -> bool:
    return type(given) is str and form.fullmatch(given) is not None


def _is_seconds(given: Any) -> bool:
    """No NaN, and nothing that a server or a float cannot take; a stamp may live without a limit."""
    return type(given) in (int, float) and (0 <= given <= MAX_SECONDS or given == math.inf)
