"""Pages of the tools in a real Chromium: opened, and asked what a reader sees of them."""

from __future__ import annotations

import base64
import io
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
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
# Each text of a drawing, with its colour, and its box in pixels.
WRITTEN = """() => [...document.querySelectorAll('svg text')].map(one => {
  const box = one.getBoundingClientRect();
  return [one.textContent, getComputedStyle(one).fill, box.left, box.top, box.right, box.bottom];
})"""
GROUND = "() => getComputedStyle(document.body).backgroundColor"


class Opened(NamedTuple):
    """A page in one window, and what the browser said of it."""

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


@contextmanager
def launched() -> Iterator[Browser]:
    """A Chromium; it has ended afterwards, and so has playwright's own event loop."""
    path = browser_path()
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def opened_in(browser: Browser, file: Path, width: int, theme: Any) -> Iterator[Opened]:
    """A page from a file, in a window of a width and in a theme."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    seen = Opened(page, [], [])
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith("data:") else seen.asked.append(one.url))
    page.goto(file.as_uri())
    yield seen
    page.close()


class Written(NamedTuple):
    """A text of a drawing, with its box in pixels from the drawing's upper left corner."""

    text: str
    contrast: float
    """Between its colour and the one that most of its box has."""
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Written) -> bool:
        """Whether the two boxes have more in common than their edges."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return wide > 1 and high > 3  # pixels; of a box's height not all is letter


def written(browser: Browser, source: str) -> list[Written]:
    """The texts of a drawing that is a data URI."""
    drawing = base64.b64decode(source.partition(";base64,")[2]).decode()
    page = browser.new_page(viewport={"width": 1000, "height": 1000})
    page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{drawing}")
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    found = [Written(text, _contrast(picture, fill, box), *box) for text, fill, *box in page.evaluate(WRITTEN)]
    page.close()
    return found


def _contrast(picture: Image.Image, fill: str, box: list[float]) -> float:
    left, top, right, bottom = box
    around = picture.crop((math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)))
    _, ground = max(around.getcolors(maxcolors=around.width * around.height) or [])
    return contrast(channels(fill), [part / 255 for part in ground])


def faint(page: Page) -> list[str]:
    """Texts with less than 4.5 : 1 between them and what is behind, which is what WCAG 2 asks for."""
    texts = page.evaluate(TEXTS)
    return [text for text, colour, ground in texts if contrast(channels(colour), channels(ground)) < 4.5]


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
