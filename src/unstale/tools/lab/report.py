"""The report of a run: one HTML file that asks nothing of any network, and its charts as PNG and SVG beside it.

It is drawn from results alone, and the same results give the same bytes: there is no clock and no server here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from unstale.tools import wording
from unstale.tools.drawing import DARK, LIGHT, plain_settings, png
from unstale.tools.embedding import NARROW_BELOW, Drawn, images_of, template
from unstale.tools.lab import page
from unstale.tools.lab.conclusions import findings, summed_up
from unstale.tools.lab.gallery import Chart, Place, gallery, of_the_scale
from unstale.tools.lab.results import Results
from unstale.tools.lab.scale_results import ScaleResults
from unstale.tools.lab.told import told

REPORT_FILE: Final = "report.html"
CHARTS_FOLDER: Final = "charts"


@dataclass(frozen=True, slots=True)
class Placed(Drawn):
    """A chart of the gallery with all its drawings."""

    place: Place


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
    text = template(files("unstale.tools.lab").joinpath("report.html.j2").read_text(encoding="utf-8")).render(
        run=run,
        results=results,
        scale=scale,
        charts=drawn,
        findings=summed_up(findings(results)),
        page=page,
        wording=wording,
        light=LIGHT,
        dark=DARK,
        narrow_below=NARROW_BELOW,
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


def _drawn(chart: Chart, folder: Path) -> Placed:
    """Draw a chart in both themes and widths, and keep the wide ones as files: `-dark` is the dark one."""
    images = []
    for image, figure in images_of(chart.draw):
        images.append(image)
        if not image.is_narrow:
            name = chart.name + ("" if image.theme is LIGHT else f"-{image.theme.name}")
            (folder / f"{name}.svg").write_bytes(image.drawing)
            (folder / f"{name}.png").write_bytes(png(figure))
    return Placed(chart.name, chart.alt, tuple(images), chart.place)
