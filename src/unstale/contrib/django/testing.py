"""For a project's tests: what was invalidated. With pytest, or with Django's own test cases.

    pytest_plugins = ["unstale.contrib.django.testing"]          # in conftest.py

    def test_an_order_makes_its_user_s_history_stale(client, invalidated):
        client.post("/orders/", …)
        assert invalidated.tags == {"user:42/orders"}

    with capture_invalidations() as invalidated: …               # elsewhere

What takes effect at COMMIT counts when it has taken effect; in a `TestCase` that is when its last block of your code
has ended. `LOCATION = "memory://"` makes a cache in the process's memory: the same backend, without a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from unstale.contrib.django import listening, transactions
from unstale.core.keys import ROOT_TAGS


class Invalidations:
    """What was invalidated so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._seen: list[tuple[str, ...]] = []

    def hear(self, tags: tuple[str, ...]) -> None:
        """Note an invalidation that has taken effect."""
        self._seen.append(tags)

    @property
    def whole(self) -> list[str]:
        """The tags by their whole names, prefix and version included, in the order in which they were invalidated."""
        transactions.settle()
        return [tag for tags in self._seen for tag in tags]

    @property
    def tags(self) -> set[str]:
        """The tags as a project names them; "*" stands for `clear()`."""
        return {"*" if tag in ROOT_TAGS else tag.split(":", 2)[2] for tag in self.whole}

    def __contains__(self, tag: object) -> bool:
        """Whether a tag, or an ancestor of it, or everything was invalidated."""
        parts = str(tag).split("/")
        ancestry = {"/".join(parts[: depth + 1]) for depth in range(len(parts))}
        return bool(self.tags & (ancestry | {"*"}))

    def __repr__(self) -> str:
        """Show them, for a failing assertion."""
        return f"<Invalidations {sorted(self.tags)}>"


@contextmanager
def capture_invalidations() -> Iterator[Invalidations]:
    """What is invalidated inside, by any cache of this process."""
    seen = Invalidations()
    with listening.invalidations(seen.hear):
        yield seen


@pytest.fixture
def invalidated() -> Iterator[Invalidations]:
    """What the test has invalidated so far."""
    with capture_invalidations() as seen:
        yield seen
