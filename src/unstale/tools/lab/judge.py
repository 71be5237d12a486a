"""What a stale answer is: one rule for all variants, which knows nothing of how they cache.

No clock and no request: whoever sends them says when one begins, and what has been answered.

A user's floor is the newest order whose action had been answered: its COMMIT and its invalidation had returned. It is
noted when a request begins. An answer that shows an older version is stale: nobody may be given it any more. The rule
errs on the mild side: an answer counts from when it has been read here, which is later than when it was sent.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right


def is_stale(version: int, floor: int) -> bool:
    """Whether this version may not be shown to a request that began with this floor."""
    return version < floor


class Judge:
    """Every user's answered actions, by the ids of their orders. For one thread."""

    def __init__(self) -> None:
        self._answered: dict[int, list[int]] = {}

    def answered(self, user: int, order: int) -> None:
        """An action's answer has come. Several of one user may come in any order."""
        orders = self._answered.setdefault(user, [])
        place = bisect_left(orders, order)
        if orders[place : place + 1] != [order]:
            orders.insert(place, order)

    def began(self, user: int) -> int:
        """The floor of a request that begins now: the newest answered order's id, or 0."""
        orders = self._answered.get(user)
        return orders[-1] if orders else 0

    def behind(self, user: int, version: int, floor: int) -> int:
        """By how many of the user's answered actions a version is behind the floor; 0: it is not stale.

        Args:
            user: whose version it is.
            version: the newest order that the answer shows.
            floor: what `began` gave for the request.
        """
        if not is_stale(version, floor):
            return 0
        orders = self._answered[user]
        return bisect_right(orders, floor) - bisect_right(orders, version)
