"""What an audit gives. Data only: frozen, and the same in every output."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

FORMAT: Final = 1
"""Of the JSON: another number where a field has gone or means something else."""


class Level(StrEnum):
    """How bad a rule's findings are, in SARIF's words."""

    ERROR = "error"
    """Somebody may be given what is wrong, or may run code."""
    WARNING = "warning"
    NOTE = "note"


class Caller(msgspec.Struct, frozen=True, order=True):
    """A call that reaches a finding through the project's functions."""

    path: str
    line: int
    symbol: str
    """The function in which the call stands; "" for a module's own code."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One place where caching hurts or lies."""

    rule: str
    """Its id: UNS001."""
    name: str
    path: str
    """Relative to what was audited, with slashes."""
    line: int
    """Of the call, from 1. In a notebook, of the cell."""
    column: int
    """From 1."""
    end_line: int
    level: Level
    symbol: str
    """The function or class in which it stands."""
    text: str
    """The line, as it is written."""
    why: str
    remedy: str
    callers: tuple[Caller, ...] = ()
    also: tuple[int, ...] = ()
    """Other lines of the file that belong to it: where the key is made, the read of a fill."""
    patterns: tuple[str, ...] = ()
    """TAG_PATTERNS that make it one write."""
    family: str = ""
    """Whose call it is: django, redis, cashews and so on; "" where it is none of a cache's own."""
    aliases: tuple[str, ...] = ()
    """Which of Django's caches it is, by their names in CACHES; "" among them where that cannot be told."""
    by_name: bool = False
    """Whether the receiver was taken for a cache by its name only."""
    cell: int | None = None
    """The notebook's cell, from 1."""
    ignored: str | None = None
    """The reason that a comment gives for it."""


class Problem(msgspec.Struct, frozen=True):
    """A file, or a part of one, that was not audited."""

    path: str
    why: str
    line: int | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    format: int = FORMAT
    root: str
    """The name of what was audited."""
    findings: tuple[Finding, ...]
    """By path and line."""
    ignored: tuple[Finding, ...] = ()
    """What a comment with a reason lets pass."""
    known: tuple[Finding, ...] = ()
    """What the baseline has."""
    problems: tuple[Problem, ...] = ()
    files: int = 0
    lines: int = 0
    seconds: float = 0.0
    interrupted: bool = False
