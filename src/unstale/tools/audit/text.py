"""A report as text: where, what, why, what in its place, and who calls it. It prints nothing."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Final

from unstale.contrib.django.patterns import parse_pattern
from unstale.tools.audit.results import Caller, Finding, Problem, Report

MOST_CALLERS: Final = 8
WIDTH: Final = 110


def lines(report: Report, *, callers: int = MOST_CALLERS, width: int = WIDTH) -> Iterator[str]:
    """A report's lines.

    Args:
        report: of an audit.
        callers: how many callers of a finding are shown.
        width: in columns.
    """
    for finding in report.findings:
        yield from _finding(finding, callers, width)
        yield ""
    for problem in report.problems:
        yield _problem(problem)
    if report.problems:
        yield ""
    yield from _summary(report)


def _finding(finding: Finding, callers: int, width: int) -> Iterator[str]:
    yield f"{where(finding)} {finding.rule} {finding.name}{' (a cache by its name)' if finding.by_name else ''}"
    yield f"    {finding.text}"
    yield from textwrap.wrap(finding.why, width, initial_indent="    why: ", subsequent_indent="         ")
    yield from textwrap.wrap(finding.remedy, width, initial_indent="    instead: ", subsequent_indent="             ")
    if finding.patterns and finding.family == "django":
        yield f"    TAG_PATTERNS: {', '.join(map(_quoted, finding.patterns))}"
    elif finding.patterns:
        yield f"    as tags: {', '.join(_quoted(parse_pattern(each).tag) for each in finding.patterns)}"
    for caller in finding.callers[:callers]:
        yield f"    called by {_caller(caller)}"
    if (more := len(finding.callers) - callers) > 0:
        yield f"    and by {more} more"


def where(finding: Finding) -> str:
    """A finding's place, as editors read it."""
    if finding.cell is not None:
        return f"{finding.path}:cell {finding.cell}:{finding.line}:"
    return f"{finding.path}:{finding.line}:{finding.column}:"


def _quoted(text: str) -> str:
    return repr(text) if '"' in text or "\\" in text else f'"{text}"'


def _caller(caller: Caller) -> str:
    return f"{caller.path}:{caller.line}" + (f" in {caller.symbol}" if caller.symbol else "")


def _problem(problem: Problem) -> str:
    return f"{problem.path}{f':{problem.line}' if problem.line else ''}: {problem.why}"


def _summary(report: Report) -> Iterator[str]:
    counted = Counter((finding.rule, finding.name) for finding in report.findings)
    for (rule, name), count in sorted(counted.items()):
        yield f"{rule} {name}: {count}"
    if not report.files and not report.problems:
        yield "There is no Python code here."
    said = f"{len(report.findings)} found in {report.files} files, {report.lines:,} lines, {report.seconds:.1f} s."
    if report.ignored:
        said += f" {len(report.ignored)} let pass by comments."
    if report.known:
        said += f" {len(report.known)} known to the baseline."
    if report.interrupted:
        said += " Interrupted: this is not all."
    yield said
