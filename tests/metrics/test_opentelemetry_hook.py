"""OpenTelemetry's side: what is asked of gauges, providers that are set later, and in forked workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from servers import Server

from unstale import Cache
from unstale.contrib import instruments
from unstale.contrib.opentelemetry import hook, observe
from unstale.contrib.waiting import queues
from unstale.events import BreakerOpened, Hit


def points(reader: InMemoryMetricReader) -> dict[tuple[Any, ...], Any]:
    """All data points, by name and attributes."""
    data: Any = reader.get_metrics_data()
    return {
        (metric.name, *sorted(point.attributes.items())): point
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }


@pytest.fixture
def reader() -> InMemoryMetricReader:
    """Reads what there is when it is asked."""
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader: InMemoryMetricReader) -> Any:
    """A provider of the test's own."""
    made = MeterProvider([reader])
    yield made
    made.shutdown()


def test_a_cache_at_work(server: Server, reader: InMemoryMetricReader, provider: MeterProvider) -> None:
    """Counters, histograms with the table's buckets, the trips of the store."""
    with Cache.from_url(server.url, on_event=hook("shop", meter_provider=provider), timeout=2.0) as cache:
        for _ in range(3):
            cache.get_or_set("k", lambda: 1, tags=["user:1"])
        cache.invalidate("user:1")
        cache.get("k", tags=["user:1"])
    found, shop = points(reader), ("cache", "shop")
    assert found["unstale.hits", shop].value == 2
    assert found["unstale.misses", shop, ("why", "absent")].value == 1
    assert found["unstale.stale", shop, ("kind", "user"), ("stamp", "changed")].value == 1
    reads = found["unstale.trip.duration", shop, ("operation", "read")]
    assert (reads.count, reads.explicit_bounds) == (4, instruments.TRIP_BUCKETS)
    assert found["unstale.load.duration", shop].explicit_bounds == instruments.LOAD_BUCKETS


def test_gauges_are_asked_for(tmp_path: Path, reader: InMemoryMetricReader, provider: MeterProvider) -> None:
    """Open breakers of all hooks of a cache together, and what waits in a queue."""
    hooks = [hook(name, meter_provider=provider) for name in ("one", "one", "two")]
    observe(queues(tmp_path / "queue"), meter_provider=provider)
    observe(queues(tmp_path / "another"), meter_provider=provider)
    for each in hooks[:2]:
        each(BreakerOpened(5, OSError(), "a:1"))
    (tmp_path / "another").write_bytes(b"123")
    found = points(reader)
    assert found["unstale.breakers.open", ("cache", "one"), ("server", "a:1")].value == 2
    assert not [name for name in found if name[0] == "unstale.breakers.open" and ("cache", "two") in name]
    assert found["unstale.queue.size", ("queue", "queue")].value == 0
    assert found["unstale.queue.size", ("queue", "another")].value == 3


def test_several_hooks_make_each_instrument_once(
    provider: MeterProvider, reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK warns of one that is made twice."""
    for name in ("one", "two"):
        hook(name, meter_provider=provider)(Hit("k"))
    found = points(reader)
    assert [found["unstale.hits", ("cache", name)].value for name in ("one", "two")] == [1, 1]
    assert caplog.records == []


LATER = """
import os, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from unstale.contrib import opentelemetry
from unstale.events import Hit

hook = opentelemetry.hook("shop")
hook(Hit("nobody listens yet"))
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
for _ in range(3):
    hook(Hit("k"))
[scope] = reader.get_metrics_data().resource_metrics[0].scope_metrics
found = {metric.name: point.value for metric in scope.metrics for point in metric.data.data_points}
print(scope.scope.name, found)
"""


def test_a_provider_that_a_forked_worker_sets() -> None:
    """As gunicorn's post_fork does: the hook was made before, in the first process, without a provider."""
    ended = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "unstale {'unstale.hits': 3}"
