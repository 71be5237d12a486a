"""The report of a run: one HTML file that asks nothing of any network, and its charts as PNG and SVG beside it.

It is drawn from results alone, and the same results give the same bytes: there is no clock and no server here.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup, escape

from unstale.tools import wording
from unstale.tools.drawing import DARK, LIGHT, NARROW, THEMES, WIDE, Theme, plain_settings, png, svg
from unstale.tools.lab import page
from unstale.tools.lab.conclusions import findings, summed_up
from unstale.tools.lab.gallery import Chart, Place, gallery, of_the_scale
from unstale.tools.lab.results import Results
from unstale.tools.lab.scale_results import ScaleResults
from unstale.tools.lab.told import told

REPORT_FILE: Final = "report.html"
CHARTS_FOLDER: Final = "charts"
_NARROW_BELOW: Final = 640
"""Pixels of the window up to which the narrow charts are shown."""


@dataclass(frozen=True, slots=True)
class Image:
    """One drawing of a chart, to be put into the page."""

    theme: Theme
    is_narrow: bool
    uri: str
    """The whole SVG, as a data URI."""
    width: int
    height: int

    @property
    def media(self) -> str:
        """When a browser shows it: the narrow one in a small window, and each in its theme."""
        size = f"(max-width: {_NARROW_BELOW}px) and " if self.is_narrow else ""
        return f"{size}(prefers-color-scheme: {self.theme.name})"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart with all its drawings; the narrow ones come first, since a browser takes the first that fits."""

    name: str
    place: Place
    alt: str
    images: tuple[Image, ...]

    @property
    def usual(self) -> Image:
        """What is shown where nothing else fits: wide and light."""
        return next(one for one in self.images if one.theme is LIGHT and not one.is_narrow)


def write_report(results: Results, scale: ScaleResults | None, directory: Path) -> Path:
    """Write `report.html` and `charts/` into a folder.

    Args:
        results: a run, whole or in part.
        scale: a run of `unstale lab scale`, if there is one.
        directory: where they go; it is made. What is there from before is replaced.

    Returns:
        the page.

    Raises:
        OSError: it cannot be written.
    """
    run = told(results)
    (directory / CHARTS_FOLDER).mkdir(parents=True, exist_ok=True)
    with plain_settings():
        drawn = [_drawn(chart, directory / CHARTS_FOLDER) for chart in gallery(run, scale)]
    text = _template().render(
        run=run,
        results=results,
        scale=scale,
        charts=drawn,
        findings=summed_up(findings(results)),
        page=page,
        wording=wording,
        light=LIGHT,
        dark=DARK,
        narrow_below=_NARROW_BELOW,
    )
    path = directory / REPORT_FILE
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_scale_charts(scale: ScaleResults, directory: Path) -> Path:
    """Draw the charts of a scale run that stands alone, as PNG and SVG.

    Returns:
        the folder that they are in.

    Raises:
        OSError: it cannot be written.
    """
    folder = directory / CHARTS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with plain_settings():
        for chart in of_the_scale(scale):
            _drawn(chart, folder)
    return folder


def _drawn(chart: Chart, folder: Path) -> Drawn:
    """Draw a chart in both themes and widths, and keep the wide ones as files: `-dark` is the dark one."""
    images = []
    for width in (NARROW, WIDE):
        for theme in THEMES:
            figure = chart.draw(theme, width)
            drawing = svg(figure)
            images.append(_image(theme, drawing, is_narrow=width == NARROW))
            if width == WIDE:
                name = chart.name + ("" if theme is LIGHT else f"-{theme.name}")
                (folder / f"{name}.svg").write_bytes(drawing)
                (folder / f"{name}.png").write_bytes(png(figure))
    return Drawn(chart.name, chart.place, chart.alt, tuple(images))


def _image(theme: Theme, drawing: bytes, *, is_narrow: bool) -> Image:
    size = re.search(rb'width="(\d+)" height="(\d+)"', drawing)
    if size is None:
        raise ValueError("This matplotlib writes an SVG without its size.")
    uri = f"data:image/svg+xml;base64,{base64.b64encode(drawing).decode()}"
    return Image(theme, is_narrow, uri, int(size[1]), int(size[2]))


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.lstrip_blocks = True
    environment.filters |= {"marked": marked, "kept": kept_together}
    source = files("unstale.tools.lab").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def kept_together(text: str) -> str:
    """A figure and its unit stay on one line: the space between them becomes one that does not break."""
    return re.sub(r"(?<=\d) (?=(?:%|µs\b|ms\b|s\b|GiB\b))", "\N{NO-BREAK SPACE}", text)


def marked(text: str) -> Markup:
    """`code` and *emphasis* as HTML; all else is escaped."""
    found = str(escape(text))
    found = re.sub(r"`([^`]+)`", r"<code>\1</code>", found)
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", found))  # noqa: S704 - escaped above
