"""A baseline: the findings that a project has for now. Only what comes on top of it counts.

A finding is known again by its rule, file, function and text, not by its line, so that it may move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from unstale.tools.audit.errors import AuditError
from unstale.tools.audit.results import Finding

VERSION: Final = 1


class Known(msgspec.Struct, frozen=True, order=True):
    """A finding as a baseline has it."""

    path: str
    rule: str
    symbol: str
    text: str


class Baseline(msgspec.Struct, frozen=True):
    """A file of known findings."""

    version: int
    known: tuple[Known, ...]


def baseline_of(findings: Iterable[Finding]) -> Baseline:
    """A baseline that knows these."""
    return Baseline(VERSION, tuple(sorted(map(_known, findings))))


def _known(finding: Finding) -> Known:
    return Known(finding.path, finding.rule, finding.symbol, finding.text)


def written(baseline: Baseline) -> bytes:
    """A baseline as a file: one finding a line, so that changes can be read."""
    return msgspec.json.format(msgspec.json.encode(baseline), indent=1) + b"\n"


def read(file: Path) -> Baseline:
    """A baseline from its file.

    Raises:
        AuditError: it cannot be read, or is no baseline.
    """
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Baseline)
    except OSError as error:
        raise AuditError(
            f"The baseline {file} cannot be read: {error.strerror}. Make one with --write-baseline."
        ) from error
    except msgspec.MsgspecError as error:
        raise AuditError(f"{file} is no baseline: {error}. Make one with --write-baseline.") from error
    if found.version != VERSION:
        raise AuditError(
            f"{file} is a baseline of version {found.version}, not {VERSION}. Make one with --write-baseline."
        )
    return found


def split(findings: Sequence[Finding], baseline: Baseline) -> tuple[list[Finding], list[Finding]]:
    """Those that are new, and those that the baseline knows; each of its lines once."""
    left = Counter(baseline.known)
    new: list[Finding] = []
    known: list[Finding] = []
    for each in findings:
        key = _known(each)
        if left[key] > 0:
            left[key] -= 1
            known.append(each)
        else:
            new.append(each)
    return new, known
