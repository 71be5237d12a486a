"""The report as a reader sees it: in a real Chromium, at two widths, in light and in dark."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from made_up import made_up_outcome, made_up_results, made_up_scale
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from unstale.tools.lab.report import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = (390, 1440)
THEMES = ("light", "dark")

# Every text of its own on the page, with its colour and that of the ground behind it.
TEXTS = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.textContent.trim()) continue;
    let behind = node.parentElement;
    while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
    found.push([node.textContent.trim(), getComputedStyle(node.parentElement).color,
                behind ? getComputedStyle(behind).backgroundColor : 'none']);
  }
  return found;
}"""
IMAGES = """() => [...document.images].map(image => ({
  loaded: image.complete, width: image.naturalWidth, height: image.naturalHeight, shown: image.clientWidth,
  source: image.currentSrc}))"""
TOO_WIDE = """() => [...document.querySelectorAll('body *')]
  .filter(one => !one.closest('.scroll') && one.getBoundingClientRect().right > window.innerWidth + 0.5)
  .map(one => one.tagName + ' ' + one.className)"""


class Opened(NamedTuple):
    """The report in one window, and what the browser said of it."""

    page: Page
    errors: list[str]
    asked: list[str]
    """The addresses that were asked for, without those that hold their data themselves."""


def browser_path() -> str:
    """The browser's program; skips where there is none, which in CI is a failure."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed, which CI needs")
        pytest.skip("Chromium is not installed")
    return found


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
    """One Chromium for all tests here; it has ended afterwards, and so has playwright's own event loop."""
    path = browser_path()
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module", params=[(width, theme) for width in WIDTHS for theme in THEMES], ids=str)
def opened(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Opened]:
    """The report, opened in a window of each width in each theme."""
    width, theme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    seen = Opened(page, [], [])
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith("data:") else seen.asked.append(one.url))
    page.goto(report.as_uri())
    yield seen
    page.close()


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
    texts = opened.page.evaluate(TEXTS)
    assert len(texts) > 200
    assert [text for text, colour, ground in texts if contrast(channels(colour), channels(ground)) < 4.5] == []


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
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = luminance(channels(page.evaluate(ground)))
    page.emulate_media(color_scheme="dark")
    dark = luminance(channels(page.evaluate(ground)))
    page.close()
    assert light > 0.9
    assert dark < 0.05


def channels(colour: str) -> list[float]:
    """Of `rgb(1, 2, 3)`, from 0 to 1."""
    return [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


def contrast(first: list[float], second: list[float]) -> float:
    """WCAG 2's contrast ratio."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: list[float]) -> float:
    """WCAG 2's relative luminance."""
    parts: list[Any] = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
