"""What one cache's verifier knows: which hit is drawn next, what is under way, what is watched, and what was found.

Counts, lists and a budget, kept whole between threads by a lock that is injected: nothing here waits, reads or loads.
What is done with it, and why: `verifying`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from unstale.core.codecs import Codec
from unstale.core.likeness import GONE, Print, is_same_print, plain
from unstale.core.sampling import Budget, Verify, gap
from unstale.core.verified import MAX_LOST, Counts, LostKey, Verification, add_to, kind_of

FIRST_PAUSE: Final = 0.005
"""Seconds until a difference is looked at again. Gaps between COMMIT and `invalidate` are mostly of this size."""
GROWTH: Final = 1.5
"""Each pause is so much longer than the last one: so much apart are the two bounds of a time."""
MAX_WATCHED: Final = 16
"""Keys that are watched at a time: each takes a sleeping thread, or a task. What differs beyond is UNSETTLED."""
MAX_JOINED: Final = 1000
"""Sampled reads of one watched key that end as it ends."""
MAX_UNDER_WAY: Final = 4
"""Loads for this at a time, those that a runner has not begun included: what is drawn beyond is SKIPPED."""
LONGEST_LOAD: Final = 60.0
"""Seconds. A load that has not ended by then (its runner was shut down, its loop is gone) is not waited for."""

_recomputing: ContextVar[bool] = ContextVar("unstale_recomputing", default=False)
is_recomputing = _recomputing.get
"""Whether a loader runs around here to verify what was served: what it reads is loaded, too."""


@contextmanager
def recomputing() -> Iterator[None]:
    """For a loader that is called to verify what was served."""
    token = _recomputing.set(True)
    try:
        yield
    finally:
        _recomputing.reset(token)


class Done(NamedTuple):
    """Reads of one key that have ended.

    Attributes:
        kind: the key's.
        counts: how.
        lost: what was lost, if it was.
    """

    kind: str
    counts: Counts
    lost: LostKey | None = None


class Watch:
    """A key that is watched.

    Attributes:
        key: the key, as the caller knows it.
        raw: its bytes.
        served: the value that was read, as the codec carries it.
        reads: when it was read, by the monotonic clock: by the sampled reads that end together.
        stood_at: when it was last seen to be served.
        recheck_at: from when on a reader is verified, too.
        pause: until the next such one.
        tags: those that its entry records, as far as it was looked at.
        data: the entry as it was last looked at, to see that nothing has changed.
        stamps: those that it records.
        stood: whether they have been the same all the time: no tag was invalidated.
        is_over: it has ended.
    """

    __slots__ = (
        *("data", "is_over", "key", "pause", "raw", "reads"),
        *("recheck_at", "served", "stamps", "stood", "stood_at", "tags"),
    )

    def __init__(self, key: str, raw: bytes, served: Print, at: float) -> None:
        """Begin with one read."""
        self.key = key
        self.raw = raw
        self.served = served
        self.reads = [at]
        self.stood_at = at
        self.pause = FIRST_PAUSE
        self.recheck_at = at + self.pause
        self.tags: tuple[str, ...] = ()
        self.data: bytes | None = None
        self.stamps: tuple[bytes, ...] | None = None
        self.stood = True
        self.is_over = False

    def puts_off(self, now: float, limit: float) -> bool:
        """Whether a reader need not be verified now. If he is, the next one is so later, but one at the limit is."""
        if now < self.recheck_at:
            return True
        at_limit = self.reads[0] + limit
        self.recheck_at = min(now + self.pause, at_limit) if now < at_limit else now + self.pause
        self.pause *= GROWTH
        return False


class Joined(Enum):
    """What came of a read that is to end as its key's watch does."""

    BEGUN = auto()
    """It is the first: the key is watched from now on."""
    JOINED = auto()
    OTHER = auto()
    """Of that key another value is watched, which was served later."""
    FULL = auto()
    """As many are watched as may be."""


def all_unsettled(reads: Sequence[float]) -> Counts:
    """Nobody knows how these reads end."""
    return Counts(unsettled=len(reads))


class Verifier:
    """What one cache samples, watches and has found in this process.

    Attributes:
        policy: what its user wants.
        tell: told of all that has ended; None where nobody listens.
        watches: what is watched, by key. Hits ask it first, so it is mostly empty.
    """

    __slots__ = (
        *("__weakref__", "_budget", "_chance", "_gap", "_kinds", "_lock", "_lost", "_under_way"),
        *("policy", "tell", "watches"),
    )

    def __init__(self, policy: Verify, lock: AbstractContextManager[Any], chance: Callable[[], float]) -> None:
        """Begin with nothing.

        Args:
            policy: what its user wants.
            lock: keeps counts whole between threads; it is held for moments.
            chance: draws evenly from above 0 to 1.
        """
        self.policy = policy
        self.tell: Callable[[Done], None] | None = None
        self._chance = chance
        self.begin_anew(lock)

    def begin_anew(self, lock: AbstractContextManager[Any]) -> None:
        """Forget all, and draw anew: in a child process, whose parent goes on with what it has found."""
        self._lock = lock
        self.watches: dict[bytes, Watch] = {}
        self._budget = Budget(self.policy.share)
        self._gap = gap(self.policy.rate, self._chance())
        self._kinds: dict[str, Counts] = {}
        self._lost: list[LostKey] = []
        self._under_way: dict[object, float] = {}

    def wants(self, raw_key: bytes) -> bool:
        """Whether a hit is not just to be served: drawn, of a key that is watched, or read by a loader that verifies.

        Called for each hit. Two threads that count down at the same moment may count one step: the rate is as good as
        that.
        """
        if _recomputing.get():
            return True
        self._gap -= 1
        return self._gap <= 0 or (bool(self.watches) and raw_key in self.watches)

    def take(self) -> bool:
        """Whether this hit was drawn; the next one is then drawn."""
        if self._gap > 0:
            return False
        self._gap = gap(self.policy.rate, self._chance())
        return True

    def is_excepted(self, key: str) -> bool:
        """Whether this key is never verified."""
        return key.startswith(self.policy.except_keys)

    def begin_load(self, now: float) -> object | None:
        """Begin a load, if the budget has anything and not too many are under way.

        Returns:
            What `end_load` needs; None to do without.
        """
        with self._lock:
            self._under_way = {load: at for load, at in self._under_way.items() if now - at < LONGEST_LOAD}
            if not self._budget.has_any(now) or len(self._under_way) >= MAX_UNDER_WAY:
                return None
            load = object()
            self._under_way[load] = now
            return load

    def end_load(self, load: object, spent_seconds: float) -> None:
        """It has ended, after so many seconds."""
        with self._lock:
            self._under_way.pop(load, None)
            self._budget.spend(spent_seconds)

    def is_same(self, served: Print, loaded: Print, codec: Codec) -> bool:
        """Whether two values are the same, by what the user says or by what the codec makes of them.

        Raises:
            Whatever the user's `same` raises.
        """
        if self.policy.same is None or served == loaded or GONE in {served, loaded}:
            return is_same_print(served, loaded, codec)
        return bool(self.policy.same(plain(served, codec), plain(loaded, codec)))

    def join(self, key: str, raw: bytes, served: Print, at: float) -> tuple[Joined, Watch | None]:
        """Have a read that differs end as its key's watch does.

        Returns:
            What came of it, and the watch: where it has BEGUN somebody must look.
        """
        with self._lock:
            watch = self.watches.get(raw)
            if watch is None:
                if len(self.watches) >= MAX_WATCHED:
                    return Joined.FULL, None
                made = self.watches[raw] = Watch(key, raw, served, at)
                return Joined.BEGUN, made
            if watch.served != served:
                return Joined.OTHER, watch
            if len(watch.reads) >= MAX_JOINED:
                return Joined.FULL, watch
            watch.reads.append(at)
            return Joined.JOINED, watch

    def end(
        self, watch: Watch, counts_of: Callable[[list[float]], Counts], lost: LostKey | None = None
    ) -> Sequence[float]:
        """End a watch, and count its reads, at one moment.

        Args:
            watch: which.
            counts_of: how its reads have ended, by when they were.
            lost: what was lost, if it was.

        Returns:
            Its reads; none if it has ended before.
        """
        kind = self._kind_of(watch.key)
        with self._lock:
            if watch.is_over:
                return ()
            watch.is_over = True
            if self.watches.get(watch.raw) is watch:
                del self.watches[watch.raw]
            done = Done(kind, counts_of(watch.reads), lost)
            self._add(done)
        self._say(done)
        return watch.reads

    def count(self, key: str, counts: Counts) -> None:
        """Note a read that has ended."""
        done = Done(self._kind_of(key), counts)
        with self._lock:
            self._add(done)
        self._say(done)

    def _add(self, done: Done) -> None:
        add_to(self._kinds, done.kind, done.counts)
        if done.lost is not None and len(self._lost) < MAX_LOST:
            self._lost.append(done.lost)

    def _say(self, done: Done) -> None:
        if self.tell is not None:
            self.tell(done)

    def _kind_of(self, key: str) -> str:
        if self.policy.kind_of is None:
            return kind_of(key)
        try:
            kind = str(self.policy.kind_of(key))
        except Exception:  # noqa: BLE001 - the user's own; a reader is not to be kept from his value by a report
            return kind_of(key)
        return kind.encode("utf-8", "backslashreplace").decode()  # one with half a character could not be written

    def report(self) -> Verification:
        """All that was found so far."""
        with self._lock:
            watched = sum(len(one.reads) for one in self.watches.values())
            found = dict(self._kinds), tuple(self._lost)
        return Verification(*found, watched, self.policy.rate, self.policy.limit_seconds)

    def give_up(self) -> None:
        """The process ends: what is watched stays unsettled."""
        for watch in list(self.watches.values()):
            self.end(watch, all_unsettled)
