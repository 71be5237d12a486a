"""The asynchronous verbs: none hops to a thread, and connections belong to their loops, which come and go."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgiref import sync as asgiref_sync
from asgiref.sync import async_to_sync
from children.async_common import until
from django.core.cache import caches
from servers import Server

from unstale import remembering
from unstale.contrib.django import UnstaleCache

CHILD = Path(__file__).parent.parent / "children" / "django_loops.py"
KEY = "user:42:n"


class HoppedError(Exception):
    """A verb has gone to a thread."""


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """What happens on the client's side needs no second kind of server."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture(autouse=True)
def in_a_request() -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes to a thread fails: by asgiref, under whatever name it was imported, or by asyncio itself."""

    def hop(*_: Any, **__: Any) -> Any:
        raise HoppedError

    originals = (asgiref_sync.sync_to_async, asyncio.to_thread)
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if any(value is one for one in originals):
                monkeypatch.setattr(module, name, hop)
    monkeypatch.setattr(asgiref_sync.SyncToAsync, "__call__", hop)
    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", hop)


def as_list(keys: Any) -> Any:
    """What an asynchronous iterator gives."""

    async def collect() -> list[Any]:
        return [key async for key in keys]

    return collect()


CALLS: dict[str, Callable[[Any], Any]] = {
    "aget": lambda c: c.aget(KEY),
    "aget_many": lambda c: c.aget_many([KEY, "x"]),
    "ahas_key": lambda c: c.ahas_key(KEY),
    "aget_or_set": lambda c: c.aget_or_set("x", lambda: 1),
    "aset": lambda c: c.aset(KEY, [1]),
    "aadd": lambda c: c.aadd("x", 1),
    "aset_many": lambda c: c.aset_many({KEY: 1, "x": 2}),
    "atouch": lambda c: c.atouch(KEY, 100),
    "aincr": lambda c: c.aincr(KEY),
    "adecr": lambda c: c.adecr(KEY),
    "aincr_version": lambda c: c.aincr_version(KEY),
    "adecr_version": lambda c: c.adecr_version(KEY),
    "adelete": lambda c: c.adelete(KEY),
    "adelete_many": lambda c: c.adelete_many([KEY]),
    "aclear": lambda c: c.aclear(),
    "ainvalidate": lambda c: c.ainvalidate("user:42"),
    "aclose": lambda c: c.aclose(),
    "adelete_pattern": lambda c: c.adelete_pattern("user:42:*"),
    "aiter_keys": lambda c: as_list(c.aiter_keys("*")),
    "akeys": lambda c: c.akeys("*"),
    "attl": lambda c: c.attl(KEY),
    "apttl": lambda c: c.apttl(KEY),
    "apersist": lambda c: c.apersist(KEY),
    "aexpire": lambda c: c.aexpire(KEY, 100),
    "apexpire": lambda c: c.apexpire(KEY, 100_000),
    "aexpire_at": lambda c: c.aexpire_at(KEY, time.time() + 100),
    "apexpire_at": lambda c: c.apexpire_at(KEY, (time.time() + 100) * 1000),
}


def is_awaited(name: str) -> bool:
    """Whether this is the asynchronous twin of a verb."""
    method = getattr(UnstaleCache, name)
    return name[0] == "a" and (inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method))


def test_all_asynchronous_verbs_are_called_here() -> None:
    """Those of Django's BaseCache and those of django-redis's users; a new one must be added above."""
    assert {name for name in dir(UnstaleCache) if is_awaited(name)} == set(CALLS)


def test_no_verb_is_left_to_django() -> None:
    """BaseCache's own twins go to a thread, but for one that awaits another: all are ours."""
    from django.core.cache.backends.base import BaseCache

    theirs = {
        name for name in dir(BaseCache) if name[0] == "a" and inspect.iscoroutinefunction(getattr(BaseCache, name))
    }
    assert {name for name in theirs if getattr(UnstaleCache, name) is getattr(BaseCache, name)} <= {"adecr_version"}


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.usefixtures("without_threads")
def test_no_verb_hops_to_a_thread(configure: Callable[..., Any], verb: str) -> None:
    """On a new loop, with its connection still to be made, and on one that has it."""
    cache = configure(TAG_PATTERNS=["user:{id}:*"], SOCKET_TIMEOUT=5)
    cache.set(KEY, 5)

    async def twice() -> None:
        await CALLS[verb](cache)
        await cache.aset(KEY, 5)
        await cache.aset(KEY, 5, version=2)
        await CALLS[verb](cache)

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(twice())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


@pytest.mark.usefixtures("without_threads")
def test_a_hop_would_be_seen() -> None:
    """Django's own twin fails where ours does not."""
    from django.core.cache.backends.locmem import LocMemCache

    async def get() -> None:
        await LocMemCache("hops", {}).aget("k")

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(HoppedError):
            loop.run_until_complete(get())
    finally:
        loop.close()


def test_the_halves_see_each_other(backend: Any) -> None:
    """What one half stores, removes or invalidates the other sees."""

    async def live() -> list[Any]:
        await backend.aset(KEY, 1)
        seen = [backend.get(KEY)]
        backend.set(KEY, 2)
        seen.append(await backend.aget(KEY))
        backend.invalidate("user:42")
        seen.append(await backend.aget(KEY))
        return seen

    assert async_to_sync(live)() == [1, 2, None]


def test_what_one_half_looked_at_holds_the_other(backend: Any) -> None:
    """An awaited miss, an invalidation, a plain set in the same request: refused, and the other way round."""

    def invalidate() -> None:
        other = threading.Thread(target=backend.invalidate, args=("user:42",))
        other.start()
        other.join()

    async def live() -> list[Any]:
        with remembering():
            await backend.aget(KEY)
            invalidate()
            first = backend.set(KEY, "old")
        with remembering():
            backend.get(KEY)
            invalidate()
            return [first, await backend.aset(KEY, "old"), await backend.aget(KEY)]

    assert async_to_sync(live)() == [False, False, None]


def clients_of(server: Server) -> int:
    """How many clients the server has, but for this one."""
    with server.client as client:
        return len(client.client_list()) - 1


def test_a_loop_after_another(backend: Any, server: Server) -> None:
    """async_to_sync and asyncio.run, fifty times: each works, and no connection stays behind."""

    async def live(number: int) -> Any:
        await backend.aset("k", number)
        return await backend.aget("k")

    backend.set("k", 0)
    before = clients_of(server)
    for number in range(25):
        assert async_to_sync(live)(number) == number
        assert asyncio.run(live(number)) == number
    asyncio.run(until(lambda: clients_of(server) <= before))


def test_loops_in_threads(backend: Any, server: Server) -> None:
    """Loops side by side, each with its own connection, no answer in another's."""

    async def live(number: int) -> list[Any]:
        await backend.aset(f"k{number}", number)
        return await asyncio.gather(*(backend.aget(f"k{number}") for _ in range(20)))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: asyncio.run(live(number)), range(40)))
    assert answers == [[number] * 20 for number in range(40)]


def test_many_tasks_use_one_connection(backend: Any, server: Server) -> None:
    """A hundred tasks of a loop share its connection; each gets its own answer."""

    async def live() -> tuple[list[Any], bool]:
        await backend.aset_many({str(number): number for number in range(100)})
        before = clients_of(server)
        answers = await asyncio.gather(*(backend.aget(str(number)) for number in range(100)))
        return answers, clients_of(server) <= before

    assert async_to_sync(live)() == (list(range(100)), True)


def test_instances_of_many_requests_share_the_connection(backend: Any, server: Server) -> None:
    """Under ASGI each request has an instance of its own: a loop has one connection all the same."""

    async def live() -> bool:
        await backend.aget("k")
        before = clients_of(server)
        for _ in range(20):
            one = caches.create_connection("default")
            await one.aget("k")
            await one.aclose()
        return clients_of(server) <= before

    assert async_to_sync(live)() is True


def test_no_resource_is_left_open(backend: Any) -> None:
    """A loop that ends, and one that is closed without a word, leave no warning."""

    async def live() -> None:
        await backend.aset("k", 1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            asyncio.run(live())
            async_to_sync(live)()
        gc.collect()
    assert [str(each.message) for each in caught] == []


@pytest.mark.parametrize("way", ["async_to_sync", "run", "threads", "fork"])
def test_a_process_of_its_own(server: Server, way: str) -> None:
    """In a script that loads no apps, with all warnings on: what is left open would be told at its end."""
    before = clients_of(server)
    run = subprocess.run(
        [sys.executable, "-W", "error", CHILD, server.url, way],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == ["done"]
    asyncio.run(until(lambda: clients_of(server) <= before))
