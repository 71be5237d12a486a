"""The curves of `unstale lab scale`: what an invalidation and a read cost, against the size of the keyspace, log-log.

A flat line is O(1), a line that climbs with the grid is O(N). Names stand at the ends of the lines. Nothing is written
here.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from unstale.tools.drawing import Sheet, Theme, apart, is_narrow, sheet
from unstale.tools.lab.charts import tick
from unstale.tools.lab.scale_results import VERBS, ScalePoint, ScaleResults, Verb

OURS: Final = "unstale"
Along: TypeAlias = Literal["keys", "keys_per_user"]
TYPICAL: Final = 100
"""Keys a user, of an ordinary user."""
HIGH: Final = 190
"""Pixels of one panel's axes."""
_DASHES: Final = ((), (6, 2), (2, 2), (6, 2, 2, 2), (1, 3))
"""Lines are told apart by these and by their names, never by a colour alone."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Some of the points: those that lie on lines of one panel."""

    verb: Verb
    along: Along
    """What grows."""
    held: int
    """What the other one is held at."""
    points: tuple[ScalePoint, ...]

    @property
    def title(self) -> str:
        """What was called."""
        return "one invalidation" if self.verb == "invalidate" else "one read"

    @property
    def subtitle(self) -> str:
        """What it is drawn against."""
        if self.along == "keys":
            return f"by keys in the database, {self.held:,} a user"
        return f"by keys a user, {self.held:,} in the database"

    def size(self, point: ScalePoint) -> int:
        """Where a point lies on the horizontal axis."""
        return point.keys if self.along == "keys" else point.keys_per_user

    def lines(self) -> dict[str, list[ScalePoint]]:
        """By method, from the smallest size to the largest; ours is the first."""
        found: dict[str, list[ScalePoint]] = {}
        for point in sorted(self.points, key=lambda one: (one.method != OURS, one.method, self.size(one))):
            found.setdefault(point.method, []).append(point)
        return found


def cuts(scale: ScaleResults) -> list[Cut]:
    """The panels: each verb along each size that was measured at more than one place, through the most points."""
    wanted = [_cut(scale, verb, along) for verb in VERBS for along in ("keys", "keys_per_user")]
    return [cut for cut in wanted if cut is not None]


def cost_by_keyspace(scale: ScaleResults, theme: Theme, width: int) -> Figure:
    """Engine CPU of one call against the size of the keyspace, with the quartiles of the rounds."""
    panels = cuts(scale)
    columns = 1 if is_narrow(width) else 2
    high = HIGH + 86
    paper = sheet(
        "Cost against the size of the keyspace",
        "Engine CPU of one call, log-log, with the quartiles of the rounds: flat is O(1), climbing is O(N).",
        theme, width, math.ceil(len(panels) / columns) * high,
    )  # fmt: skip
    each = paper.width / columns
    room = 0.58 * (paper.size - 1) * max((len(point.method) for point in scale.points), default=0) + 10
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        paper.write(column * each, row * high + 4, panel.title, fontweight="bold")
        paper.write(column * each, row * high + 22, panel.subtitle, color=theme.muted)
        axes = paper.axes(column * each + 48, row * high + 48, each - 48 - room, HIGH)
        same_verb = [point for other in panels if other.verb == panel.verb for point in other.points]
        axes.set(xscale="log", yscale="log", ylim=_range(same_verb))
        _ticks(axes, paper, panel)
        _lines(axes, paper, panel)
    return paper.figure


def _lines(axes: Axes, paper: Sheet, panel: Cut) -> None:
    lines = panel.lines()
    for dashes, (method, points) in zip(itertools.cycle(_DASHES), lines.items(), strict=False):
        colour = paper.theme.accent if method == OURS else paper.theme.muted
        at = [panel.size(point) for point in points]
        quartiles = [one.engine_us_low for one in points], [one.engine_us_high for one in points]
        axes.fill_between(at, *quartiles, color=colour, alpha=0.18, linewidth=0)
        (line,) = axes.plot(
            at, [one.engine_us for one in points], color=colour, linewidth=2.6 if method == OURS else 1.7,
            marker="o", markersize=4,
        )  # fmt: skip
        if dashes:
            line.set_dashes(dashes)
    _names(axes, paper, list(lines), [points[-1].engine_us for points in lines.values()])


def _ticks(axes: Axes, paper: Sheet, panel: Cut) -> None:
    """At the sizes that were measured, and at powers of ten of the time."""
    sizes = sorted({panel.size(point) for point in panel.points})
    axes.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.2)
    axes.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    low, most = (math.log10(end) for end in axes.get_ylim())
    axes.yaxis.set_major_locator(FixedLocator([10.0**power for power in range(math.ceil(low), math.floor(most) + 1)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.grid(visible=True, color=paper.theme.grid, linewidth=1)


def _names(axes: Axes, paper: Sheet, methods: Sequence[str], ends: Sequence[float]) -> None:
    """The methods' names beside the ends of their lines, moved apart where lines end together."""
    low, most = (math.log10(one) for one in axes.get_ylim())
    places = [(math.log10(max(end, 10**low)) - low) / (most - low) for end in ends]  # 0 is at the bottom
    for method, place in zip(methods, apart(places, (paper.size + 2) / HIGH), strict=True):
        axes.annotate(
            method, (1, place), (6, 0), "axes fraction", "offset points", va="center", fontsize=paper.size - 1,
            color=paper.theme.accent if method == OURS else paper.theme.text,
            fontweight="bold" if method == OURS else "normal", annotation_clip=False,
        )  # fmt: skip


def _cut(scale: ScaleResults, verb: Verb, along: Along) -> Cut | None:
    """Through the most points; of several such cuts the largest keyspace, and a user with about TYPICAL keys."""
    groups: defaultdict[int, list[ScalePoint]] = defaultdict(list)
    for point in scale.points:
        if point.verb == verb:
            groups[point.keys_per_user if along == "keys" else point.keys].append(point)
    found = [Cut(verb, along, held, tuple(points)) for held, points in groups.items()]
    found = [cut for cut in found if len({cut.size(point) for point in cut.points}) > 1]
    return max(found, key=_worth, default=None)


def _worth(cut: Cut) -> tuple[int, float]:
    far = -abs(math.log(cut.held / TYPICAL)) if cut.along == "keys" else math.log(cut.held)
    return len(cut.points), far


def _range(points: Sequence[ScalePoint]) -> tuple[float, float]:
    """Two decades at least, with some air: the same for all panels of a verb, so that they can be compared."""
    values = [value for point in points for value in (point.engine_us_low, point.engine_us_high) if value > 0] or [1.0]
    low, most = math.log10(min(values)) - 0.35, math.log10(max(values)) + 0.25
    short_of = max(0.0, 2.2 - (most - low)) / 2
    return 10.0 ** (low - short_of), 10.0 ** (most + short_of)


def short(keys: float) -> str:
    """A number of keys, in few letters."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if keys >= size:
            return f"{keys / size:g}{letter}"
    return f"{keys:g}"
