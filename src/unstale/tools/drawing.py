"""Paper and pens of the charts: themes, sheets measured in pixels, the bytes of a figure. No tool's results are here.

One unit is one CSS pixel at the chart's own width. Text stays text in an SVG, in the reader's own system font; a PNG
has the font that matplotlib carries. The same figure gives the same bytes: no date, no random ids, no settings of the
user's matplotlib.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDE: Final = 912
"""Pixels: on a desk; 880 and its margins."""
NARROW: Final = 360
"""Pixels: the same chart on a telephone of 390."""
_DPI: Final = 72
_FONTS: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours, each told apart from its neighbours by lightness too, so that no chart needs a reader to see hues."""

    name: str
    ground: str
    text: str
    muted: str
    """Of text that says less; 4.5 : 1 against the ground, as the text is."""
    grid: str
    accent: str
    """unstale."""
    neutral: str
    """All others."""
    warning: str
    """The alarm line, stale answers, what was not held."""


LIGHT: Final = Theme("light", "#fdfdfb", "#1d1f21", "#5c6167", "#e2e3e0", "#0a5fa3", "#8b9199", "#b3400a")
DARK: Final = Theme("dark", "#15181b", "#e9e7e3", "#a8aeb6", "#2f353a", "#6db5ef", "#7f8791", "#ff9a5e")
THEMES: Final = (LIGHT, DARK)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure with its heading, and where the free space begins."""

    figure: Figure
    theme: Theme
    outer: int
    """Pixels of the whole width."""
    height: int
    """Pixels of the whole height."""
    margin: int
    """Pixels that are left free on all sides."""
    top: int
    """Pixels below the margin that the heading took."""

    @property
    def width(self) -> int:
        """Pixels between the margins."""
        return self.outer - 2 * self.margin

    @property
    def size(self) -> float:
        """Of text, in pixels."""
        return text_size(self.outer)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Empty axes in this theme, without a frame; all in pixels, from the upper left corner of the free space."""
        bottom = self.height - self.margin - self.top - top - height
        place = ((self.margin + left) / self.outer, bottom / self.height, width / self.outer, height / self.height)
        made = self.figure.add_axes(place, facecolor="none")
        for spine in made.spines.values():
            spine.set_visible(False)
        made.tick_params(length=0, pad=4, labelsize=self.size - 1, labelcolor=self.theme.muted)
        made.set_axisbelow(True)
        return made

    def write(self, left: float, top: float, text: str, **how: object) -> None:
        """Text at a place in pixels, from the upper left corner of the free space."""
        how = {"fontsize": self.size, "color": self.theme.text, "va": "top", **how}
        place = ((self.margin + left) / self.outer, 1 - (self.margin + self.top + top) / self.height)
        self.figure.text(*place, text, **how)  # type: ignore[arg-type]


def is_narrow(width: int) -> bool:
    """Whether a chart of this width is for a telephone."""
    return width < (WIDE + NARROW) // 2


def text_size(width: int) -> float:
    """Pixels: somewhat smaller on a telephone, which is held closer."""
    return 12.0 if is_narrow(width) else 13.0


def inner_width(width: int) -> int:
    """Pixels between the margins."""
    return width - 2 * _margin(width)


def _margin(width: int) -> int:
    return 2 if is_narrow(width) else 16


def sheet(title: str, subtitle: str, theme: Theme, width: int, body: float) -> Sheet:
    """A figure with its heading.

    Args:
        title: what the chart shows; bold.
        subtitle: how to read it; wrapped to the width.
        theme: its colours.
        width: in pixels, WIDE or NARROW or near them.
        body: the height below the heading, in pixels.
    """
    size, margin, inner = text_size(width), _margin(width), inner_width(width)
    titles = textwrap.wrap(title, int(inner / (size + 3) / 0.6))
    subtitles = textwrap.wrap(subtitle, int(inner / size / 0.56))
    below = round(len(titles) * (size + 3) * 1.3 + 3)
    top = round(below + len(subtitles) * size * 1.35 + 12)
    height = round(top + body + 2 * margin)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=theme.ground)
    heading = Sheet(figure, theme, width, height, margin, 0)
    heading.write(0, 0, "\n".join(titles), fontsize=size + 3, fontweight="bold", linespacing=1.15)
    heading.write(0, below, "\n".join(subtitles), color=theme.muted, linespacing=1.2)
    return Sheet(figure, theme, width, height, margin, top)


def apart(wanted: Sequence[float], least: float) -> list[float]:
    """Places near the wanted ones, in the same order, and no two closer than this: so that labels do not overlap."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    groups: list[tuple[float, list[int]]] = []  # the middle of a row of labels, and whose they are
    for place in order:
        groups.append((wanted[place], [place]))
        while len(groups) > 1 and _touch(groups[-2], groups[-1], least):
            (_, first), (_, second) = groups.pop(-2), groups.pop()
            both = first + second
            groups.append((sum(wanted[one] for one in both) / len(both), both))
    found = [0.0] * len(wanted)
    for middle, members in groups:
        for row, place in enumerate(members):
            found[place] = middle + (row - (len(members) - 1) / 2) * least
    return found


def _touch(first: tuple[float, list[int]], second: tuple[float, list[int]], least: float) -> bool:
    reach = (len(first[1]) + len(second[1])) / 2 * least
    return second[0] - first[0] < reach - 1e-9


@contextmanager
def plain_settings() -> Iterator[None]:
    """In here matplotlib has its own settings, not the user's, and ids that are the same each time."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "unstale", "font.sans-serif": ["DejaVu Sans"]})
        yield


def svg(figure: Figure) -> bytes:
    """A figure as SVG, as wide as it was made, in pixels. To be called within plain_settings."""
    file = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", facecolor=figure.get_facecolor(), metadata=nothing)
    text = file.getvalue().decode()
    width, height = (round(inches * _DPI) for inches in figure.get_size_inches())
    text = text.replace(f'width="{width}pt" height="{height}pt"', f'width="{width}" height="{height}"', 1)
    return text.replace("'DejaVu Sans', sans-serif", _FONTS).encode()


def png(figure: Figure) -> bytes:
    """A figure as PNG, with two dots for each of its pixels. To be called within plain_settings."""
    file = io.BytesIO()
    figure.savefig(
        file, format="png", dpi=2 * _DPI, facecolor=figure.get_facecolor(), metadata={"Software": None}
    )  # fmt: skip
    return file.getvalue()
