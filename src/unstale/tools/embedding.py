"""What every page of the tools has in it: drawings as data URIs, one for each theme and width, and text made safe.

A page asks nothing of any network. No tool's results are here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import jinja2
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from unstale.tools.drawing import LIGHT, NARROW, THEMES, WIDE, Theme, svg

NARROW_BELOW: Final = 640
"""Pixels of the window up to which the narrow charts are shown."""


@dataclass(frozen=True, slots=True)
class Image:
    """One drawing of a chart, to be put into the page."""

    theme: Theme
    is_narrow: bool
    drawing: bytes
    """The whole SVG."""
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The whole SVG, as a data URI."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.drawing).decode()}"

    @property
    def media(self) -> str:
        """When a browser shows it: the narrow one in a small window, and each in its theme."""
        size = f"(max-width: {NARROW_BELOW}px) and " if self.is_narrow else ""
        return f"{size}(prefers-color-scheme: {self.theme.name})"

    @property
    def is_usual(self) -> bool:
        """Whether it is what is shown where nothing else fits: wide and light."""
        return self.theme is LIGHT and not self.is_narrow


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart with all its drawings; the narrow ones come first, since a browser takes the first that fits."""

    name: str
    alt: str
    images: tuple[Image, ...]

    @property
    def usual(self) -> Image:
        """What is shown where nothing else fits: wide and light."""
        return next(one for one in self.images if one.is_usual)


def image_of(theme: Theme, drawing: bytes, *, is_narrow: bool) -> Image:
    """An SVG as it is put into a page."""
    size = re.search(rb'width="(\d+)" height="(\d+)"', drawing)
    if size is None:
        raise ValueError("This matplotlib writes an SVG without its size.")
    return Image(theme, is_narrow, drawing, int(size[1]), int(size[2]))


def images_of(draw: Callable[[Theme, int], Figure]) -> Iterator[tuple[Image, Figure]]:
    """A chart in both widths and themes; the narrow ones come first, since a browser takes the first that fits.

    To be called within `drawing.plain_settings`.
    """
    for width in (NARROW, WIDE):
        for theme in THEMES:
            figure = draw(theme, width)
            yield image_of(theme, svg(figure), is_narrow=width == NARROW), figure


def template(source: str) -> jinja2.Template:
    """A page's template: text is escaped, and a name that is not there is an error. It may import `pieces.html.j2`."""
    pieces = jinja2.FunctionLoader(lambda name: files("unstale.tools").joinpath(name).read_text(encoding="utf-8"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=pieces)
    environment.trim_blocks = True
    environment.lstrip_blocks = True
    environment.filters |= {"marked": marked, "kept": kept_together}
    return environment.from_string(source)


def kept_together(text: str) -> str:
    """A figure and its unit stay on one line: the space between them becomes one that does not break."""
    return re.sub(r"(?<=\d) (?=(?:%|µs\b|ms\b|s\b|GiB\b))", "\N{NO-BREAK SPACE}", text)


def marked(text: str) -> Markup:
    """`code` and *emphasis* as HTML; all else is escaped."""
    found = str(escape(text))
    found = re.sub(r"`([^`]+)`", r"<code>\1</code>", found)
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", found))  # noqa: S704 - escaped above
