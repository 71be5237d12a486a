"""The report as a reader sees it: in a real Chromium, at two widths, in light and in dark."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import GROUND, IMAGES, TEXTS, THEMES, TOO_WIDE, Opened, channels, faint, launched, luminance, opened_in
from made_up import made_up_outcome, made_up_results, made_up_scale
from PIL import Image
from playwright.sync_api import Browser

from unstale.tools.lab.report import write_report

WIDTHS = (390, 1440)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run with all variants, of which one was interrupted; and of a scale run."""
    results = made_up_results()
    results.outcomes[5] = made_up_outcome("async-deletes", results.plan)
    results.outcomes[5].status, results.outcomes[5].reason = "interrupted", "stopped from outside"
    results.outcomes[5].samples = results.outcomes[5].samples[:7]
    return write_report(results, made_up_scale(), tmp_path_factory.mktemp("seen"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests here."""
    with launched() as started:
        yield started


@pytest.fixture(scope="module", params=[(width, theme) for width in WIDTHS for theme in THEMES], ids=str)
def opened(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Opened]:
    """The report, opened in a window of each width in each theme."""
    with opened_in(browser, report, *request.param) as seen:
        yield seen


def test_all_charts_are_shown(opened: Opened) -> None:
    """Each is loaded, has a size, and is no wider than it was drawn for, so that its letters are as large as meant."""
    images = opened.page.evaluate(IMAGES)
    assert len(images) == 7
    for image in images:
        assert image["loaded"]
        assert min(image["width"], image["height"]) > 0
        assert 0.95 * image["width"] <= image["shown"] <= 1.05 * image["width"]


def test_the_charts_are_those_of_the_window(opened: Opened, request: pytest.FixtureRequest) -> None:
    """A telephone is shown the narrow charts, and each theme its own."""
    width, theme = request.node.callspec.params["opened"]
    chosen = {image["width"] for image in opened.page.evaluate(IMAGES)}
    other = opened.page.evaluate("() => [...document.querySelectorAll('source')].map(one => [one.media, one.srcset])")
    wanted = {uri for media, uri in other if theme in media and ("max-width" in media) == (width == 390)}
    assert chosen == ({360} if width == 390 else {912})
    assert {image["source"] for image in opened.page.evaluate(IMAGES)} == wanted


def test_the_browser_complains_of_nothing(opened: Opened) -> None:
    """No message of an error, and nothing was asked for but the page itself."""
    assert opened.errors == []
    assert [url for url in opened.asked if not url.endswith("/report.html")] == []


def test_the_page_does_not_scroll_sideways(opened: Opened) -> None:
    """Nothing reaches over the window's edge; wide tables scroll within their own box."""
    assert opened.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert opened.page.evaluate(TOO_WIDE) == []


def test_a_wide_table_can_be_scrolled(opened: Opened) -> None:
    """All its columns can be reached at every width, from the keyboard too."""
    last = opened.page.locator(".scroll").first.locator("thead th").last
    last.scroll_into_view_if_needed()
    box = last.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= opened.page.evaluate("() => window.innerWidth") + 1
    assert opened.page.locator(".scroll").first.get_attribute("tabindex") == "0"


def test_every_text_can_be_read(opened: Opened) -> None:
    """4.5 : 1 between each text and what is behind it, as WCAG 2 asks for."""
    assert len(opened.page.evaluate(TEXTS)) > 200
    assert faint(opened.page) == []


def test_the_page_is_not_blank(opened: Opened) -> None:
    """A picture of it has its ground, its letters, and its charts."""
    opened.page.evaluate("() => window.scrollTo(0, 0)")
    image = Image.open(io.BytesIO(opened.page.screenshot())).convert("RGB")
    counted = sorted(image.getcolors(maxcolors=image.width * image.height) or [], reverse=True)
    assert len(counted) > 50
    assert counted[0][0] < 0.97 * image.width * image.height


@pytest.mark.parametrize("width", [320, 640, 641, 768, 900, 961, 1024, 1920])
def test_no_width_between_scrolls_sideways(browser: Browser, report: Path, width: int) -> None:
    """Tablets, small laptops and large screens too."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(report.as_uri())
    found = page.evaluate("() => document.documentElement.scrollWidth"), page.evaluate(TOO_WIDE)
    page.close()
    assert found == (width, [])


@pytest.mark.parametrize("width", WIDTHS)
def test_light_and_dark_differ(browser: Browser, report: Path, width: int) -> None:
    """The ground is light in one and dark in the other, as the reader's system has it, and changes with it."""
    page = browser.new_page(viewport={"width": width, "height": 600}, color_scheme="light")
    page.goto(report.as_uri())
    light = luminance(channels(page.evaluate(GROUND)))
    page.emulate_media(color_scheme="dark")
    dark = luminance(channels(page.evaluate(GROUND)))
    page.close()
    assert light > 0.9
    assert dark < 0.05
