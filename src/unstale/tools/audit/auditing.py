"""The audit itself: files to code, code to hits, hits to findings. It reads files; it prints and writes nothing."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from unstale.tools.audit.baseline import Baseline, split
from unstale.tools.audit.code.indexing import indexed
from unstale.tools.audit.code.scopes import Module, Scope
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.errors import AuditError
from unstale.tools.audit.results import Caller, Finding, Problem, Report
from unstale.tools.audit.rules import RULES, Hit, Rule
from unstale.tools.audit.settings import Settings
from unstale.tools.audit.sources import Source, files, read
from unstale.tools.audit.suppressions import applied, suppressions
from unstale.tools.audit.tag_patterns import proposals

MOST_CALLERS: Final = 200
GLOBS: Final = frozenset({"", "django", "redis", "pipeline", "cashews"})
"""Families whose pattern deletes are given a glob; others are given a namespace."""
Watch = Callable[[str], None]


def audit(
    path: Path, settings: Settings | None = None, baseline: Baseline | None = None, watch: Watch = lambda _: None
) -> Report:
    """Audit a file or a folder.

    Args:
        path: what to audit.
        settings: what to leave out, and which rules.
        baseline: what is known.
        watch: is told what is being done, for a view.

    Returns:
        What was found. Interrupted by Ctrl-C, what had been found until then.

    Raises:
        AuditError: there is no such file or folder, or no such rule.
    """
    settings = settings or Settings()
    rules = _chosen(settings)
    run = _Run(path, settings)
    try:
        run.read(watch)
        run.find(rules, watch)
    except KeyboardInterrupt:
        run.interrupted = True
    return run.report(baseline)


def _chosen(settings: Settings) -> list[Rule]:
    if unknown := [each for each in (*settings.select, *settings.ignore) if each not in RULES]:
        raise AuditError(f"There is no rule {unknown[0]}. The rules are {', '.join(RULES)}.")
    return [
        rule
        for rule in RULES.values()
        if (not settings.select or rule.id in settings.select) and rule.id not in settings.ignore
    ]


class _Run:
    """What is known so far."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.settings = settings
        self.started = time.perf_counter()
        self.sources: dict[str, Source] = {}
        self.modules: list[Module] = []
        self.problems: list[Problem] = []
        self.findings: list[Finding] = []
        self.lines: dict[str, list[str]] = {}
        self.interrupted = False

    def read(self, watch: Watch) -> None:
        for file, path in files(self.path, self.settings, self.problems.append):
            watch(path)
            source, problems = read(file, path, self.settings)
            self.problems += problems
            if source is None:
                continue
            try:
                self.modules.append(indexed(path, source.module_name, source.tree, is_package=source.is_package))
            except RecursionError:
                self.problems.append(
                    Problem(path, "This file is not audited: an expression in it is nested too deeply.")
                )
                continue
            self.sources[path] = source
            self.lines[path] = source.text.split("\n")  # not splitlines: a form feed ends no line

    def find(self, rules: Iterable[Rule], watch: Watch) -> None:
        if not self.modules:
            return
        watch("what is a cache")
        try:
            code = Code(self.modules, self.settings.cache_names)
        except RecursionError:
            self.problems.append(Problem(".", "Nothing was found out: some code is nested too deeply."))
            return
        for rule in rules:
            watch(f"{rule.id} {rule.name}")
            try:
                for hit in rule.find(code):
                    self.findings.append(self._finding(rule, hit, code))
            except RecursionError:
                self.problems.append(Problem(".", f"{rule.id} is not complete: some code is nested too deeply."))

    def _finding(self, rule: Rule, hit: Hit, code: Code) -> Finding:
        path = hit.scope.module.path
        line, end = self._line(hit), getattr(hit.node, "end_lineno", 0) or 0
        lines = self.lines[path]
        source = self.sources[path]
        known = code.calls.of.get(hit.node) if isinstance(hit.node, ast.Call) else None
        family = str(known.family) if known is not None else ""
        cell, shown = source.cells[line - 1] if source.cells else (None, line)
        return Finding(
            rule=rule.id,
            name=rule.name,
            path=path,
            line=shown,
            column=getattr(hit.node, "col_offset", 0) + 1,
            end_line=shown + max(0, end - line),
            level=rule.level,
            symbol=hit.scope.qualified,
            text=lines[line - 1].strip() if line <= len(lines) else "",
            why=hit.why or rule.why,
            remedy=hit.remedy or rule.remedy,
            callers=tuple(self._callers(hit.reached_by, code)),
            also=tuple(sorted({each for node in hit.also for each in _lines(node)})),
            patterns=proposals(code, hit.pattern, hit.scope) if hit.pattern is not None and family in GLOBS else (),
            family=family,
            by_name=hit.by_name,
            cell=cell,
        )

    @staticmethod
    def _line(hit: Hit) -> int:
        return int(getattr(hit.node, "lineno", 1))

    @staticmethod
    def _callers(function: Scope | None, code: Code) -> Iterator[Caller]:
        if function is None or not function.is_function:
            return
        for site in code.callers.all(function)[:MOST_CALLERS]:
            yield Caller(site.scope.module.path, site.call.lineno, site.scope.qualified)

    def report(self, baseline: Baseline | None) -> Report:
        stay: list[Finding] = []
        ignored: list[Finding] = []
        problems = list(self.problems)
        by_path: dict[str, list[Finding]] = {}
        for finding in _once(self.findings):
            by_path.setdefault(finding.path, []).append(finding)
        for path, source in self.sources.items():
            comments = list(suppressions(source.text)) if not source.cells else []
            left, passed, told = applied(by_path.get(path, []), comments, path, RULES)
            stay += left
            ignored += [msgspec.structs.replace(finding, ignored=reason) for finding, reason in passed]
            problems += told if not self.interrupted else []
        new, known = split(stay, baseline) if baseline is not None else (stay, [])
        return Report(
            root=self.path.resolve().name,
            findings=tuple(new),
            ignored=tuple(ignored),
            known=tuple(known),
            problems=tuple(problems),
            files=len(self.sources),
            lines=sum(source.text.count("\n") for source in self.sources.values()),
            seconds=round(time.perf_counter() - self.started, 3),
            interrupted=self.interrupted,
        )


def _lines(node: object) -> range:
    first = getattr(node, "lineno", None)
    return range(first, (getattr(node, "end_lineno", None) or first) + 1) if first else range(0)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Each rule once at each place, in the order of the files."""
    found: dict[tuple[str, int | None, int, int, str], Finding] = {}
    for each in findings:
        found.setdefault((each.path, each.cell, each.line, each.column, each.rule), each)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or 0, *key[2:]))]
