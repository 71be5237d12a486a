"""One trip to a cluster, written once for both stores: parts for slots, sent to the nodes that have these.

A trip has *parts*, each for one slot: one command, or the few that belong together. All parts for one node are one
pipeline, and all nodes are asked at the same time. What a node redirects, and what was sent over a connection that
broke, is made anew, with stamps and tokens of its own, and sent again; what others have answered is not.

Everything here awaits only the injected `Port`; it never imports asyncio. The synchronous store's never suspends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from enum import Enum, auto
from time import monotonic
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import hiredis

from unstale.core.breaker import Leave
from unstale.errors import (
    BreakerOpenError,
    PoolExhaustedError,
    StoreAuthError,
    StoreClosedError,
    StoreError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from unstale.stores import commands
from unstale.stores.addresses import Address
from unstale.stores.cluster import Node, Nodes, ranges_of, redirect_of
from unstale.stores.commands import Command, Trip, any_error
from unstale.stores.guard import Guard
from unstale.stores.limits import Limits
from unstale.stores.options import StoreOptions

S = TypeVar("S")
T = TypeVar("T")


class Kind(Enum):
    """What a trip is for: its time limits, and what it has to do with the nodes' breakers (see `guard`)."""

    READ = auto()
    """Nothing is asked of a node whose breaker is open."""
    FILL = auto()
    """Stores what was loaded after a read: neither here."""
    WRITE = auto()
    """Always tried; a breaker hears of it."""
    INVALIDATION = auto()
    """The same, within its own time, in which it is tried again after a time-out, too."""


MAX_ROUNDS: Final = 6
"""A trip, and as many redirections as remain."""
ASKING: Final[Command] = (b"ASKING",)
PAUSE_SECONDS: Final = 0.002
"""How often one who waits for the first table looks whether another has got it."""


def entered(guard: Guard, kind: Kind) -> Leave:
    """A node's leave for a request. Raises BreakerOpenError where there is none."""
    if kind is Kind.READ:
        return guard.enter()
    if kind is Kind.FILL:
        guard.check()
    return Leave.ASK


def has_left(guard: Guard, kind: Kind, leave: Leave, error: BaseException | None) -> None:
    """What has come of it."""
    if kind is Kind.READ:
        guard.read_left(leave, error)
    else:
        guard.write_left(error)


def limits_of(guard: Guard, kind: Kind, until: float, connected_in: float) -> Limits:
    """How long it may take."""
    match kind:
        case Kind.READ:
            return guard.of_read(connected_in)
        case Kind.INVALIDATION:
            return Limits(guard.timeout, until, until)
        case Kind.FILL:
            return guard.of_fill()
        case Kind.WRITE:
            return guard.of_write()


class Part(NamedTuple):
    """Commands for one slot that belong together.

    Attributes:
        slot: which.
        make: makes them, and what their replies mean, for the identity of a connection; anew for each attempt.
        once: they must not happen twice.
        is_patient: whether they wait for a slot that moves.
        node: to send them to, in place of the one that has the slot.
    """

    slot: int
    make: Callable[[bytes], Trip[Any]]
    once: bool = False
    is_patient: bool = True
    node: Node[Any] | None = None


class Answer(NamedTuple):
    """What a node answered.

    Attributes:
        trips: what was made of the parts.
        replies: to all commands, those to ASKING included.
        identity: of the node, as it was proved with this trip or before.
    """

    trips: list[Trip[Any]]
    replies: list[Any]
    identity: bytes


class Request(NamedTuple, Generic[S]):
    """What one node is asked in one round.

    Attributes:
        node: whom.
        indexes: which parts of the trip.
        parts: these.
        asking: whether each command needs ASKING in front.
        kind: of the trip.
        until: the monotonic time when it must be over.
        apart: whether to use a connection of its own, on which the node may let others wait.
    """

    node: Node[S]
    indexes: list[int]
    parts: list[Part]
    asking: bool
    kind: Kind
    until: float
    apart: bool

    @property
    def once(self) -> bool:
        """Whether something in it must not happen twice."""
        return any(part.once for part in self.parts)

    def made(self, identity: bytes) -> list[Trip[Any]]:
        """The parts' trips, for a connection."""
        return [part.make(identity) for part in self.parts]

    def commands(self, trips: Iterable[Trip[Any]]) -> list[Command]:
        """All commands, as they are sent."""
        every = [command for trip in trips for command in trip.commands]
        return [each for command in every for each in (ASKING, command)] if self.asking else every

    def split(self, answer: Answer) -> list[Done]:
        """Each part's replies."""
        replies = answer.replies[1::2] if self.asking else answer.replies
        done, first = [], 0
        for trip in answer.trips:
            after = first + len(trip.commands)
            done.append(Done(trip, replies[first:after], answer.identity))
            first = after
        return done


def unknown_scripts(sent: Sequence[Command], replies: Sequence[Any]) -> tuple[list[int], list[Command]]:
    """The positions of the scripts that a node did not know, and how to send these by their texts.

    ASKING goes along: it holds for one command.
    """
    if not any_error(replies, "NOSCRIPT"):
        return [], []
    positions = [position for position, reply in enumerate(replies) if any_error([reply], "NOSCRIPT")]
    return positions, [
        command
        for position in positions
        for command in (*([ASKING] if sent[position - 1] is ASKING else []), commands.by_text(sent[position]))
    ]


def with_replies(replies: list[Any], positions: Sequence[int], again: Sequence[Any]) -> None:
    """Put the replies to `unknown_scripts` in their places."""
    each = len(again) // len(positions)  # two with ASKING
    for position, reply in zip(positions, again[each - 1 :: each], strict=True):
        replies[position] = reply


class Broken(NamedTuple):
    """A node that did not answer. `sent`: the commands may have been executed."""

    error: StoreError
    sent: bool


class Port(Protocol[S]):
    """The nodes, as trips see them."""

    async def exchange(self, requests: Sequence[Request[S]]) -> list[Answer | Broken]:
        """Ask all of these at the same time. Scripts that a node does not know are sent as text."""

    async def slots(self, address: Address, seconds: float) -> Any:
        """The reply to CLUSTER SLOTS, within about so many seconds. Raises StoreError."""

    async def pause(self, seconds: float) -> None:
        """Wait."""


class Done(NamedTuple):
    """A part's replies, and the identity of the node that gave them."""

    trip: Trip[Any]
    replies: list[Any]
    identity: bytes

    def parsed(self) -> Any:
        """What they mean. Raises StoreError."""
        return commands.parsed(self.trip, self.replies, self.identity)


def without_waiting(steps: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine that never suspends to its end."""
    try:
        steps.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    steps.close()
    raise RuntimeError("a synchronous step suspended")


class ClusterRun(Generic[S]):
    """Makes trips.

    Attributes:
        is_closed: later trips raise StoreClosedError.
    """

    def __init__(self, port: Port[S], nodes: Nodes[S], options: StoreOptions) -> None:
        """Take what there is.

        Args:
            port: reaches nodes.
            nodes: what is known of them.
            options: how long things may take.
        """
        self._port = port
        self._nodes = nodes
        self._timeout = options.timeout
        self._read_timeout = min(options.read_timeout, options.timeout)
        self.is_closed = False

    async def load(self, until: float = math.inf) -> None:
        """Have a table; by one, for all who need the first; until a monotonic time at the latest."""
        nodes, give_up_at = self._nodes, min(monotonic() + 3 * self._timeout, until)
        while not nodes.table:
            if self.is_closed:
                raise StoreClosedError
            if nodes.lock.acquire(blocking=False):
                try:
                    if not nodes.table:
                        await self._ask_around(None, None, 2 * self._timeout, until)
                finally:
                    nodes.lock.release()
            elif monotonic() >= give_up_at:
                raise StoreTimeoutError
            else:
                await self._port.pause(PAUSE_SECONDS)

    async def refresh(
        self,
        first: Address | None = None,
        last: Address | None = None,
        *,
        kind: Kind = Kind.WRITE,
        until: float = math.inf,
        force: bool = False,
    ) -> None:
        """Ask for the table anew, unless another does, or did a moment ago. Where nobody answers it stays as it is.

        Args:
            first: a node that should know.
            last: one that does not answer.
            kind: of the trip that needs it: a read does not wait long.
            until: the monotonic time when it must be over. Half of what is left till then is the trip's own.
            force: ask, however short a time ago another did.
        """
        nodes = self._nodes
        if not (force or nodes.may_refresh()) or not nodes.lock.acquire(blocking=False):
            return
        try:
            nodes.refreshing()
            seconds = 2 * (self._read_timeout if kind is Kind.READ else self._timeout)
            now = monotonic()
            await self._ask_around(first, last, seconds, now + (until - now) / 2)
        except StoreClosedError:
            raise
        except StoreError:
            nodes.refreshing()  # not at once again
        finally:
            nodes.lock.release()

    async def _ask_around(self, first: Address | None, last: Address | None, seconds: float, until: float) -> None:
        """Ask one node after the other for the table. Raises what the first said, if none gives it in time.

        Args:
            first: see `refresh`.
            last: the same.
            seconds: that it should take at the most; half of them are one node's.
            until: the monotonic time when it must be over.
        """
        failed: StoreError | None = None
        seconds = min(seconds, until - monotonic())
        give_up_at = monotonic() + seconds
        for address in self._nodes.to_ask(first, last):
            left = min(seconds / 2, until - monotonic())
            if left <= 0:
                raise failed or StoreTimeoutError
            try:
                ranges = ranges_of(await self._port.slots(address, left), address)
            except StoreError as error:
                failed = failed or error
            else:
                if ranges:
                    self._nodes.install(ranges)
                    return
            if monotonic() >= give_up_at:
                break
        raise failed or StoreUnavailableError("No node of the cluster knows who has its slots.")

    async def run(
        self, parts: Sequence[Part], kind: Kind = Kind.WRITE, until: float = math.inf, *, apart: bool = False
    ) -> list[Done]:
        """Make a trip. Error replies are returned, but for redirections.

        Args:
            parts: what is asked of which slots.
            kind: what it is for.
            until: the monotonic time when it must be over.
            apart: see Request.

        Raises:
            StoreError: a node did not answer, or the redirections had no end.
        """
        nodes = self._nodes
        if self.is_closed:
            raise StoreClosedError
        if not nodes.table:
            await self.load(until)
        elif nodes.is_doubtful:
            await self.refresh(kind=kind, until=until)
        trip = _UnderWay[S](parts, kind, until, apart=apart)
        for _ in range(MAX_ROUNDS):
            requests = self._requests(trip)
            answers = await self._port.exchange(requests)
            for request, answer in zip(requests, answers, strict=True):
                if isinstance(answer, Broken):
                    if not isinstance(answer.error, BreakerOpenError | PoolExhaustedError):
                        nodes.is_doubtful = True
                    trip.fail(request, answer)
                else:
                    self._take(trip, request, answer)
            if not trip.left:
                return [trip.done[index] for index in range(len(parts))]
            if nodes.is_doubtful:
                await self.refresh(trip.knows, trip.silent, kind=kind, until=until)
        raise StoreUnavailableError("The nodes of the cluster redirect again and again.")

    def _requests(self, trip: _UnderWay[S]) -> list[Request[S]]:
        """What each node is asked in this round."""
        grouped: dict[tuple[Node[S], bool], list[int]] = {}
        for index in sorted(trip.left):
            part = trip.parts[index]
            node = trip.asked.get(index) or part.node or self._nodes.table[part.slot]
            if node is None:
                self._nodes.is_doubtful = True
                raise StoreUnavailableError(f"No node of the cluster has slot {part.slot}.")
            grouped.setdefault((node, index in trip.asked), []).append(index)
        trip.begin_round()
        return [trip.request(node, indexes, asking=asking) for (node, asking), indexes in grouped.items()]

    def _take(self, trip: _UnderWay[S], request: Request[S], answer: Answer) -> None:
        """Take in what a node has answered."""
        request.node.identity = answer.identity
        split = zip(request.indexes, request.split(answer), strict=True)
        if hiredis.ReplyError not in map(type, answer.replies):  # nearly always
            trip.done.update(split)
            return
        if any_error(answer.replies, "CLUSTERDOWN"):
            self._nodes.is_doubtful = True
        for index, done in split:
            redirects = (redirect_of(reply, request.node.address) for reply in done.replies)
            redirect = next((one for one in redirects if one is not None), None)
            if redirect is None:
                trip.done[index] = done
                continue
            trip.left.append(index)
            if redirect.is_move:
                self._nodes.move(redirect)
                trip.knows = redirect.address
            elif redirect.address is not None:
                trip.asked[index] = self._nodes.at(redirect.address)


class _UnderWay(Generic[S]):
    """A trip under way.

    Attributes:
        parts: all its parts.
        kind: what it is for.
        until: the monotonic time when it must be over.
        left: those that have no reply yet, by index.
        asked: to which node an ASK sends some of them, this once.
        done: the others.
        knows: a node that should know more than the table.
        silent: one that did not answer.
    """

    def __init__(self, parts: Sequence[Part], kind: Kind, until: float, *, apart: bool) -> None:
        self.parts = parts
        self.kind = kind
        self.until = until
        self._apart = apart
        self.left = list(range(len(parts)))
        self.asked: dict[int, Node[S]] = {}
        self.done: dict[int, Done] = {}
        self.knows: Address | None = None
        self.silent: Address | None = None
        self._is_retried = False

    def request(self, node: Node[S], indexes: list[int], *, asking: bool) -> Request[S]:
        """What a node is asked of these parts."""
        parts = [self.parts[index] for index in indexes]
        return Request(node, indexes, parts, asking, self.kind, self.until, self._apart)

    def begin_round(self) -> None:
        """Everything that is left is sent."""
        self._is_retried = self.silent is not None
        self.left = []
        self.asked = {}

    def fail(self, request: Request[S], broken: Broken) -> None:
        """A node did not answer: try once more, or raise what is wrong."""
        final = isinstance(broken.error, StoreAuthError | PoolExhaustedError | BreakerOpenError)
        if isinstance(broken.error, StoreTimeoutError) and self.until == math.inf:
            final = True
        if final or not isinstance(broken.error, StoreUnavailableError) or monotonic() >= self.until:
            raise broken.error
        if self._is_retried or (broken.sent and request.once):
            raise broken.error
        self.silent = request.node.address
        self.left += request.indexes
