"""Public projects against what was written down of them by hand before any rule ran: precision and recall.

Nothing is fetched: UNSTALE_AUDIT_PROJECTS names a folder with checkouts, OWNER__NAME for each.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest
from scoring import HELD_OUT, PROJECTS, Expected, Place, Score, audited, covered, main, read, scored

from unstale.tools.audit import Finding, Level

ENOUGH = 0.9
FILES = sorted(PROJECTS.glob("*.toml"))
OTHERS = sorted(HELD_OUT.glob("*.toml"))


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


@pytest.mark.parametrize("file", FILES + OTHERS, ids=lambda file: file.stem)
def test_an_expectation_is_well_formed(file: Path) -> None:
    """Each names its repository and its commit, and says why of everything."""
    expected = read(file)
    assert expected.repository
    assert expected.commit
    places = (*expected.finding, *expected.not_finding, *expected.doubtful)
    assert [place for place in places if not place.why] == []
    assert file.stem == expected.folder


def test_the_held_out_projects_are_others() -> None:
    """What a rule was mended on is no check of it."""
    assert OTHERS
    assert {file.name for file in FILES} & {file.name for file in OTHERS} == set()


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


def test_the_folder_of_expectations_is_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the folder that is named every checkout counts, and what is not checked out is told."""
    expected, checkout = tmp_path / "expected", tmp_path / "checkouts" / "a__b"
    expected.mkdir()
    checkout.mkdir(parents=True)
    (checkout / "a.py").write_text("import redis\n\nclient = redis.Redis()\nclient.keys('page:*')\n", "utf-8")
    place = '[[finding]]\nrule = "UNS002"\npath = "a.py"\nline = 4\nwhy = "KEYS"\n'
    (expected / "a__b.toml").write_text(f'repository = "https://github.com/a/b"\n{place}', "utf-8")
    (expected / "c__d.toml").write_text('repository = "https://github.com/c/d"\n', "utf-8")
    assert main([str(checkout.parent), "--expected", str(expected)]) == 0
    told = capsys.readouterr().out
    assert "| UNS002 | 1 | 0 | 0 | 1.00 | 1.00 |" in told
    assert "github.com/c/d: no checkout" in told


def test_a_folder_without_expectations_is_told(tmp_path: Path) -> None:
    """A table of nothing would look like a perfect score."""
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--expected", str(tmp_path)])
