"""Which reads are verified, and what that may cost. What verifying is: `verifying`.

Reads are drawn each with the same chance, independently of all else: only then says a share of the sample something of
all reads. What is left out (by the budget, for one) is counted, since it was not drawn away at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from unstale.core.policy import Duration, seconds
from unstale.errors import ConfigurationError

MAX_LIMIT: Final = 3600.0
"""Seconds. A difference that is watched for longer costs more looks than it tells."""
BURST_SECONDS: Final = 1.0
"""What may be spent at once, where nothing was spent before: one slow load, or a hundred quick ones."""

Same = Callable[[Any, Any], bool]


@dataclass(frozen=True, slots=True)
class Verify:
    """How a cache verifies what it serves: `Cache.from_url(…, verify=Verify(rate=0.001))`.

    Attributes:
        rate: the share of hits whose loader is called as well, from 0 (none) to 1 (each).
        limit: seconds after which a difference that still stands is called lost; at most 3600.
        share: the most of this process's time that loaders may take for it, from above 0 to 1; what comes beyond is
            skipped, and counted.
        log: path of a file to which this process adds what it has found, for `unstale verify`; several processes may
            share it. None: only `verification()` tells.
        same: says whether two values are the same, the served one first, both as the codec gives them. None: they are
            where the codec makes the same bytes of both, or what it makes of these is alike in types and parts.
        except_keys: beginnings of keys that are never verified: counters that are changed in place, values with a time
            in them.
        kind_of: names the kind of a key in the report. None: the key with its ids replaced (`verified.kind_of`).
        gone: exceptions by which a loader says that there is no such value any more: that differs from a value that is
            served. Any other one says nothing. A `get_or_set_many` says KeyError for what its loader leaves out.
        views: verify cached responses as well, by running their view once more for the same request, in its own time.
            Only where no view that is cached has side effects. False.
        unless: asked before a loader is called in its reader's own time: True leaves the read out. For who has an open
            transaction, which sees what others do not. Django's backend asks its own besides. None: nobody is asked.
    """

    rate: float
    limit: Duration = 60.0
    share: float = 0.01
    log: str | Path | None = None
    same: Same | None = None
    except_keys: tuple[str, ...] = ()
    kind_of: Callable[[str], str] | None = None
    gone: tuple[type[Exception], ...] = (LookupError,)
    views: bool = False
    unless: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        """Check what the caller chose.

        Raises:
            ConfigurationError: a share is none, or the limit makes no sense.
        """
        for name, least in (("rate", 0.0), ("share", math.ulp(0.0))):
            given = getattr(self, name)
            if type(given) not in (int, float) or not least <= given <= 1:
                raise ConfigurationError(f"verify's {name} must be a number from 0 to 1; got {given!r}.")
        if self.limit is None or seconds(self.limit, "verify's limit") > MAX_LIMIT:
            raise ConfigurationError(f"verify's limit must be at most {MAX_LIMIT:.0f} seconds.")
        beginnings: object = self.except_keys
        if not isinstance(beginnings, tuple | list) or not all(isinstance(one, str) and one for one in beginnings):
            raise ConfigurationError('verify\'s except_keys must be a tuple of beginnings of keys, such as ("now:",).')
        object.__setattr__(self, "except_keys", tuple(beginnings))
        gone: object = self.gone
        if not isinstance(gone, tuple | list) or not all(
            isinstance(one, type) and issubclass(one, Exception) for one in gone
        ):
            raise ConfigurationError("verify's gone must be a tuple of classes of exceptions, such as (LookupError,).")
        object.__setattr__(self, "gone", tuple(gone))
        if type(self.views) is not bool:
            raise ConfigurationError("verify's views must be True or False.")
        for name in ("same", "kind_of", "unless"):
            given = getattr(self, name)
            if given is not None and not callable(given):
                raise ConfigurationError(f"verify's {name} must be a function, or None.")

    @property
    def limit_seconds(self) -> float:
        """The limit in seconds."""
        return seconds(self.limit, "verify's limit")


def gap(rate: float, chance: float) -> int:
    """How many hits there are up to the next one that is verified, it included.

    The first success of independent draws with chance `rate` each: the geometric distribution, by inversion (Devroye:
    Non-Uniform Random Variate Generation, 1986, X.2). So a hit costs a step of a count and no draw.

    Args:
        rate: the chance of each hit, from above 0 to 1.
        chance: evenly drawn from above 0 to 1.
    """
    return 1 if rate >= 1 else max(1, math.ceil(math.log(chance) / math.log1p(-rate)))


class Budget:
    """A share of time that may be spent: what is not used is saved up, up to BURST_SECONDS."""

    __slots__ = ("_at", "_left", "_share")

    def __init__(self, share: float) -> None:
        """Begin with the whole burst."""
        self._share = share
        self._left = BURST_SECONDS
        self._at: float | None = None

    def has_any(self, now: float) -> bool:
        """Whether anything may be spent now, by the monotonic clock."""
        if self._at is not None:
            self._left = min(BURST_SECONDS, self._left + (now - self._at) * self._share)
        self._at = now
        return self._left > 0

    def spend(self, spent_seconds: float) -> None:
        """Note what was spent. It may be more than there was: then nothing is for so much longer."""
        self._left -= spent_seconds
