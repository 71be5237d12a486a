"""Metrics of several processes: the shop under gunicorn, one page for all of its workers, whichever answers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from metered_shop import WORKERS, Shop, metered_shop, total
from servers import Server

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("untraced_children")]


@pytest.fixture(scope="module")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shop's own, which tests end and start."""
    with Server("valkey", tmp_path_factory.mktemp("cache")) as server:
        yield server


@pytest.fixture(scope="module")
def shop(cache_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """It runs for all tests of this module, which look at what grows."""
    with metered_shop(tmp_path_factory.mktemp("shop"), cache_server.url) as running:
        yield running


def test_the_page_adds_up_all_workers(shop: Shop) -> None:
    """Its hits and misses are those that the answers' headers named, from whichever worker it comes."""
    before, answers = shop.page(), shop.answers.copy()
    shop.workers.clear()
    for user in (1, 2, 3):
        for _ in range(20):
            shop.ask("/api/orders/?limit=1", user)
    after = [shop.page() for _ in range(2 * WORKERS)]
    served = shop.answers - answers
    assert len(shop.workers) == WORKERS
    assert served["hit"] > 40
    for page in after:
        assert total(page, "unstale_hits_total") - total(before, "unstale_hits_total") == served["hit"]
        missed = total(page, "unstale_misses_total") - total(before, "unstale_misses_total")
        assert missed == served["miss"]
    times = total(after[0], "unstale_trip_duration_seconds_count", operation="read")
    assert times >= served.total()


def test_kinds_are_the_projects_own(shop: Shop) -> None:
    """A user acts: the kind is `user`, without prefix and version; no tag and no key is on the page."""
    shop.ask("/api/orders/?limit=1", 4)
    before = shop.page()
    shop.ask("/api/orders/", 4, {"product": 1, "quantity": 1})
    shop.ask("/api/orders/?limit=1", 4)
    after = shop.page()
    for name in ("unstale_invalidations_total", "unstale_stale_total"):
        assert total(after, name, kind="user") > total(before, name, kind="user")
    assert total(after, "unstale_stale_total", kind="user", stamp="gone") == 0
    values = {value for _, labels in after for name, value in labels if name != "server"}
    assert not [value for value in values if ":" in value or "/" in value]
    assert {dict(labels).get("pid") for _, labels in after} == {None}


def test_an_outage_shows_and_passes(shop: Shop, cache_server: Server) -> None:
    """Breakers open in the workers, an invalidation waits in the outbox; a worker that dies takes its breaker along."""
    shop.ask("/api/orders/?limit=1", 5)
    page = shop.page()
    assert (total(page, "unstale_breakers_open"), total(page, "unstale_outbox_rows")) == (0, 0)
    assert total(page, "unstale_outbox_up", database="default") == 1
    cache_server.kill()
    shop.ask("/api/orders/", 5, {"product": 1, "quantity": 1})
    page = shop.until(
        lambda page: total(page, "unstale_breakers_open") >= WORKERS, lambda: shop.ask("/api/orders/?limit=1", 5)
    )
    assert total(page, "unstale_outbox_rows", database="default") >= 1
    assert total(page, "unstale_outbox_age_seconds") > 0
    assert total(page, "unstale_failures_total") > 0
    shop.workers.clear()
    shop.until(lambda _: len(shop.workers) == WORKERS)
    for worker in shop.workers:
        os.kill(worker, signal.SIGKILL)
    shop.until(lambda page: total(page, "unstale_breakers_open") < WORKERS)
    cache_server.start()
    page = shop.until(
        lambda page: total(page, "unstale_breakers_open") == 0, lambda: shop.ask("/api/orders/?limit=1", 5)
    )
    assert total(page, "unstale_failures_total") > 0  # of the dead as well: a counter never goes back
    shop.manage("unstale_relay", "--once", "--grace", "0")
    shop.until(lambda page: total(page, "unstale_outbox_rows") == 0)


def test_without_its_folder_the_hook_is_not_made(tmp_path: Path) -> None:
    """A mistake shows when a process starts, not in the middle of a request."""
    import subprocess
    import sys

    code = "from unstale.contrib import prometheus; prometheus.hook()"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "nowhere")}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "FileNotFoundError" in ended.stderr
