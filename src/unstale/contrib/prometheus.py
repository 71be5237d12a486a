"""A cache's metrics for Prometheus, by prometheus_client: `instruments`, translated.

    cache = Cache.from_url(url, on_event=prometheus.hook("shop"))
    page = make_wsgi_app(prometheus.page_registry())

Where several processes answer (gunicorn), prometheus_client's own multi-process mode adds them up: the environment has
PROMETHEUS_MULTIPROC_DIR, an empty folder, before prometheus_client is imported, and the server calls
`prometheus_client.multiprocess.mark_process_dead` for each worker that has ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from unstale.contrib import instruments
from unstale.contrib.instruments import MAX_KINDS, Instrument, Kind, Measure, Sampler
from unstale.events import Event

MULTIPROC: Final = "PROMETHEUS_MULTIPROC_DIR"

_made: Final[WeakKeyDictionary[CollectorRegistry, dict[str, Any]]] = WeakKeyDictionary()
"""The metrics of each registry: a name can be registered there once, and several caches have hooks."""


class PrometheusHook:
    """An events hook that counts.

    Attributes:
        asks_trips: whether trips are timed for it.
    """

    only_measures = True
    """So the log is told of trouble as well."""

    def __init__(self, cache: str, measure: Measure, registry: CollectorRegistry, *, trips: bool = True) -> None:
        """Use `hook`."""
        self.asks_trips = trips
        self._cache, self._measure, self._metrics = cache, measure, _metrics_of(registry)
        self._notes: dict[tuple[Instrument, tuple[str, ...]], Callable[[float], None]] = {}
        for instrument in instruments.OF_EVENTS:
            if not instrument.labels:  # there from the first scrape on: a rate needs a zero to begin with
                self._note(instrument, ())

    def __call__(self, event: Event) -> None:
        """Count."""
        for instrument, labels, amount in self._measure(event):
            note = self._notes.get((instrument, labels)) or self._note(instrument, labels)
            note(amount)

    def _note(self, instrument: Instrument, labels: tuple[str, ...]) -> Callable[[float], None]:
        child = self._metrics[instrument.name].labels(self._cache, *labels)
        match instrument.kind:
            case Kind.COUNTER:
                note = child.inc
            case Kind.HISTOGRAM:
                note = child.observe
            case Kind.GAUGE:
                note = child.set
        self._notes[instrument, labels] = note
        return note  # type: ignore[no-any-return] # prometheus_client's children are made by their class


def hook(
    cache: str = "default",
    *,
    kinds: int | Iterable[str] = MAX_KINDS,
    named: Callable[[str], str] = str,
    trips: bool = True,
    registry: CollectorRegistry = REGISTRY,
) -> PrometheusHook:
    """A hook for `on_event`.

    Args:
        cache: the label `cache` of all that it counts.
        kinds: how many kinds of tags (what stands before a tag's first colon or slash) are told apart; the first ones
            that this process meets, later ones are "other". Or a list of those to be told apart. 20.
        named: makes of a tag what the project calls it; `unstale.contrib.django.prometheus` strips prefix and version.
        trips: whether to time what the server takes (`unstale_trip_duration_seconds`). It costs a hit more than
            counting it does. True.
        registry: where the metrics are registered, once for all hooks; not looked at in multi-process mode.

    Raises:
        unstale.errors.ConfigurationError: `kinds` is neither.
        OSError: in multi-process mode the folder is not there, or cannot be written.
    """
    return PrometheusHook(cache, Measure(kinds, named), registry, trips=trips)


def page_registry(*samplers: Sampler, registry: CollectorRegistry = REGISTRY) -> CollectorRegistry:
    """What a metrics page shows: give it to `make_wsgi_app`, `make_asgi_app` or `start_http_server`.

    Args:
        samplers: look up what waits each time that somebody asks, such as `unstale.contrib.waiting.queues(path)`.
        registry: shown, too. In multi-process mode what all processes have counted is shown instead.

    Raises:
        ValueError: PROMETHEUS_MULTIPROC_DIR names no folder.
    """
    page = CollectorRegistry(auto_describe=False)
    if MULTIPROC in os.environ:  # also an empty one: prometheus_client looks no closer, and says here what is wrong
        MultiProcessCollector(page)  # type: ignore[no-untyped-call]
    else:
        page.register(registry)
    page.register(_Sampled(samplers))
    return page


class _Sampled(Collector):
    """Gauges that are looked up when somebody asks."""

    def __init__(self, samplers: Iterable[Sampler]) -> None:
        self._samplers = tuple(samplers)

    def collect(self) -> Iterator[Metric]:
        families = {
            one: GaugeMetricFamily(one.prometheus_name, one.help, labels=one.labels) for one in instruments.SAMPLED
        }
        for sampler in self._samplers:
            for instrument, labels, amount in sampler():
                families[instrument].add_metric(labels, amount)
        return (family for family in families.values() if family.samples)


def _metrics_of(registry: CollectorRegistry) -> dict[str, Any]:
    """The metrics of a registry, made once."""
    if registry not in _made:
        _made[registry] = {one.name: _metric(one, registry) for one in instruments.OF_EVENTS}
    return _made[registry]


def _metric(one: Instrument, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    labels = ("cache", *one.labels)
    match one.kind:
        case Kind.COUNTER:
            return Counter(one.prometheus_name, one.help, labels, registry=registry)
        case Kind.HISTOGRAM:
            return Histogram(one.prometheus_name, one.help, labels, registry=registry, buckets=one.buckets)
        case Kind.GAUGE:  # of what ends with its process: the living are added up
            return Gauge(one.prometheus_name, one.help, labels, registry=registry, multiprocess_mode="livesum")
