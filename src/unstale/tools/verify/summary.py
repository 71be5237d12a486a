"""Logs of several processes, added up by namespace.

A line that is torn (its process was killed, the disk was full) or is none of ours is left out and counted; so is one of
another release's format, and one whose figures cannot be. What it held is missing, and is told: who quotes a share
should know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from unstale.core.verified import MAX_LOST, Counts, LostKey, Verification, add_to
from unstale.errors import ConfigurationError
from unstale.verifiers import FORMAT, Line

LAST_AT: Final = 253_370_764_800.0
"""The year 9999: no date is later."""
MOST_COUNTED: Final = 10**9
"""Of anything in one line, which is of a minute."""
_decoder = msgspec.json.Decoder(Line)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one namespace.

    Attributes:
        namespace: the cache's.
        verification: all of it.
        began_at: seconds since 1970: from when on.
        ended_at: until when.
        rates: the rates that lines were written with.
    """

    namespace: str
    verification: Verification
    began_at: float
    ended_at: float
    rates: tuple[float, ...]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What logs hold.

    Attributes:
        found: by namespace, in the order of their names.
        lines: how many were read.
        damaged: how many could not be.
    """

    found: tuple[Found, ...]
    lines: int
    damaged: int

    @property
    def is_any_lost(self) -> bool:
        """Whether somebody must look."""
        return any(one.verification.total.lost for one in self.found)


def summary_of(paths: Iterable[Path]) -> Summary:
    """Read logs, and add up.

    Raises:
        ConfigurationError: one cannot be read, or nothing is in them.
    """
    parts: dict[str, _Part] = {}
    lines = damaged = 0
    for raw in _raw_lines(paths):
        try:
            line = _decoder.decode(raw)
        except msgspec.DecodeError:
            damaged += 1
            continue
        if line.format != FORMAT or not _can_be(line):
            damaged += 1
            continue
        lines += 1
        parts.setdefault(line.namespace, _Part(line)).add(line)
    if not lines:
        raise ConfigurationError(f"Nothing was found in these logs ({damaged} lines of them could not be read).")
    found = tuple(parts[name].found() for name in sorted(parts))
    return Summary(found=found, lines=lines, damaged=damaged)


def _raw_lines(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in dict.fromkeys(one.resolve() for one in paths):  # each once: a line counts once
        try:
            with path.open("rb") as file:
                yield from (line for line in file if line.strip())
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error


def _can_be(line: Line) -> bool:
    """Whether some process can have found that, at a time that is one."""
    times = [(line.at, line.seconds), *((one.at, one.seconds) for one in line.lost)]
    return all(0 <= seconds <= at <= LAST_AT for at, seconds in times) and all(map(_is_whole, line.kinds.values()))


def _is_whole(counts: Counts) -> bool:
    """Whether these are counts: as many as this release has, none below zero, and none that nobody can count."""
    plain = (counts.same, *counts.settled, counts.lost, counts.unsettled)
    others = (counts.unrepeatable, counts.failed, counts.skipped)
    return len(counts.settled) == len(Counts().settled) and all(0 <= one <= MOST_COUNTED for one in (*plain, *others))


class _Part:
    """What was read of one namespace so far."""

    def __init__(self, first: Line) -> None:
        self._namespace = first.namespace
        self._began_at = self._ended_at = first.at
        self._kinds: dict[str, Counts] = {}
        self._lost: list[LostKey] = []
        self._rates: set[float] = set()
        self._limit = 0.0

    def add(self, line: Line) -> None:
        self._began_at = min(self._began_at, line.at - line.seconds)
        self._ended_at = max(self._ended_at, line.at)
        for kind, counts in line.kinds.items():
            add_to(self._kinds, kind, counts)
        self._lost += line.lost
        self._rates.add(line.rate)
        self._limit = max(self._limit, line.limit)

    def found(self) -> Found:
        lost: dict[str, LostKey] = {}
        for one in sorted(self._lost, key=lambda one: one.at):
            lost.setdefault(one.key, one)  # the first time that it was
        return Found(
            namespace=self._namespace,
            verification=Verification(
                kinds=self._kinds,
                lost=tuple(lost.values())[:MAX_LOST],
                rate=max(self._rates),
                limit=self._limit,
            ),
            began_at=self._began_at,
            ended_at=self._ended_at,
            rates=tuple(sorted(self._rates)),
        )
