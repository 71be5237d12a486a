"""Public projects against what was written down of them by hand before any rule ran: precision and recall.

Nothing is fetched: UNSTALE_AUDIT_PROJECTS names a folder with checkouts, OWNER__NAME for each.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest
from scoring import PROJECTS, Expected, Place, Score, audited, covered, read, scored

from unstale.tools.audit import Finding, Level

ENOUGH = 0.9
FILES = sorted(PROJECTS.glob("*.toml"))


def checkouts() -> Path:
    """Where they are."""
    named = os.environ.get("UNSTALE_AUDIT_PROJECTS")
    if not named:
        pytest.skip("UNSTALE_AUDIT_PROJECTS names no folder with checkouts")
    return Path(named)


@pytest.mark.timeout(1200)
def test_precision_and_recall() -> None:
    """Of all projects together both are 0.9 at least."""
    root, total = checkouts(), Score()
    seen = 0
    for file in FILES:
        expected = read(file)
        if (root / expected.folder).is_dir():
            seen += 1
            for score in scored(expected, audited(expected, root / expected.folder)).values():
                total.add(score)
    assert seen, f"{root} has none of the checkouts"
    told = "\n".join(("wrong:", *total.wrong, "missed:", *total.missed))
    assert (total.precision >= ENOUGH, total.recall >= ENOUGH) == (True, True), told


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_expectation_is_well_formed(file: Path) -> None:
    """Each names its repository and its commit, and says why of everything."""
    expected = read(file)
    assert expected.repository
    assert expected.commit
    places = (*expected.finding, *expected.not_finding, *expected.doubtful)
    assert [place for place in places if not place.why] == []


def found(rule: str, line: int, *, end: int | None = None, also: tuple[int, ...] = ()) -> Finding:
    """A finding in a.py."""
    return Finding(
        rule=rule, name="", path="a.py", line=line, column=1, end_line=end or line, level=Level.NOTE, symbol="",
        text="", why="", remedy="", also=also,
    )  # fmt: skip


def test_scoring() -> None:
    """Right, wrong, missed and doubtful are told apart, and nothing counts twice."""
    expected = Expected(
        repository="a/b",
        finding=(
            Place("UNS001", "a.py", 1),
            Place("UNS001", "a.py", 5),
            Place("UNS005", "a.py", 9),
            Place("UNS002", "a.py", 20),
        ),
        doubtful=(Place("UNS003", "a.py", 30),),
    )
    findings = [
        found("UNS001", 1),
        found("UNS001", 1),
        found("UNS001", 4, end=6),
        found("UNS005", 7, also=(9,)),
        found("UNS003", 30),
    ]
    scores: dict[str, Score] = defaultdict(Score) | scored(expected, findings)
    assert {rule: (score.right, len(score.wrong), len(score.missed)) for rule, score in scores.items()} == {
        "UNS001": (2, 1, 0),
        "UNS005": (1, 0, 0),
        "UNS002": (0, 0, 1),
    }
    assert scores["UNS001"].precision == pytest.approx(2 / 3)
    assert scores["UNS002"].recall == 0
    assert covered(found("UNS001", 1), Place("UNS002", "a.py", 1)) is None
