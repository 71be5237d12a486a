"""The report as one HTML file that asks nothing of any network. Its figures are those of `results`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from itertools import starmap
from pathlib import Path

from matplotlib.figure import Figure

from unstale.tools import wording
from unstale.tools.doctor.charts import engine_by_group, engine_with_stamps
from unstale.tools.doctor.results import Costs, Engine, Report
from unstale.tools.doctor.table import BESIDE_STAMPS
from unstale.tools.drawing import DARK, LIGHT, Theme, plain_settings
from unstale.tools.embedding import NARROW_BELOW, Drawn, images_of, template
from unstale.tools.engine import ALARM_PERCENT


def write_page(report: Report, path: Path) -> None:
    """Write the page.

    Args:
        report: what was found.
        path: the file; what is there is replaced.

    Raises:
        OSError: it cannot be written.
    """
    path.write_text(page(report), encoding="utf-8", newline="\n")


def page(report: Report) -> str:
    """The page as text. The same report gives the same text."""
    source = files("unstale.tools.doctor").joinpath("page.html.j2").read_text(encoding="utf-8")
    with plain_settings():
        charts = _charts(report)
    return template(source).render(
        report=report,
        charts=charts,
        wording=wording,
        light=LIGHT,
        dark=DARK,
        narrow_below=NARROW_BELOW,
        alarm_percent=ALARM_PERCENT,
        beside_stamps=BESIDE_STAMPS,
    )


def _charts(report: Report) -> list[Drawn]:
    engines = [(node.name, node.engine) for node in report.nodes if node.engine is not None]
    costs = [(node.name, node.costs) for node in report.nodes if node.costs is not None]
    made = []
    if engines:
        alt = f"Percent of a core by what it is for. {'; '.join(starmap(_of_groups, engines))}."
        made.append(_chart("engine", alt, partial(engine_by_group, engines)))
    if costs:
        alt = f"The engine now, and with stamps. {'; '.join(starmap(_of_costs, costs))}."
        made.append(_chart("stamps", alt, partial(engine_with_stamps, costs)))
    return made


def _of_groups(name: str, engine: Engine) -> str:
    return f"{name}: {', '.join(f'{group.name} {group.percent:.1f} %' for group in engine.groups)}"


def _of_costs(name: str, costs: Costs) -> str:
    return f"{name}: {costs.engine_now_percent:.1f} %, {costs.engine_percent.mid:.1f} %"


def _chart(name: str, alt: str, draw: Callable[[Theme, int], Figure]) -> Drawn:
    return Drawn(name, alt, tuple(image for image, _ in images_of(draw)))
