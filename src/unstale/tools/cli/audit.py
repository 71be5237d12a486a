"""`unstale audit`: options to settings, a report to the terminal, JSON or SARIF.

Exit status: 0 nothing was found, 1 something was, 2 it cannot be done as asked, 130 it was stopped.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.text import Text

from unstale.tools.audit import Report, Settings, settings_of
from unstale.tools.audit import audit as audited
from unstale.tools.audit.baseline import Baseline, baseline_of, read, written
from unstale.tools.audit.fixes import fixes, write
from unstale.tools.audit.rules import RULES
from unstale.tools.audit.sarif import sarif
from unstale.tools.audit.text import lines
from unstale.tools.cli.saying import console, errors, fail, told
from unstale.tools.cli.status import STOPPED

FOUND: Final = 1


class Format(StrEnum):
    """How a report is written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def audit(  # noqa: PLR0913 - a command's options
    path: Annotated[Path, typer.Argument(help="A file or a folder of Python code. It is read, never run.")] = Path(),
    *,
    form: Annotated[Format, typer.Option("--format", help="Of the report.")] = Format.TEXT,
    select: Annotated[list[str] | None, typer.Option("--select", help="Only this rule; may be repeated.")] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="Not this rule; may be repeated.")] = None,
    include_tests: Annotated[
        bool, typer.Option("--include-tests", help="Tests, migrations and documentation, too.")
    ] = False,
    baseline: Annotated[Path | None, typer.Option(help="A file of known findings: only others count.")] = None,
    write_baseline: Annotated[
        bool, typer.Option("--write-baseline", help="Write what is found now into --baseline.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Show what can be rewritten safely, as a diff; --yes writes it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: write it.")] = False,
    out: Annotated[Path | None, typer.Option(help="A file for the report, in place of the terminal.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the rules.")] = False,
) -> None:
    """Find where Python code caches in ways that hurt or lie."""
    if listed:
        _list()
        return
    if write_baseline and baseline is None:
        fail("--write-baseline needs --baseline FILE.")
    if yes and not fix:
        fail("--yes writes what --fix shows: it needs --fix.")
    with told("The report"):
        known = read(baseline) if baseline is not None and not write_baseline else None
        settings = _settings(path, select, ignore, include_tests=include_tests)
        report = _audited(path, settings, known)
        if write_baseline and baseline is not None:
            if report.interrupted:
                raise typer.Exit(STOPPED)  # what is not all must not be taken for it
            baseline.write_bytes(written(baseline_of(report.findings)))
            count = len(report.findings)
            errors.print(f"{count} findings are known to {baseline} from now on.", markup=False, soft_wrap=True)
            return
        if fix:
            _fix(path, report, settings, yes=yes)
            return
        _show(report, form, out)
    if report.interrupted:
        raise typer.Exit(STOPPED)
    if report.findings:
        raise typer.Exit(FOUND)


def _fix(path: Path, report: Report, settings: Settings, *, yes: bool) -> None:
    """Show what would be rewritten, or write it."""
    made = fixes(path, report, settings)
    for each in made:
        sys.stdout.buffer.writelines(line.encode("utf-8", "replace") for line in each.diff())
    sys.stdout.flush()
    if yes:
        write(path, made)
    for said in (*(one for each in made for one in each.done), *(one for each in made for one in each.left)):
        errors.print(said, markup=False, soft_wrap=True)
    changed = sum(each.new != each.old for each in made)
    errors.print(f"{changed} files {'were' if yes else 'would be'} rewritten.")
    if changed and not yes:
        errors.print("--yes writes them.")
    if report.interrupted:
        raise typer.Exit(STOPPED)


def _settings(path: Path, select: list[str] | None, ignore: list[str] | None, *, include_tests: bool) -> Settings:
    """What the project says, and the options."""
    settings = settings_of(path)
    return msgspec.structs.replace(
        settings,
        select=tuple(each.upper() for each in select) if select else settings.select,
        ignore=(*settings.ignore, *(each.upper() for each in ignore or ())),
        include_tests=include_tests or settings.include_tests,
    )


def _audited(path: Path, settings: Settings, known: Baseline | None) -> Report:
    if not errors.is_terminal:
        return audited(path, settings, known)
    with errors.status("") as status:
        return audited(path, settings, known, lambda what: status.update(Text(what[-60:])))


def _show(report: Report, form: Format, out: Path | None) -> None:
    match form:
        case Format.TEXT:
            made = "".join(f"{line}\n" for line in lines(report)).encode("utf-8", "backslashreplace")
        case Format.JSON:
            made = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
        case Format.SARIF:
            made = sarif(report)
    if out is None:
        sys.stdout.buffer.write(made)
    else:
        out.write_bytes(made)


def _list() -> None:
    for rule in RULES.values():
        console.print(f"{rule.id} {rule.name}: {rule.why}", markup=False, soft_wrap=True)
