"""A backend that keeps what it was told to invalidate."""

from __future__ import annotations

from typing import Any

from unstale.contrib.django import UnstaleCache

calls: list[tuple[tuple[str, ...], str | None]] = []
clears: list[None] = []


class RecordingCache(UnstaleCache):
    def invalidate(self, *tags: str, using: str | None = None, **options: Any) -> Any:
        calls.append((tags, using))
        return super().invalidate(*tags, using=using, **options)

    def clear(self) -> bool:
        clears.append(None)
        return super().clear()


def tags() -> list[str]:
    """Every tag so far, sorted, each once."""
    return sorted({tag for some, _ in calls for tag in some})
