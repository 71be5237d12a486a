"""What is asked of every variant: users, pages, and operations with the times at which they are due.

Computed from the seed alone, before the first operation, so that all variants get the same. No clock, no server, no
cache belongs here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

ACTIONS = 0.1
"""The share of operations that are user actions; the others are reads."""
USER_SKEW = 1.1
"""Zipf's exponent: the n-th busiest user is 1 / n**1.1 as busy as the busiest."""
PAGE_SKEW = 1.5
"""The same for a user's pages: the first page of orders is looked at most."""


@dataclass(frozen=True, slots=True)
class Load:
    """The offered load, the same for every variant."""

    seconds: float = 8.0
    """How long operations are offered."""
    rate: float = 1000.0
    """Operations a second, all processes together."""
    users: int = 2000
    """How many users there are."""
    pages: int = 50
    """How many cached pages each user has."""
    seed: int = 1
    """What all random draws come from."""
    processes: int = 2
    """Client processes."""
    threads: int = 16
    """Threads in each of them: so many operations can be under way at once, as in a web server."""

    @property
    def keys(self) -> int:
        """All pages of all users."""
        return self.users * self.pages


class Operation(NamedTuple):
    """One read or one user action."""

    due_at: float
    """Seconds after the start."""
    is_action: bool
    user: int
    page: int
    """The page to read; an action changes all of a user's pages."""


def schedule(load: Load, process: int) -> list[Operation]:
    """One process's share of the operations, by time: a Poisson process, so that they come in clusters too."""
    draw = random.Random(f"{load.seed}/{process}")
    times = []
    due_at = draw.expovariate(load.rate / load.processes)
    while due_at < load.seconds:
        times.append(due_at)
        due_at += draw.expovariate(load.rate / load.processes)
    users = draw.choices(range(load.users), cum_weights=_zipf(load.users, USER_SKEW), k=len(times))
    pages = draw.choices(range(load.pages), cum_weights=_zipf(load.pages, PAGE_SKEW), k=len(times))
    actions = [draw.random() < ACTIONS for _ in times]
    return [Operation(*each) for each in zip(times, actions, users, pages, strict=True)]


def users_of(load: Load, process: int) -> range:
    """The users whose pages this process loads before the run."""
    return range(process, load.users, load.processes)


def _zipf(count: int, exponent: float) -> list[float]:
    return list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))
