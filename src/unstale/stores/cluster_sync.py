"""The synchronous store on a Redis or Valkey Cluster: a `RedisStore` for each primary, the trips of `cluster_trips`.

A hit whose names share a slot is that node's own read. All else asks its nodes at the same time, without threads: it
sends to all of them first, and receives then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from redis.exceptions import RedisError

from unstale.core.breaker import Leave
from unstale.core.ports import (
    Bumped,
    Claim,
    Commit,
    Committed,
    Heads,
    Modify,
    Opening,
    Peek,
    Reading,
    Scanned,
    Unmodified,
)
from unstale.errors import BreakerOpenError, StoreError, StoreTimeoutError, StoreUnavailableError, WrongNodeError
from unstale.stores.addresses import Address
from unstale.stores.cluster import CLUSTER_IDENTITY, Nodes, fold_at, layout_of, named
from unstale.stores.cluster_run import (
    Answer,
    Broken,
    Request,
    entered,
    has_left,
    limits_of,
    unknown_scripts,
    with_replies,
    without_waiting,
)
from unstale.stores.cluster_trips import ClusterTrips
from unstale.stores.cluster_url import arguments_of_a_node, place_of
from unstale.stores.commands import PING, Command, Trip
from unstale.stores.connect import for_wire, made, maker, timed, understood
from unstale.stores.limits import Limits
from unstale.stores.options import StoreOptions
from unstale.stores.proof import translated
from unstale.stores.redis import RedisStore
from unstale.stores.wire import SLICE_SECONDS, Posted, Wire

SLOTS_COMMAND: Final = ("CLUSTER", "SLOTS")


def _retired(store: RedisStore) -> None:
    """A node is none any more."""
    store.drop_connections()
    store.guard.retire()


class _Sent:
    """A request under way."""

    __slots__ = ("commands", "kind", "leave", "limits", "posted", "store", "trips", "wire")

    def __init__(self, request: Request[RedisStore], leave: Leave, limits: Limits) -> None:
        self.store = request.node.store
        self.kind = request.kind
        self.leave = leave
        self.limits = limits
        self.wire: Wire | None = None
        self.trips: list[Trip[Any]] = []
        self.commands: list[Command] = []
        self.posted: Posted | None = None

    def end(self, error: BaseException | None) -> None:
        """Tell the node's breaker what came of it; a connection that failed is not used again."""
        if error is not None and self.wire is not None:
            self.store.pool.discard(self.wire)
            if not isinstance(error, StoreTimeoutError) and isinstance(error, StoreError):
                self.store.pool.drop_all()
        has_left(self.store.guard, self.kind, self.leave, error)


class _Port:
    """Reaches nodes; nothing in it ever suspends."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Connect to none yet. Raises ConfigurationError."""
        self._options = options
        place = place_of(url)
        kind, arguments = understood(place.url, options.connection)
        self._kind = timed(kind)
        self._arguments = for_wire(arguments_of_a_node(arguments), options.timeout)
        maker(self._kind, {**self._arguments, "host": place.seeds[0][0], "port": place.seeds[0][1]})
        self.seeds = place.seeds

    def _connection(self, address: Address) -> Any:
        return made(lambda: self._kind(**self._arguments, host=address[0], port=address[1]))

    def store(self, address: Address) -> RedisStore:
        """The store of one node."""
        options = replace(self._options, server=named(address))
        return RedisStore(lambda: self._connection(address), options)

    async def slots(self, address: Address, seconds: float) -> Any:
        """See Port. A connection of its own: who is asked may be a replica, which serves nothing else."""
        connection = self._connection(address)
        connection.limits = Limits(math.inf, until=monotonic() + seconds)
        try:
            connection.connect()
            connection.send_command(*SLOTS_COMMAND)
            return connection.read_response()
        except (RedisError, TypeError, ValueError) as error:
            raise translated(error)  # noqa: B904 - it sets its cause itself
        finally:
            connection.disconnect()

    async def pause(self, seconds: float) -> None:
        """See Port."""
        time.sleep(seconds)  # noqa: ASYNC251 - no loop drives this

    async def exchange(self, requests: Sequence[Request[RedisStore]]) -> list[Answer | Broken]:
        """See Port."""
        under_way: list[_Sent] = []
        try:
            sent = [self._send(request, under_way) for request in requests]
            answers: list[Answer | Broken] = []
            late = False
            for one in sent:
                answer = one if isinstance(one, Broken) else self._receive(one, under_way, late=late)
                late = late or (isinstance(answer, Broken) and isinstance(answer.error, StoreTimeoutError))
                answers.append(answer)
        except BaseException as error:
            for one in under_way:
                one.end(error)  # its answer may still be under way
            raise
        return answers

    def _send(self, request: Request[RedisStore], under_way: list[_Sent]) -> _Sent | Broken:
        store = request.node.store
        try:
            leave = entered(store.guard, request.kind)
        except StoreError as error:
            return Broken(error, sent=False)
        limits = limits_of(store.guard, request.kind, request.until, store.pool.connected_in)
        one, begun = _Sent(request, leave, limits), False
        under_way.append(one)
        try:
            one.wire = wire = store.take(limits)
            if request.once and wire.proved_until < monotonic():
                wire.exchange([PING], limits)
            one.trips = request.made(wire.identity)
            one.commands = request.commands(one.trips)
            begun = True
            one.posted = wire.post(one.commands, limits)
        except StoreError as error:
            return self._broken(one, under_way, error, sent=begun)
        return one

    def _receive(self, one: _Sent, under_way: list[_Sent], *, late: bool) -> Answer | Broken:
        assert one.posted is not None  # noqa: S101 - it was sent
        assert one.wire is not None  # noqa: S101 - over this
        wire, limits = one.wire, one.limits
        if late:  # it had the time that another node has let pass
            limits = limits._replace(answer=SLICE_SECONDS)
        try:
            replies = wire.collect(one.posted, limits)
            positions, again = unknown_scripts(one.commands, replies)
            if positions:
                with_replies(replies, positions, wire.exchange(again, limits))
        except StoreError as error:
            return self._broken(one, under_way, error, sent=True)
        under_way.remove(one)
        one.end(None)
        one.store.settle(wire, replies)
        return Answer(one.trips, replies, wire.identity)

    def _broken(self, one: _Sent, under_way: list[_Sent], error: StoreError, *, sent: bool) -> Broken:
        under_way.remove(one)
        one.end(error)
        return Broken(error, sent)


class ClusterStore:
    """A store on a cluster."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Connect to nothing yet.

        Args:
            url: redis+cluster:// or rediss+cluster://, with redis-py's options in the query.
            options: how to reach a node.

        Raises:
            ConfigurationError: the URL or an option makes no sense.
        """
        port = _Port(url, options)
        self._nodes = Nodes(port.seeds, port.store, _retired)
        self._folds_roots = options.fences_all
        self._trips = ClusterTrips(port, self._nodes, options)
        self._gate = self._trips.gate

    def read(self, names: Sequence[bytes]) -> Reading:
        """See Store. The hit path: names of one slot are one MGET, to one node."""
        nodes = self._nodes
        if type(names) is tuple and nodes.table and not nodes.is_doubtful and not self._gate.is_troubled:
            layout = layout_of(names)
            node = nodes.table[layout.slot] if layout.slot >= 0 else None
            if node is not None:
                try:
                    values, identity = node.store.read(names)
                except (StoreTimeoutError, BreakerOpenError) as error:
                    nodes.is_doubtful = isinstance(error, StoreTimeoutError)
                    raise
                except WrongNodeError:  # the long way finds out where the slot is
                    pass
                except StoreUnavailableError:  # gone: who has its slots now?
                    nodes.is_doubtful = True
                else:
                    fold_at(values, layout.tags + layout.roots if self._folds_roots else layout.tags, identity)
                    return values, CLUSTER_IDENTITY
        return without_waiting(self._trips.read(names))

    def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        """See Store."""
        return without_waiting(self._trips.peek(entry, stamp_names, remove))

    def open(self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0) -> Opening:
        """See Store."""
        return without_waiting(self._trips.open(claims, missing, stamp_ttl, lag))

    def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See Store."""
        return without_waiting(self._trips.commit(commits))

    def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """See Store."""
        without_waiting(self._trips.release(held))

    def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store."""
        return without_waiting(self._trips.bump(stamp_names, stamp_ttl, soft=soft, lag=lag))

    def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """See Store."""
        without_waiting(self._trips.close_stamps(stamp_names, owner, seconds, keep))

    def complete(self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0) -> list[Bumped]:
        """See Store."""
        return without_waiting(self._trips.complete(stamp_names, owner, keep, lag))

    def modify(self, modify: Modify) -> int | Unmodified:
        """See Store."""
        return without_waiting(self._trips.modify(modify))

    def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        """See Store."""
        return without_waiting(self._trips.heads(names, size, stamp_names, remove))

    def scan(self, cursor: int, match: bytes, count: int) -> Scanned:
        """See Store."""
        return without_waiting(self._trips.scan(cursor, match, count))

    def remove(self, names: Sequence[bytes]) -> int:
        """See Store."""
        return without_waiting(self._trips.remove(names))

    def check(self) -> None:
        """See Store."""
        self._gate.check()

    def owe(self, settle: Callable[[float], Any]) -> None:
        """See Store."""
        self._trips.owe(settle)

    def hold(self) -> None:
        """See Store."""
        self._trips.hold()

    def ping(self) -> None:
        """See Store."""
        without_waiting(self._trips.ping())

    def close(self) -> None:
        """See Store."""
        self._trips.end()
        for node in self._nodes.known:
            node.store.close()
