"""The charts of a report: each a function of what was found, a theme and a width, which gives a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from unstale.tools.doctor.results import GROUPS, Costs, Engine, Group
from unstale.tools.drawing import Sheet, Theme, sheet
from unstale.tools.engine import ALARM_PERCENT

ROW: Final = 30
"""Pixels of one bar's row."""
AXIS: Final = 30
"""Pixels below the bars."""
KEY_ROW: Final = 22
COLOURS: Final[dict[Group, str]] = {
    "invalidation by pattern": "#d55e00",
    "invalidation by key": "#e69f00",
    "reads": "#0072b2",
    "writes": "#56b4e9",
    "scripts": "#009e73",
    "other": "#cc79a7",
}
"""Okabe and Ito's, which people with any colour vision tell apart; as in the lab's charts."""
_SEEN: Final = 0.005
"""Percent of a core from which on a bar can be seen."""


def engine_by_group(engines: Sequence[tuple[str, Engine]], theme: Theme, width: int) -> Figure:
    """What each server's engine works for, with its trips, to the alarm line."""
    shown = [name for name in GROUPS if any(one.group(name).percent >= _SEEN for _, one in engines)]
    body = KEY_ROW * len(shown) + 10 + ROW * len(engines) + AXIS
    paper = sheet(
        "What the engine works for",
        f"Percent of one core, with the round trips. The line is the alarm at {ALARM_PERCENT:.0f} %.",
        theme, width, body,
    )  # fmt: skip
    for row, name in enumerate(shown):
        most = max(one.group(name).percent for _, one in engines)
        paper.write(0, KEY_ROW * row, "■", color=COLOURS[name], fontsize=paper.size + 2)
        paper.write(18, KEY_ROW * row + 1, f"{name}, {most:.1f} %" + (" at the most" if len(engines) > 1 else ""))
    axes = _rows(paper, KEY_ROW * len(shown) + 10, [name for name, _ in engines], 100)
    for row, (_, engine) in enumerate(engines):
        begin = 0.0
        for name in shown:
            axes.barh(row, engine.group(name).percent, left=begin, height=0.6, color=COLOURS[name], linewidth=0)
            begin += engine.group(name).percent
        _say(axes, paper, row, engine.percent, f"{engine.percent:.1f} %")
    axes.axvline(ALARM_PERCENT, color=theme.warning, linewidth=1.2, dashes=(4, 3))
    return paper.figure


def engine_with_stamps(costs: Sequence[tuple[str, Costs]], theme: Theme, width: int) -> Figure:
    """Each server's engine now, and as it would be with stamps, with the range of that estimate."""
    names = [f"{when}{f', {name}' if len(costs) > 1 else ''}" for name, _ in costs for when in ("now", "with stamps")]
    paper = sheet(
        "The engine now, and with stamps",
        "Percent of one core. The thin line is the range of the estimate; dashed is the alarm.",
        theme, width, ROW * len(names) + AXIS,
    )  # fmt: skip
    axes = _rows(paper, 0, names, 100)
    for number, (_, one) in enumerate(costs):
        row, then = 2 * number, one.engine_percent
        axes.barh(row, one.engine_now_percent, height=0.6, color=COLOURS["invalidation by pattern"], linewidth=0)
        axes.barh(row + 1, then.mid, height=0.6, color=theme.accent, linewidth=0)
        axes.plot([then.low, then.high], [row + 1, row + 1], color=theme.text, linewidth=1.4)
        _say(axes, paper, row, one.engine_now_percent, f"{one.engine_now_percent:.1f} %")
        _say(axes, paper, row + 1, then.high, f"{then.mid:.1f} % ({then.low:.1f} – {then.high:.1f})")
    axes.axvline(ALARM_PERCENT, color=theme.warning, linewidth=1.2, dashes=(4, 3))
    return paper.figure


def _rows(paper: Sheet, top: float, names: Sequence[str], most: float) -> Axes:
    """Axes with a row for each name, the first one on top."""
    left = 8 + 0.58 * paper.size * max(map(len, names))
    axes = paper.axes(left, top, paper.width - left - 24, ROW * len(names))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelsize=paper.size, labelcolor=paper.theme.text)
    axes.set_xlim(0, most)
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.grid(visible=True, axis="x", color=paper.theme.grid, linewidth=1)
    return axes


def _say(axes: Axes, paper: Sheet, row: int, end: float, text: str) -> None:
    """A figure at the end of its bar; within it, where there is no room behind."""
    room = end < axes.get_xlim()[1] * 0.6
    axes.annotate(
        text, (end, row), (5 if room else -5, 0), textcoords="offset points", va="center_baseline",
        ha="left" if room else "right", fontsize=paper.size, color=paper.theme.text,
    )  # fmt: skip
