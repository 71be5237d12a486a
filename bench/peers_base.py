"""What every library in the comparison can do, said once: read a page or load it, and invalidate a group of pages.

Here stands what a `Peer` is, and how many pages are put under a group quickly. The libraries are in `peers_sync` and
`peers_async`; nothing is measured here.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

from bench import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.servers import Server

TTL: Final = 300
"""Seconds that a page lives, in every library."""
PAGE_SIZE: Final = 1024
DEPENDENT_SIZE: Final = 64
"""Characters in a page that is only there to be invalidated."""
SET_BATCH: Final = 500
"""Members in one SADD."""

Page = dict[str, Any]


def page(version: int = 1, size: int = PAGE_SIZE) -> Page:
    """What is cached: a dict that JSON, MessagePack and pickle can carry alike."""
    return {"version": version, "body": "x" * size}


def encoded(value: Page) -> bytes:
    """For clients that leave the encoding to the program."""
    return json.dumps(value).encode()


class Peer:
    """A way to cache, with a database of its own.

    `read` and `invalidate` are plain methods, or coroutines where `is_async`; so are `open` and `close`.

    Attributes:
        name: what it is called in the tables.
        how: how it invalidates a group, in its own words.
        source: where it says that this is how to use it.
        is_async: whether it is awaited.
        is_local: whether its hits need no server.
        remark: what a reader of its figures must know.
    """

    name: ClassVar[str]
    how: ClassVar[str]
    source: ClassVar[str]
    is_async: ClassVar[bool] = False
    is_local: ClassVar[bool] = False
    remark: ClassVar[str] = ""

    def __init__(self, server: Server, database: int) -> None:
        """Connect later: `open` does it."""
        self.server = server
        self.database = database
        self.client = server.client.from_url(server.url(database))
        """For the bench itself, not for the library."""

    def open(self) -> Any:
        """Make the library's objects."""

    def close(self) -> Any:
        """Close its connections."""

    def read(self, group: str, number: int, load: Callable[[], Any]) -> Any:
        """A page, from the cache or from the loader: what the library's users call."""
        raise NotImplementedError

    def invalidate(self, group: str) -> Any:
        """What a writer calls after a commit that concerns all pages of a group."""
        raise NotImplementedError

    def entry(self, group: str, number: int) -> str | bytes:
        """A page's name in Redis."""
        raise NotImplementedError

    def beside(self, group: str, numbers: Sequence[int]) -> Iterable[tuple[Any, ...]]:  # noqa: ARG002 - for those who have none
        """What else stands in Redis for these pages: a tag's set of keys."""
        return ()

    def seconds_left(self, group: str, number: int) -> float:
        """Seconds that a stored page would still be served."""
        return float(self.client.pttl(self.entry(group, number))) / 1000

    def put(self, group: str, size: int) -> None:
        """Put pages under a group: the library has stored number 0, the others are copies of it."""
        stored = self.client.get(self.entry(group, 0))
        numbers = range(1, size)
        copies = ((b"SET", self.entry(group, number), stored, b"EX", TTL) for number in numbers)
        fill.send_all(self.server, self.database, copies)
        if numbers:
            fill.send_all(self.server, self.database, self.beside(group, numbers))


def tag_set(name: str, members: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The commands that put keys in a tag's set."""
    for at in range(0, len(members), SET_BATCH):
        yield (b"SADD", name, *members[at : at + SET_BATCH])


class Driver:
    """Runs a peer's calls, whether they are awaited or not."""

    def __init__(self, peer: Peer) -> None:
        """Open the peer; one that is awaited has a loop of its own, in which nothing else runs."""
        self.peer = peer
        self._runner = asyncio.Runner()
        self._do(peer.open)

    def _do(self, call: Callable[[], Any]) -> Any:
        if not self.peer.is_async:
            return call()

        async def awaited() -> Any:
            return await call()

        return self._runner.run(awaited())

    def all(self, calls: Sequence[Callable[[], Any]]) -> None:
        """Make calls, one after the other."""
        if not self.peer.is_async:
            for call in calls:
                call()
            return

        async def awaited() -> None:
            for call in calls:
                await call()

        self._runner.run(awaited())

    def loader(self, value: Any, loads: list[int] | None = None) -> Callable[[], Any]:
        """A loader of the peer's kind; `loads` grows by one with each load."""

        def load() -> Any:
            if loads is not None:
                loads.append(1)
            return value

        async def load_async() -> Any:
            return load()

        return load_async if self.peer.is_async else load

    def reading(self, group: str, number: int, value: Any, loads: list[int] | None = None) -> Callable[[], Any]:
        """A read that is yet to be made."""
        load = self.loader(value, loads)
        return lambda: self.peer.read(group, number, load)

    def read(self, group: str, number: int, value: Any, loads: list[int] | None = None) -> Any:
        """Read a page; the loader gives the value."""
        return self._do(self.reading(group, number, value, loads))

    def invalidate(self, group: str) -> None:
        """Invalidate a group."""
        self._do(lambda: self.peer.invalidate(group))

    def put(self, group: str, size: int) -> None:
        """Put pages under a group, and leave what the library does about it behind."""
        self.read(group, 0, page(size=DEPENDENT_SIZE))
        self.peer.put(group, size)

    def settle(self, seconds: float) -> None:
        """Let a library's own tasks do what is left."""
        if self.peer.is_async:
            self._runner.run(asyncio.sleep(seconds))

    def close(self) -> None:
        """Close the peer."""
        self._do(self.peer.close)
        self.settle(0.01)  # its transports close in a later turn of the loop
        self._runner.close()
        self.peer.client.close()
