"""A Redis or Valkey Cluster as data: which node has which slot, redirections, stamps as they are seen through nodes.

Nothing here connects. What a name's slot is stands in `core.slots`; how the table is asked for, in `cluster_run`.

*Folding.* An entry has room for the identity of one server, and its stamps may stand at several. So on a cluster a
stamp is known as it is seen through its node: its 16 bytes XOR the node's identity. A recorded stamp then equals the
current one if and only if the stamp is the same and its node is the same, in the same life: a failover or a restart
from an old snapshot brings no old stamp back, and a slot that has moved begins anew. The entry's own identity is a
constant. Stamps of roots are left as they are, so that entries without tags survive a restart: unless all is fenced.
Before a stamp goes to a server it is unfolded with the identity of the connection that it is sent over: if that is
another by now, it does not match.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from time import monotonic
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import hiredis

from unstale.core.keys import OWN_SEGMENTS
from unstale.core.layout import IDENTITY_SIZE
from unstale.core.slots import SLOTS, slot_of
from unstale.core.stamps import STAMP_SIZE
from unstale.errors import StoreRefusedError
from unstale.stores.addresses import Address

S = TypeVar("S")
"""A store of one node."""

Range: TypeAlias = tuple[int, int, Address]
"""First slot, last slot, and the primary that has them."""

CLUSTER_IDENTITY: Final = b"a Redis Cluster.".ljust(IDENTITY_SIZE)
"""In the place of a server's identity."""
REFRESH_SECONDS: Final = 0.1
"""How often the table is asked for at the most."""
_UNKNOWN_HOST: Final = "?"


class Redirect(NamedTuple):
    """What a node says of a slot that it does not serve.

    Attributes:
        is_move: MOVED: the slot is there from now on. ASK: this once.
        slot: which.
        address: where; None where the node does not know.
    """

    is_move: bool
    slot: int
    address: Address | None


def redirect_of(reply: Any, asked: Address) -> Redirect | None:
    """The redirection in a reply, if it is one. Without a host it is the one that was asked."""
    if not isinstance(reply, hiredis.ReplyError):
        return None
    words = str(reply).split(" ")
    if words[0] not in ("MOVED", "ASK") or len(words) != 3 or not words[1].isdecimal():  # noqa: PLR2004
        return None
    host, _, port = words[2].rpartition(":")
    known = port.isdecimal() and host != _UNKNOWN_HOST
    return Redirect(words[0] == "MOVED", int(words[1]) % SLOTS, (host or asked[0], int(port)) if known else None)


def ranges_of(reply: Any, asked: Address) -> list[Range]:
    """The primaries' slots in a reply to CLUSTER SLOTS.

    Args:
        reply: slots, then the primary's preferred endpoint, port, id and metadata, then its replicas.
        asked: who answered; a node without a host is that one's neighbour on the same host.

    Raises:
        StoreRefusedError: it makes no sense.
    """
    try:
        return [(int(first), int(last), _address(primary, asked)) for first, last, primary, *_ in reply]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise StoreRefusedError("The answer to CLUSTER SLOTS makes no sense.") from error


def addresses_of(reply: Any, asked: Address) -> dict[str, Address]:
    """Every node that serves slots or copies them, by its id, in a reply to CLUSTER SLOTS; see `ranges_of`.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: it makes no sense.
    """
    return {_text(node[2]): _address(node, asked) for _, _, *nodes in reply for node in nodes}


def _address(node: Sequence[Any], asked: Address) -> Address:
    host = _text(node[0])
    if host == _UNKNOWN_HOST:  # a host name is wanted, and it has announced none
        more = [_text(word) for word in node[3]] if len(node) > 3 else []  # noqa: PLR2004
        host = dict(zip(more[::2], more[1::2], strict=False)).get("ip", "")
    return host or asked[0], int(node[1])


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word or "")


def named(address: Address) -> str:
    """An address as it is told."""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


class Layout(NamedTuple):
    """Where names lie.

    Attributes:
        slot: of all of them; -1 where they lie in several.
        groups: for each slot the positions of its names.
        tags: the positions of tags' stamps.
        roots: the positions of roots' stamps.
    """

    slot: int
    groups: tuple[tuple[int, tuple[int, ...]], ...]
    tags: tuple[int, ...]
    roots: tuple[int, ...]


@lru_cache(maxsize=8192)
def layout_of(names: tuple[bytes, ...]) -> Layout:
    """Where names lie. They recur from read to read, so it is kept."""
    groups: dict[int, list[int]] = {}
    for position, name in enumerate(names):
        groups.setdefault(slot_of(name), []).append(position)
    kinds = [kind_of(name) for name in names]
    return Layout(
        slot=next(iter(groups)) if len(groups) == 1 else -1,
        groups=tuple((slot, tuple(positions)) for slot, positions in groups.items()),
        tags=tuple(position for position, kind in enumerate(kinds) if kind == b"s"),
        roots=tuple(position for position, kind in enumerate(kinds) if kind == b"r"),
    )


def kind_of(name: bytes) -> bytes:
    """What a name is: the first of unstale's own segments behind the namespace; b"s" for a tag's stamp."""
    return next((segment for segment in name.split(b":")[1:] if segment in _SEGMENTS), b"")


_SEGMENTS: Final = frozenset(segment.encode() for segment in OWN_SEGMENTS)


class Folding(NamedTuple):
    """Which stamps are folded: those of tags, and with `roots` those of roots as well."""

    roots: bool

    def positions(self, layout: Layout) -> tuple[int, ...]:
        """The positions of names whose stamps are folded."""
        return layout.tags + layout.roots if self.roots else layout.tags

    def has(self, name: bytes) -> bool:
        """Whether this is the name of a stamp that is folded."""
        return kind_of(name) in ((b"s", b"r") if self.roots else (b"s",))

    def fold(self, name: bytes, value: Any, identity: bytes) -> Any:
        """A stamp as it is seen through its node, or one that was seen so as it stands there. All else is unchanged."""
        return folded(value, identity) if self.has(name) else value


def folded(value: Any, identity: bytes) -> Any:
    """A stamp XOR an identity. What is no open stamp stays as it is."""
    if type(value) is not bytes or len(value) != STAMP_SIZE:
        return value
    return (int.from_bytes(value) ^ int.from_bytes(identity)).to_bytes(STAMP_SIZE)


def fold_at(values: list[Any], positions: Iterable[int], identity: bytes) -> None:
    """Fold the stamps at some positions, in place."""
    mask = int.from_bytes(identity)
    for position in positions:
        value = values[position]
        if type(value) is bytes and len(value) == STAMP_SIZE:
            values[position] = (int.from_bytes(value) ^ mask).to_bytes(STAMP_SIZE)


@dataclass(slots=True, eq=False)
class Node(Generic[S]):
    """A primary.

    Attributes:
        address: where it is.
        store: the store on this one server.
        identity: as it was last proved; b"" before.
    """

    address: Address
    store: S
    identity: bytes = b""


class Nodes(Generic[S]):
    """The primaries of a cluster, and the table of its slots. Threads may change it at any time, in single steps.

    Attributes:
        table: the node of each slot; None where none has it. Empty before it was asked for.
        is_doubtful: whether something has shown that the table is old.
        lock: held by the one who asks for it.
    """

    def __init__(self, seeds: Sequence[Address], make: Callable[[Address], S], drop: Callable[[S], object]) -> None:
        """Know nothing yet.

        Args:
            seeds: where to ask first, and again when no known node answers.
            make: makes the store of a node.
            drop: has a store of a node that is gone close what nobody uses.
        """
        self._seeds = tuple(seeds)
        self._make = make
        self._drop = drop
        self._known: dict[Address, Node[S]] = {}
        self._refreshed_at = 0.0
        self.table: list[Node[S] | None] = []
        self.is_doubtful = False
        self.lock = threading.Lock()
        _all.add(self)

    def at(self, address: Address) -> Node[S]:
        """The node at an address."""
        node = self._known.get(address)
        if node is None:
            node = self._known.setdefault(address, Node(address, self._make(address)))
        return node

    @property
    def known(self) -> list[Node[S]]:
        """All nodes that there have been stores for, and are."""
        return list(self._known.values())

    @property
    def primaries(self) -> list[Node[S]]:
        """The nodes that have slots, in the order of these."""
        return [node for node in dict.fromkeys(self.table) if node is not None]

    def install(self, ranges: Iterable[Range]) -> None:
        """Take in a whole table. Nodes that have no slots any more are let go."""
        table: list[Node[S] | None] = [None] * SLOTS
        for first, last, address in ranges:
            table[first : last + 1] = [self.at(address)] * (last + 1 - first)
        self.table = table
        self.is_doubtful = False
        self._refreshed_at = monotonic()
        for node in set(self.known).difference(table):
            self._known.pop(node.address, None)
            self._drop(node.store)

    def move(self, redirect: Redirect) -> None:
        """Take in that a slot is elsewhere. The rest of the table is old, too, then."""
        self.is_doubtful = True
        if redirect.address is not None and self.table:
            self.table[redirect.slot] = self.at(redirect.address)

    def may_refresh(self) -> bool:
        """Whether the table may be asked for again."""
        return monotonic() - self._refreshed_at >= REFRESH_SECONDS

    def refreshing(self) -> None:
        """Somebody has asked, with whatever success."""
        self._refreshed_at = monotonic()

    def to_ask(self, first: Address | None, last: Address | None) -> list[Address]:
        """Whom to ask for the table, in order: first a node that should know, last one that does not answer."""
        known = list(self._known)
        start = os.getpid() % len(known) if known else 0  # not everybody the same one
        addresses = dict.fromkeys([*([first] if first else []), *known[start:], *known[:start], *self._seeds])
        return sorted(addresses, key=lambda address: address == last)

    def digest(self) -> bytes:
        """The table and the nodes' identities, as one."""
        seen = blake2b(digest_size=IDENTITY_SIZE)
        for slot, node in enumerate(self.table):
            if node is not None and (not slot or self.table[slot - 1] is not node):
                seen.update(b"%d %s:%d %s " % (slot, node.address[0].encode(), node.address[1], node.identity))
            elif node is None:
                seen.update(b"%d none " % slot)
        return seen.digest()

    def forked(self) -> None:
        """In a child process: whoever held the lock is not here."""
        self.lock = threading.Lock()


_all: weakref.WeakSet[Nodes[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for nodes in list(_all):
        nodes.forked()


os.register_at_fork(after_in_child=_after_fork)
