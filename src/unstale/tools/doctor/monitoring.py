r"""With --monitor: a second or two of MONITOR, and what of it is kept: patterns, shapes and counts. No value is.

MONITOR makes the server send every command to the doctor as well, which on a busy one costs much: so it is asked for by
name, is short, and ends early where there is too much. A line is `1700000000.1 [0 127.0.0.1:5000] "get" "a\"b\x00"`.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import redis

from unstale.core.globs import regex_of
from unstale.core.keys import is_stamp_name
from unstale.tools.classes import DELETES, WorkClass, class_of
from unstale.tools.doctor.facts import reading
from unstale.tools.doctor.names import ID, shapes, text_of
from unstale.tools.doctor.results import Busy, Monitored, Pattern

MOST_LINES: Final = 200_000
MOST_LINE_BYTES: Final = 2048
"""Of a line are kept: values may be long, and are not looked at."""
MOST_BUSY: Final = 20
LOOK_SECONDS: Final = 0.1
"""How often a quiet server is left to see whether time is over."""
_WORD: Final = re.compile(rb'"((?:[^"\\]|\\.)*)(?:"|$)')
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-f]{2}|.)")
_PLAIN: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_GLOB: Final = re.compile(rb"[*?\[\\]")
_KEYED: Final[frozenset[WorkClass]] = frozenset({"reads", "writes", "deletes", "scans"})
"""Classes of commands whose first word is a key."""


class Heard(NamedTuple):
    """What was heard, as the server told it."""

    seconds: float
    lines: Sequence[bytes]
    whole: bool


def listen(client: redis.Redis, seconds: float, stop: threading.Event) -> Heard:
    """Have the server tell every command for a while.

    Raises:
        redis.RedisError: it refuses, or is gone.
    """
    lines: list[bytes] = []
    connection = client.connection_pool.get_connection()
    try:
        connection.send_command("MONITOR")  # type: ignore[no-untyped-call]
        connection.read_response()
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0 and not stop.is_set() and len(lines) < MOST_LINES:
            with reading():
                if connection.can_read(min(left, LOOK_SECONDS)):
                    lines.append(connection.read_response()[:MOST_LINE_BYTES])
        return Heard(time.monotonic() - began, lines, len(lines) < MOST_LINES)
    finally:
        connection.disconnect()  # type: ignore[no-untyped-call] # it is of no other use now
        client.connection_pool.release(connection)


def words_of(line: bytes) -> list[bytes]:
    """A command's words; the last one may be cut off."""
    return [_ESCAPE.sub(_unescaped, word) for word in _WORD.findall(line.partition(b"] ")[2])]


def _unescaped(found: re.Match[bytes]) -> bytes:
    char = found[1]
    return bytes([int(char[1:], 16)]) if len(char) > 1 else _PLAIN.get(char, char)


class _Walk(NamedTuple):
    """One KEYS, or one step of a SCAN."""

    command: str
    pattern: bytes
    begins: bool


def monitored(heard: Heard) -> Monitored:
    """What is kept of it."""
    commands = [words for words in map(words_of, heard.lines) if words]
    walks = [walk for walk in map(_walk_of, commands) if walk is not None]
    deleted = [name for words in commands if _name_of(words) in DELETES for name in words[1:]]
    by_pattern = Counter(_matched(deleted, {walk.pattern for walk in walks}))
    return Monitored(
        seconds=heard.seconds,
        commands=len(commands),
        whole=heard.whole,
        patterns=_patterns(walks, by_pattern),
        busiest=_busiest(commands),
        deleted_by_pattern=by_pattern.total(),
        deleted_by_key=len(deleted) - by_pattern.total(),
        stamps_written=sum(_writes_stamp(words) for words in commands),
    )


def _name_of(words: Sequence[bytes]) -> str:
    return words[0].decode("ascii", "replace").lower()


def _walk_of(words: Sequence[bytes]) -> _Walk | None:
    name = _name_of(words)
    if name == "keys" and len(words) > 1:
        return _Walk("KEYS", words[1], begins=True)
    if name != "scan" or len(words) < 2:  # noqa: PLR2004 - the cursor
        return None
    upper = [word.upper() for word in words[:-1]]
    pattern = words[upper.index(b"MATCH") + 1] if b"MATCH" in upper else b"*"
    return _Walk("SCAN", pattern, begins=words[1] == b"0")


def _matched(names: Iterable[bytes], patterns: Iterable[bytes]) -> Iterator[bytes]:
    """For each name that one of the patterns matches, that pattern. Only those that begin like the name are tried."""
    by_start: dict[bytes, list[bytes]] = defaultdict(list)
    for pattern in patterns:
        by_start[_GLOB.split(pattern, maxsplit=1)[0]].append(pattern)
    lengths = sorted({len(start) for start in by_start}, reverse=True)
    for name in names:
        near = (pattern for length in lengths for pattern in by_start.get(name[:length], ()))
        found = next((pattern for pattern in near if regex_of(pattern).fullmatch(name)), None)
        if found is not None:
            yield found


def _patterns(walks: Sequence[_Walk], deleted: Counter[bytes]) -> list[Pattern]:
    """The patterns alike put together, the one with most walks first."""
    distinct = list(dict.fromkeys(walk.pattern for walk in walks))
    shape_of = dict(zip(distinct, shapes([text_of(one) for one in distinct], ID), strict=True))
    alike: dict[tuple[str, str], list[_Walk]] = defaultdict(list)
    for walk in walks:
        alike[walk.command, shape_of[walk.pattern]].append(walk)
    found = [
        Pattern(
            command=command,
            pattern=pattern,
            walks=sum(walk.begins for walk in members),
            calls=len(members),
            deleted=sum(deleted[one] for one in {walk.pattern for walk in members}),
        )
        for (command, pattern), members in alike.items()
    ]
    return sorted(found, key=lambda one: (-one.walks, -one.calls))


def _busiest(commands: Sequence[Sequence[bytes]]) -> list[Busy]:
    """Which commands came most, by the shape of their first key."""
    keyed = [
        (_name_of(words), words[1]) for words in commands if len(words) > 1 and class_of(_name_of(words)) in _KEYED
    ]
    distinct = list(dict.fromkeys(name for _, name in keyed))
    shape_of = dict(zip(distinct, shapes([text_of(one) for one in distinct]), strict=True))
    counted = Counter((command.upper(), shape_of[name]) for command, name in keyed)
    return [
        Busy(command=command, shape=shape, calls=calls) for (command, shape), calls in counted.most_common(MOST_BUSY)
    ]


def _writes_stamp(words: Sequence[bytes]) -> bool:
    """Whether this is an invalidation of unstale's: a SET of a stamp with XX. A fill's has NX."""
    return (
        _name_of(words) == "set"
        and len(words) > 2  # noqa: PLR2004 - name and value
        and b"XX" in [word.upper() for word in words[3:]]
        and is_stamp_name(words[1])
    )
