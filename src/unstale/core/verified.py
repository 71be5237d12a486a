"""What verifying has found, as values that can be added up: over time, over processes, over kinds of keys.

    same          the loader gave the value that was served
    settled       it gave another; and then the cache served that value no longer, or the loader gave it again: by the
                  time until that was seen
    lost          it gave another, and the cache still served the old one at the limit
    unsettled     it gave another, and nobody knows what became of it
    unrepeatable  it gives another each time it is called: nothing can be said
    failed        it raised: nothing can be said
    skipped       it was not called: the budget was spent, or a transaction was open

The first four were judged. A read is *consistent within N seconds* if it is the same, or settled within N. What is lost
or unsettled never is.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Final, NamedTuple

from unstale.core.confidence import CONFIDENCE, least_share

BOUNDS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)
"""Seconds. What settled is counted by the first of them that its time does not exceed; what took longer comes last."""
MAX_KINDS: Final = 100
OTHERS: Final = "(others)"
"""The kind of all keys beyond the first MAX_KINDS kinds."""
MAX_LOST: Final = 100
"""Lost ones that are named; the earliest, since later ones are mostly the same again."""
LEAST_JUDGED: Final = 5
"""Reads of a kind from which on it means something that each of them differed."""
_LONGEST_WORD: Final = 24
_WORDS: Final = re.compile(r"[^:/|.?&=,\s]+")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many sampled reads ended how. See the module.

    Attributes:
        same: equal at once.
        settled: by BOUNDS, and one more for what took longer.
        lost: see the module.
        unsettled: the same.
        unrepeatable: the same.
        failed: the same.
        skipped: the same.
    """

    same: int = 0
    settled: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    lost: int = 0
    unsettled: int = 0
    unrepeatable: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            self.same + other.same,
            tuple(ours + theirs for ours, theirs in zip(self.settled, other.settled, strict=True)),
            *(getattr(self, name) + getattr(other, name) for name in _AFTER_SETTLED),
        )

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.judged or self.unrepeatable or self.failed or self.skipped)

    @property
    def differed(self) -> int:
        """Judged reads whose loader gave another value."""
        return sum(self.settled) + self.lost + self.unsettled

    @property
    def judged(self) -> int:
        """Reads of which something can be said."""
        return self.same + self.differed

    def within(self, seconds: float) -> int:
        """Reads that were consistent within so many seconds; between two bounds the lower one counts."""
        return self.same + sum(self.settled[: bisect_right(BOUNDS, seconds)])

    @property
    def always_differs(self) -> bool:
        """Whether not one was the same: no staleness, mostly, but a value with a time in it, or of whom it is for."""
        return self.same == 0 and self.differed + self.unrepeatable >= LEAST_JUDGED


_AFTER_SETTLED: Final = tuple(one.name for one in fields_of(Counts))[2:]


def settled_after(at_most: float) -> Counts:
    """One read that settled within so many seconds."""
    place = bisect_left(BOUNDS, at_most)
    return Counts(settled=tuple(int(number == place) for number in range(len(BOUNDS) + 1)))


@dataclass(frozen=True, slots=True)
class LostKey:
    """A key that was served though its loader gave another value, up to the limit.

    Attributes:
        key: the key.
        tags: those that its entry records; one of them should have been invalidated.
        seconds: for how long it has differed at the least.
        stood: whether it was the same entry all the time, so that no tag was invalidated. Otherwise the old value was
            stored anew: its loader reads what lags, or depends on what the key does not name.
        at: seconds since 1970.
    """

    key: str
    tags: tuple[str, ...]
    seconds: float
    stood: bool
    at: float


class Share(NamedTuple):
    """How many of the judged reads were consistent within some seconds.

    Attributes:
        good: these.
        judged: of these.
        least: the share among all reads is at least this, with the confidence that was asked for.
    """

    good: int
    judged: int
    least: float

    @property
    def found(self) -> float | None:
        """The share in the sample; None where nothing was judged."""
        return self.good / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying has found so far, in one process, or in several.

    Attributes:
        kinds: counts by kind of key, at most MAX_KINDS and OTHERS.
        lost: the first MAX_LOST that were lost.
        watched: reads that differed and are watched still; they are in no count yet.
        rate: the share of hits that is verified; 0 where none is.
        limit: seconds up to which a difference is watched.
    """

    kinds: Mapping[str, Counts] = field(default_factory=dict)
    lost: tuple[LostKey, ...] = ()
    watched: int = 0
    rate: float = 0.0
    limit: float = 0.0

    @property
    def total(self) -> Counts:
        """All kinds together."""
        return total_of(self.kinds.values())

    def consistent_within(self, seconds: float, confidence: float = CONFIDENCE) -> Share:
        """The share of reads that were consistent within some seconds.

        Args:
            seconds: 0 for those that were the same at once. Between two BOUNDS the lower one counts.
            confidence: of the least share; see `confidence.least_share`.
        """
        total = self.total
        good = total.within(seconds)
        return Share(good, total.judged, least_share(good, total.judged, confidence))


def total_of(counts: Iterable[Counts]) -> Counts:
    """All of them together."""
    return sum(counts, start=Counts())


def add_to(kinds: dict[str, Counts], kind: str, counts: Counts) -> None:
    """Count for a kind; when there are too many, for OTHERS."""
    if kind not in kinds and len(kinds) >= MAX_KINDS:
        kind = OTHERS
    kinds[kind] = kinds.get(kind, Counts()) + counts


def kind_of(key: str) -> str:
    """A key with its ids replaced: `user:42/orders` is of the kind `user:*/orders`.

    What has a digit in it, or is long, is taken for an id. Names of people and of products are not: a cache with these
    in its keys has its own `kind_of`, or soon counts under OTHERS.
    """
    return _WORDS.sub(lambda word: "*" if _is_id(word.group()) else word.group(), key)


def _is_id(word: str) -> bool:
    return len(word) > _LONGEST_WORD or any(char.isdigit() for char in word)
