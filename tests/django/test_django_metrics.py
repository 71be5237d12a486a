"""A Django project's metrics: the page, the hook's names, and what waits, looked up without harm to a scrape."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.test import RequestFactory, modify_settings
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from unstale.contrib import prometheus as plain
from unstale.contrib.django import describe, opentelemetry, prometheus, waiting
from unstale.contrib.django.outbox import relay
from unstale.contrib.django.outbox.models import Invalidation
from unstale.contrib.django.waiting import OutboxSampler, samplers
from unstale.events import Hit

Figures = dict[tuple[str, ...], float]


@pytest.fixture
def backend(configure: Callable[..., Any]) -> Iterator[Any]:
    """The backend, with an outbox in the database `default`, empty at first."""
    made = configure(TAG_PATTERNS=["user:{id}:*"], OUTBOX="default", SOCKET_TIMEOUT=5)
    Invalidation.objects.all().delete()  # what other tests have left
    yield made
    Invalidation.objects.all().delete()


def wait_in_outbox(count: int) -> None:
    """So many rows, which nobody does."""
    for number in range(count):
        Invalidation.objects.create(cache="nobody's", tags=[f"user:{number}"])


def figures(sampler: Callable[[], Any]) -> Figures:
    """What a sampler says."""
    return {(one.instrument.name, *one.labels): one.amount for one in sampler()}


def test_what_waits(backend: Any) -> None:
    """Depth and age, as the relay has them."""
    assert figures(OutboxSampler()) == {
        ("unstale.outbox.up", "default"): 1,
        ("unstale.outbox.rows", "default"): 0,
        ("unstale.outbox.age", "default"): 0,
    }
    wait_in_outbox(3)
    found = figures(OutboxSampler())
    assert found["unstale.outbox.rows", "default"] == 3
    assert found["unstale.outbox.age", "default"] > 0


def test_a_requests_transaction_is_left_alone(backend: Any) -> None:
    """A scrape inside a broken transaction is answered, and what was not committed does not count."""
    sampler = OutboxSampler()
    with transaction.atomic():
        wait_in_outbox(1)
        transaction.set_rollback(True)
        found = figures(sampler)
    assert found["unstale.outbox.rows", "default"] == 0


def test_a_database_that_fails(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of as down, the scrape goes on; when it is back there are figures again."""
    sampler = OutboxSampler()

    def fail(using: str) -> tuple[int, float]:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(relay, "depth_and_age", fail)
        assert figures(sampler) == {("unstale.outbox.up", "default"): 0}
    assert figures(sampler)["unstale.outbox.up", "default"] == 1


@pytest.mark.parametrize("seen", [False, True], ids=["never seen", "seen before"])
def test_a_project_that_cannot_be_looked_at(
    backend: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, seen: bool
) -> None:
    """Whatever goes wrong is a figure, and in the log without its text."""
    sampler = OutboxSampler()
    if seen:
        figures(sampler)

    def fail() -> list[str]:
        raise RuntimeError("secret")

    monkeypatch.setattr(relay, "outboxes", fail)
    assert figures(sampler) == {("unstale.outbox.up", "default" if seen else "*"): 0}
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_one_table_that_is_gone_leaves_the_others(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The databases that were known are asked one by one."""
    sampler = OutboxSampler()
    figures(sampler)

    def fail() -> list[str]:
        raise relay.NoTableError

    monkeypatch.setattr(relay, "outboxes", fail)
    assert figures(sampler)["unstale.outbox.up", "default"] == 1


def test_a_database_that_hangs(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than the sampler's time, and however many ask, one look is under way."""
    let_go, looks = threading.Event(), []

    def hang(using: str) -> tuple[int, float]:
        looks.append(using)
        let_go.wait(60)
        return 7, 1.0

    sampler = OutboxSampler(seconds=0.1)
    figures_before = figures(OutboxSampler())
    assert figures_before["unstale.outbox.up", "default"] == 1
    monkeypatch.setattr(relay, "depth_and_age", hang)
    found = [figures(sampler) for _ in range(3)]
    assert [one["unstale.outbox.up", "default"] for one in found] == [0, 0, 0]
    assert looks == ["default"]
    looking = sampler._looking
    assert looking is not None
    let_go.set()
    looking.result(60)
    monkeypatch.undo()
    assert figures(OutboxSampler())["unstale.outbox.up", "default"] == 1


def test_a_child_looks_for_itself(backend: Any) -> None:
    """A look that was under way at the fork is the parent's alone."""
    sampler = OutboxSampler()
    sampler._looking = waiting.Future()
    sampler._process = os.getpid() + 1
    assert figures(sampler)["unstale.outbox.up", "default"] == 1


def test_without_the_outboxs_app_there_is_nothing(backend: Any) -> None:
    """No figure, and no query."""
    with modify_settings(INSTALLED_APPS={"remove": ["unstale.contrib.django.outbox"]}):
        assert list(OutboxSampler()()) == []


def test_a_projects_queues(configure: Callable[..., Any], tmp_path: Path) -> None:
    """Those of CACHES are looked at."""
    path = tmp_path / "of-the-cache"
    configure(QUEUE=str(path))
    path.write_bytes(b"x" * 12)
    _, queue = samplers()
    assert figures(queue) == {("unstale.queue.size", "of-the-cache"): 12}


def test_the_hook_by_its_path(configure: Callable[..., Any]) -> None:
    """ON_EVENT names it; kinds are the project's own."""
    registry = CollectorRegistry()
    hook = plain.hook("pages", named=describe.named, registry=registry)
    cache = configure(
        TAG_PATTERNS=["user:{id}:*"],
        ON_EVENT=["unstale.contrib.django.prometheus.on_event", hook],
        SOCKET_TIMEOUT=5,
        params={"KEY_PREFIX": "shop:1", "VERSION": 7},
    )
    cache.set("user:42:page", 1)
    cache.delete_pattern("user:42:*")
    cache.get("user:42:page")
    cache.clear()
    assert registry.get_sample_value("unstale_invalidations_total", {"cache": "pages", "kind": "user"}) == 1
    assert registry.get_sample_value("unstale_invalidations_total", {"cache": "pages", "kind": "*"}) == 1
    assert registry.get_sample_value("unstale_stale_total", {"cache": "pages", "kind": "user", "stamp": "changed"}) == 1
    assert (
        registry.get_sample_value("unstale_trip_duration_seconds_count", {"cache": "pages", "operation": "bump"}) == 2
    )


@pytest.fixture
def fresh_page() -> Iterator[None]:
    """The page's registry knows the caches that are configured now."""
    prometheus.registry.cache_clear()
    yield
    prometheus.registry.cache_clear()


@pytest.mark.usefixtures("fresh_page")
def test_the_page(backend: Any) -> None:
    """What the hook has counted and what waits, in Prometheus's format, or OpenMetrics where that is asked for."""
    wait_in_outbox(2)
    prometheus.on_event(Hit("k"))
    answer = prometheus.page(RequestFactory().get("/metrics"))
    found = {
        (sample.name, sample.labels.get("cache", sample.labels.get("database"))): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }
    assert found["unstale_hits_total", "default"] >= 1
    assert found["unstale_outbox_rows", "default"] == 2
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in answer.headers["Cache-Control"]
    accepts = {"Accept": "application/openmetrics-text; version=1.0.0"}
    other = prometheus.page(RequestFactory().get("/metrics", headers=accepts))
    assert other.headers["Content-Type"].startswith("application/openmetrics-text")
    assert other.content.endswith(b"# EOF\n")


@pytest.mark.usefixtures("fresh_page")
def test_the_page_is_only_read(backend: Any) -> None:
    """It is no form."""
    assert prometheus.page(RequestFactory().post("/metrics")).status_code == 405


def test_by_opentelemetry(backend: Any, configure: Callable[..., Any]) -> None:
    """The same from there: the hook's names and what waits."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    cache = configure(
        TAG_PATTERNS=["user:{id}:*"],
        OUTBOX="default",
        ON_EVENT=opentelemetry.hook("pages", meter_provider=provider),
        SOCKET_TIMEOUT=5,
    )
    wait_in_outbox(4)
    opentelemetry.observe(provider)
    cache.set("user:42:page", 1)
    cache.delete_pattern("user:42:*")
    data: Any = reader.get_metrics_data()
    provider.shutdown()
    found = {
        (metric.name, *sorted(point.attributes.items())): point.value
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
        if hasattr(point, "value")
    }
    assert found["unstale.invalidations", ("cache", "pages"), ("kind", "user")] == 1
    assert found["unstale.outbox.rows", ("database", "default")] == 4
    assert found["unstale.outbox.up", ("database", "default")] == 1
