"""For a project's tests: what was invalidated.

    with capture_invalidations() as invalidated:
        self.client.post("/orders/", …)
    self.assertEqual(invalidated.tags, {"user:42/orders"})

With pytest: the fixture `invalidated`, in `fixtures`. What takes effect at COMMIT counts when it has taken effect; in a
`TestCase`, where no hook runs, that is when the outermost block of your own has ended.

`LOCATION = "memory://"` makes a cache in the process's memory: the same backend, without a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unstale.contrib.django import listening, transactions
from unstale.contrib.django.describe import named


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
        return {named(tag) for tag in self.whole}

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
    """What is invalidated inside, by any cache of this process; softly, too."""
    seen = Invalidations()
    transactions.settle()  # what was due before is not of this block
    with listening.invalidations(seen.hear):
        yield seen
        transactions.settle()
