"""A cache's metrics by OpenTelemetry's API: `instruments`, translated. The SDK, and where it exports to, are yours.

    cache = Cache.from_url(url, on_event=opentelemetry.hook("shop"))
    opentelemetry.observe(waiting.queues("/var/lib/shop/queue"))

Made before the project has set its meter provider, the instruments work as soon as there is one. The SDK's threads do
not survive a fork: set the provider in each worker (gunicorn's `post_fork`, Celery's `worker_process_init`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter

import unstale
from unstale.contrib import instruments
from unstale.contrib.instruments import BREAKERS_OPEN, MAX_KINDS, Instrument, Kind, Measure, Sampler
from unstale.events import Event

CACHE: Final = "cache"


class _Meters:
    """The instruments of one meter provider, made once, for all hooks.

    Attributes:
        notes: adds to a counter or a histogram, by the instrument's name.
        measures: of the hooks, by their caches, for what is asked of them.
        samplers: for what is looked up.
    """

    def __init__(self, provider: MeterProvider | None) -> None:
        self.meter: Meter = get_meter("unstale", unstale.__version__, provider)
        self.measures: list[tuple[str, Measure]] = []
        self.samplers: list[Sampler] = []
        self.notes = {one.name: _note(self.meter, one) for one in instruments.OF_EVENTS if one.kind is not Kind.GAUGE}
        self._observe(BREAKERS_OPEN, self._breakers)

    def sample(self, sampler: Sampler) -> None:
        """Look up what it has from now on."""
        if not self.samplers:
            for one in instruments.SAMPLED:
                self._observe(one, partial(self._sampled, one))
        self.samplers.append(sampler)

    def _observe(self, one: Instrument, look: Callable[[CallbackOptions], Iterable[Observation]]) -> None:
        self.meter.create_observable_gauge(one.name, [look], one.unit, one.help)

    def _breakers(self, _: CallbackOptions) -> Iterator[Observation]:
        found = Counter[tuple[str, str]]()
        for cache, measure in self.measures:
            for server, count in measure.breakers_open.items():
                found[cache, server] += count
        return (Observation(count, {CACHE: cache, "server": server}) for (cache, server), count in found.items())

    def _sampled(self, wanted: Instrument, _: CallbackOptions) -> Iterator[Observation]:
        for sampler in self.samplers:
            for instrument, labels, amount in sampler():
                if instrument is wanted:
                    yield Observation(amount, dict(zip(wanted.labels, labels, strict=True)))


def _note(meter: Meter, one: Instrument) -> Callable[[float, dict[str, str]], None]:
    if one.kind is Kind.COUNTER:
        return meter.create_counter(one.name, one.unit, one.help).add
    return meter.create_histogram(one.name, one.unit, one.help, explicit_bucket_boundaries_advisory=one.buckets).record


_made: Final[dict[MeterProvider | None, _Meters]] = {}
"""By their provider: an instrument is made once."""


def _meters(provider: MeterProvider | None) -> _Meters:
    if provider not in _made:
        _made[provider] = _Meters(provider)
    return _made[provider]


class OpenTelemetryHook:
    """An events hook that counts.

    Attributes:
        asks_trips: whether trips are timed for it.
    """

    only_measures = True
    """So the log is told of trouble as well."""

    def __init__(self, cache: str, measure: Measure, meters: _Meters, *, trips: bool = True) -> None:
        """Use `hook`."""
        self.asks_trips = trips
        self._cache, self._measure, self._meter_notes = cache, measure, meters.notes
        self._attributes: dict[tuple[Instrument, tuple[str, ...]], dict[str, str]] = {}

    def __call__(self, event: Event) -> None:
        """Count. Gauges are asked for, not told."""
        for instrument, labels, amount in self._measure(event):
            if instrument.kind is not Kind.GAUGE:
                key = (instrument, labels)
                attributes = self._attributes.get(key)
                if attributes is None:
                    attributes = {CACHE: self._cache, **dict(zip(instrument.labels, labels, strict=True))}
                    self._attributes[key] = attributes
                self._meter_notes[instrument.name](amount, attributes)


def hook(
    cache: str = "default",
    *,
    kinds: int | Iterable[str] = MAX_KINDS,
    named: Callable[[str], str] = str,
    trips: bool = True,
    meter_provider: MeterProvider | None = None,
) -> OpenTelemetryHook:
    """A hook for `on_event`.

    Args:
        cache: the attribute `cache` of all that it counts.
        kinds: how many kinds of tags (what stands before a tag's first colon or slash) are told apart; the first ones
            that this process meets, later ones are "other". Or a list of those to be told apart. 20.
        named: makes of a tag what the project calls it; `unstale.contrib.django.opentelemetry` strips prefix, version.
        trips: whether to time what the server takes (`unstale.trip.duration`). True.
        meter_provider: None: the global one, also if it is set later.

    Raises:
        unstale.errors.ConfigurationError: `kinds` is neither.
    """
    meters, measure = _meters(meter_provider), Measure(kinds, named)
    meters.measures.append((cache, measure))
    return OpenTelemetryHook(cache, measure, meters, trips=trips)


def observe(*samplers: Sampler, meter_provider: MeterProvider | None = None) -> None:
    """Look up what waits whenever the SDK asks for it.

    Args:
        samplers: such as `unstale.contrib.waiting.queues(path)`.
        meter_provider: see `hook`.
    """
    meters = _meters(meter_provider)
    for sampler in samplers:
        meters.sample(sampler)
