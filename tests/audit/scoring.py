"""How right the audit is: findings against what was written down by hand, before the rules ran, of a public project.

    python tests/audit/scoring.py FOLDER [--expected tests/audit/held_out]

writes the table by rule and by project; FOLDER has checkouts OWNER__NAME. The rules were mended on what is expected in
projects, the folder it takes if none is named; held_out has other projects, which were written down for a check alone.

A finding is right if an expectation of its rule names one of its lines: those of the call, or of what belongs to it.
Each expectation counts once. What is doubtful counts for nothing, found or not.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from unstale.tools.audit import Finding, Settings, audit

PROJECTS = Path(__file__).parent / "projects"
HELD_OUT = Path(__file__).parent / "held_out"


class Place(msgspec.Struct, frozen=True):
    """An expectation."""

    rule: str
    path: str
    line: int
    why: str = ""
    callers: tuple[str | dict[str, Any], ...] = ()
    """As "path:line", or with path and line."""

    @property
    def places(self) -> list[str]:
        """Its callers, each as "path:line"."""
        return [each if isinstance(each, str) else f"{each['path']}:{each['line']}" for each in self.callers]


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What was written down of one project."""

    repository: str
    commit: str = ""
    kind: str = ""
    scope: Any = ""
    finding: tuple[Place, ...] = ()
    not_finding: tuple[Place, ...] = ()
    doubtful: tuple[Place, ...] = ()

    @property
    def folder(self) -> str:
        """The checkout's name."""
        return (
            self.repository.removeprefix("github:")
            .removesuffix(".git")
            .rstrip("/")
            .removeprefix("https://github.com/")
            .replace("/", "__")
        )

    def covers(self, path: str, root: Path) -> bool:
        """Whether a file was read by hand: all are, unless the scope names folders or files."""
        named = [self.scope] if isinstance(self.scope, str) else [each for each in self.scope if isinstance(each, str)]
        places = [each.strip("/") for each in named if each and (root / each).exists() and each not in {".", "./"}]
        return not places or any(path == each or path.startswith(f"{each}/") for each in places)


@dataclass
class Score:
    """How many were right, wrong and missed."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    callers_found: int = 0
    callers_expected: int = 0

    def add(self, other: Score) -> None:
        """Count another one in."""
        self.right += other.right
        self.wrong += other.wrong
        self.missed += other.missed
        self.callers_found += other.callers_found
        self.callers_expected += other.callers_expected

    @property
    def precision(self) -> float:
        """How many of what was found is right; 1 if nothing was found."""
        return self.right / (self.right + len(self.wrong)) if self.right + len(self.wrong) else 1.0

    @property
    def recall(self) -> float:
        """How many of what is to be found was found; 1 if there is nothing."""
        return self.right / (self.right + len(self.missed)) if self.right + len(self.missed) else 1.0


def read(file: Path) -> Expected:
    """An expectation's file."""
    return msgspec.convert(tomllib.loads(file.read_text("utf-8")), Expected)


def covered(finding: Finding, place: Place) -> int | None:
    """How well a finding fits an expectation, 0 the best; None if it does not."""
    if (finding.rule, finding.path) != (place.rule, place.path):
        return None
    if finding.line == place.line:
        return 0
    if finding.line <= place.line <= finding.end_line:
        return 1
    return 2 if place.line in finding.also else None


def scored(expected: Expected, findings: Iterable[Finding]) -> dict[str, Score]:
    """By rule, how right the findings of a project are."""
    left = list(findings)
    scores: dict[str, Score] = defaultdict(Score)
    for place in expected.finding:
        fitting = sorted(((fit, at) for at, each in enumerate(left) if (fit := covered(each, place)) is not None))
        if not fitting:
            scores[place.rule].missed.append(f"{place.path}:{place.line} {place.rule} {place.why}")
            continue
        found = left.pop(fitting[0][1])
        scores[place.rule].right += 1
        reached = {f"{each.path}:{each.line}" for each in found.callers}
        scores[place.rule].callers_expected += len(place.places)
        scores[place.rule].callers_found += sum(_place(each) in reached for each in place.places)
    for finding in left:
        if not any(covered(finding, place) is not None for place in expected.doubtful):
            scores[finding.rule].wrong.append(f"{finding.path}:{finding.line} {finding.rule} {finding.text}")
    return scores


def _place(said: str) -> str:
    """A path and a line, without what is said behind them."""
    return ":".join(said.split(" ", maxsplit=1)[0].split(":")[:2])


def audited(expected: Expected, root: Path) -> list[Finding]:
    """What the audit finds in a checkout, in the files that were read by hand."""
    return [each for each in audit(root, Settings()).findings if expected.covers(each.path, root)]


def table(by_rule: dict[str, Score], by_project: dict[str, Score]) -> Iterator[str]:
    """The scores, as Markdown."""
    yield "| | right | wrong | missed | precision | recall | callers |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    total = Score()
    for name, score in (*sorted(by_rule.items()), *sorted(by_project.items())):
        yield _row(name, score)
    for score in by_rule.values():
        total.add(score)
    yield _row("**all**", total)


def _row(name: str, score: Score) -> str:
    callers = f"{score.callers_found} of {score.callers_expected}" if score.callers_expected else ""
    counts = f"{score.right} | {len(score.wrong)} | {len(score.missed)}"
    return f"| {name} | {counts} | {score.precision:.2f} | {score.recall:.2f} | {callers} |"


def main(words: Sequence[str]) -> int:
    """Score every checkout that is there."""
    parser = argparse.ArgumentParser(description="How right the audit is.")
    parser.add_argument("checkouts", type=Path, metavar="FOLDER", help="has checkouts, OWNER__NAME for each")
    parser.add_argument("--expected", type=Path, default=PROJECTS, help="a folder of expectations (%(default)s)")
    said = parser.parse_args(words)
    files = sorted(said.expected.glob("*.toml"))
    if not files:
        parser.error(f"{said.expected} has no expectations")
    by_rule: dict[str, Score] = defaultdict(Score)
    by_project: dict[str, Score] = defaultdict(Score)
    for file in files:
        expected = read(file)
        root = said.checkouts / expected.folder
        if not root.is_dir():
            sys.stdout.write(f"{expected.repository}: no checkout {root}\n")
            continue
        for rule, score in scored(expected, audited(expected, root)).items():
            by_rule[rule].add(score)
            by_project[expected.repository].add(score)
        for each in (
            *by_project[expected.repository].wrong,
            *[f"missed {one}" for one in by_project[expected.repository].missed],
        ):
            sys.stdout.write(f"{expected.repository} {each}\n")
    sys.stdout.write("\n".join(table(by_rule, by_project)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
