"""The debug toolbar's panel: what a request asked the caches for, what was fresh, and why the rest was not.

DEBUG_TOOLBAR_PANELS = [..., "unstale.contrib.django.panels.UnstalePanel"]
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from debug_toolbar.panels import Panel
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from unstale.contrib.django import listening
from unstale.events import Event, Failed, Hit, Invalidated, LoadFailed, Miss, Refused, Stale, StaleHit, Stored


class UnstalePanel(Panel):
    """Hits, misses, stale entries, and why."""

    title = "unstale"
    nav_title = "unstale"
    template = "unstale/panel.html"
    is_async = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Begin with no events."""
        super().__init__(*arguments, **named)
        self._events: list[Event] = []

    @property
    def nav_subtitle(self) -> str:
        """One line for the toolbar's side."""
        counts = self.get_stats().get("counts", {})  # type: ignore[no-untyped-call]
        return ", ".join(f"{count} {name}" for name, count in counts.items()) or "not asked"

    @property
    def content(self) -> SafeString:
        """The table."""
        return super().content

    def enable_instrumentation(self) -> None:
        """Record what happens in the caches from here on, in this request's context."""
        listening.record_with(self._events.append)

    def disable_instrumentation(self) -> None:
        """No more."""
        listening.record_with(None)

    def generate_stats(self, request: HttpRequest, response: HttpResponse) -> None:  # noqa: ARG002 - the toolbar's
        """Plain data, which the toolbar may store."""
        rows = [dict(zip(("what", "key", "why"), row, strict=True)) for row in map(row_of, self._events)]
        counts = dict(Counter(row["what"] for row in rows))
        self.record_stats({"counts": counts, "rows": rows})  # type: ignore[no-untyped-call]


def row_of(event: Event) -> tuple[str, str, str]:  # noqa: PLR0911 - a table
    """What happened, to which key, and why. No values."""
    match event:
        case Hit(key):
            return "hit", key, ""
        case StaleHit(key, tag):
            return "stale, served", key, f"{tag} was softly invalidated" if tag else "its ttl is over"
        case Miss(key, why):
            return "miss", key, why.value
        case Stale(key, tag):
            return "stale", key, f"{tag} was invalidated, or its stamp is gone"
        case Stored(key, tags, size, load_seconds, _):
            return "stored", key, f"{size} bytes under {', '.join(tags) or 'no tag'}, loaded in {load_seconds:.3f} s"
        case Refused(key, why):
            return "not stored", key, why.value
        case Invalidated(tags, bumped):
            return "invalidated", ", ".join(tags), f"{bumped} of {len(tags)} had a stamp"
        case Failed(operation, key, error):
            return "failed", key, f"{operation}: {error}"
        case LoadFailed(key, error):
            return "load failed", key, type(error).__name__
