"""A store's verbs on a cluster, awaited: which parts each has, and what their replies mean. See `ports.Store`.

Commands with several names stay within a slot, and are few: while a slot moves they are refused (TRYAGAIN). MGET is
then asked name by name; what is committed or changed in place waits a little, and is refused: a fill is just not
stored, a set raises StoreUnavailableError. A script that closes an open stamp has removed it when it is refused, at the
node that the slot is leaving; so it is followed up, at the other, by one that closes it whatever it finds.

A commit compares the stamps of the entry's own slot. A stamp of another slot is compared by the readers alone, which
is what freshness rests on anyhow; it is only kept alive here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from inspect import isawaitable
from itertools import chain, repeat
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from unstale.core.breaker import Leave
from unstale.core.ports import (
    Bumped,
    Change,
    Claim,
    Commit,
    Committed,
    Heads,
    Mode,
    Modify,
    Opening,
    Outcome,
    Peek,
    Reading,
    Scanned,
    Unmodified,
)
from unstale.core.slots import slot_of
from unstale.core.stamps import CLOSED, STAMP_SIZE, Observed, observe
from unstale.errors import ConfigurationError, StoreFullError, StoreUnavailableError
from unstale.stores import commands
from unstale.stores.abandoned import Abandoned, Held
from unstale.stores.cluster import CLUSTER_IDENTITY, Folding, Nodes, fold_at, kind_of, layout_of
from unstale.stores.cluster_run import ClusterRun, Done, Kind, Part, Port
from unstale.stores.commands import Trip, any_error
from unstale.stores.guard import Guard
from unstale.stores.options import StoreOptions

S = TypeVar("S")

PAUSES: Final = (0.005, 0.01, 0.02, 0.04, 0.08)
"""Seconds between the attempts at what is refused while its slot moves."""
CURSOR_BITS: Final = 16
"""Of a scan's cursor: the node's number among the primaries. The rest is the node's own cursor."""
_LEASES: Final = (b"l", b"l#")


class ClusterTrips(Generic[S]):
    """The trips of a store.

    Attributes:
        gate: held while an invalidation is queued. (Each node has a breaker of its own.)
    """

    def __init__(self, port: Port[S], nodes: Nodes[S], options: StoreOptions) -> None:
        """Take what there is.

        Args:
            port: reaches nodes.
            nodes: what is known of them.
            options: how long things may take, and what is bound to the nodes' lives.

        Raises:
            ConfigurationError: an option that a cluster cannot have.
        """
        if options.recent is not None:
            raise ConfigurationError('On a cluster fence is "tags" or "all": its stamps are bound to their nodes.')
        self._nodes = nodes
        self._port = port
        self._abandoned = Abandoned()
        self._run = ClusterRun(port, nodes, options)
        self._folding = Folding(options.fences_all)
        self._wait, self._wait_seconds = options.wait, options.wait_seconds
        self._invalidate_seconds = options.invalidate_timeout
        self.gate = Guard(options)

    async def read(self, names: Sequence[bytes]) -> Reading:
        """See Store. One MGET for each slot."""
        names = tuple(names)
        return await self._strings(names, await self._looked(_reading(names))), CLUSTER_IDENTITY

    async def _strings(self, names: tuple[bytes, ...], done: Sequence[Done]) -> list[bytes | None]:
        """What the parts of `_reading` brought, stamps folded. What a slot on its way refuses is asked one by one."""
        layout = layout_of(names)
        folds = frozenset(self._folding.positions(layout))
        values: list[bytes | None] = [None] * len(names)
        refused: list[int] = []
        for (_, positions), one in zip(layout.groups, done, strict=True):
            if any_error(one.replies, "TRYAGAIN"):
                refused += positions
            else:
                _put(values, positions, one, folds)
        if refused:
            again = await self._run.run([part for at in refused for part in _reading((names[at],))], Kind.READ)
            for at, one in zip(refused, again, strict=True):
                _put(values, (at,), one, folds)
        return values

    async def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        """See Store."""
        names = tuple(stamp_names)
        reading = _reading(names)
        begin = Part(slot_of(entry), lambda _: commands.beginning(entry))
        parts = [begin, *reading, *_removing(remove)]
        done = await (self._run.run(parts) if remove else self._looked(parts))
        for one in done[1 + len(reading) :]:
            one.parsed()
        head, ttl = done[0].parsed()
        stamps = await self._strings(names, done[1 : 1 + len(reading)])
        return Peek(head, ttl, list(map(observe, stamps)), CLUSTER_IDENTITY)

    async def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        """See Store."""
        names, stamp_names = tuple(names), tuple(stamp_names)
        groups, reading = layout_of(names).groups, _reading(stamp_names)
        parts = [_beginnings(slot, [names[position] for position in positions], size) for slot, positions in groups]
        every = [*parts, *reading, *_removing(remove)]
        done = await (self._run.run(every) if remove else self._looked(every))
        found: list[bytes | None] = [None] * len(names)
        for (_, positions), one in zip(groups, done, strict=False):
            for position, data in zip(positions, one.parsed().heads, strict=True):
                found[position] = data
        for one in done[len(parts) + len(reading) :]:
            one.parsed()
        stamps = await self._strings(stamp_names, done[len(parts) : len(parts) + len(reading)])
        return Heads(found, list(map(observe, stamps)), CLUSTER_IDENTITY)

    async def open(
        self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0
    ) -> Opening:
        """See Store."""
        held = [self._abandoned.of(one.lease) for one in claims]
        leases = [_claiming(one, before) for one, before in zip(claims, held, strict=True)]
        stamps = [_opening(name, stamp_ttl, lag) for name in missing]
        heads = [_probing(one.entry) for one in claims]
        with self._abandoned.unless_done(*held):
            self.gate.check()
            done = await self._run.run([*leases, *stamps, *heads], Kind.FILL)
            claimed = [
                lease.parsed()._replace(head=head.parsed())
                for lease, head in zip(done[: len(claims)], done[len(done) - len(claims) :], strict=True)
            ]
            created = done[len(claims) : len(claims) + len(stamps)]
            return Opening(claimed, self._stamps(missing, created), CLUSTER_IDENTITY)

    def _stamps(self, names: Sequence[bytes], opened: Sequence[Done]) -> list[Observed]:
        """What stands under the names of stamps that were opened, as it is seen through their nodes."""
        return [
            self._folding.fold(name, one.parsed().stamps[0], one.identity)
            for name, one in zip(names, opened, strict=True)
        ]

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See Store. A script cannot fold: stamps to be taken as they stand are looked at first, in a trip."""
        kind = Kind.FILL if all(one.mode is Mode.FILL for one in commits) else Kind.WRITE
        leases = [(one.lease, one.token) for one in commits if one.mode is Mode.FILL]
        with self._abandoned.unless_done(leases):
            return await self._stored(commits, kind)

    async def _stored(self, commits: Sequence[Commit], kind: Kind) -> list[Committed]:
        if kind is Kind.FILL:
            self.gate.check()
        drafts = await self._with_stamps(commits)
        ready = [one for one in drafts if isinstance(one, Commit)]
        parts = [
            Part(
                slot_of(one.entry),
                self._storing(one),
                once=commands.is_once([one]),
                is_patient=one.mode is not Mode.FILL,
            )
            for one in ready
        ]
        done = await self._patiently(parts + [part for one in ready for part in self._prolonging(one)], kind)
        stuck = [one for one, stored in zip(ready, done, strict=False) if any_error(stored.replies, "TRYAGAIN")]
        if stuck:
            await self.release([(one.lease, one.token) for one in stuck if one.mode is Mode.FILL])
        outcomes = iter([one.parsed() for one in done][: len(ready)])
        return [next(outcomes) if isinstance(one, Commit) else one for one in drafts]

    def _storing(self, one: Commit) -> Callable[[bytes], Trip[Committed]]:
        """What stores a draft whose stamps are known, or are all of its own slot and not folded."""
        slot = slot_of(one.entry)
        every = (*zip(one.stamp_names, one.observed, strict=True), *one.beside)
        own = [(at, name, stamp) for at, (name, stamp) in enumerate(every) if slot_of(name) == slot]
        envelope = one.draft.seal(one.identity or CLUSTER_IDENTITY, one.observed)

        def make(identity: bytes) -> Trip[Committed]:
            stamps = [(name, self._folding.fold(name, stamp, identity)) for _, name, stamp in own]

            def parse(replies: list[Any], proved: bytes) -> Committed:
                committed = commands.committed_of(replies[0], replies[1], len(envelope))
                if committed.outcome is Outcome.STORED:
                    same = proved == identity and one.identity in (None, CLUSTER_IDENTITY)
                    return committed if same or not one.draft.fenced else Committed(Outcome.IDENTITY)
                return committed._replace(position=own[committed.position][0]) if own else committed

            return Trip(commands.committing(one, envelope, stamps), parse)

        return make

    def _prolonging(self, one: Commit) -> list[Part]:
        """What keeps the stamps of other slots alive."""
        slot = slot_of(one.entry)
        every = (*zip(one.stamp_names, one.observed, strict=True), *one.beside) if one.prolong else ()
        return [
            self._prolong(name, stamp, one.stamp_ttl)
            for name, stamp in every
            if stamp is not None and slot_of(name) != slot
        ]

    def _prolong(self, name: bytes, stamp: bytes, stamp_ttl: float) -> Part:
        def make(identity: bytes) -> Trip[None]:
            return commands.prolong(name, self._folding.fold(name, stamp, identity), stamp_ttl)

        return Part(slot_of(name), make)

    async def _with_stamps(self, commits: Sequence[Commit]) -> list[Commit | Committed]:
        """Drafts with the stamps that the script cannot take by itself; or why one cannot be stored."""
        unknown = [self._unknown(one) for one in commits]
        names = sorted({name for each in unknown for name in each})
        if not names:
            return list(commits)
        try:
            longest = max(one.stamp_ttl for one in commits)
            opened = await self._run.run([_opening(name, longest, 0.0) for name in names])
            stamps = self._stamps(names, opened)
        except StoreFullError:  # as on one server: what was to be replaced goes
            sets = [one for one in commits if one.mode is Mode.SET]
            await self.remove([name for one in sets for name in (one.lease, one.entry)])
            raise
        found = dict(zip(names, stamps, strict=True))
        drafts = [_with(one, found) if each else one for one, each in zip(commits, unknown, strict=True)]
        closed = [one for one, draft in zip(commits, drafts, strict=True) if isinstance(draft, Committed)]
        gone = [name for one in closed if one.mode is Mode.SET for name in (one.lease, one.entry)]
        if gone:
            await self.remove(gone)
        return drafts

    def _unknown(self, one: Commit) -> list[bytes]:
        """The stamps to look at before a draft is sealed."""
        slot = slot_of(one.entry)
        known = list(zip(one.stamp_names, one.observed, strict=True))
        missing = [name for name, stamp in known if stamp is None]
        by_itself = all(slot_of(name) == slot for name in one.stamp_names)
        return [] if by_itself and not any(map(self._folding.has, missing)) else missing

    async def _patiently(self, parts: Sequence[Part], kind: Kind = Kind.WRITE) -> list[Done]:
        """Make a trip; what is refused since its slot moves is tried again a little, but for fills: a reader waits."""
        done = await self._run.run(parts, kind)
        for pause in PAUSES:
            refused = [at for at, one in enumerate(done) if any_error(one.replies, "TRYAGAIN") and parts[at].is_patient]
            if not refused:
                break
            await self._port.pause(pause)
            again = await self._run.run([parts[at] for at in refused], kind)
            for at, one in zip(refused, again, strict=True):
                done[at] = one
        return done

    async def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """See Store."""
        parts = [_releasing(lease, token) for lease, token in held]
        with self._abandoned.unless_done(held):
            self.gate.check()
            for one in await self._run.run(parts, Kind.FILL):
                one.parsed()

    async def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store. On a full server, which refuses to write, open stamps are removed: as invalid as changed."""
        names, until = stamp_names, self._invalidate_until()
        if lag:
            closed = await self._each(
                names,
                lambda at: commands.close_those_there([names[at]], lag, stamp_ttl),
                until,
                lambda at: commands.close_for_lag([names[at]], lag, stamp_ttl),
            )
            return [met for [met] in closed]
        make = commands.soften if soft else commands.bump
        met = [one for [one] in await self._each(names, lambda at: make([names[at]], stamp_ttl), until)]
        refused = [name for name, one in zip(names, met, strict=True) if one is None]
        if refused:
            await self._each(refused, lambda at: commands.unlink_open([refused[at]]), until)
        return [one or Bumped.CHANGED for one in met]

    async def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """See Store. One call for each: if one fails, others may be closed until the deadline."""
        names, until = stamp_names, self._invalidate_until()
        await self._each(names, lambda at: commands.close_stamps([names[at]], owner, seconds, keep), until)

    async def complete(
        self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store."""
        names, until = stamp_names, self._invalidate_until()
        done = await self._each(
            names,
            lambda at: commands.complete([names[at]], owner, keep, lag),
            until,
            lambda at: commands.close_for_lag([names[at]], lag, keep),
        )
        return [met for [met] in done]

    def _invalidate_until(self) -> float:
        """The monotonic time when an invalidation that begins now must be over."""
        return monotonic() + self._invalidate_seconds

    async def _each(
        self,
        names: Sequence[bytes],
        make: Callable[[int], Trip[Any]],
        until: float,
        follow: Callable[[int], Trip[Any]] | None = None,
    ) -> list[Any]:
        """A command for each stamp, by its position, that makes values stale; what each says.

        Args:
            names: the stamps.
            make: makes the commands.
            until: the monotonic time when it must be over.
            follow: makes what follows a script that has removed the stamp, and got no further since its slot moves; by
                default it is the same again.
        """
        done = await self._run.run(_parts(names, range(len(names)), make), Kind.INVALIDATION, until)
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            refused = [at for at, one in enumerate(done) if any(map(commands.is_moving, one.replies))]
            if not refused or monotonic() + pause >= until:
                break
            await self._port.pause(pause)
            again = await self._run.run(_parts(names, refused, follow or make), Kind.INVALIDATION, until)
            for at, one in zip(refused, again, strict=True):
                done[at] = one
        said = [one.parsed() for one in done]
        if self._wait:
            await self._acknowledged(dict(zip([one.identity for one in done], names, strict=True)), until)
        return said

    async def _acknowledged(self, beside: dict[bytes, bytes], until: float) -> None:
        """Wait until enough replicas of each node have what was just written there.

        Args:
            beside: a stamp at each node, by the node's identity.
            until: the monotonic time when it must be over.

        Raises:
            NotReplicatedError: too few have.
            StoreUnavailableError: a node has failed over meanwhile: nobody knows.
        """
        parts = [_waiting(name, self._wait, self._wait_seconds) for name in beside.values()]
        done = await self._run.run(parts, Kind.INVALIDATION, until, apart=True)
        for one, identity in zip(done, beside, strict=True):
            one.parsed()
            if one.identity != identity:
                raise StoreUnavailableError("A node has failed over while replicas were waited for. Call it again.")

    async def _looked(self, parts: Sequence[Part]) -> list[Done]:
        """A trip that is a look: not while an invalidation is queued; a probe sees to that first.

        Raises:
            BreakerOpenError: one is, and others see to it.
        """
        gate = self.gate
        leave = gate.enter() if gate.is_troubled else Leave.ASK
        if leave is Leave.ASK:
            return await self._run.run(parts, Kind.READ)
        try:
            settled = gate.before_closing(gate.read_timeout) if gate.before_closing is not None else None
            if isawaitable(settled):
                await settled
            done = await self._run.run(parts, Kind.READ)
        except BaseException as error:
            gate.read_left(leave, error)
            raise
        gate.read_left(leave, None)
        return done

    async def check(self) -> None:
        """See Store. Of what is queued; a node's own breaker is asked by the trips to it."""
        self.gate.check()

    def owe(self, settle: Callable[[float], Any]) -> None:
        """See Store."""
        self.gate.before_closing = settle

    def hold(self) -> None:
        """See Store. Whatever node it waits for: nobody is told which."""
        self.gate.hold()

    async def modify(self, modify: Modify) -> int | Unmodified:
        """See Store. The script sees the entry's own slot; stamps of others are read before, in a trip."""
        slot = slot_of(modify.entry)
        elsewhere = [name for name in modify.stamp_names if slot_of(name) != slot]
        found = dict(zip(elsewhere, (await self.read(elsewhere))[0], strict=True)) if elsewhere else {}
        part = Part(slot, self._modifying(modify, found), once=modify.change is Change.INCREASE)
        prolonging = [
            self._prolong(name, stamp, modify.stamp_ttl)
            for name, stamp in found.items()
            if modify.change is Change.TOUCH and stamp is not None
        ]
        outcome, *_ = [one.parsed() for one in await self._patiently([part, *prolonging])]
        return outcome  # type: ignore[no-any-return]

    def _modifying(self, modify: Modify, found: dict[bytes, bytes | None]) -> Callable[[bytes], Trip[int | Unmodified]]:
        keys = [name for name in modify.stamp_names if name not in found]
        is_plain = not found and not any(map(self._folding.has, keys))

        def seen(name: bytes, identity: bytes) -> bytes:
            if name not in found:
                return b"k" + (identity if self._folding.has(name) else bytes(STAMP_SIZE))
            stamp = observe(found[name])
            return b"s" + stamp if isinstance(stamp, bytes) else b"n" + bytes(STAMP_SIZE)

        def make(identity: bytes) -> Trip[int | Unmodified]:
            told = b"" if is_plain else b"".join(seen(name, identity) for name in modify.stamp_names)
            trip = commands.modify(modify, CLUSTER_IDENTITY, keys, told)

            def parse(replies: list[Any], proved: bytes) -> int | Unmodified:
                return trip.parse(replies, CLUSTER_IDENTITY if proved == identity else proved)

            return Trip(trip.commands, parse)

        return make

    async def remove(self, names: Sequence[bytes]) -> int:
        """See Store. One command for each name, leases first: a fill under way then stores nothing."""
        return sum([one.parsed() for one in await self._run.run(_removing(dict.fromkeys(names)))])

    async def scan(self, cursor: int, match: bytes, count: int) -> Scanned:
        """See Store. One node after the other; its identity is that of all of them, and of who has which slots.

        With the first page of each node all are asked for their identities, and with the last one who has which slots:
        a walk during which that changed begins anew.
        """
        if not self._nodes.table:
            await self._run.load()
        primaries = self._nodes.primaries
        number, at = cursor & (1 << CURSOR_BITS) - 1, cursor >> CURSOR_BITS
        if number >= len(primaries):
            return Scanned(0, [], self._nodes.digest())
        others = [] if at else [node for node in primaries if node is not primaries[number]]
        scanning = Part(-1, lambda _: commands.scan(at, match, count), node=primaries[number])
        done = await self._run.run([scanning, *(Part(-1, lambda _: commands.ping(), node=node) for node in others)])
        (following, names, _), *_ = [one.parsed() for one in done]
        if not following:
            await self._run.refresh(force=True)
            is_last = number + 1 == len(primaries)
            return Scanned(0 if is_last else number + 1, names, self._nodes.digest())
        return Scanned(following << CURSOR_BITS | number, names, self._nodes.digest())

    def end(self) -> None:
        """Later trips raise StoreClosedError."""
        self._run.is_closed = True
        self._nodes.table = []

    async def ping(self) -> None:
        """See Store. Every primary."""
        if not self._nodes.table:
            await self._run.load()
        parts = [Part(-1, lambda _: commands.ping(), node=node) for node in self._nodes.primaries]
        for one in await self._run.run(parts):
            one.parsed()


@lru_cache(maxsize=4096)
def _reading(names: tuple[bytes, ...]) -> tuple[Part, ...]:
    """An MGET for each slot. They recur from read to read."""
    return tuple(
        _always(slot, commands.read(tuple([names[position] for position in positions])))
        for slot, positions in layout_of(names).groups
    )


def _parts(names: Sequence[bytes], which: Iterable[int], make: Callable[[int], Trip[Any]]) -> list[Part]:
    """A part for each of these stamps, by their positions."""
    return [Part(slot_of(names[at]), lambda _, at=at: make(at)) for at in which]  # type: ignore[misc]


def _always(slot: int, trip: Trip[Any]) -> Part:
    """A part that is the same at every attempt: it writes nothing."""
    return Part(slot, lambda _: trip)


def _beginnings(slot: int, names: Sequence[bytes], size: int) -> Part:
    return Part(slot, lambda _: commands.heads(names, size, (), ()))


def _claiming(one: Claim, held: list[Held]) -> Part:
    return Part(slot_of(one.lease), lambda _: commands.claim(one, held))


def _probing(entry: bytes) -> Part:
    return Part(slot_of(entry), lambda _: commands.head(entry))


def _releasing(lease: bytes, token: bytes) -> Part:
    return Part(slot_of(lease), lambda _: commands.release([(lease, token)]))


def _waiting(beside: bytes, wait: int, seconds: float) -> Part:
    nothing: Trip[None] = Trip([], lambda _replies, _identity: None)
    return Part(slot_of(beside), lambda _: commands.acknowledged(nothing, beside, wait, seconds))


def _opening(name: bytes, stamp_ttl: float, lag: float) -> Part:
    return Part(slot_of(name), lambda _: commands.open_((), [name], stamp_ttl, lag, []))


def _removing(names: Sequence[bytes] | dict[bytes, Any]) -> list[Part]:
    ordered = sorted(names, key=lambda name: kind_of(name) not in _LEASES)
    return [Part(slot_of(name), lambda _, name=name: commands.remove([name])) for name in ordered]  # type: ignore[misc]


def _put(values: list[bytes | None], positions: Sequence[int], done: Done, folds: frozenset[int]) -> None:
    """Put what a part has read in its places, with its stamps as they are seen through the node that showed them."""
    strings, identity = done.parsed()
    for position, value in zip(positions, strings, strict=True):
        values[position] = value
    fold_at(values, folds.intersection(positions), identity)


def _with(one: Commit, found: dict[bytes, Observed]) -> Commit | Committed:
    """A draft with what stands under its unknown stamps."""
    known = zip(one.stamp_names, one.observed, strict=True)
    stamps = [stamp if stamp is not None else found[name] for name, stamp in known]
    for position, stamp in enumerate(stamps):
        if stamp is CLOSED or not isinstance(stamp, bytes):
            return Committed(Outcome.CLOSED, position)
    return one._replace(observed=tuple(stamps))  # type: ignore[arg-type]
