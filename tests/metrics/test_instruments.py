"""What events come to, in figures: the table, its bounds, and that both libraries say the same."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, get_args

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from unstale.contrib import instruments, opentelemetry, prometheus
from unstale.contrib.instruments import EVERYTHING, OTHER, Bounded, Kind, Measure, kind_of
from unstale.errors import ConfigurationError
from unstale.events import (
    Agreement,
    BreakerClosed,
    BreakerOpened,
    Drained,
    Event,
    Failed,
    Hit,
    Invalidated,
    LoadFailed,
    Lost,
    Miss,
    Queued,
    Refused,
    Stale,
    StaleHit,
    Stored,
    Trip,
    Verified,
    Why,
    asks_trips,
    only_measures,
)

ROOTS = tuple(f"*{number}" for number in range(16))
TABLE: list[tuple[Event, dict[tuple[str, ...], float]]] = [
    (Hit("k"), {("unstale.hits",): 1}),
    (StaleHit("k", None), {("unstale.stale_hits", "expired"): 1}),
    (StaleHit("k", "a"), {("unstale.stale_hits", "invalidated"): 1}),
    (Miss("k", Why.ABSENT), {("unstale.misses", "absent"): 1}),
    (
        Stale("k", "user:42/orders"),
        {("unstale.misses", "invalidated"): 1, ("unstale.stale", "user", "changed"): 1},
    ),
    (
        Stale("k", "catalogue/books", is_gone=True),
        {("unstale.misses", "invalidated"): 1, ("unstale.stale", "catalogue", "gone"): 1},
    ),
    (Stale("k", "*7"), {("unstale.misses", "invalidated"): 1, ("unstale.stale", "*", "changed"): 1}),
    (
        Stored("k", ("a",), 120, 0.5, 60.0),
        {("unstale.fills", "load"): 1, ("unstale.fill.size",): 120, ("unstale.load.duration",): 0.5},
    ),
    (Stored("k", (), 48, 0.0, None), {("unstale.fills", "set"): 1, ("unstale.fill.size",): 48}),
    (Refused("k", Why.STALE), {("unstale.refused", "stale"): 1}),
    (
        Invalidated(("user:1", "user:2", "product:9"), 2),
        {("unstale.invalidations", "user"): 2, ("unstale.invalidations", "product"): 1, ("unstale.bumps",): 2},
    ),
    (Invalidated(ROOTS, 16), {("unstale.invalidations", "*"): 1, ("unstale.bumps",): 16}),
    (Invalidated(("*",), 3), {("unstale.invalidations", "*"): 1, ("unstale.bumps",): 3}),
    (Queued(("user:1", "user:2")), {("unstale.queued", "user"): 2}),
    (Drained(5, 1), {("unstale.drained",): 5, ("unstale.queue.damaged",): 1}),
    (Failed("get", "k", OSError("secret")), {("unstale.failures", "get", "OSError"): 1}),
    (LoadFailed("k", KeyError("secret")), {("unstale.load.failures", "KeyError"): 1}),
    (BreakerOpened(5, OSError(), "a:1"), {("unstale.breaker.openings", "a:1"): 1, ("unstale.breakers.open", "a:1"): 1}),
    (BreakerClosed(2.5, "a:1"), {("unstale.breaker.duration", "a:1"): 2.5, ("unstale.breakers.open", "a:1"): 0}),
    (Trip("read", 0.003), {("unstale.trip.duration", "read"): 0.003}),
    (Verified("k", ("user:1",), Agreement.SETTLED, 0.1, 0.2), {("unstale.verified", "settled"): 1}),
    (Lost("k", ("user:1", "a"), 60.0, stood=True), {("unstale.lost", "user"): 1}),
    (Lost("k", (), 60.0, stood=True), {("unstale.lost", "other"): 1}),
]


@pytest.mark.parametrize(("event", "readings"), TABLE, ids=lambda one: type(one).__name__)
def test_what_an_event_comes_to(event: Event, readings: dict[tuple[str, ...], float]) -> None:
    """Names, labels, amounts; nothing of a key, a whole tag, or an error's text."""
    found = Measure()(event)
    assert {(one.instrument.name, *one.labels): one.amount for one in found} == readings


def test_every_event_is_measured() -> None:
    """None is forgotten, when there is a new one."""
    assert {type(event) for event, _ in TABLE} == set(get_args(Event))


def test_every_instrument_is_fed() -> None:
    """Each of the table's, and by no other labels than it says."""
    readings = [one for event, _ in TABLE for one in Measure()(event)]
    assert {one.instrument for one in readings} == set(instruments.OF_EVENTS)
    assert [one for one in readings if len(one.labels) != len(one.instrument.labels)] == []


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("user:42", "user"),
        ("user:42/orders", "user"),
        ("catalogue", "catalogue"),
        ("a/b:c", "a"),
        ("*3", EVERYTHING),
        ("*", EVERYTHING),
        (":odd", ""),
        ("jane.roe@example.com", OTHER),
        ("jane@example.com:orders", OTHER),
        ("jane@example.com/orders", OTHER),
        ("Jane Roe", OTHER),
        ("4711", OTHER),
        ("c4711", OTHER),
        ("٤٢", OTHER),
        ("oauth2:42", "oauth2"),
        ("a" * 40, "a" * 40),
        ("a" * 41, OTHER),
        ("a" * 41 + ":1", OTHER),
    ],
)
def test_the_kind_of_a_tag(tag: str, kind: str) -> None:
    """What stands before the first colon or slash; what looks like somebody's is none."""
    assert kind_of(tag) == kind


def test_kinds_are_bounded() -> None:
    """The first ones are told apart, then all others are one; clearing is none of them."""
    measure = Measure(kinds=2)
    found = [measure.kind(tag) for tag in ("a:1", "b:1", "c:1", "a:2", "*1", "d:1")]
    assert found == ["a", "b", OTHER, "a", EVERYTHING, OTHER]


def test_kinds_that_are_given() -> None:
    """Only those, and the same in every process."""
    measure = Measure(kinds=["user", "2fa"])
    assert [measure.kind(tag) for tag in ("product:1", "user:1", "2fa")] == [OTHER, "user", "2fa"]


def test_a_hundred_thousand_tags_are_a_few_series() -> None:
    """Whatever tags a project makes up."""
    measure, seen = Measure(), Counter[tuple[str, ...]]()
    for number in range(100_000):
        seen.update(one.labels for one in measure(Stale("k", f"tag{number}:1")))
    assert len(seen) == 1 + instruments.MAX_KINDS + 1


def test_classes_of_errors_are_bounded() -> None:
    """A project may raise classes that it makes as it goes."""
    measure = Measure()
    labels = {measure(LoadFailed("k", type(f"E{number}", (Exception,), {})()))[0].labels for number in range(100)}
    assert len(labels) == instruments.MAX_ERRORS + 1


def test_kinds_that_make_no_sense() -> None:
    """A str is a list of its letters otherwise."""
    for kinds in ("user", -1):
        with pytest.raises(ConfigurationError):
            Measure(kinds=kinds)


def test_a_bound_of_nothing() -> None:
    """All are one."""
    assert Bounded(0)("a") == OTHER


def test_breakers_never_close_more_than_opened() -> None:
    """A child that was forked with an open one may be told only of its closing."""
    measure = Measure()
    for event in (BreakerClosed(1.0, "a"), BreakerOpened(5, OSError(), "a"), BreakerOpened(5, OSError(), "b")):
        measure(event)
    measure(BreakerClosed(1.0, "b"))
    assert measure.breakers_open == {"a": 1, "b": 0}


def test_names_are_what_prometheus_makes_of_them() -> None:
    """Of OpenTelemetry's names: dots, the unit, _total."""
    names = {one.name: one.prometheus_name for one in (*instruments.OF_EVENTS, *instruments.SAMPLED)}
    assert names["unstale.hits"] == "unstale_hits_total"
    assert names["unstale.load.duration"] == "unstale_load_duration_seconds"
    assert names["unstale.fill.size"] == "unstale_fill_size_bytes_total"
    assert names["unstale.outbox.age"] == "unstale_outbox_age_seconds"
    assert all(re.fullmatch(r"unstale(_[a-z]+)+", name) for name in names.values())
    assert len(set(names.values())) == len(names)


def of_prometheus(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples but those that only Prometheus has, by OpenTelemetry's names."""
    names = {one.prometheus_name.removesuffix("_total"): one for one in instruments.OF_EVENTS}
    found = {}
    for family in registry.collect():
        one = names[family.name]
        for sample in family.samples:
            if not sample.name.endswith(("_created", "_bucket", "_count")):
                found[one.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def of_opentelemetry(reader: InMemoryMetricReader) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The same of the other."""
    found: dict[Any, float] = {}
    data: Any = reader.get_metrics_data()
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            value = point.sum if hasattr(point, "sum") else point.value
            found[metric.name, tuple(sorted(point.attributes.items()))] = value
    return found


def test_both_libraries_say_the_same() -> None:
    """The same events come to the same figures, under the same names and labels."""
    registry, reader = CollectorRegistry(), InMemoryMetricReader()
    provider = MeterProvider([reader])
    hooks = [
        prometheus.hook("shop", registry=registry),
        opentelemetry.hook("shop", meter_provider=provider),
    ]
    for event, _ in TABLE * 2:
        for hook in hooks:
            hook(event)
    ours, theirs = of_prometheus(registry), of_opentelemetry(reader)
    provider.shutdown()
    assert ours == pytest.approx(theirs)
    assert {name for name, _ in ours} == {one.name for one in instruments.OF_EVENTS}
    assert ours["unstale.hits", (("cache", "shop"),)] == 2
    assert {one.kind for one in instruments.OF_EVENTS} == set(Kind)


def test_the_log_is_told_of_trouble_as_well() -> None:
    """These hooks say nothing in words."""
    hooks = [
        prometheus.hook("shop", registry=CollectorRegistry()),
        opentelemetry.hook("shop", meter_provider=MeterProvider([InMemoryMetricReader()])),
    ]
    assert [only_measures(one) for one in hooks] == [True, True]


@pytest.mark.parametrize("trips", [True, False])
def test_who_wants_no_times_asks_for_none(trips: bool) -> None:
    """Then nothing is timed."""
    hooks = [
        prometheus.hook("shop", trips=trips, registry=CollectorRegistry()),
        opentelemetry.hook("shop", trips=trips, meter_provider=MeterProvider([InMemoryMetricReader()])),
    ]
    assert [asks_trips(one) for one in hooks] == [trips, trips]
