"""The charts of a run: each a function of the run, a theme and a width, which gives a figure. Nothing is written here.

Variants are rows, in the order of the story; figures stand at the end of their bars rather than in a legend. A variant
that failed keeps its row, and the word for it. The curves of `unstale lab scale` are in `scale_chart`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from unstale.tools.drawing import Sheet, Theme, is_narrow, sheet
from unstale.tools.engine import ALARM_PERCENT, CLASSES
from unstale.tools.lab.results import Latency
from unstale.tools.lab.told import REST, Step, Told
from unstale.tools.wording import count, duration, latency, rate

ROW: Final = 23
"""Pixels of one variant's row."""
SMALL: Final = 10.0
"""Engine CPU in percent below which a variant's bar is drawn again on a scale of its own."""
SEEN: Final = 0.005
"""Engine CPU in percent below which a class of commands is not drawn."""
CLASS_COLOURS: Final = {
    "scans": "#d55e00",
    "deletes": "#e69f00",
    "reads": "#0072b2",
    "writes": "#56b4e9",
    "scripts": "#009e73",
    "other": "#cc79a7",
    REST: "#8b9199",
}
"""Okabe and Ito's, which people with any colour vision tell apart."""


def engine_over_time(run: Told, theme: Theme, width: int) -> Figure:
    """Engine CPU by second, a small panel for each variant, with the alarm line: the article's two figures."""
    columns = 2 if is_narrow(width) else 4
    rows = math.ceil(len(run.steps) / columns)
    gap, high, left, below = (14, 74, 30, 26) if is_narrow(width) else (20, 96, 34, 30)
    body = rows * (high + 26) + below
    paper = sheet(
        "Engine CPU over time",
        f"Percent of one core, second by second; mean at the right. Dashed: the alarm at {ALARM_PERCENT:.0f} %.",
        theme, width, body,
    )  # fmt: skip
    each = (paper.width - left - gap * (columns - 1)) / columns
    for place, step in enumerate(run.steps):
        row, column = divmod(place, columns)
        axes = paper.axes(left + column * (each + gap), row * (high + 26) + 20, each, high)
        _over_time(axes, paper, step, run.plan.seconds)
        axes.tick_params(labelleft=column == 0, labelbottom=place + columns >= len(run.steps))
    return paper.figure


def _over_time(axes: Axes, paper: Sheet, step: Step, seconds: float) -> None:
    theme = paper.theme
    axes.set(xlim=(0, seconds), ylim=(0, 104), yticks=(0, 50, 100), xticks=(0, seconds / 2, seconds))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: f"{second:g} s"))
    axes.grid(visible=True, axis="y", color=theme.grid, linewidth=1)
    axes.axhline(ALARM_PERCENT, color=theme.warning, linewidth=1.2, dashes=(4, 3))
    first, *_, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    bold = "bold" if step.ours else "normal"
    axes.annotate(
        step.name, (0, 1), (0, 5), "axes fraction", "offset points",
        fontsize=paper.size - 0.5, color=theme.text, fontweight=bold,
    )  # fmt: skip
    if not step.measured:
        axes.text(0.5, 0.6, step.outcome.status, transform=axes.transAxes, ha="center", color=theme.muted)
        return
    at = [0.0, *(sample.at for sample in step.outcome.samples)]
    percent = [100 * sample.engine_seconds / sample.seconds for sample in step.outcome.samples]
    axes.fill_between(at, [percent[0], *percent], step="pre", color=_colour(step, theme), alpha=0.25, linewidth=0)
    axes.step(at, [percent[0], *percent], where="pre", color=_colour(step, theme), linewidth=1.6)
    axes.annotate(
        f"{step.figures.engine_percent:.1f} %", (1, 1), (0, 5), "axes fraction", "offset points", ha="right",
        fontsize=paper.size - 0.5, color=theme.muted,
    )  # fmt: skip
    if step.outcome.status == "interrupted":
        axes.annotate(
            "interrupted", (at[-1], 40), (4, 0), textcoords="offset points", fontsize=paper.size - 1, color=theme.muted
        )


def engine_by_class(run: Told, theme: Theme, width: int) -> Figure:
    """What the engine's CPU went into, by class of command; small bars once more on a scale of their own."""
    large = [step for step in run.steps if not step.measured or step.figures.engine_percent >= SMALL]
    small = [step for step in run.steps if step.measured and step.figures.engine_percent < SMALL]
    shown = [kind for kind in (*CLASSES, REST) if any(step.parts()[kind] >= SEEN for step in run.measured)]
    key = _key_rows(shown, width - 40)
    panels = [panel for panel in (large, small) if panel]
    body = 22 * len(key) + 6 + sum(ROW * len(panel) + 52 for panel in panels)
    paper = sheet(
        "What the engine's CPU went into",
        "Percent of one core, mean over the window, by class of command.",
        theme, width, body,
    )  # fmt: skip
    _draw_key(paper, key)
    top = 22.0 * len(key) + 6
    for panel in panels:
        most = max((step.figures.engine_percent for step in panel if step.measured), default=1.0) or 1.0
        if len(panels) > 1:
            what = "of a whole core" if panel is large else f"below {SMALL:.0f} %: a scale of its own"
            paper.write(0, top, what, fontsize=paper.size - 0.5, color=theme.muted)
        axes = _rows(paper, top + 22, panel, room=60, beside=run.steps)
        axes.set_xlim(0, 100 if panel is large else most * 1.02)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.locator_params(axis="x", nbins=4)
        _stack(axes, paper, panel, shown)
        top += ROW * len(panel) + 52
    return paper.figure


def _stack(axes: Axes, paper: Sheet, panel: Sequence[Step], shown: Sequence[str]) -> None:
    for row, step in enumerate(panel):
        begin = 0.0
        for kind in shown if step.measured else ():
            axes.barh(row, step.parts()[kind], left=begin, height=0.62, color=CLASS_COLOURS[kind], linewidth=0)
            begin += step.parts()[kind]
        _at_end(axes, paper, row, step, f"{step.figures.engine_percent:.1f} %", begin)


def _key_rows(shown: Sequence[str], width: int) -> list[list[tuple[float, str]]]:
    """Where each class's swatch is, in pixels from the left, row by row."""
    rows: list[list[tuple[float, str]]] = [[]]
    left = 0.0
    for kind in shown:
        takes = 34 + 7.6 * len(kind)
        if left + takes > width and rows[-1]:
            rows.append([])
            left = 0.0
        rows[-1].append((left, kind))
        left += takes
    return rows


def _draw_key(paper: Sheet, rows: Sequence[Sequence[tuple[float, str]]]) -> None:
    axes = paper.axes(0, 0, paper.width, 22 * len(rows))
    axes.set(xlim=(0, paper.width), ylim=(22 * len(rows), 0), xticks=[], yticks=[])
    for row, kinds in enumerate(rows):
        for left, kind in kinds:
            axes.barh(22 * row + 9, 12, left=left, height=12, color=CLASS_COLOURS[kind], linewidth=0)
            axes.text(left + 17, 22 * row + 9, kind, va="center", fontsize=paper.size, color=paper.theme.text)


def latencies(run: Told, theme: Theme, width: int) -> Figure:
    """How long users waited: quantiles of reads and of actions, on one log scale."""
    panels = (
        ("reads", [step.figures.read_latency for step in run.steps]),
        ("actions", [step.figures.action_latency for step in run.steps]),
    )
    high = ROW * len(run.steps) + 54
    paper = sheet(
        "How long users waited",
        "From when a request was due to its answer: ● half, | 95 % and ○ 99 % of them were answered by then. "
        "Not all that many were answered at all where a line runs out at ×. At the right: 99 %.",
        theme, width, high * len(panels),
    )  # fmt: skip
    seen = [value for _, found in panels for one in found for value in (one.p50, one.p95, one.p99) if value]
    low, most = _two_decades(min(seen, default=0.001) / 1.6, max(seen, default=1.0) * 1.6)
    for place, (what, found) in enumerate(panels):
        paper.write(0, place * high + 2, what, fontweight="bold")
        axes = _rows(paper, place * high + 24, run.steps, room=78)
        axes.set_xscale("log")
        axes.set_xlim(low, most)
        _decades(axes, low, most, 1e6)
        for row, (step, one) in enumerate(zip(run.steps, found, strict=True)):
            _quantiles(axes, paper, row, step, one)
    return paper.figure


def _quantiles(axes: Axes, paper: Sheet, row: int, step: Step, one: Latency) -> None:
    theme, colour = paper.theme, _colour(step, paper.theme)
    if not step.measured:
        _at_right(axes, paper, row, step.outcome.status, theme.muted)
        return
    edge = axes.get_xlim()[1]
    ends = [value for value in (one.p50, one.p95, one.p99) if value is not None]
    if one.p99 is None:
        axes.plot([ends[-1] if ends else edge, edge], [row, row], color=theme.warning, linewidth=2, dashes=(2, 2))
        axes.plot([edge], [row], "x", color=theme.warning, markersize=7, markeredgewidth=2, clip_on=False)
    if ends:
        axes.plot([ends[0], ends[-1]], [row, row], color=colour, linewidth=2)
    if one.p50 is not None:
        axes.plot([one.p50], [row], "o", color=colour, markersize=7)
    if one.p95 is not None:
        axes.plot([one.p95], [row], "|", color=colour, markersize=10, markeredgewidth=2)
    if one.p99 is not None:
        axes.plot([one.p99], [row], "o", color=colour, markersize=7, markerfacecolor=theme.ground, markeredgewidth=1.8)
    _at_right(axes, paper, row, latency(one.p99), theme.warning if one.p99 is None else theme.text)


def stale_answers(run: Told, theme: Theme, width: int) -> Figure:
    """How many answers showed what was not true any more."""
    paper = sheet(
        "Stale answers",
        "Answers older than an action of the same user that was answered before they were asked for.",
        theme, width, ROW * len(run.steps) + 34,
    )  # fmt: skip
    axes = _rows(paper, 4, run.steps, room=60)
    most = max((step.figures.stale for step in run.measured), default=0)
    axes.set_xlim(0, max(1, most))
    axes.locator_params(axis="x", nbins=4, integer=True)
    for row, step in enumerate(run.steps):
        axes.barh(row, step.figures.stale if step.measured else 0, height=0.62, color=theme.warning, linewidth=0)
        _at_end(axes, paper, row, step, count(step.figures.stale), step.figures.stale)
    return paper.figure


def cost_per_action(run: Told, theme: Theme, width: int) -> Figure:
    """Engine CPU per completed action, on a log scale: dots, since a bar on a log scale has no beginning."""
    paper = sheet(
        "Engine CPU per completed action",
        "Log scale: each line is ten times the one before. The reads between two actions are in it; idling is not.",
        theme, width, ROW * len(run.steps) + 34,
    )  # fmt: skip
    axes = _rows(paper, 4, run.steps, room=78)
    axes.set_xscale("log")
    seen = [one for one in (step.figures.engine_us_per_action for step in run.measured) if one]
    low, most = 10 ** math.floor(math.log10(min(seen, default=1.0))), max(seen, default=10.0) * 1.3
    axes.set_xlim(low, max(most, low * 10))
    _decades(axes, low, max(most, low * 10), 1)
    for row, step in enumerate(run.steps):
        spent = step.figures.engine_us_per_action if step.measured else None
        if spent:
            axes.plot([low, spent], [row, row], color=theme.grid, linewidth=2, solid_capstyle="butt")
            axes.plot([spent], [row], "o", color=_colour(step, theme), markersize=8.5, clip_on=False)
        said = step.outcome.status if not step.measured else duration(spent) if spent is not None else "no action"
        _at_right(axes, paper, row, said, theme.text if spent else theme.muted)
    return paper.figure


def throughput(run: Told, theme: Theme, width: int) -> Figure:
    """What was answered in time, against what was offered."""
    paper = sheet(
        "Requests answered in time",
        f"A second, mean over the window. The line is what was offered: {rate(run.plan.rate)}.",
        theme, width, ROW * len(run.steps) + 34,
    )  # fmt: skip
    axes = _rows(paper, 4, run.steps, room=60)
    offered = max((step.figures.offered_rate for step in run.measured), default=run.plan.rate)
    axes.set_xlim(0, max(offered, run.plan.rate) * 1.01)
    axes.locator_params(axis="x", nbins=5)
    for row, step in enumerate(run.steps):
        if not step.measured:
            _at_right(axes, paper, row, step.outcome.status, theme.muted)
            continue
        colour = _colour(step, theme) if step.figures.held else theme.warning
        axes.barh(row, step.figures.rate, height=0.62, color=colour, linewidth=0)
        _at_right(axes, paper, row, rate(step.figures.rate), theme.text)
    axes.axvline(run.plan.rate, color=theme.text, linewidth=1.4)
    return paper.figure


def _rows(paper: Sheet, top: float, steps: Sequence[Step], room: float, beside: Sequence[Step] = ()) -> Axes:
    """Axes with a row for each variant, the first one on top.

    Args:
        paper: to draw on.
        top: where they begin, in pixels.
        steps: the variants.
        room: pixels that the figures at the right need.
        beside: all variants of the chart, where it has several axes, which are to begin at one place.
    """
    left = 8 + 0.58 * paper.size * max((len(step.name) for step in (*steps, *beside)), default=0)
    axes = paper.axes(left, top, paper.width - left - room, ROW * len(steps))
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.set_yticks(range(len(steps)), [step.name for step in steps])
    axes.tick_params(axis="y", labelsize=paper.size, labelcolor=paper.theme.text)
    for label, step in zip(axes.get_yticklabels(), steps, strict=True):
        label.set_fontweight("bold" if step.ours else "normal")
    axes.grid(visible=True, axis="x", color=paper.theme.grid, linewidth=1)
    return axes


def _at_end(axes: Axes, paper: Sheet, row: int, step: Step, text: str, end: float) -> None:
    """A figure at the end of its bar."""
    theme = paper.theme
    said, colour = (text, theme.text) if step.measured else (step.outcome.status, theme.muted)
    axes.annotate(
        said, (end if step.measured else 0, row), (5, 0), textcoords="offset points", va="center_baseline",
        fontsize=paper.size, color=colour, annotation_clip=False,
    )  # fmt: skip


def _at_right(axes: Axes, paper: Sheet, row: int, text: str, colour: str) -> None:
    """A figure in the column at the right, where bars or points end anywhere."""
    axes.annotate(
        text, (_right_of(axes, paper), row), xycoords=("axes fraction", "data"), ha="right", va="center_baseline",
        fontsize=paper.size, color=colour, annotation_clip=False,
    )  # fmt: skip


def _right_of(axes: Axes, paper: Sheet) -> float:
    """The sheet's right edge, in fractions of the axes' width."""
    place = axes.get_position()
    return float((1 - paper.margin / paper.outer - place.x0) / place.width)


def _two_decades(low: float, most: float) -> tuple[float, float]:
    """A range of a log scale, widened to whole decades where it would have fewer than two ticks."""
    if math.floor(math.log10(most)) > math.ceil(math.log10(low)):
        return low, most
    return 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(most))


def _decades(axes: Axes, low: float, most: float, microseconds: float) -> None:
    """Ticks at powers of ten, named in their units."""
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(most) + 1e-9) + 1)
    axes.xaxis.set_major_locator(FixedLocator([10.0**power for power in powers]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value * microseconds)))


def tick(microseconds: float) -> str:
    """A power of ten of microseconds: 1 µs, 10 ms, 100 s."""
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= size * 0.999:
            return f"{microseconds / size:g} {unit}"
    return f"{microseconds:g} µs"


def _colour(step: Step, theme: Theme) -> str:
    return theme.accent if step.ours else theme.neutral
