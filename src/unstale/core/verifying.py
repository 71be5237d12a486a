"""Whether what is served is what the loader would give: a few hits, by chance, are loaded as well and compared.

    hit ── drawn? ── its loader is called ── the same ──────────────────────────────── SAME
                                         └── another ── called again, never twice ──── UNREPEATABLE
                                                    └── the same one: watched until
                     the cache does not serve that value any more,
                     or a later reader's loader gives it again ─────────────────────── SETTLED
                     at the limit it is still served, and the loader of
                     a reader who then comes still gives another ───────────────────── LOST
                     up to twice the limit no such reader has come ─────────────────── UNSETTLED

A difference alone is no staleness. The row may have been written after the value was served; its invalidation may be
under way, in the gap between COMMIT and `invalidate`; the loader may read a replica that lags. All of these pass, and
the time until it has passed is what is measured, between two looks: it was still so at the first, and no longer at the
second. What does not pass is a write that nobody invalidates.

What is measured is how long after a read the cache went on serving a value that its loader did not give: not how old
the value was when it was read. For reads at times that have nothing to do with the writes both are distributed alike
(the forward and the backward recurrence time of a renewal process; D. R. Cox, Renewal Theory, 1962, chapter 5). A row
that is written between the read and its loader counts against the cache, though the read was right.

Who does what, so that nothing runs where it must not:

- The loader of a read is called for that read only: by the cache's runner where it has one, else in its reader's own
  time, before the value is returned. It is never kept for later: it may be bound to a request, or to an open session.
- What is watched is looked at without any loader: one read of the entry and its stamps, by a thread (or a task of the
  loop) that exists only as long as something is watched. Its pauses grow.
- While a key is watched, its readers are verified as well, at pauses that grow likewise. They are no part of the
  sample: they only say how the watched reads end.

While a loader runs for this, all that it reads from caches that verify is loaded, too, not served from the cache: else
a page would agree with the stale part that it was made of. No loader around inherits from it, and what it raises is
counted and goes no further. Nothing is repaired: what is lost would be loaded anew, and the missing call of
`invalidate` would stay missing.

Here is no clock and no chance but the injected ones. A `Verifier` is shared by threads: its lock is injected, too.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import Enum, auto
from typing import Any, Final, NamedTuple, Self, assert_never

from unstale.core import capture
from unstale.core.freshness import Fresh
from unstale.core.keyspace import NOTHING, Keyspace, Look, Target, look, value_of
from unstale.core.likeness import GONE, Print, is_same_print, print_of
from unstale.core.ports import IO, Handover
from unstale.core.verified import Counts, LostKey, settled_after, total_of
from unstale.core.verifier import (
    FIRST_PAUSE,
    GROWTH,
    Joined,
    Verifier,
    Watch,
    all_unsettled,
    is_recomputing,
    recomputing,
)
from unstale.errors import EncodeError, StoreClosedError, StoreError
from unstale.events import Agreement, Lost, Verified

MAX_CALLS: Final = 3
"""Of a loader for one read. A value that is never the same twice shows at the second, and a row that is just being
written not at the third."""


class Served(NamedTuple):
    """A value as a reader was given it.

    Attributes:
        target: the key.
        value: the value.
        call: calls the reader's loader for this key, by the world that it is given.
        is_bound: whether that is bound to its caller, such as a request's view: a None then says that its response
            could not be kept, and was not served.
    """

    target: Target
    value: Any
    call: Callable[[IO], Coroutine[Any, Any, Any]]
    is_bound: bool = False

    @classmethod
    def of(cls, target: Target, value: Any, loader: Callable[[], Any]) -> Self:
        """A value, and its reader's loader. One that keeps what it has done gives another of its kind by `again`."""
        again: Callable[[], Callable[[], Any]] | None = getattr(loader, "again", None)
        return cls(target, value, lambda io: io.call(loader if again is None else again()), again is not None)


async def serve(io: IO, space: Keyspace, verifier: Verifier, served: Served) -> Any:
    """Serve a hit that its verifier wants: verified, or, where a loader that verifies has read it, loaded.

    Raises:
        Whatever the loader raises, where one that verifies has read it.
    """
    if is_recomputing():
        return await served.call(io)
    if not (served.is_bound and served.value is None):
        await sample(io, space, verifier, served)
    return served.value


async def sample(io: IO, space: Keyspace, verifier: Verifier, served: Served) -> None:
    """Verify a hit that was drawn, or whose key is watched. No error in it reaches the reader.

    Args:
        io: the world.
        space: the cache's.
        verifier: its verifier, which has said yes.
        served: what the reader is given.
    """
    is_drawn, now = verifier.take(), io.monotonic()
    if not is_drawn:
        watch = verifier.watches.get(served.target.raw)
        if watch is None or watch.puts_off(now, verifier.policy.limit_seconds):
            return
    if verifier.is_excepted(served.target.key):
        return
    load = verifier.begin_load(now)
    if load is None:
        _skip(space, verifier, served.target, is_drawn=is_drawn)
        return
    try:
        taken = print_of(served.value, space.payloads.codec)
    except EncodeError:  # of a type that `into` has made, and that the codec cannot carry back
        verifier.end_load(load, 0.0)
        if is_drawn:
            _tell(space, verifier, served.target, Counts(failed=1), Agreement.FAILED)
        return
    check = _Check(io, space, verifier, served, taken, now, is_drawn, load)
    if not (io.runs and _taken(io, check)):
        await check.in_own_time()


def _taken(io: IO, check: _Check) -> bool:
    """Whether the runner took it. One that is full does not, nor one that only takes what can travel."""
    try:
        io.spawn(check)
    except Exception:  # noqa: BLE001 - whatever a runner of the user's raises
        return False
    return True


def _skip(space: Keyspace, verifier: Verifier, target: Target, *, is_drawn: bool) -> None:
    if is_drawn:
        _tell(space, verifier, target, Counts(skipped=1), Agreement.SKIPPED)


def _tell(space: Keyspace, verifier: Verifier, target: Target, counts: Counts, agreement: Agreement) -> None:
    """One sampled read has ended."""
    verifier.count(target.key, counts)
    if space.emit is not None:
        space.emit(Verified(target.key, target.declared.tags, agreement))


class _Loaded(Enum):
    """What a loader gave beside what was served."""

    SAME = auto()
    ANOTHER = auto()
    """The same one in two calls."""
    NEVER_TWICE = auto()
    """Another one in each call."""
    NOTHING = auto()
    """It raised, or its value cannot be compared."""


class _Check(NamedTuple):
    """A load for the sake of a comparison. A runner is given it as it is given other loads: see `ports.Load`.

    Attributes:
        io: the world.
        space: the cache's.
        verifier: its verifier.
        served: what the reader was given.
        taken: its print, as it was then.
        at: when that was, by the monotonic clock.
        is_drawn: whether it is one of the sample; else it only says how the watched ones end.
        load: what `Verifier.begin_load` gave.
    """

    io: IO
    space: Keyspace
    verifier: Verifier
    served: Served
    taken: Print
    at: float
    is_drawn: bool
    load: object

    @property
    def loader(self) -> Callable[[], Any]:
        """What is called: no function that another process knows by its name."""
        return lambda: self.served.call(self.io)

    def leave(self) -> Handover:
        """Another process cannot do it: what was served is here."""
        raise NotImplementedError

    async def in_own_time(self) -> None:
        """Do it in the reader's own time, unless that is no time for it."""
        unless = self.verifier.policy.unless
        try:
            is_barred = unless is not None and unless()
        except Exception:  # noqa: BLE001 - the user's own: whoever cannot say that it may be done has it left out
            is_barred = True
        if is_barred:
            self.verifier.end_load(self.load, 0.0)
            _skip(self.space, self.verifier, self.served.target, is_drawn=self.is_drawn)
        else:
            await self()

    async def __call__(self) -> None:
        """Load, compare, and see to it that a difference is watched."""
        began = self.io.monotonic()
        try:
            with recomputing(), capture.detached():
                loaded = await self._loaded()
        except Exception:  # noqa: BLE001 - the loader's, or of the user's `same`: nobody has asked for this load
            loaded = _Loaded.NOTHING
        except BaseException:  # its reader was cancelled
            _skip(self.space, self.verifier, self.served.target, is_drawn=self.is_drawn)
            raise
        finally:
            self.verifier.end_load(self.load, self.io.monotonic() - began)
        match loaded:
            case _Loaded.SAME:
                self._agrees()
            case _Loaded.ANOTHER:
                self._differs()
            case _Loaded.NEVER_TWICE:
                self._is_none(Counts(unrepeatable=1), Agreement.UNREPEATABLE)
            case _Loaded.NOTHING:
                self._is_none(Counts(failed=1), Agreement.FAILED)
            case _:
                assert_never(loaded)

    async def _loaded(self) -> _Loaded:
        last: Print | None = None
        codec = self.space.payloads.codec
        for _ in range(MAX_CALLS):
            try:
                loaded = print_of(await self.served.call(self.io), codec)
            except self.verifier.policy.gone:
                loaded = GONE
            if self.verifier.is_same(self.taken, loaded, codec):
                return _Loaded.SAME
            if last is not None and self.verifier.is_same(last, loaded, codec):
                return _Loaded.ANOTHER
            last = loaded
        return _Loaded.NEVER_TWICE

    def _is_none(self, counts: Counts, agreement: Agreement) -> None:
        """Nothing can be said of this read."""
        if self.is_drawn:
            _tell(self.space, self.verifier, self.served.target, counts, agreement)

    def _watch(self) -> Watch | None:
        """What is watched of this key, if it is what this reader was served.

        Where he was served another value later than the watched one was last seen, that is served no longer.
        """
        watch = self.verifier.watches.get(self.served.target.raw)
        if watch is None or is_same_print(watch.served, self.taken, self.space.payloads.codec):
            return watch
        if self.at > watch.stood_at:
            _settle(self.space, self.verifier, watch, self.at)
        return None

    def _agrees(self) -> None:
        watch = self._watch()
        if watch is not None:
            _settle(self.space, self.verifier, watch, self.io.monotonic())
        if self.is_drawn:
            _tell(self.space, self.verifier, self.served.target, Counts(same=1), Agreement.SAME)

    def _differs(self) -> None:
        watch = self._watch()
        if self.is_drawn:
            self._is_watched()
        if watch is not None:
            watch.stood_at = max(watch.stood_at, self.at)
            if self.at - watch.reads[0] >= self.verifier.policy.limit_seconds:
                _lose(self.io, self.space, self.verifier, watch)

    def _is_watched(self) -> None:
        """See to it that this read's end is."""
        io, space, verifier, target = self.io, self.space, self.verifier, self.served.target
        begun = verifier.join(target.key, target.raw, self.taken, self.at)
        match begun:
            case Joined.BEGUN, Watch() as watch:
                watch.tags = target.declared.tags
                if not io.go_on(_look_until_it_ends(io, space, verifier, watch, target)):
                    _unsettle(space, verifier, watch)
            case Joined.OTHER, Watch() as watch:  # another value was served by then: this one no longer
                at_most = max(watch.reads[0] - self.at, 0.0)
                verifier.count(target.key, settled_after(at_most))
                if space.emit is not None:
                    space.emit(Verified(target.key, target.declared.tags, Agreement.SETTLED, 0.0, at_most))
            case Joined.FULL, _:
                _tell(space, verifier, target, Counts(unsettled=1), Agreement.UNSETTLED)
            case Joined.JOINED, _:
                pass


async def _look_until_it_ends(io: IO, space: Keyspace, verifier: Verifier, watch: Watch, target: Target) -> None:
    """Look at a key at growing pauses until its value is served no longer, or a reader has said how it ends."""
    ends_at, pause = watch.reads[0] + 2 * verifier.policy.limit_seconds, FIRST_PAUSE
    try:
        while not watch.is_over:
            looked_at = io.monotonic()
            try:
                with capture.detached():
                    seen = await look(io, space, target)
            except StoreClosedError:
                return
            except StoreError:
                pass  # nobody knows: the bounds are further apart then
            else:
                if not _still_served(space, watch, seen):
                    _settle(space, verifier, watch, io.monotonic())
                    return
                watch.stood_at = max(watch.stood_at, looked_at)
            left = ends_at - io.monotonic()
            if left <= 0:
                return
            await io.sleep(min(pause, left))
            pause *= GROWTH
    finally:
        _unsettle(space, verifier, watch)


def _still_served(space: Keyspace, watch: Watch, seen: Look) -> bool:
    """Whether a reader would now be given the value that was read."""
    if not isinstance(seen.verdict, Fresh):
        return False
    if watch.data is not None and seen.data == watch.data:
        return True
    head = seen.verdict.head
    value = value_of(space, seen, head)
    try:
        if value is NOTHING or print_of(value, space.payloads.codec) != watch.served:
            return False
    except EncodeError:
        return False
    watch.stood = watch.stood and watch.stamps in {None, head.stamps}
    watch.data, watch.stamps, watch.tags = seen.data, head.stamps, head.tags
    return True


def _settle(space: Keyspace, verifier: Verifier, watch: Watch, now: float) -> None:
    """The value is served no longer, or its loader gives it again."""
    reads = verifier.end(watch, lambda reads: total_of(settled_after(now - read_at) for read_at in reads))
    if space.emit is not None:
        for read_at in reads:
            at_least, at_most = max(watch.stood_at - read_at, 0.0), now - read_at
            space.emit(Verified(watch.key, watch.tags, Agreement.SETTLED, at_least, at_most))


def _lose(io: IO, space: Keyspace, verifier: Verifier, watch: Watch) -> None:
    """At the limit it still differs."""
    key, seconds = watch.key, watch.stood_at - watch.reads[0]
    lost = LostKey(key, watch.tags, seconds, watch.stood, io.now())
    reads = verifier.end(watch, lambda reads: Counts(lost=len(reads)), lost)
    if not reads:
        return
    if space.emit is not None:
        for read_at in reads:
            at_least = max(watch.stood_at - read_at, 0.0)
            space.emit(Verified(key, watch.tags, Agreement.LOST, at_least))
    space.fail(Lost(key, watch.tags, seconds, watch.stood))


def _unsettle(space: Keyspace, verifier: Verifier, watch: Watch) -> None:
    """Nobody says how it ends."""
    reads = verifier.end(watch, all_unsettled)
    if space.emit is not None:
        for _ in reads:
            space.emit(Verified(watch.key, watch.tags, Agreement.UNSETTLED))
