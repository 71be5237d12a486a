"""A project's metrics for Prometheus: the hook of its caches, and a page that a scrape reads.

    OPTIONS = {"ON_EVENT": "unstale.contrib.django.prometheus.on_event", …}
    urlpatterns = [path("metrics", unstale.contrib.django.prometheus.page), …]

Several caches are told apart by hooks of their own, in a module of the project's that ON_EVENT names:

    on_event_of_sessions = prometheus.hook("sessions")

What each counts, and the multi-process mode, are `unstale.contrib.prometheus`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from unstale.contrib import prometheus
from unstale.contrib.django.describe import named
from unstale.contrib.django.waiting import samplers
from unstale.contrib.instruments import MAX_KINDS
from unstale.contrib.prometheus import PrometheusHook


def hook(cache: str = "default", *, kinds: int | Iterable[str] = MAX_KINDS, trips: bool = True) -> PrometheusHook:
    """See `unstale.contrib.prometheus.hook`. Kinds are those of the project's own names, without prefix and version."""
    return prometheus.hook(cache, kinds=kinds, named=named, trips=trips)


on_event = hook()


@lru_cache
def registry() -> CollectorRegistry:
    """What the page shows: all that is in prometheus_client's default registry, what waits in outboxes and queues."""
    return prometheus.page_registry(*samplers())


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The page. It asks nobody who reads it: let only Prometheus reach it, by the proxy or a decorator around this."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry()), content_type=content_type)
