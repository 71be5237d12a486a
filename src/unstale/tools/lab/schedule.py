"""Which request is due when: drawn from the plan's seed alone, so that every variant is offered the same.

No clock, no server, and nothing of how a variant caches.

Users come in visits: a page of an application asks for several things at about the same time, so a user's action and
reads of the same user overlap. The visits' times are those of a Poisson process, given its count: users come
independently of each other, so their visits fall into clusters and gaps, and what a queue does to the latency shows.
Evenly spaced ones would flatter a slow server, and can beat with whatever it does at a rhythm of its own. The count of
requests is not drawn: it is the rate's, and the kinds have the parts that the plan names, so that the rate is the fixed
one that was asked for with every seed.
"""

from __future__ import annotations

import math
import random
from itertools import accumulate
from typing import Final, NamedTuple

from unstale.tools.lab.plan import Plan
from unstale.tools.lab.results import KINDS

HISTORY: Final = KINDS.index("history")
CATALOGUE: Final = KINDS.index("catalogue")
ACTION: Final = KINDS.index("action")


class Due(NamedTuple):
    """One request."""

    at: float
    """Seconds since the window began; negative in the warm-up."""
    kind: int
    """Its place in KINDS."""
    user: int
    """From 0, the busiest, to one less than the plan's users."""
    page: int
    """Of the user's history, from 1; of no meaning for the other kinds."""


def schedule(plan: Plan) -> list[Due]:
    """All requests of one variant by the time at which they are due: the warm-up's, then the window's."""
    return [*warm_up(plan), *window(plan)]


def warm_up(plan: Plan) -> list[Due]:
    """The requests before the window. Drawn apart, so that a longer warm-up leaves the window's as they are."""
    return _drawn(plan, "warm-up", -plan.warm_seconds, plan.warm_seconds)


def window(plan: Plan) -> list[Due]:
    """The requests that are measured."""
    return _drawn(plan, "window", 0.0, plan.seconds)


def _drawn(plan: Plan, part: str, begins_at: float, seconds: float) -> list[Due]:
    draw = random.Random(f"{plan.seed}/{part}")
    count = round(plan.rate * seconds)
    visits = math.ceil(count / plan.together)
    lasting = min(plan.together_seconds, seconds)
    # Poisson's, given the count; and every visit ends within its part
    begun = [begins_at + (seconds - lasting) * draw.random() for _ in range(visits)]
    users = draw.choices(range(plan.users), cum_weights=_zipf(plan.users, plan.user_law), k=visits)
    kinds = _kinds(plan, count, draw)
    pages = draw.choices(range(1, plan.pages + 1), cum_weights=_zipf(plan.pages, plan.page_law), k=count)
    last = math.nextafter(begins_at + seconds, -math.inf)
    requests = []
    for number, kind, page in zip(range(count), kinds, pages, strict=True):
        visit = number // plan.together
        at = begun[visit] + lasting * draw.random()
        requests.append(Due(min(at, last), kind, users[visit], page))
    return sorted(requests)


def _kinds(plan: Plan, count: int, draw: random.Random) -> list[int]:
    actions = round(plan.actions * count)
    catalogue = round(plan.catalogue * (count - actions))
    kinds = [ACTION] * actions + [CATALOGUE] * catalogue + [HISTORY] * (count - actions - catalogue)
    draw.shuffle(kinds)
    return kinds


def _zipf(count: int, exponent: float) -> list[float]:
    return list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))
