"""The doctor's page as a reader sees it: in a real Chromium, on a telephone and on a desk, in light and in dark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from chromium import (
    GROUND,
    IMAGES,
    TEXTS,
    THEMES,
    TOO_WIDE,
    Opened,
    channels,
    faint,
    launched,
    luminance,
    opened_in,
    written,
)
from playwright.sync_api import Browser
from reports import node, report, walked
from servers import Server

from unstale.tools.doctor.page import write_page
from unstale.tools.doctor.results import Node, Report

WIDTHS = (400, 1440)
LONG = "shop-cache-0001-00{}.shop-cache.abc123.euw1.cache.amazonaws.com:6379"
REPORTS = {
    "one server": report(walked()),
    "a cluster": report(
        walked("10.0.0.1:6379"),
        node(name="10.0.0.2:6379"),
        Node(name="10.0.0.3:6379", status="unreachable", why="gone <x>"),
    ),
    "long names": report(walked(LONG.format(1)), walked(LONG.format(2)), node(name=LONG.format(3))),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests here."""
    with launched() as started:
        yield started


@pytest.fixture(scope="module", params=REPORTS)
def made(request: pytest.FixtureRequest) -> Report:
    """Reports with all that there may be in one."""
    return REPORTS[request.param]


@pytest.fixture(scope="module", params=[(width, theme) for width in WIDTHS for theme in THEMES], ids=str)
def opened(
    request: pytest.FixtureRequest, browser: Browser, made: Report, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    """Each report's page, in a window of each width in each theme."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    write_page(made, file)
    with opened_in(browser, file, *request.param) as seen:
        yield seen


def test_nothing_leaves_the_file(opened: Opened) -> None:
    """Only the page itself is asked for, and the browser complains of nothing."""
    assert opened.errors == []
    assert [url for url in opened.asked if not url.endswith("/report.html")] == []


def test_findings_are_visible(opened: Opened, made: Report) -> None:
    """Each with its level, its sentence and its remedy, the worst first."""
    shown = opened.page.locator(".findings li")
    assert shown.count() == len(made.findings) > 2
    for item, finding in zip(shown.all(), made.findings, strict=True):
        assert item.is_visible()
        text = item.inner_text()
        assert all(words in text for words in (finding.level, finding.says, finding.id))


def test_servers_are_visible(opened: Opened, made: Report) -> None:
    """Each by its name, also one that could not be looked at."""
    heads = [head.inner_text() for head in opened.page.locator("section h2").all() if head.is_visible()]
    assert [node.name for node in made.nodes if not any(head.startswith(node.name) for head in heads)] == []


def test_charts_are_visible(opened: Opened, request: pytest.FixtureRequest) -> None:
    """Those of the window's width and theme, as large as they were drawn for."""
    width, theme = request.node.callspec.params["opened"]
    images = opened.page.evaluate(IMAGES)
    assert [(one["loaded"], one["width"]) for one in images] == [(True, 360 if width < 640 else 912)] * 2
    assert all(0.95 * one["width"] <= one["shown"] <= 1.05 * one["width"] for one in images)
    sources = opened.page.evaluate("() => [...document.querySelectorAll('source')].map(one => [one.media, one.srcset])")
    wanted = {uri for media, uri in sources if theme in media and ("max-width" in media) == (width < 640)}
    assert {one["source"] for one in images} == wanted


def test_the_charts_letters_can_be_read(opened: Opened, browser: Browser) -> None:
    """No text is cut off at an edge, none lies on another, and each is told from its ground, above bars too."""
    for image in opened.page.evaluate(IMAGES):
        texts = written(browser, image["source"])
        assert len(texts) > 5
        assert [one for one in texts if one.left < -1 or one.right > image["width"] + 1] == []
        assert [(one.text, other.text) for one, other in combinations(texts, 2) if one.overlaps(other)] == []
        assert [one for one in texts if one.contrast < 4.5 and one.text != "■"] == []


def test_nothing_reaches_over_the_edge(opened: Opened) -> None:
    """The page does not scroll sideways; what is wide does so in its own box, from the keyboard too."""
    assert opened.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert opened.page.evaluate(TOO_WIDE) == []
    boxes = opened.page.locator(".scroll")
    assert boxes.count() > 2
    assert {box.get_attribute("tabindex") for box in boxes.all()} == {"0"}


def test_every_text_can_be_read(opened: Opened) -> None:
    """4.5 : 1 between each text and what is behind it, and none smaller than 11 pixels."""
    assert len(opened.page.evaluate(TEXTS)) > 100
    assert faint(opened.page) == []
    sizes = opened.page.evaluate(
        "() => [...document.querySelectorAll('main *')].map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 11


def test_light_and_dark(opened: Opened, request: pytest.FixtureRequest) -> None:
    """The ground is as the reader's system has it."""
    _, theme = request.node.callspec.params["opened"]
    ground = luminance(channels(opened.page.evaluate(GROUND)))
    assert ground > 0.9 if theme == "light" else ground < 0.05


@pytest.mark.parametrize("width", [320, 640, 641, 768, 1024])
def test_no_width_between_scrolls_sideways(browser: Browser, made: Report, tmp_path: Path, width: int) -> None:
    """Small telephones and tablets too."""
    write_page(made, tmp_path / "report.html")
    with opened_in(browser, tmp_path / "report.html", width, "light") as seen:
        assert seen.page.evaluate("() => document.documentElement.scrollWidth") == width
        assert seen.page.evaluate(TOO_WIDE) == []


def test_the_page_of_a_real_server(browser: Browser, server: Server, tmp_path: Path) -> None:
    """As the command writes it."""
    with server.client as client:
        client.mset({f"shop:user:{number}:orders": "x" * 50 for number in range(300)})
    file = tmp_path / "report.html"
    words = [sys.executable, "-m", "unstale", "doctor", server.url, "--seconds", "2", "--html", str(file)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode in {0, 1, 3}, ended.stderr
    with opened_in(browser, file, 400, "dark") as seen:
        assert seen.errors == []
        assert seen.asked == [file.as_uri()]
        assert seen.page.locator("h1").inner_text() == server.url
        assert seen.page.locator("#chart-engine img").is_visible()
        assert "shop:user:*:orders" in seen.page.locator("main").inner_text()
