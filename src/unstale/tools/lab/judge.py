"""What a stale answer is: one rule for all variants, which knows nothing of how they cache.

No clock and no request: whoever sends them says when one begins, and what has been answered.

A user's floor is the newest order whose action had been answered: its COMMIT and its invalidation had returned. It is
noted when a request begins. An answer that shows an older version is stale: nobody may be given it any more. The rule
errs on the mild side: an answer counts from when it has been read here, which is later than when it was sent.
"""

from __future__ import annotations

from typing import NamedTuple


class Floor(NamedTuple):
    """What a request may not fall behind: what had been answered when it began."""

    newest: int
    """The newest of the user's answered orders; 0: there was none."""
    actions: int
    """How many of the user's actions had been answered."""


def is_stale(version: int, floor: int) -> bool:
    """Whether this version may not be shown to a request that began with this floor."""
    return version < floor


class Judge:
    """Every user's answered actions, by the ids of their orders. For one thread."""

    def __init__(self) -> None:
        self._orders: dict[int, list[int]] = {}  # as they were answered, which need not be as they were placed
        self._newest: dict[int, int] = {}

    def answered(self, user: int, order: int) -> None:
        """An action's answer has come."""
        self._orders.setdefault(user, []).append(order)
        self._newest[user] = max(order, self._newest.get(user, 0))

    def began(self, user: int) -> Floor:
        """The floor of a request that begins now."""
        return Floor(self._newest.get(user, 0), len(self._orders.get(user, ())))

    def behind(self, user: int, version: int, floor: Floor) -> int:
        """By how many of the user's actions that had been answered a version is behind; 0: it is not stale.

        Args:
            user: whose version it is.
            version: the newest order that the answer shows.
            floor: what `began` gave for the request.
        """
        if not is_stale(version, floor.newest):
            return 0
        return sum(order > version for order in self._orders[user][: floor.actions])
