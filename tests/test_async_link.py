"""The asyncio connection by itself: order, joined writes, progress, proofs, buffers, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Self

import hiredis
import pytest
from children.async_common import LOOPS, PATIENT, Run, runner_of
from servers import Server
from test_faults import INFO

from unstale.errors import NotPrimaryError, StoreClosedError, StoreTimeoutError, StoreUnavailableError
from unstale.stores import wire
from unstale.stores.commands import pack
from unstale.stores.connect import async_connector
from unstale.stores.link import Link

pytestmark = pytest.mark.parametrize("server", ["valkey"], indirect=True)
"""What happens on the client's side needs no second kind of server."""

Test = Callable[[Link], Awaitable[Any]]


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of each kind."""
    return runner_of(request.param)


async def using(url: str, test: Test, timeout: float) -> Any:  # noqa: ASYNC109 - the link's
    """Run a test with a link of its own."""
    link = Link(async_connector(url, timeout)(), timeout)
    await link.connect()
    try:
        return await test(link)
    finally:
        link.close()
        await asyncio.sleep(0)


@pytest.fixture
def on(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a function of a link to the server, whose proof lasts for the test."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 3600.0)
    return lambda test, timeout=PATIENT, url=server.url: run(using(url, test, timeout))


class Scripted:
    """A server that answers each MGET as it is told, with what it does in between. Use as a context manager."""

    def __init__(self, answer: Callable[[socket.socket, list[bytes]], None], info: bytes = INFO) -> None:
        self._answer = answer
        self.info = info
        self.received: list[list[bytes]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._talking: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._talking.append(connection)
                with suppress(OSError):
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        reader = hiredis.Reader()
        while data := connection.recv(65536):
            reader.feed(data)
            while (command := reader.gets()) is not False:
                self.received.append(command)
                match command[0]:
                    case b"CLIENT":
                        connection.sendall(b"+OK\r\n")
                    case b"INFO":
                        connection.sendall(b"$%d\r\n%b\r\n" % (len(self.info), self.info))
                    case _:
                        self._answer(connection, command)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for sock in (self._listening, *self._talking):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        for sock in (self._listening, *self._talking):
            sock.close()


@pytest.fixture
def silent(server: Server) -> Iterator[Scripted]:
    """A server that takes requests and does not answer."""
    with Scripted(lambda connection, command: None) as made:
        yield made


def test_replies_in_order(on: Callable[..., Any]) -> None:
    """A thousand requests at once, of one reply and of several, each get their own."""

    async def test(link: Link) -> None:
        waiting = []
        for number in range(1000):
            words = [(b"ECHO", b"%d.%d" % (number, part)) for part in range(1 + number % 3)]
            waiting.append(link.request(b"".join(map(pack, words)), len(words)))
            if number % 50 == 0:
                await asyncio.sleep(0)
        for number, future in enumerate(waiting):
            expected = [b"%d.%d" % (number, part) for part in range(1 + number % 3)]
            assert await future == (expected if len(expected) > 1 else expected[0])

    on(test)


def test_cancelled_requests_keep_their_place(on: Callable[..., Any]) -> None:
    """A request that nobody waits for any more takes its own reply out of the order."""

    async def test(link: Link) -> None:
        waiting = [
            link.request(pack((b"ECHO", b"%d" % number)) * (1 + number % 2), 1 + number % 2) for number in range(100)
        ]
        for future in waiting[::3]:
            future.cancel()
        assert [await future for future in waiting[1::3]] == [
            [b"%d" % number] * 2 if number % 2 else b"%d" % number for number in range(1, 100, 3)
        ]
        assert await link.exchange([(b"PING",)]) == [b"PONG"]

    on(test)


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 65_535, 65_536, 65_537, 131_072, 1_000_003], ids=str)
def test_replies_of_each_size(on: Callable[..., Any], size: int) -> None:
    """Replies at, below and above the buffer's size come whole, one after the other."""

    async def test(link: Link) -> None:
        values = [bytes([number + 65]) * size for number in range(5)]
        assert await asyncio.gather(*(link.request(pack((b"ECHO", value)), 1) for value in values)) == values

    on(test)


def test_the_buffer_is_a_view(on: Callable[..., Any]) -> None:
    """The TLS of asyncio fills the buffer in slices: a slice of it must not be a copy."""

    async def test(link: Link) -> None:
        buffer = link.get_buffer(-1)
        buffer[4:][0] = 42
        assert buffer[4] == 42

    on(test)


def test_requests_of_one_turn_are_joined(on: Callable[..., Any]) -> None:
    """The first goes at once, the others of the same turn together."""

    async def test(link: Link) -> None:
        written: list[bytes] = []
        write = link._transport.write
        link._transport = Spy(link._transport, lambda data: (written.append(data), write(data)))
        futures = [link.request(pack((b"ECHO", b"%d" % number)), 1) for number in range(10)]
        assert [await future for future in futures] == [b"%d" % number for number in range(10)]
        assert len(written) == 2

    on(test)


class Spy:
    """A transport whose writes are seen."""

    def __init__(self, transport: Any, write: Callable[[bytes], Any]) -> None:
        self._transport = transport
        self.write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def test_progress_is_no_time_out(on: Callable[..., Any]) -> None:
    """A reply that comes in pieces, each in time, may take longer than the time limit in all."""

    def in_pieces(connection: socket.socket, command: list[bytes]) -> None:
        connection.sendall(b"$10\r\n")
        for _ in range(10):
            time.sleep(0.1)
            connection.sendall(b"x")
        connection.sendall(b"\r\n")

    async def test(link: Link) -> None:
        assert await link.exchange([(b"MGET", b"k")]) == [b"x" * 10]

    with Scripted(in_pieces) as scripted:
        on(test, timeout=0.5, url=scripted.url)


def test_silence_is_a_time_out_for_all(on: Callable[..., Any], silent: Scripted) -> None:
    """Without progress all who wait are told, once the time limit of the oldest is over, and the link is closed."""

    async def test(link: Link) -> None:
        waiting = [link.request(pack((b"MGET", b"k")), 1) for _ in range(10)]
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert [type(one) for one in outcomes] == [StoreTimeoutError] * 10
        assert not link.is_open
        with pytest.raises(StoreUnavailableError):
            link.request(pack((b"MGET", b"k")), 1)

    on(test, timeout=0.2, url=silent.url)


def test_an_idle_link_does_not_time_out(on: Callable[..., Any]) -> None:
    """Time limits run while somebody waits, and begin anew with each who finds nobody waiting."""

    async def test(link: Link) -> None:
        for _ in range(4):
            assert await link.exchange([(b"PING",)]) == [b"PONG"]
            await asyncio.sleep(0.15)
        assert link.is_open

    on(test, timeout=0.2)


def test_closed_under_those_who_wait(on: Callable[..., Any], silent: Scripted) -> None:
    """They are told that it was closed; closing again does no harm."""

    async def test(link: Link) -> None:
        waiting = [link.request(pack((b"MGET", b"k")), 1), link.request(pack((b"MGET", b"k")) * 2, 2)]
        link.close()
        link.close()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in outcomes] == [StoreClosedError] * 2

    on(test, url=silent.url)


def test_a_server_that_hangs_up(on: Callable[..., Any]) -> None:
    """They are told at once, not when the time limit is over."""

    def hang_up(connection: socket.socket, command: list[bytes]) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    async def test(link: Link) -> None:
        with pytest.raises(StoreUnavailableError, match="broke"):
            await asyncio.wait_for(link.exchange([(b"MGET", b"k")]), 5)
        assert not link.is_open

    with Scripted(hang_up) as scripted:
        on(test, timeout=30, url=scripted.url)


def test_half_of_several_replies(on: Callable[..., Any]) -> None:
    """A connection that ends between the replies of one request fails it as a whole."""

    def half(connection: socket.socket, command: list[bytes]) -> None:
        connection.sendall(b"+one\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    async def test(link: Link) -> None:
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(link.exchange([(b"MGET", b"k"), (b"MGET", b"l")]), 5)

    with Scripted(half) as scripted:
        on(test, timeout=30, url=scripted.url)


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400\r\n", b"\x00\x01\x02", b"$-5\r\n", b"*99999999999\r\n"], ids=repr)
def test_garbage_after_a_good_reply(on: Callable[..., Any], garbage: bytes) -> None:
    """What came well before it counts; the next one fails, and nothing hangs."""

    def answer(connection: socket.socket, command: list[bytes]) -> None:
        connection.sendall(b"$2\r\nok\r\n" if command[1] == b"first" else garbage)

    async def test(link: Link) -> None:
        first = link.request(pack((b"MGET", b"first")), 1)
        second = link.request(pack((b"MGET", b"second")), 1)
        assert await first == b"ok"
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(second, 5)

    with Scripted(answer) as scripted:
        on(test, timeout=0.5, url=scripted.url)


def test_a_reply_too_many(on: Callable[..., Any]) -> None:
    """A reply that nobody asked for closes the link: whose it is cannot be known."""

    async def test(link: Link) -> None:
        assert await link.exchange([(b"MGET", b"k")]) == [b"ok"]
        with suppress(StoreUnavailableError):
            assert await asyncio.wait_for(link.exchange([(b"MGET", b"k")]), 5) != [b"stolen"]
        assert not link.is_open

    with Scripted(lambda connection, _: connection.sendall(b"$2\r\nok\r\n$6\r\nstolen\r\n")) as scripted:
        on(test, timeout=0.5, url=scripted.url)


def test_proofs_are_renewed(on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last proof is too old the next request carries a new one, one for all who ask at once."""

    async def test(link: Link) -> None:
        monkeypatch.setattr(wire, "PROOF_SECONDS", 0.0)
        link.proved_until = 0.0
        scripted.received.clear()
        await asyncio.gather(*(link.request(pack((b"MGET", b"k")), 1) for _ in range(5)))
        assert [command[0] for command in scripted.received] == [b"INFO", *[b"MGET"] * 5]

    with Scripted(lambda connection, _: connection.sendall(b"$2\r\nok\r\n")) as scripted:
        on(test, url=scripted.url)


def test_a_proof_that_fails(on: Callable[..., Any]) -> None:
    """What comes with the proof of a replica is given to nobody."""

    async def test(link: Link) -> None:
        link.proved_until = 0.0
        scripted.info = INFO.replace(b"role:master", b"role:slave")
        waiting = [link.request(pack((b"MGET", b"k")), 1) for _ in range(5)]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in outcomes] == [NotPrimaryError] * 5
        assert not link.is_open

    with Scripted(lambda connection, _: connection.sendall(b"$2\r\nok\r\n")) as scripted:
        on(test, url=scripted.url)


def test_a_replica_is_not_connected_to(on: Callable[..., Any]) -> None:
    """A replica is refused at once."""
    with (
        Scripted(lambda connection, _: None, info=INFO.replace(b"role:master", b"role:slave")) as scripted,
        pytest.raises(NotPrimaryError),
    ):
        on(None, url=scripted.url)


def test_hung_up_after_the_handshake(run: Run, server: Server) -> None:
    """A server that hangs up between the handshake and the proof is unavailable at once, not after the time limit."""

    class HangsUp(Scripted):
        def _talk(self, connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(b"+OK\r\n+OK\r\n")
            connection.shutdown(socket.SHUT_RDWR)

    async def connect(url: str) -> None:
        link = Link(async_connector(url, 30)(), 30)
        connecting = link._connection.connect

        async def slowly() -> None:
            await connecting()
            await asyncio.sleep(0.1)

        link._connection.connect = slowly
        try:
            await asyncio.wait_for(link.connect(), 3)
        finally:
            link.close()
            await asyncio.sleep(0)

    with HangsUp(lambda connection, command: None) as scripted, pytest.raises(StoreUnavailableError):
        run(connect(scripted.url))
