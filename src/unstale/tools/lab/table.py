"""The tables for the terminal: what each step cost the engine, and what users got. Eighty columns wide.

Nothing is printed here, and nothing is judged: see `conclusions`.
"""

from __future__ import annotations

from rich import box
from rich.table import Table

from unstale.tools.lab.results import Latency, Results
from unstale.tools.lab.told import Step, Told, told
from unstale.tools.wording import DASH, count, milliseconds, one_decimal, percent, rate


def tables(results: Results) -> list[Table]:
    """Both tables, one row a variant: also of a variant that failed, and of one that was never begun."""
    run = told(results)
    return [_of_the_engine(run), _of_the_answers(run)]


def notes(results: Results) -> list[str]:
    """What must be said with the tables: why the variants that bear a * do."""
    return [f"{step.name}: {mark.text}." for step in told(results).steps for mark in step.marks]


def _of_the_engine(run: Told) -> Table:
    heads = (
        "answered\n/s", "\nof", "engine\nmean %", "\npeak %", "host\n%", "engine µs\nper action", "trips per\nrequest"
    )  # fmt: skip
    made = _empty("What it cost the engine", heads)
    for step in run.steps:
        one = step.figures
        cells = (
            rate(one.rate),
            rate(one.offered_rate),
            one_decimal(one.engine_percent),
            one_decimal(one.engine_peak_percent),
            count(one.host_percent),
            count(one.engine_us_per_action),
            one_decimal(one.trips_per_request),
        )
        _add(made, step, cells)
    return _with_missing(made, run, len(heads))


def _of_the_answers(run: Told) -> Table:
    heads = ("hit\nrate", "read p50\nms", "read p99\nms", "action\np50 ms", "stale\nanswers", "\nerrors", "no\nanswer")
    made = _empty("What users got", heads)
    for step in run.steps:
        one = step.figures
        cells = (
            percent(one.hit_rate),
            _quantile(one.read_latency, one.read_latency.p50),
            _quantile(one.read_latency, one.read_latency.p99),
            _quantile(one.action_latency, one.action_latency.p50),
            count(one.stale),
            count(one.errors),
            count(one.unanswered),
        )
        _add(made, step, cells)
    return _with_missing(made, run, len(heads))


def _empty(title: str, heads: tuple[str, ...]) -> Table:
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    made.add_column("variant", no_wrap=True, vertical="bottom")
    for head in heads:
        made.add_column(head, justify="right", no_wrap=True)
    return made


def _add(made: Table, step: Step, cells: tuple[str, ...]) -> None:
    shown = cells if step.measured else (step.outcome.status, *[DASH] * (len(cells) - 1))
    made.add_row(f"{step.name}{'*' if step.marks else ''}", *shown)


def _with_missing(made: Table, run: Told, columns: int) -> Table:
    for name in run.missing:
        made.add_row(name, *[DASH] * columns)
    return made


def _quantile(of: Latency, seconds: float | None) -> str:
    """None falls among the requests without an answer, if there were requests."""
    if not of.asked:
        return DASH
    return "never" if seconds is None else milliseconds(seconds)
