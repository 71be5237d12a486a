"""Projects made for the rules: each line that is to be found says so in a comment, and nothing else may be found."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from unstale.tools.audit import audit

CASES = Path(__file__).parent / "cases"
_EXPECTED = re.compile(r"(?:#|--)\s*expect:\s*((?:UNS\d{3}\s*)+)$")


def expected(folder: Path) -> Counter[tuple[str, int, str]]:
    """What the comments of a case say."""
    found: Counter[tuple[str, int, str]] = Counter()
    for file in sorted(folder.rglob("*.py")):
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if said := _EXPECTED.search(line):
                found.update((str(file.relative_to(folder)), number, rule) for rule in said.group(1).split())
    return found


@pytest.mark.parametrize(
    "folder", sorted(each for each in CASES.iterdir() if each.is_dir()), ids=lambda each: each.name
)
def test_a_case(folder: Path) -> None:
    """Everything that is to be found is found, and nothing else."""
    report = audit(folder)
    found = Counter((each.path, each.line, each.rule) for each in report.findings)
    wanted = expected(folder)
    assert (sorted((found - wanted).elements()), sorted((wanted - found).elements())) == ([], [])
    assert report.problems == ()


def test_the_cases_have_every_rule() -> None:
    """No rule goes without a case."""
    rules = {rule for folder in CASES.iterdir() if folder.is_dir() for _, _, rule in expected(folder)}
    assert rules == {f"UNS{number:03}" for number in range(1, 12)}
