"""A real Prometheus scrapes the shop under load and the exporter, shows what happens, and fires the alarms.

The rules are those of monitoring/alerts.yml with shorter times: only the times are changed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from metered_shop import Shop, metered_shop
from prometheus_programs import MONITORING, Prometheus, require_program
from servers import Server
from test_monitoring import targets

from unstale.tools.exporter.serve import serving
from unstale.tools.exporter.watch import Watch

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("untraced_children"), pytest.mark.timeout(400)]

KEYS = 50_000
USERS = 5
SHORT = {r"for: \d+m": "for: 2s", r"\[\d+m\]": "[10s]"}


def with_short_times(directory: Path) -> Path:
    """The alerts, to be had in seconds."""
    text = (MONITORING / "alerts.yml").read_text()
    for pattern, short in SHORT.items():
        text, count = re.subn(pattern, short, text)
        assert count
    file = directory / "alerts.yml"
    file.write_text(text)
    return file


@contextmanager
def going_on(what: Callable[[], object]) -> Iterator[None]:
    """Something is done again and again, with a pause, while the block runs."""
    end, errors = threading.Event(), []

    def work() -> None:
        while not end.wait(0.02):
            try:
                what()
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)
                return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
    assert errors == []


class Visitors:
    """They look at their orders, and order now and then."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        order = {"product": 1, "quantity": 1} if self.count % 10 == 0 else None
        self.shop.ask("/api/orders/?limit=1" if order is None else "/api/orders/", 1 + self.count % USERS, order)


def delete_by_pattern(server: Server) -> None:
    """As django-redis does: walk the keyspace, delete what is found."""
    with server.client as client:
        client.set("page:of:somebody", 1)
        client.unlink(*client.scan_iter("page:of:*", count=100))


def test_from_the_application_to_the_alarm(tmp_path: Path) -> None:
    """Traffic shows, and no alarm fires; pattern deletes fire theirs, an outage its own; all of them end."""
    require_program("prometheus")
    with (
        Server("valkey", tmp_path / "cache") as server,
        metered_shop(tmp_path / "shop", server.url, workers=2) as shop,
        closing(Watch(server.url, 5.0)) as watch,
        serving(watch, "127.0.0.1", 0) as port,
        Prometheus(
            tmp_path / "prometheus",
            {"shop": f"127.0.0.1:{shop.port}", "redis": f"127.0.0.1:{port}"},
            [with_short_times(tmp_path)],
        ) as prometheus,
        going_on(Visitors(shop)),
    ):
        with server.client as client:
            for at in range(0, KEYS, 1000):
                client.mset({f"others:{number}": 1 for number in range(at, at + 1000)})
        traffic_shows(prometheus)
        assert prometheus.firing() == set()
        with going_on(lambda: delete_by_pattern(server)):
            prometheus.until(lambda: "UnstalePatternDeletes" in prometheus.firing())
            assert (prometheus.value('rate(unstale_server_command_seconds_total{class="patterns"}[10s])') or 0) > 0.01
        prometheus.until(lambda: prometheus.firing() == set())
        server.kill()
        away = {"UnstaleServerAway", "UnstaleBreakerOpen"}
        prometheus.until(lambda: away <= prometheus.firing())
        server.start()
        prometheus.until(lambda: not away & prometheus.firing())
        every_panel_is_answered(prometheus)


def traffic_shows(prometheus: Prometheus) -> None:
    """Both are scraped, and what visitors do is on both sides: hits, invalidations, commands."""
    prometheus.until(lambda: prometheus.value('sum(rate(unstale_hits_total{job="shop"}[10s]))'))
    prometheus.until(lambda: prometheus.value('sum(rate(unstale_invalidations_total{kind="user"}[10s]))'))
    prometheus.until(lambda: prometheus.value('rate(unstale_server_command_calls_total{class="reads"}[10s])'))
    assert prometheus.value('up{job="shop"}') == prometheus.value('up{job="redis"}') == 1
    prometheus.until(lambda: prometheus.value("unstale:hit_rate:ratio_rate10m"))
    rate = prometheus.value("unstale:hit_rate:ratio_rate10m")
    assert rate is not None
    assert 0 < rate < 1


def every_panel_is_answered(prometheus: Prometheus) -> None:
    """Each query of the dashboard works; where there was something to see, it has something."""
    may_be_silent = {"Reads", "Values stored and refused", "Failures", "Queue files", "Memory"}  # they have others

    def silent() -> set[str]:
        return {title for title, query in targets() if not prometheus.query(query.replace("[5m]", "[1m]"))}

    prometheus.until(lambda: silent() <= may_be_silent)  # a counter that has just begun has no rate before two scrapes
