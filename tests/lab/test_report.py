"""The report: one file, from whole and partial runs, the same each time."""

from __future__ import annotations

import html
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up import made_up_outcome, made_up_results, made_up_scale

from unstale.tools.embedding import kept_together, marked
from unstale.tools.lab import page
from unstale.tools.lab import results as lab_results
from unstale.tools.lab.conclusions import conclusions
from unstale.tools.lab.gallery import gallery
from unstale.tools.lab.plan import Plan
from unstale.tools.lab.report import write_report
from unstale.tools.lab.results import Outcome, figures
from unstale.tools.lab.told import told
from unstale.tools.wording import duration

SOME = ("baseline", "second-node", "timestamps", "unstale")
CHARTS = {
    "cost-by-keyspace",
    "cost-per-action",
    "engine-by-class",
    "engine-over-time",
    "latency",
    "stale-answers",
    "throughput",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run of some variants, with its results beside it."""
    made = tmp_path_factory.mktemp("report")
    results = made_up_results(SOME, seconds=5)
    lab_results.write(results, made / "results.json")
    write_report(results, made_up_scale(), made)
    return made


class Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in tags]


def text_of(path: Path) -> str:
    """What a person reads: no markup, no pictures, one space between words."""
    body = path.read_text(encoding="utf-8").partition("<body>")[2]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", body)))


def test_the_charts_are_beside_the_report(folder: Path) -> None:
    """Each chart is there as SVG and PNG, light and dark."""
    names = {path.name for path in (folder / "charts").iterdir()}
    assert names == {f"{name}{dark}.{kind}" for name in CHARTS for dark in ("", "-dark") for kind in ("svg", "png")}


def test_drawn_again_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    """From results.json alone the report and all charts come out byte for byte."""
    write_report(lab_results.read(folder / "results.json"), made_up_scale(), tmp_path)
    assert (tmp_path / "report.html").read_bytes() == (folder / "report.html").read_bytes()
    for chart in (folder / "charts").iterdir():
        assert (tmp_path / "charts" / chart.name).read_bytes() == chart.read_bytes()


def test_it_is_small_and_asks_for_nothing(folder: Path) -> None:
    """Everything is in the one file: no address in it leads anywhere, and there is no script."""
    path = folder / "report.html"
    outline = Outline(path.read_text(encoding="utf-8"))
    asked = [value for tag, one in outline.tags for name, value in one.items() if name in {"src", "srcset", "href"}]
    assert path.stat().st_size < 3_000_000
    assert asked
    assert [value for value in asked if not (value or "").startswith("data:")] == []
    assert outline.of("script", "iframe", "object") == []


def test_each_chart_has_its_figures_in_words(folder: Path) -> None:
    """Who cannot see a chart is told what is in it."""
    outline = Outline((folder / "report.html").read_text(encoding="utf-8"))
    alts = [one["alt"] or "" for one in outline.of("img")]
    results = made_up_results(SOME, seconds=5)
    one = figures(results.outcomes[3], results.plan)
    assert len(alts) == len(CHARTS)
    assert any(f"unstale {duration(one.engine_us_per_action)}" in alt for alt in alts)
    assert min(len(alt) for alt in alts) > 60


def test_each_picture_has_both_themes_and_both_widths(folder: Path) -> None:
    """A browser chooses by the window and by the reader's theme."""
    outline = Outline((folder / "report.html").read_text(encoding="utf-8"))
    media = [one["media"] for one in outline.of("source")]
    assert len(media) == 4 * len(CHARTS)
    assert len(set(media)) == 4


def test_headings_and_tables_are_marked_up(folder: Path) -> None:
    """One first heading, no level left out, and every table header says what it is the header of."""
    outline = Outline((folder / "report.html").read_text(encoding="utf-8"))
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h\d", tag)]
    assert outline.of("html")[0]["lang"] == "en"
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(after - before for before, after in itertools.pairwise(levels)) == 1
    assert {one.get("scope") for one in outline.of("th")} == {"col", "row"}
    assert len(outline.of("table")) == len(outline.of("caption")) == 2


def test_the_story_is_told_in_order(folder: Path) -> None:
    """Each step with what it stands for, then the conclusions, then how it was measured."""
    text = text_of(folder / "report.html")
    results = made_up_results(SOME, seconds=5)
    wanted = ["Step by step", *(one.stands_for for one in results.outcomes), "What follows", "How it was measured"]
    assert [text.index(part) for part in wanted] == sorted(text.index(part) for part in wanted)


def test_every_conclusion_is_in_it(folder: Path) -> None:
    """The page says all that the terminal says."""
    text = text_of(folder / "report.html")
    for sentence in conclusions(made_up_results(SOME, seconds=5)):
        assert sentence.replace("`", "") in text


def test_plan_versions_and_machine_are_in_it(folder: Path) -> None:
    """Who wants to repeat it finds what it needs."""
    text = text_of(folder / "report.html")
    for part in (
        "seed",
        "Valkey 9.1.2",
        "8.1.0",
        "8 GiB",
        "60 requests/s, open loop",
        "unstale lab --variant baseline",
    ):
        assert part in text


def test_the_definitions_are_those_of_the_figures() -> None:
    """They are read from where they are kept, so that the page cannot say anything else."""
    told_there = " ".join(page.definitions())
    for word in ("*window*", "*completed*", "Latency counts", "*Engine CPU per action*", "*stale answer*"):
        assert word in told_there


def test_a_partial_run_is_marked(tmp_path: Path) -> None:
    """What failed, was interrupted or never begun is said at the top and at its step, with the reason."""
    results = made_up_results(("baseline", "bigger-node", "unstale", "timestamps"), seconds=4)
    interrupted = made_up_outcome("unstale", results.plan)
    interrupted.status, interrupted.reason, interrupted.samples = "interrupted", "Ctrl-C", interrupted.samples[:2]
    failed = Outcome(variant="bigger-node", stands_for="", status="failed", reason="No memory <b>left</b>.")
    results.outcomes = [made_up_outcome("baseline", results.plan), failed, interrupted]
    path = write_report(results, None, tmp_path)
    text = text_of(path)
    assert text.count("failed: No memory <b>left</b>.") == 2
    assert text.count("interrupted after 2 s of the window: Ctrl-C") == 2
    assert "Not begun: timestamps." in text
    assert "did not hold the offered rate" in text
    assert "<b>left" not in path.read_text(encoding="utf-8")


def test_a_run_without_outcomes_is_a_page(tmp_path: Path) -> None:
    """A run that was stopped at once gives a report without charts rather than an error."""
    results = made_up_results(("unstale",), seconds=1)
    results.outcomes = []
    path = write_report(results, None, tmp_path)
    assert Outline(path.read_text(encoding="utf-8")).of("img") == []
    assert "Not begun: unstale." in text_of(path)


def test_charts_need_figures() -> None:
    """Without a measured variant there is nothing to draw of the run."""
    results = made_up_results(("unstale",), seconds=1)
    results.outcomes = [Outcome(variant="unstale", stands_for="", status="failed", reason="no")]
    assert gallery(told(results), None) == []


def test_a_second_server_is_told_of(folder: Path) -> None:
    """Its engine is in no other figure, and not nothing."""
    assert "The second server's engine used 0." in text_of(folder / "report.html")


def test_a_password_is_not_passed_on(tmp_path: Path) -> None:
    """The address of the user's own server stays out of a page that is sent around."""
    results = made_up_results(("unstale",), seconds=1)
    results.outcomes = []
    results.plan = Plan(variants=("unstale",), server="rediss://user:secret@cache.internal:6379/3")
    text = write_report(results, None, tmp_path).read_text(encoding="utf-8")
    assert "secret" not in text
    assert "cache.internal" not in text
    assert "by rediss://" in text
    assert "--url URL --yes" in text


def test_the_command_has_what_differs_from_the_usual() -> None:
    """Nothing more, so that it can be read; a program's path is left out."""
    assert page.command(Plan()) == "unstale lab"
    chosen = Plan(variants=("unstale",), server="/opt/x/redis-server", rate=12.5, seconds=3, keys=10, seed=7)
    assert page.command(chosen) == (
        "unstale lab --variant unstale --server redis-server --rate 12.5 --seconds 3 --keys 10 --seed 7"
    )


def test_marks_become_html_and_the_rest_is_escaped() -> None:
    """`code` and *emphasis*; a tag in a text stays a text."""
    assert marked("*a* `b` <i>") == "<em>a</em> <code>b</code> &lt;i&gt;"


def test_a_figure_stays_with_its_unit() -> None:
    """No line breaks between them."""
    assert kept_together("12 % of 3 ms in 5 steps") == "12\N{NO-BREAK SPACE}% of 3\N{NO-BREAK SPACE}ms in 5 steps"
