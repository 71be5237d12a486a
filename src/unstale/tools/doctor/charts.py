"""The charts of a report: each a function of what was found, a theme and a width, which gives a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from unstale.tools.doctor.results import GROUPS, Costs, Engine, Group
from unstale.tools.drawing import Sheet, Theme, inner_width, sheet, text_size
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
_LETTER: Final = 0.58
"""The width of a letter, by the size of the text."""
_BESIDE: Final = 0.4
"""Of the chart's width, what names beside their bars may take; longer ones stand above them."""
_INDENT: Final = 12
"""Pixels beside the bars, where no names are: half of the axis's first figure."""
_END: Final = 12
"""Letters of a name's end that are kept where its middle is left out: the port, and a part of the host."""


def engine_by_group(engines: Sequence[tuple[str, Engine]], theme: Theme, width: int) -> Figure:
    """What each server's engine works for, with its trips, to the alarm line."""
    shown = [name for name in GROUPS if any(one.group(name).percent >= _SEEN for _, one in engines)]
    rows = _Rows([name for name, _ in engines], width)
    body = KEY_ROW * len(shown) + 10 + rows.height + AXIS
    paper = sheet(
        "What the engine works for",
        f"Percent of one core, with the round trips. The line is the alarm at {ALARM_PERCENT:.0f} %.",
        theme, width, body,
    )  # fmt: skip
    for row, name in enumerate(shown):
        most = max(one.group(name).percent for _, one in engines)
        paper.write(0, KEY_ROW * row, "■", color=COLOURS[name], fontsize=paper.size + 2)
        paper.write(18, KEY_ROW * row + 1, f"{name}, {most:.1f} %" + (" at the most" if len(engines) > 1 else ""))
    axes = rows.axes(paper, KEY_ROW * len(shown) + 10)
    for row, (_, engine) in zip(rows.places, engines, strict=True):
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
    rows = _Rows(names, width)
    paper = sheet(
        "The engine now, and with stamps",
        "Percent of one core. The thin line is the range of the estimate; dashed is the alarm.",
        theme, width, rows.height + AXIS,
    )  # fmt: skip
    axes = rows.axes(paper, 0)
    for now, later, (_, one) in zip(rows.places[::2], rows.places[1::2], costs, strict=True):
        then = one.engine_percent
        axes.barh(now, one.engine_now_percent, height=0.6, color=COLOURS["invalidation by pattern"], linewidth=0)
        axes.barh(later, then.mid, height=0.6, color=theme.accent, linewidth=0)
        axes.plot([then.low, then.high], [later, later], color=theme.text, linewidth=1.4)
        _say(axes, paper, now, one.engine_now_percent, f"{one.engine_now_percent:.1f} %")
        _say(axes, paper, later, then.high, f"{then.mid:.1f} % ({then.low:.1f} – {then.high:.1f})")
    axes.axvline(ALARM_PERCENT, color=theme.warning, linewidth=1.2, dashes=(4, 3))
    return paper.figure


@dataclass(frozen=True, slots=True)
class _Rows:
    """A row for each name, the first one on top; where names are long, a row for the name and one for its bar."""

    names: Sequence[str]
    outer: int
    """Pixels of the chart's whole width."""

    @property
    def _beside(self) -> float:
        """Pixels that names beside the bars take."""
        return 8 + _LETTER * text_size(self.outer) * max(map(len, self.names))

    @property
    def each(self) -> int:
        """Rows for a name."""
        return 1 if self._beside <= _BESIDE * inner_width(self.outer) else 2

    @property
    def places(self) -> range:
        """The bars' rows."""
        return range(self.each - 1, self.each * len(self.names), self.each)

    @property
    def height(self) -> int:
        """Pixels of all."""
        return ROW * self.each * len(self.names)

    def axes(self, paper: Sheet, top: float) -> Axes:
        """Axes from none to the whole core."""
        above = self.each > 1
        left = _INDENT if above else self._beside
        axes = paper.axes(left, top, paper.width - left - 24, self.height)
        axes.set_ylim(self.each * len(self.names) - 0.5, -0.5)
        axes.set_yticks(self.places, [""] * len(self.names) if above else self.names)
        axes.tick_params(axis="y", labelsize=paper.size, labelcolor=paper.theme.text)
        axes.set_xlim(0, 100)
        axes.locator_params(axis="x", nbins=4)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.grid(visible=True, axis="x", color=paper.theme.grid, linewidth=1)
        most = int((paper.width - left) / (_LETTER * paper.size))
        for row, name in zip(self.places, self.names, strict=True) if above else ():
            _write(axes, paper, (0, row - 0.9), _shortened(name, most), ha="left")
        return axes


def _shortened(name: str, most: int) -> str:
    """A name in so many letters. What tells servers apart is at the beginning, or it is the port."""
    return name if len(name) <= most else f"{name[: most - _END - 1]}…{name[-_END:]}"


def _say(axes: Axes, paper: Sheet, row: int, end: float, text: str) -> None:
    """A figure at the end of its bar; within it, where there is no room behind."""
    room = end < axes.get_xlim()[1] * 0.6
    _write(axes, paper, (end, row), text, offset=5 if room else -5, ha="left" if room else "right")


def _write(axes: Axes, paper: Sheet, at: tuple[float, float], text: str, *, ha: str, offset: float = 0) -> None:
    """Text on ground of its own, so that it can be read above bars and lines of any colour."""
    ground = {"facecolor": paper.theme.ground, "edgecolor": "none", "pad": 1.5}
    axes.annotate(
        text, at, (offset, 0), textcoords="offset points", va="center_baseline", ha=ha, fontsize=paper.size,
        color=paper.theme.text, bbox=ground,
    )  # fmt: skip
