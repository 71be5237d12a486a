"""The debug toolbar's panel: what a request asked the caches for, what was fresh, and why the rest was not.

DEBUG_TOOLBAR_PANELS = [..., "unstale.contrib.django.panels.UnstalePanel"]
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from debug_toolbar.panels import Panel
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from unstale.contrib.django import listening
from unstale.contrib.django.describe import event_row
from unstale.events import Event

MAX_ROWS: Final = 500
"""The toolbar keeps what it shows of its last requests."""


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
        rows = [event_row(event) for event in self._events]
        counts = dict(Counter(row["what"] for row in rows))
        more = max(len(rows) - MAX_ROWS, 0)
        self.record_stats({"counts": counts, "rows": rows[:MAX_ROWS], "more": more})  # type: ignore[no-untyped-call]
