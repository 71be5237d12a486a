"""The doctor on the lab's steps while they ran: the reports that docs/doctor.md names, and its table of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from unstale.tools.doctor.results import Node, Report
from unstale.tools.lab import results as lab

REPOSITORY = Path(__file__).parent.parent.parent
STORED = REPOSITORY / "docs" / "runs" / "doctor-2026-11-26"
SAME_RATE = {"baseline": "9.2", "bigger-scans": "58.8"}
"""The requests a second that the step had answered, at which the lab then measured `unstale`."""


def report_of(step: str) -> Report:
    """What the doctor said while a step of the lab ran."""
    return msgspec.json.decode((STORED / f"{step}.json").read_bytes(), type=Report)


def node_of(step: str) -> Node:
    """The step's only server."""
    (node,) = report_of(step).nodes
    return node


def measured(step: str) -> float:
    """Percent of a core that the engine took with `unstale`, at the rate that the step had answered."""
    results = lab.read(STORED / f"lab-unstale-{SAME_RATE[step]}.json")
    (outcome,) = results.outcomes
    found = lab.figures(outcome, results.plan)
    assert found.held
    return found.engine_percent


@pytest.mark.parametrize("step", SAME_RATE)
def test_pattern_deletes_are_named_as_the_cause(step: str) -> None:
    """First of all findings, with at least nine tenths of the invalidation, soon, and for little."""
    report, node = report_of(step), node_of(step)
    assert (report.findings[0].id, report.worst) == ("pattern-deletes", "serious")
    assert node.costs is not None
    assert node.costs.by_pattern >= 0.9
    assert report.seconds <= 30
    assert node.own_percent is not None
    assert node.own_percent <= 1


@pytest.mark.parametrize("step", SAME_RATE)
def test_the_cost_with_stamps_is_what_the_lab_then_measured(step: str) -> None:
    """Within a factor of two."""
    costs = node_of(step).costs
    assert costs is not None
    assert measured(step) / 2 <= costs.engine_percent.mid <= 2 * measured(step)


def test_nothing_is_to_be_changed_with_unstale() -> None:
    """No warning; and no cost, since nothing walks."""
    assert report_of("unstale").worst == "info"
    assert node_of("unstale").costs is None


@pytest.mark.parametrize("step", SAME_RATE)
def test_a_row_of_the_page(step: str) -> None:
    """docs/doctor.md has these figures."""
    report, node = report_of(step), node_of(step)
    assert node.engine is not None
    assert node.costs is not None
    then = node.costs.engine_percent
    row = (
        f"| `{step}` | {node.engine.percent:.1f} % | {100 * node.costs.by_pattern:.2f} % "
        f"| {then.mid:.2f} % ({then.low:.2f} – {then.high:.2f}) "
        f"| {measured(step):.2f} % | {report.seconds:.1f} s | {node.own_percent:.2f} % |"
    )
    assert row in (REPOSITORY / "docs" / "doctor.md").read_text().splitlines()
