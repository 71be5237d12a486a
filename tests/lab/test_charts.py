"""The charts: each from whole and partial runs, in both themes and widths, readable and the same each time."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from made_up import made_up_outcome, made_up_results, made_up_scale
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from unstale.tools.drawing import DARK, LIGHT, NARROW, THEMES, WIDE, Theme, apart, plain_settings, png, svg
from unstale.tools.lab import charts
from unstale.tools.lab.plan import VARIANTS
from unstale.tools.lab.results import Outcome, Results
from unstale.tools.lab.scale_chart import cost_by_keyspace, cuts
from unstale.tools.lab.scale_results import ScaleResults
from unstale.tools.lab.told import Told, told

OF_A_RUN = [
    charts.engine_over_time,
    charts.engine_by_class,
    charts.latencies,
    charts.stale_answers,
    charts.cost_per_action,
    charts.throughput,
]
each_chart = pytest.mark.parametrize("chart", OF_A_RUN, ids=lambda chart: chart.__name__)
Draw = Callable[[Told, Theme, int], Figure]


@pytest.fixture(scope="module")
def whole() -> Told:
    """A run of all variants."""
    return told(made_up_results())


def partial() -> Results:
    """A run in which one variant was interrupted, one failed, one has no samples, and the others were never begun."""
    results = made_up_results()
    first = made_up_outcome("baseline", results.plan)
    first.status, first.reason, first.samples = "interrupted", "stopped from outside", first.samples[:3]
    failed = Outcome(variant="bigger-node", stands_for="", status="failed", reason="no <memory>")
    empty = Outcome(variant="second-node", stands_for="", status="interrupted")
    results.outcomes = [first, failed, empty, made_up_outcome("unstale", results.plan)]
    return results


def drawn(figure: Figure) -> str:
    """As SVG."""
    return svg(figure).decode()


def words(text: str) -> list[str]:
    """All text of an SVG, piece by piece."""
    return [piece.text or "" for piece in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314


def outside(figure: Figure) -> list[str]:
    """Drawn texts that reach over an edge of their figure by more than a pixel."""
    figure.draw_without_rendering()
    renderer = figure._get_renderer()
    shown = set(words(drawn(figure)))  # ticks beyond an axis' end have texts, too, which are not drawn
    edge = figure.bbox.padded(1)
    found = []
    for text in figure.findobj(Text):
        box = text.get_window_extent(renderer)
        lines = text.get_text().split("\n")
        if shown.intersection(lines) and not (edge.contains(*box.min) and edge.contains(*box.max)):
            found.append(text.get_text())
    return found


@each_chart
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_chart_names_every_variant_within_its_edges(chart: Draw, width: int, whole: Told) -> None:
    """All variants are there at both widths, and no text is cut off, in a font that is wide."""
    with plain_settings():
        figure = chart(whole, LIGHT, width)
        assert outside(figure) == []
        assert set(VARIANTS) <= set(words(drawn(figure)))


@each_chart
def test_a_partial_run_is_drawn(chart: Draw) -> None:
    """What failed or has no samples has its word instead of a figure."""
    with plain_settings():
        found = words(drawn(chart(told(partial()), DARK, WIDE)))
    assert {"baseline", "bigger-node", "failed", "unstale"} <= set(found)


@each_chart
def test_a_chart_is_the_same_each_time(chart: Draw, whole: Told) -> None:
    """No date, no random ids: two drawings are equal, byte for byte."""
    with plain_settings():
        first, second = (svg(chart(whole, LIGHT, NARROW)) for _ in range(2))
    assert first == second


def test_settings_of_the_user_do_not_change_a_chart(whole: Told) -> None:
    """A matplotlibrc with other sizes and colours is not asked."""
    import matplotlib as mpl

    with plain_settings():
        usual = svg(charts.throughput(whole, LIGHT, NARROW))
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "lines.linewidth": 9, "axes.edgecolor": "red"}):
        with plain_settings():
            other = svg(charts.throughput(whole, LIGHT, NARROW))
        assert mpl.rcParams["font.size"] == 30
    assert usual == other


def test_the_figures_stand_at_their_rows(whole: Told) -> None:
    """The numbers of a chart are those of the run."""
    with plain_settings():
        found = words(drawn(charts.stale_answers(whole, LIGHT, WIDE)))
    for step in whole.measured:
        assert f"{step.figures.stale:,}" in found


def test_a_quantile_without_an_answer_is_said_so(whole: Told) -> None:
    """Where 99 % of the requests were not answered, no number is made up."""
    with plain_settings():
        found = words(drawn(charts.latencies(whole, LIGHT, WIDE)))
    unanswered = [step for step in whole.measured if step.figures.read_latency.p99 is None]
    assert unanswered
    assert found.count("no answer") >= len(unanswered)


def test_small_engine_figures_have_a_scale_of_their_own(whole: Told) -> None:
    """Bars of one percent are drawn again where they can be read."""
    with plain_settings():
        assert "below 10 %: a scale of its own" in words(drawn(charts.engine_by_class(whole, LIGHT, WIDE)))


def test_a_chart_of_cost_without_any_action(whole: Told) -> None:
    """A run in which no action was completed is drawn too."""
    results = made_up_results(("baseline",), seconds=2)
    asked = results.outcomes[0].requests
    asked.took = [None] * len(asked.took)
    with plain_settings():
        assert "no action" in words(drawn(charts.cost_per_action(told(results), LIGHT, WIDE)))
        assert "no answer" in words(drawn(charts.latencies(told(results), LIGHT, NARROW)))


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_curves_name_every_method_within_their_edges(width: int) -> None:
    """Names stand at the ends of the lines, apart from each other, in all four panels."""
    scale = made_up_scale()
    with plain_settings():
        figure = cost_by_keyspace(scale, LIGHT, width)
        assert outside(figure) == []
        found = words(drawn(figure))
    for method in {point.method for point in scale.points}:
        assert found.count(method) == 4


def test_a_panel_needs_two_sizes() -> None:
    """A scale run of one keyspace has no curve along the keyspace; an empty one has none at all."""
    scale = made_up_scale()
    scale.points = [point for point in scale.points if point.keys == 10_000]
    assert {cut.along for cut in cuts(scale)} == {"keys_per_user"}
    assert cuts(ScaleResults()) == []


def test_curves_of_one_method_with_a_zero_are_drawn() -> None:
    """A cost below what the clock can tell is 0, which a log scale has not."""
    scale = made_up_scale()
    scale.points = [
        type(point)(**{field: getattr(point, field) for field in point.__struct_fields__} | {"engine_us": 0.0})
        for point in scale.points
        if point.method == "unstale"
    ]
    with plain_settings():
        assert "unstale" in words(drawn(cost_by_keyspace(scale, LIGHT, WIDE)))


def test_labels_are_moved_apart() -> None:
    """No two are closer than they must be, and their order stays."""
    placed = apart([0.5, 0.5, 0.52, 0.9], 0.1)
    assert placed[:3] == sorted(placed[:3])
    ordered = sorted(placed)
    assert min(second - first for first, second in itertools.pairwise(ordered)) >= 0.1 - 1e-9
    assert placed[3] == 0.9


def test_an_svg_is_of_pixels_and_of_text(whole: Told) -> None:
    """It has its size, no date, no outlined letters, and asks for nothing from elsewhere."""
    with plain_settings():
        text = drawn(charts.throughput(whole, LIGHT, WIDE))
    assert re.search(rf'width="{WIDE}" height="\d+"', text)
    assert "<text" in text
    assert "dc:date" not in text
    assert not re.search(r'(?:href|src)="(?!#)', text)


def test_a_png_has_two_dots_for_each_pixel_and_no_notes(whole: Told) -> None:
    """Sharp on a dense screen, with something on it, and without a name of any software."""
    with plain_settings():
        image = Image.open(io.BytesIO(png(charts.throughput(whole, DARK, NARROW))))
    assert image.width == 2 * NARROW
    assert len(image.convert("RGB").getcolors(maxcolors=100_000) or []) > 10
    assert "Software" not in image.info


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_text_can_be_read_on_its_ground(theme: Theme) -> None:
    """4.5 : 1 for every colour that text has, as WCAG 2 asks for."""
    for colour in (theme.text, theme.muted, theme.accent, theme.warning):
        assert contrast(colour, theme.ground) >= 4.5


def contrast(first: str, second: str) -> float:
    """WCAG 2's contrast ratio."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
