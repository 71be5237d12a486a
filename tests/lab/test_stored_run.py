"""The figures of the README and of docs/lab.md are those of the run that they name."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from unstale.tools.lab import results as written
from unstale.tools.lab import scale_results
from unstale.tools.lab.results import Figures, figures
from unstale.tools.lab.table import tables
from unstale.tools.wording import count, duration, rate

REPOSITORY = Path(__file__).parent.parent.parent
STORED = REPOSITORY / "docs" / "runs" / "lab-2026-11-26"
ROWS = {
    "`delete_pattern`, as django-redis comes": "baseline",
    "`delete_pattern`, SCANs of 1,000 keys": "bigger-scans",
    "deletes in a Celery task": "async-deletes",
    "known-key deletes": "known-keys",
    "time stamps": "timestamps",
    "**unstale**": "unstale",
    "nothing invalidated (the floor: reads alone)": "no-deletes",
}


@pytest.fixture(scope="module")
def found() -> dict[str, Figures]:
    """The figures of the stored run, by step."""
    results = written.read(STORED / "results.json")
    return {one.variant: figures(one, results.plan) for one in results.outcomes}


@pytest.mark.parametrize("title", ROWS)
def test_a_row_of_the_readme(found: dict[str, Figures], title: str) -> None:
    """Rate, cost and stale answers, as the lab writes them."""
    one = found[ROWS[title]]
    stale = "**0**" if title == "**unstale**" else count(one.stale)
    row = f"| {title} | {rate(one.rate)} | {count(one.engine_us_per_action)} | {stale} |"
    assert row in (REPOSITORY / "README.md").read_text().splitlines()


def test_the_tables_of_the_page() -> None:
    """Every line of both tables stands in docs/lab.md."""
    out = io.StringIO()
    for table in tables(written.read(STORED / "results.json")):
        Console(file=out, width=80).print(table)
    page = (REPOSITORY / "docs" / "lab.md").read_text().splitlines()
    assert [line for line in map(str.rstrip, out.getvalue().splitlines()) if line not in page] == []


@pytest.mark.parametrize(
    ("title", "method"),
    [
        ("`delete_pattern` as it comes", "pattern-deletes"),
        ("`delete_pattern` with itersize=1,000", "pattern-deletes-1000"),
        ("known keys", "known-keys"),
        ("time stamps", "timestamps"),
        ("unstale", "unstale"),
    ],
)
def test_a_row_of_the_scale(title: str, method: str) -> None:
    """One invalidation, users of 100 keys, by the size of the keyspace."""
    points = [
        point
        for point in scale_results.read(STORED / "scale.json").points
        if (point.method, point.verb, point.keys_per_user) == (method, "invalidate", 100)
    ]
    cells = [duration(point.engine_us) for point in sorted(points, key=lambda point: point.keys)]
    assert f"| {title} | {' | '.join(cells)} |" in (REPOSITORY / "docs" / "lab.md").read_text().splitlines()
