"""A project's metrics by OpenTelemetry: the hook of its caches, and what waits in its outboxes and queues.

    OPTIONS = {"ON_EVENT": "unstale.contrib.django.opentelemetry.on_event", …}

    class ShopConfig(AppConfig):
        def ready(self):
            unstale.contrib.django.opentelemetry.observe()

What each counts is `unstale.contrib.opentelemetry`'s.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.metrics import MeterProvider

from unstale.contrib import opentelemetry
from unstale.contrib.django.describe import named
from unstale.contrib.django.waiting import samplers
from unstale.contrib.instruments import MAX_KINDS
from unstale.contrib.opentelemetry import OpenTelemetryHook


def hook(
    cache: str = "default",
    *,
    kinds: int | Iterable[str] = MAX_KINDS,
    trips: bool = True,
    meter_provider: MeterProvider | None = None,
) -> OpenTelemetryHook:
    """See `unstale.contrib.opentelemetry.hook`. Kinds are of the project's own names, without prefix and version."""
    return opentelemetry.hook(cache, kinds=kinds, named=named, trips=trips, meter_provider=meter_provider)


def observe(meter_provider: MeterProvider | None = None) -> None:
    """Look up what waits whenever the SDK asks for it. Once, in `AppConfig.ready`."""
    opentelemetry.observe(*samplers(), meter_provider=meter_provider)


on_event = hook()
