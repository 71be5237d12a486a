"""Which charts a run has, under which names, and what each says to who cannot see it. Nothing is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from matplotlib.figure import Figure

from unstale.tools.drawing import Theme
from unstale.tools.lab import charts
from unstale.tools.lab.scale_chart import Cut, cost_by_keyspace, cuts
from unstale.tools.lab.scale_results import ScaleResults
from unstale.tools.lab.told import Step, Told
from unstale.tools.wording import count, duration, latency, rate

Place: TypeAlias = Literal["summary", "cost", "users", "scale"]
"""The part of the report that a chart belongs to."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart, ready to be drawn."""

    name: str
    """Of its files, without their ends."""
    place: Place
    alt: str
    """Its figures in words."""
    draw: Callable[[Theme, int], Figure]
    """By theme and width in pixels."""


def gallery(run: Told, scale: ScaleResults | None) -> list[Chart]:
    """The charts in the order of the report: those of the run, if anything was measured, and that of the scale."""
    found = _of_the_run(run) if run.measured else []
    return found if scale is None else [*found, *of_the_scale(scale)]


def of_the_scale(scale: ScaleResults) -> list[Chart]:
    """The charts of a scale run, if anything was measured."""
    if not (panels := cuts(scale)):
        return []
    alt = "Engine CPU of one call, log-log. " + " ".join(_said(panel) for panel in panels)
    return [Chart("cost-by-keyspace", "scale", alt, lambda theme, width: cost_by_keyspace(scale, theme, width))]


def _of_the_run(run: Told) -> list[Chart]:
    def chart(name: str, place: Place, draw: Callable[[Told, Theme, int], Figure], alt: str) -> Chart:
        return Chart(name, place, alt, lambda theme, width: draw(run, theme, width))

    return [
        chart("engine-over-time", "summary", charts.engine_over_time, _over_time(run)),
        chart("cost-per-action", "cost", charts.cost_per_action, _cost(run)),
        chart("engine-by-class", "cost", charts.engine_by_class, _by_class(run)),
        chart("throughput", "users", charts.throughput, _throughput(run)),
        chart("latency", "users", charts.latencies, _latency(run)),
        chart("stale-answers", "users", charts.stale_answers, _stale(run)),
    ]


def _over_time(run: Told) -> str:
    return _row(
        "Engine CPU over time, in percent of a core; mean and highest second",
        (f"{one.name} {one.figures.engine_percent:.1f}, {one.figures.engine_peak_percent:.1f}" for one in run.measured),
    )


def _by_class(run: Told) -> str:
    return _row("What the engine's CPU went into, in percent of a core", (_parts(step) for step in run.measured))


def _parts(step: Step) -> str:
    named = ", ".join(f"{kind} {spent:.1f}" for kind, spent in step.parts().items() if spent >= charts.SEEN)
    return f"{step.name}: {named}"


def _cost(run: Told) -> str:
    return _row(
        "Engine CPU per completed action, log scale",
        (f"{one.name} {duration(one.figures.engine_us_per_action)}" for one in run.measured),
    )


def _throughput(run: Told) -> str:
    return _row(
        f"Requests answered in time, a second, of {rate(run.plan.rate)} offered",
        (f"{one.name} {rate(one.figures.rate)}" for one in run.measured),
    )


def _latency(run: Told) -> str:
    return _row("How long users waited, log scale; half and 99 % of reads, half and 99 % of actions", (
        f"{one.name} {latency(one.figures.read_latency.p50)}, {latency(one.figures.read_latency.p99)}, "
        f"{latency(one.figures.action_latency.p50)}, {latency(one.figures.action_latency.p99)}"
        for one in run.measured
    ))  # fmt: skip


def _stale(run: Told) -> str:
    return _row("Stale answers", (f"{one.name} {count(one.figures.stale)}" for one in run.measured))


def _said(panel: Cut) -> str:
    ends = (
        f"{method} {duration(points[0].engine_us)} to {duration(points[-1].engine_us)}"
        for method, points in panel.lines().items()
    )
    return _row(f"{panel.title[0].upper()}{panel.title[1:]} {panel.subtitle}", ends)


def _row(what: str, each: Iterable[str]) -> str:
    return f"{what}: {'; '.join(each)}."
