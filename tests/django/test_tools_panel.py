"""The debug toolbar's panel, in a project of its own: requests go through the toolbar's middleware, WSGI and ASGI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_relay import child_environment

from unstale.contrib.django import listening
from unstale.contrib.django.describe import event_row
from unstale.events import (
    Event,
    Failed,
    Hit,
    Invalidated,
    LoadFailed,
    Miss,
    Refused,
    Stale,
    StaleHit,
    Stored,
    Trip,
    Why,
)

CHILD = Path(__file__).parent.parent / "children" / "django_toolbar.py"
KEY = ":1:user:42:&lt;b&gt;page&lt;/b&gt;"
LIST = ":1:user:42:list"


@pytest.fixture(scope="module", params=["sync", "async"])
def shown(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """What the panel shows of three requests: one that does all, one that asks nothing, one that asks very often."""
    run = subprocess.run(
        [sys.executable, "-W", "error", str(CHILD), request.param, "memory://"],
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return found


def test_hits_misses_stale_and_why(shown: list[dict[str, Any]]) -> None:
    """In their order, keys escaped."""
    rows = shown[0]["rows"]
    assert [row[:2] for row in rows] == [
        ["miss", KEY],
        ["stored", KEY],
        ["hit", KEY],
        ["invalidated", ":1:user:42"],
        ["stale", KEY],
        ["miss", LIST],
        ["stored", LIST],
    ]
    assert rows[0][2] == "there is no entry"
    assert rows[1][2].endswith("bytes under :1:user:42")
    assert rows[3][2] == "1 of 1 had a stamp"
    assert rows[4][2] == ":1:user:42 was invalidated"


def test_its_side_counts(shown: list[dict[str, Any]]) -> None:
    """One line, before it is opened."""
    assert shown[0]["side"] == "2 miss, 2 stored, 1 hit, 1 invalidated, 1 stale"


def test_values_are_never_shown(shown: list[dict[str, Any]]) -> None:
    """Whatever was stored."""
    assert "secret" not in json.dumps(shown)


def test_a_request_has_its_own(shown: list[dict[str, Any]]) -> None:
    """Another one's events are not in it."""
    assert (shown[1]["side"], shown[1]["rows"]) == ("not asked", [])


def test_it_is_bounded(shown: list[dict[str, Any]]) -> None:
    """All are counted, five hundred are shown."""
    assert shown[2]["side"] == "600 miss"
    assert len(shown[2]["rows"]) == 500
    assert "and 100 more" in shown[2]["content"]


@pytest.mark.parametrize(
    ("event", "row"),
    [
        (Hit("k"), ("hit", "k", "")),
        (StaleHit("k", None), ("stale, served", "k", "its ttl is over")),
        (StaleHit("k", "a"), ("stale, served", "k", "a was softly invalidated")),
        (Miss("k", Why.EXPIRED), ("miss", "k", "its ttl is over")),
        (Stale("k", "a"), ("stale", "k", "a was invalidated")),
        (Stale("k", "a", is_gone=True), ("stale", "k", "a has no stamp: evicted, or a strict write")),
        (Trip("read", 0.0015), ("trip", "", "read: 1.5 ms")),
        (Trip("read", 0.04, failed=True), ("trip", "", "read: 40.0 ms, in vain")),
        (Stored("k", (), 9, 0.0, None), ("stored", "k", "9 bytes under no tag")),
        (Stored("k", ("a", "b"), 9, 0.25, 1.0), ("stored", "k", "9 bytes under a, b, loaded in 0.250 s")),
        (Refused("k", Why.CLOSED), ("not stored", "k", "a tag is closed: a write is under way")),
        (Invalidated(("a", "b"), 1), ("invalidated", "a, b", "1 of 2 had a stamp")),
        (Failed("get", "k", OSError("away")), ("failed", "k", "get: away")),
        (LoadFailed("k", OSError("secret")), ("load failed", "k", "OSError")),
    ],
    ids=lambda one: type(one).__name__,
)
def test_each_event_has_a_row(event: Event, row: tuple[str, str, str]) -> None:
    """A loader's own error is named by its type: its text may hold values."""
    assert tuple(event_row(event).values()) == row


def test_without_a_toolbar_nothing_is_recorded() -> None:
    """The hit path pays nothing for it: the cache has the project's hook, or none."""
    assert listening.hook_for(None) is None
    assert listening.hook_for(print) is print
