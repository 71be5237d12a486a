"""What a person sees of a report: the terminal in eighty columns, the page that asks nothing of any network."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from reports import node, report, walked
from rich.console import Console

from unstale.tools.doctor.page import page, write_page
from unstale.tools.doctor.results import Node, Report
from unstale.tools.doctor.table import renderables

REPORTS = {
    "walked": report(walked()),
    "well": report(node()),
    "a cluster": report(
        walked("10.0.0.1:6379"),
        node(name="10.0.0.2:6379"),
        Node(name="10.0.0.3:6379", status="unreachable", why="gone <x>"),
    ),
    "hidden": report(node(engine=None, keyspace=None, own_percent=None)),
    "nothing": report(Node(name="a", status="interrupted", why="Stopped.")),
}
each_report = pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)


def shown(made: Report, width: int = 80) -> str:
    """As text, eighty columns wide."""
    console = Console(width=width, record=True, file=io.StringIO())
    for one in renderables(made):
        console.print(one)
    return console.export_text()


@pytest.mark.parametrize("width", [30, 40, 59, 60])
@each_report
def test_few_columns(made: Report, width: int) -> None:
    """The rows of all tables keep their names, in several lines where they are long."""
    text = shown(made, width)
    assert max(map(len, text.splitlines())) <= width
    begins = "".join(line.split("  ")[0] for line in text.splitlines()).replace(" ", "")
    assert all(name.replace(" ", "") in begins for name in row_names(made))


def row_names(made: Report) -> Iterator[str]:
    """Of the tables of a report."""
    for one in made.nodes:
        if one.engine is not None:
            yield from (group.name for group in one.engine.groups)
            yield from (command.name.upper() for command in one.engine.commands)
        if one.costs is not None:
            yield "part of this core that would do"
        if one.monitored is not None:
            yield from (pattern.pattern for pattern in one.monitored.patterns)
            yield from (busy.shape for busy in one.monitored.busiest)
        if one.keyspace is not None:
            yield from (keys.shape for keys in one.keyspace.shapes)


@each_report
def test_eighty_columns(made: Report) -> None:
    """No line is longer, and every finding and every server is there."""
    text = shown(made)
    assert max(map(len, text.splitlines())) <= 80
    assert all(one.name in text for one in made.nodes)
    assert all(f"[{one.id}]" in text for one in made.findings)


def test_what_the_terminal_says() -> None:
    """The main figures."""
    text = " ".join(shown(REPORTS["walked"]).split())
    assert "Engine 80.0 % of a core, 10.0 points below the alarm at 90 %" in text
    assert "invalidation by pattern" in text
    assert "shop:1:user:{id}:*" in text
    assert "Not seen: CONFIG GET: no permissions <b>" in text
    assert "Nothing to change." in shown(REPORTS["well"])


@each_report
def test_the_page_loads_nothing(made: Report) -> None:
    """No script, and no address but those of its own drawings."""
    text = page(made)
    assert "<script" not in text
    assert set(re.findall(r"(?:src|srcset|href)=\"(\w+:)", text)) <= {"data:"}
    assert "default-src 'none'" in text
    assert "{{" not in text
    assert all(one.id in text for one in made.findings)


def test_names_are_escaped() -> None:
    """Names of keys are others' words."""
    text = page(REPORTS["walked"])
    assert "a&lt;b&gt;&amp;*" in text
    assert "a<b>" not in text
    assert "&lt;x&gt;" in page(REPORTS["a cluster"])


def test_the_same_report_gives_the_same_page(tmp_path: Path) -> None:
    """Byte for byte."""
    write_page(REPORTS["walked"], tmp_path / "one.html")
    assert (tmp_path / "one.html").read_text(encoding="utf-8") == page(REPORTS["walked"])


def test_charts_where_there_are_figures() -> None:
    """One of the engine; one with stamps only where something is to be saved. Each in two themes and widths."""
    count = {name: page(made).count("<figure") for name, made in REPORTS.items()}
    assert count == {"walked": 2, "well": 1, "a cluster": 2, "hidden": 0, "nothing": 0}
    assert page(REPORTS["walked"]).count("<source") == 8
