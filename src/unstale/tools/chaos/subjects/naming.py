"""What keys and tags are called, and how a value comes back from a codec. No decision of a cache's is made here."""

from __future__ import annotations

from typing import Any

from unstale.tools.chaos.subject import Place, Value


def name_of(key: int, row: int) -> str:
    """A key's name: all of a row begin alike, as teams that delete by pattern want it."""
    return f"row:{row}:{key}"


def tag_of(row: int) -> str:
    """The tag that a write of a row invalidates."""
    return f"row:{row}"


def tags_of(place: Place, key: int, row: int) -> tuple[str, ...]:
    """The tags of a key: the row's; beyond the first kind of keys one below it, which a write of the row reaches."""
    kind = key // place.rows
    return (f"{tag_of(row)}/{kind}",) if kind else (tag_of(row),)


def valued(found: Any) -> Value:
    """What a cache gave, as a Value. Raises where it is none: to a reader that is an error like any other."""
    key, row, version = found
    return Value(int(key), int(row), int(version))
