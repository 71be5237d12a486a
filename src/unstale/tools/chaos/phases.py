"""The phases: what is demanded of a cache when things break, one row each. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.plan import Phase

CALM_HITS: Final = 0.8
"""A cache that hits less often when nothing is broken has shown nothing."""

_ALL: Final = (
    Phase(name="calm", says="Nothing breaks: reads and writes race.", least_hit_rate=CALM_HITS, is_safe=True),
    Phase(
        name="evicted-stamps",
        says="Stamps are evicted at random, and expire.",
        faults=("evict-stamps",),
        is_safe=True,
    ),
)

PHASES: Final[Mapping[str, Phase]] = {one.name: one for one in _ALL}
"""By name, in the order in which they are run."""


def phases_of(names: Iterable[str]) -> tuple[str, ...]:
    """These phases' names, checked.

    Raises:
        ChaosError: there is no such phase, or none was named.
    """
    chosen = tuple(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in PHASES]
    if unknown or not chosen:
        what = f"There is no phase {', '.join(unknown)}." if unknown else "No phase was named."
        raise ChaosError(f"{what} There are: {', '.join(PHASES)}.")
    return chosen
