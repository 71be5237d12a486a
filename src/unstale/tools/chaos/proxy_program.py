"""The proxy as a program: python -m unstale.tools.chaos.proxy_program PORT. It ends when its standard input does.

Clients connect to PORT of 127.0.0.1, and what they and the server say passes through, as `Manner` has it. Orders come
as lines of JSON on the standard input; each is answered by a line on the standard output: what has been seen so far
(`Seen`). `proxy` is the side that gives them.

What is held or delayed is not lost: as on a network, it arrives late, also when its sender has gone by then. What is
in the buffers of a connection that is cut is lost.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import deque
from contextlib import suppress
from random import Random
from typing import Final, cast

import msgspec

HOST: Final = "127.0.0.1"


class Manner(msgspec.Struct, frozen=True):
    """How the proxy treats what passes.

    Attributes:
        delay: seconds that a piece takes, at least and at most; the order is kept.
        delayed: how often a piece is delayed: 0 to 1.
        hold: nothing passes, and new connections get no answer, until there is another manner.
        cut: how often a piece is the last of its connection, of which only a part, or nothing, arrives: 0 to 1.
        refuse: new connections are reset.
    """

    delay: tuple[float, float] = (0.0, 0.0)
    delayed: float = 1.0
    hold: bool = False
    cut: float = 0.0
    refuse: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether a piece passes at once and whole."""
        return not self.hold and not self.cut and not self.delay[1]


class Order(msgspec.Struct, frozen=True):
    """What the proxy is to do. Nothing: tell what it has seen.

    Attributes:
        manner: from now on.
        target: host and port of the server for new connections.
        reset: how many of the connections that are there are reset: 0 to 1.
    """

    manner: Manner | None = None
    target: tuple[str, int] | None = None
    reset: float = 0.0


class Seen(msgspec.Struct):
    """What has happened so far.

    Attributes:
        open: connections now.
        made: connections that clients made.
        pieces: that came in, in either direction.
        delayed: pieces of them that waited, held ones too.
        cut: connections that were cut in the middle of a piece.
        reset: connections that were reset on demand.
    """

    open: int = 0
    made: int = 0
    pieces: int = 0
    delayed: int = 0
    cut: int = 0
    reset: int = 0


class State:
    """The whole proxy.

    Attributes:
        manner: now.
        target: now.
        seen: so far.
        pairs: the connections that are open.
        draw: decides what is cut.
    """

    def __init__(self) -> None:
        """Let everything pass, to nowhere yet."""
        self.manner = Manner()
        self.target = (HOST, 0)
        self.seen = Seen()
        self.pairs: set[Pair] = set()
        self.draw = Random()

    def obey(self, order: Order) -> Seen:
        """Carry out an order."""
        if order.target is not None:
            self.target = order.target
        if order.manner is not None:
            self.manner = order.manner
            for pair in tuple(self.pairs):
                pair.go_on()
        if order.reset:
            chosen = [pair for pair in self.pairs if self.draw.random() < order.reset]
            for pair in chosen:
                pair.reset()
            self.seen.reset += len(chosen)
        self.seen.open = len(self.pairs)
        return self.seen


class Side(asyncio.Protocol):
    """One end of a connection: what it receives goes to its peer, in order, perhaps late."""

    def __init__(self, state: State, pair: Pair) -> None:
        """Nothing is connected yet."""
        self._state = state
        self._pair = pair
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._has_ended = False
        self.transport: asyncio.Transport | None = None
        self.peer: Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take what the loop has made."""
        self.transport = cast("asyncio.Transport", transport)
        self._pair.made(self)

    def data_received(self, data: bytes) -> None:
        """Pass a piece on, now or later, wholly or not."""
        state = self._state
        state.seen.pieces += 1
        manner = state.manner
        if manner.is_plain and not self._waiting and self.peer is not None:
            self.peer.write(data)
            return
        if manner.cut and state.draw.random() < manner.cut:
            state.seen.cut += 1
            self._pair.cut(self, data[: state.draw.randrange(len(data))])
            return
        now = asyncio.get_running_loop().time()
        due = now + (state.draw.uniform(*manner.delay) if state.draw.random() < manner.delayed else 0.0)
        self._waiting.append((max(due, self._waiting[-1][0] if self._waiting else 0.0), data))
        state.seen.delayed += bool(manner.hold or due > now)
        self.go_on()

    def connection_lost(self, _exc: Exception | None) -> None:
        """What it has said still arrives; then its peer's end is closed."""
        self._has_ended = True
        self.go_on()

    def go_on(self) -> None:
        """Pass on what is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        peer = self.peer
        if self._state.manner.hold or peer is None:
            return
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0][0] <= loop.time():
            peer.write(self._waiting.popleft()[1])
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self.go_on)
        elif self._has_ended:
            self._pair.close()

    def write(self, data: bytes) -> None:
        """Send to this end."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def forget(self) -> None:
        """Pass nothing on any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()


class Pair:
    """A client's connection and the one made for it to the server."""

    def __init__(self, state: State) -> None:
        """Wait for the client."""
        self._state = state
        self._connecting: asyncio.Task[None] | None = None
        self.client = Side(state, self)
        self.server = Side(state, self)

    def made(self, side: Side) -> None:
        """One of the two is connected."""
        if side is self.server:
            self.client.peer, self.server.peer = self.server, self.client
            self.client.go_on()
            return
        self._state.seen.made += 1
        self._state.pairs.add(self)
        if self._state.manner.refuse:
            self.reset()
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, *self._state.target)
        except OSError:
            self.reset()  # the client finds out as it would without a proxy
        if self not in self._state.pairs:
            self.close()  # it was reset meanwhile

    def go_on(self) -> None:
        """Another manner holds from now on."""
        self.client.go_on()
        self.server.go_on()

    def cut(self, source: Side, last: bytes) -> None:
        """End both, after a part of a piece; at random politely or by a reset."""
        if last and source.peer is not None:
            source.peer.write(last)
        if self._state.draw.random() < 0.5:  # noqa: PLR2004 - a coin
            self.reset()
        else:
            self.close()

    def reset(self) -> None:
        """End both at once; to their owners it is an error."""
        for side in (self.client, self.server):
            if side.transport is not None:
                sock = side.transport.get_extra_info("socket")
                with suppress(OSError):  # it may be closed already
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                side.transport.abort()
        self._end()

    def close(self) -> None:
        """End both, as a server that closes does."""
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.close()
        self._end()

    def _end(self) -> None:
        self.client.forget()
        self.server.forget()
        self._state.pairs.discard(self)


async def serve(port: int) -> None:
    """Listen, and obey until the standard input ends."""
    state = State()
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    await loop.create_server(lambda: Pair(state).client, HOST, port, backlog=1024)
    print(flush=True)  # noqa: T201 - it listens
    while line := await orders.readline():
        seen = state.obey(msgspec.json.decode(line, type=Order))
        print(msgspec.json.encode(seen).decode(), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
