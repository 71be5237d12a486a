"""redis+sentinel://: on real sentinels, with a failover under load; what is decided of their words; and its URLs."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sentinels import PASSWORD, SERVICE, Deployment, Sentinel, until
from servers import Server, free_port, require

from unstale import AsyncCache, Cache, UnstaleError
from unstale.errors import (
    ConfigurationError,
    NotPrimaryError,
    StoreAuthError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from unstale.events import Event, Failed
from unstale.stores import wire
from unstale.stores.clients import async_client_for, client_for
from unstale.stores.options import StoreOptions
from unstale.stores.sentinel import Known, Primary, Word, decided
from unstale.stores.sentinel_url import Place, place_of

PATIENT = 2.0
"""Seconds to wait for an answer; a test does not depend on them, unless one is meant not to come."""
HASTY = 0.6
NOT_HUNG = 8.0


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The module's servers; their primary changes in the last test that uses them."""
    require("redis")
    with Deployment(tmp_path_factory.mktemp("sentinels")) as started:
        yield started


def opened(url: str, **options: Any) -> Cache:
    """A cache with patience."""
    return Cache.from_url(url, **{"namespace": "test", "timeout": PATIENT, **options})


def used(cache: Cache) -> list[Any]:
    """What a cache gives for a fill, a hit, an invalidation and the next look."""
    cache.delete("k")
    loaded = cache.get_or_set("k", lambda: "loaded", tags=["t"])
    return [loaded, cache.get("k", tags=["t"]), cache.invalidate("t").bumped, cache.get("k", tags=["t"])]


async def load() -> str:
    """A value."""
    return "loaded"


async def used_async(url: str, **options: Any) -> list[Any]:
    """The same of an asyncio cache."""
    async with AsyncCache.from_url(url, **{"namespace": "async", "timeout": PATIENT, **options}) as cache:
        await cache.delete("k")
        loaded = await cache.get_or_set("k", load, tags=["t"])
        hit = await cache.get("k", tags=["t"])
        bumped = (await cache.invalidate("t")).bumped
        return [loaded, hit, bumped, await cache.get("k", tags=["t"])]


WORKS = ["loaded", "loaded", 1, None]


def test_a_cache_at_a_service(deployment: Deployment) -> None:
    """A cache finds the primary by its sentinels, and works there."""
    with opened(deployment.url) as cache:
        assert used(cache) == WORKS


def test_a_sentinel_taken_for_a_server(deployment: Deployment) -> None:
    """It says what it is, and how it is named."""
    [port, *_] = [sentinel.port for sentinel in deployment.sentinels]
    with opened(f"redis://127.0.0.1:{port}/0") as cache, pytest.raises(StoreRefusedError, match=r"redis\+sentinel://"):
        cache.ping()


def test_an_async_cache_at_a_service(deployment: Deployment) -> None:
    """So does an asyncio cache, in one loop after the other."""
    assert asyncio.run(used_async(deployment.url)) == WORKS
    assert asyncio.run(used_async(deployment.url)) == WORKS


@pytest.mark.parametrize("proof_seconds", [0.0, 0.001])
def test_the_word_is_asked_for_at_every_proof(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, proof_seconds: float
) -> None:
    """With a proof for nearly every trip, and so a round of questions, everything works."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", proof_seconds)
    with opened(deployment.url) as cache:
        assert used(cache) == WORKS


def test_an_async_link_asks_again(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link whose sentinels' word has run out asks again, once for all who wait, and stays."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 0.2)

    async def main() -> tuple[list[Any], bool]:
        async with AsyncCache.from_url(deployment.url, namespace="async", timeout=PATIENT) as cache:
            await cache.set("k", "v", tags=["t"])
            link = cache._store._last
            await asyncio.sleep(0.3)
            assert not link.is_vouched
            read = await asyncio.gather(*(cache.get("k", tags=["t"]) for _ in range(20)))
            return read, cache._store._last is link

    assert asyncio.run(main()) == (["v"] * 20, True)


def test_the_database_of_a_url(deployment: Deployment) -> None:
    """The number behind the service is the database."""
    url = deployment.url + "/3"
    with opened(url) as cache, deployment.primary.client as client:
        cache.set("k", "v")
        client.execute_command("SELECT", 3)
        assert client.keys("test:*") != []
        client.flushdb()


def test_a_dead_sentinel_first(deployment: Deployment) -> None:
    """A sentinel that is gone is passed over, in both kinds of caches."""
    url = deployment.url_of(free_port(), deployment.sentinels[1].port)
    with opened(url) as cache:
        assert used(cache) == WORKS
    assert asyncio.run(used_async(url)) == WORKS


@pytest.fixture
def silent(deployment: Deployment, tmp_path: Path) -> Iterator[int]:
    """The port of a sentinel that accepts connections, but answers nothing.

    It is one more than the deployment's: who was stopped for seconds does no failover for half a minute (TILT mode).
    """
    own = Sentinel(tmp_path / "own", deployment.primary.port)
    until(lambda: own.ask("PING"))
    os.kill(own.process.pid, signal.SIGSTOP)
    yield own.port
    own.kill()


def test_a_silent_sentinel_first(deployment: Deployment, silent: int) -> None:
    """A sentinel that is silent costs a part of the time limit, and is left alone afterwards."""
    ports = [one.port for one in deployment.sentinels[:2]]
    url = deployment.url_of(silent, *ports)
    with opened(url, timeout=HASTY) as cache:
        assert used(cache) == WORKS
        sentinels = cache._store._pool._connect.__self__
        assert sentinels.to_ask() == [("127.0.0.1", port) for port in ports]
    assert asyncio.run(used_async(url, timeout=HASTY)) == WORKS


def test_all_sentinels_silent(deployment: Deployment, silent: int) -> None:
    """With no answer at all an error comes in time, and reads go on without the cache."""
    began = time.monotonic()
    with opened(deployment.url_of(silent), timeout=HASTY) as cache:
        with pytest.raises(StoreUnavailableError, match=f"No sentinel knows a primary for '{SERVICE}'.*in time"):
            cache.invalidate("t")
        assert cache.get_or_set("k", lambda: "loaded") == "loaded"
    assert time.monotonic() - began < NOT_HUNG


def test_sentinels_that_go(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no sentinel answers any more, connections that exist go on: nobody can fail over."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 0.05)
    own = Sentinel(tmp_path / "own", deployment.primary.port)
    until(lambda: own.ask("PING"))

    async def main() -> list[Any]:
        with opened(deployment.url_of(own.port)) as cache:
            async with AsyncCache.from_url(deployment.url_of(own.port), namespace="async", timeout=PATIENT) as other:
                cache.set("k", "v")
                await other.set("k", "v")
                own.kill()
                await asyncio.sleep(0.1)
                return [cache.get("k"), await other.get("k"), cache.invalidate("t").bumped is not None]

    assert asyncio.run(main()) == ["v", "v", True]


def test_an_unknown_service(deployment: Deployment) -> None:
    """A service that no sentinel knows is a clear error for writes, and reads go on."""
    failures: list[Event] = []
    url = deployment.url_of(*(one.port for one in deployment.sentinels), service="nope")
    with opened(url, on_event=failures.append) as cache:
        with pytest.raises(StoreUnavailableError, match=r"No sentinel knows a primary for 'nope'.*does not know it"):
            cache.invalidate("t")
        assert cache.get_or_set("k", lambda: "loaded") == "loaded"
    assert any(isinstance(event, Failed) for event in failures)
    with pytest.raises(StoreUnavailableError, match="No sentinel knows a primary for 'nope'"):
        asyncio.run(used_and_raise(url))


async def used_and_raise(url: str) -> None:
    """An invalidation of an asyncio cache."""
    async with AsyncCache.from_url(url, timeout=PATIENT) as cache:
        await cache.invalidate("t")


def test_sentinels_with_a_password(deployment: Deployment, tmp_path: Path) -> None:
    """The sentinels' password is an option of its own; without it, or with another, the error says so, not which."""
    own = Sentinel(tmp_path / "own", deployment.primary.port, f'requirepass "{PASSWORD}"')
    until(lambda: own.ask("PING", password=PASSWORD))
    url = deployment.url_of(own.port)
    try:
        with opened(url, sentinel={"password": PASSWORD}) as cache:
            assert used(cache) == WORKS
        assert asyncio.run(used_async(url, sentinel={"password": PASSWORD})) == WORKS
        with opened(url) as cache, pytest.raises(StoreAuthError, match="sentinel="):
            cache.invalidate("t")
        with opened(url, sentinel={"password": "secret!"}) as cache, pytest.raises(StoreAuthError) as caught:
            cache.invalidate("t")
        assert "secret!" not in repr(caught.value) + str(caught.value)
    finally:
        own.kill()


class Judge:
    """A value that changes, and what caches give for it, judged.

    A reader must get at least what was invalidated before it began: with its own store, and with others.
    """

    def __init__(self) -> None:
        self.version = 0
        self.stale: list[str] = []
        self.hits = 0
        self.bumps: list[tuple[str, int]] = []
        self.over = threading.Event()
        self._lock = threading.Lock()

    def change(self) -> int:
        """A new version."""
        with self._lock:
            self.version += 1
            return self.version

    def floor(self) -> int:
        """The newest version whose invalidation has returned."""
        with self._lock:
            return max((version for _, version in self.bumps), default=0)

    def bumped(self, who: str, version: int) -> None:
        """An invalidation has returned."""
        with self._lock:
            self.bumps.append((who, version))

    def read(self, who: str, floor: int, value: int, *, loaded: bool) -> None:
        """Somebody has read."""
        if value < floor:
            self.stale.append(f"{who} got {value} after {floor} was invalidated")
        self.hits += not loaded


def reader(judge: Judge, cache: Cache, who: str) -> None:
    """Reads until it is over."""
    while not judge.over.is_set():
        loads: list[int] = []

        def load(loads: list[int] = loads) -> int:
            loads.append(judge.version)
            return loads[0]

        floor = judge.floor()
        judge.read(who, floor, cache.get_or_set("k", load, tags=["t"]), loaded=bool(loads))


def writer(judge: Judge, cache: Cache, who: str) -> None:
    """Changes the value and invalidates it until it is over, again and again where that fails."""
    while not judge.over.is_set():
        version = judge.change()
        while not judge.over.is_set():
            try:
                cache.invalidate("t")
            except StoreError:
                time.sleep(0.01)
            else:
                judge.bumped(who, version)
                break
        time.sleep(0.01)


async def async_reader(judge: Judge, url: str) -> None:
    """Reads and writes of an asyncio cache, until it is over."""
    async with AsyncCache.from_url(url, namespace="test", timeout=HASTY, lease=0.2, on_event=ignore) as cache:
        while not judge.over.is_set():
            loads: list[int] = []

            async def load(loads: list[int] = loads) -> int:
                loads.append(judge.version)
                return loads[0]

            floor = judge.floor()
            judge.read("async", floor, await cache.get_or_set("k", load, tags=["t"]), loaded=bool(loads))


def ignore(_: Event) -> None:
    """Failures are meant to come."""


def test_a_failover_under_load(deployment: Deployment) -> None:
    """While the sentinels make another server primary nobody is given what was invalidated; then all goes on there.

    Reader, writer and asyncio reader have stores of their own, as if in processes of their own. The old primary goes on
    as one for ten seconds, so readers that stayed there would show what the writer has long invalidated.
    """
    judge = Judge()
    caches = [opened(deployment.url, timeout=HASTY, lease=0.2, on_event=ignore) for _ in range(3)]
    jobs: list[Callable[[], None]] = [
        lambda: reader(judge, caches[0], "reader"),
        lambda: reader(judge, caches[1], "another"),
        lambda: writer(judge, caches[1], "its writer"),
        lambda: writer(judge, caches[2], "writer"),
        lambda: asyncio.run(async_reader(judge, deployment.url)),
    ]
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    until(lambda: judge.hits > 100)
    with deployment.primary.client as old, deployment.replica.client as new:
        deployment.fail_over()
        stamp = new.get("test:s:{t}")
        until(lambda: new.get("test:s:{t}") != stamp)
        bumps, hits = len(judge.bumps), judge.hits
        time.sleep(2 * wire.PROOF_SECONDS)  # for as long, at least, somebody might have stayed on the old one
        until(lambda: {who for who, _ in judge.bumps[bumps + 50 :]} == {"writer", "its writer"})
        until(lambda: judge.hits > hits + 100)
        roles = old.info("replication")["role"], new.info("replication")["role"]
    judge.over.set()
    for thread in threads:
        thread.join(NOT_HUNG)
    for cache in caches:
        cache.close()
    assert judge.stale == []
    assert roles == ("master", "master")


def a_word(port: int, epoch: int, **more: Any) -> Word:
    """What a sentinel may say."""
    return Word(("h", port), epoch, **{"is_up": True, **more})


def known_of(port: int, epoch: int, era: int = 0, confirmed_at: float = 5.0) -> Known:
    """What may be known."""
    return Known(era, epoch, confirmed_at + 1.0, ("h", port), is_up=True, confirmed_at=confirmed_at, named_at=1.0)


DECISIONS: dict[str, tuple[list[Word], Known | None, bool, tuple[int, int, int]]] = {
    "the first": ([a_word(1, 0)], None, False, (0, 0, 1)),
    "the highest epoch": ([a_word(1, 5), a_word(2, 6), a_word(1, 5)], None, True, (0, 6, 2)),
    "a failover": ([a_word(2, 6)], known_of(1, 5), False, (0, 6, 2)),
    "the same": ([a_word(1, 5), a_word(1, 5)], known_of(1, 5), False, (0, 5, 1)),
    "one that has not heard of it yet": ([a_word(1, 5)], known_of(2, 6), False, (0, 6, 2)),
    "set up anew": ([a_word(1, 0), a_word(1, 0)], known_of(2, 6), True, (1, 0, 1)),
    "another at the same epoch, to all": ([a_word(2, 0)], known_of(1, 0), True, (1, 0, 2)),
    "another at the same epoch, to some": ([a_word(2, 0), a_word(1, 0)], known_of(1, 0), True, (0, 0, 1)),
}


@pytest.mark.parametrize(("words", "before", "everyone", "expected"), DECISIONS.values(), ids=DECISIONS)
def test_what_is_known_after_a_round(
    words: list[Word], before: Known | None, everyone: bool, expected: tuple[int, int, int]
) -> None:
    """The highest epoch wins; a lower one only where all sentinels say so, since some learn late."""
    known = decided(words, before, 10.0, everyone=everyone)
    assert (known.era, known.epoch, known.address[1]) == expected
    assert known.until == 10.0 + wire.PROOF_SECONDS


def test_a_round_that_was_overtaken() -> None:
    """A round that began before what is known was confirmed does not bring an old primary back."""
    known = decided([a_word(1, 5)], known_of(2, 6, confirmed_at=11.0), 10.0, everyone=True)
    assert known.address == ("h", 2)


def test_a_lower_epoch_that_stays() -> None:
    """What no sentinel has said for long gives way to what some of them say."""
    known = decided([a_word(1, 5)], known_of(2, 6, confirmed_at=10.0), 100.0, everyone=False)
    assert (known.address, known.era) == (("h", 1), 1)


def primary() -> Primary:
    """What a store knows, of three sentinels."""
    return Primary(Place((("a", 1), ("b", 1), ("c", 1)), SERVICE, ""), 0.3)


def test_a_switch_is_told_before_the_address() -> None:
    """Who learns of a new primary has its store's connections dropped first; a first address is no switch."""
    knowing = primary()
    listener = Listener(knowing)
    knowing.tell(listener.hear)
    knowing.heard({("a", 1): a_word(1, 5)}, time.monotonic())
    first = len(listener.heard)
    knowing.heard({("a", 1): a_word(2, 6)}, time.monotonic())
    knowing.heard({("a", 1): a_word(2, 6), ("b", 1): a_word(1, 5)}, time.monotonic())
    assert listener.heard[first:] == [("h", 2)]
    with pytest.raises(NotPrimaryError):
        knowing.vouched_until(("h", 1))


class Listener:
    """Notes what is known when it is called."""

    def __init__(self, knowing: Primary) -> None:
        self.heard: list[Any] = []
        self._knowing = knowing

    def hear(self) -> None:
        """Be called."""
        known = self._knowing.known
        self.heard.append(known.address if known is not None else None)


def test_a_primary_that_is_too_new() -> None:
    """A new primary is used only when proofs of the old one have run out."""
    knowing = primary()
    new = {("a", 1): a_word(2, 6, named_at=time.monotonic())}
    with pytest.raises(StoreUnavailableError, match="just changed"):
        knowing.new(knowing.heard(new, time.monotonic()), new)
    older = {("b", 1): a_word(2, 6, named_at=time.monotonic() - wire.PROOF_SECONDS - knowing.timeout)}
    assert knowing.new(knowing.heard(older, time.monotonic()), older) == ("h", 2)


def test_a_primary_that_is_down() -> None:
    """A primary that all sentinels hold for down is no address, but its connections may go on."""
    knowing = primary()
    answers = {("a", 1): a_word(1, 5, is_up=False)}
    with pytest.raises(StoreUnavailableError, match="for down"):
        knowing.new(knowing.heard(answers, time.monotonic()), answers)
    assert knowing.vouched_until(("h", 1)) > 0


GOOD_URLS: dict[str, tuple[tuple[tuple[str, int], ...], str]] = {
    "redis+sentinel://a/s": ((("a", 26379),), "redis://primary/"),
    "redis+sentinel://a:1,b:2/s/3": ((("a", 1), ("b", 2)), "redis://primary/3"),
    "rediss+sentinel://u:p%40@[::1]:1,b/s?db=2": ((("::1", 1), ("b", 26379)), "rediss://u:p%40@primary/?db=2"),
}


@pytest.mark.parametrize(("url", "expected"), GOOD_URLS.items(), ids=GOOD_URLS)
def test_a_url_of_sentinels(url: str, expected: tuple[Any, str]) -> None:
    """A URL names sentinels and a service; the rest is for the primary."""
    place = place_of(url)
    assert (place.sentinels, place.url, place.service) == (*expected, "s")
    assert "p%40" not in repr(place)


BAD_URLS = [
    "redis+sentinel://",
    "redis+sentinel://a",
    "redis+sentinel://a/",
    "redis+sentinel:///s",
    "redis+sentinel://a,/s",
    "redis+sentinel://a:x/s",
    "redis+sentinel://a:99999/s",
    "redis+sentinel://a/s/x",
    "redis+sentinel://a/s/1/2",
    "redis+sentinel://a/s?nope=1",
    "redis+sentinel://a/s?max_connections=1",
    "redis+sentinel://a/s?ssl_ca_certs=x",
    "redis+sentinel://u:geh/eim@a/s",
    "redis+sentinel://u:geh#eim@a/s",
    "redis+sentinel://u:geheim/@a:1/s",
]


@pytest.mark.parametrize("url", BAD_URLS)
@pytest.mark.parametrize("kind", [Cache, AsyncCache])
def test_a_url_of_sentinels_that_means_nothing(url: str, kind: Any) -> None:
    """A URL that cannot be read is refused when the cache is made, without showing a part of a password."""
    with pytest.raises(ConfigurationError) as caught:
        kind.from_url(url)
    assert "geh" not in str(caught.value)
    assert "eim" not in str(caught.value)


BAD_SENTINEL_ARGUMENTS: list[dict[str, Any]] = [
    {"nope": 1},
    {"db": 1},
    {"host": "h"},
    {"ssl": "yes"},
    {"ssl_ca_certs": "x"},
    {"password": 5},
]


@pytest.mark.parametrize("given", BAD_SENTINEL_ARGUMENTS, ids=str)
@pytest.mark.parametrize("kind", [Cache, AsyncCache])
def test_arguments_for_sentinels_that_make_no_sense(given: dict[str, Any], kind: Any) -> None:
    """An argument for the sentinels' connections that redis-py does not know is refused, by its name."""
    with pytest.raises(ConfigurationError, match=f"sentinel|{next(iter(given))}"):
        kind.from_url("redis+sentinel://a/s", sentinel=given)


def test_arguments_for_sentinels_without_any() -> None:
    """The option sentinel needs a URL of sentinels; in the place of one, memory:// ignores it."""
    with pytest.raises(ConfigurationError, match=r"redis\+sentinel"):
        Cache.from_url("redis://localhost", sentinel={"password": "p"})
    Cache.from_url("memory://", sentinel={"password": "p"}).close()


def test_clients_of_a_service(deployment: Deployment) -> None:
    """redis-py's clients for the place reach the primary, and close what they opened."""
    options = StoreOptions()
    url = deployment.url + "/4"

    async def main() -> Any:
        async with async_client_for(url, options) as client:
            return await client.get("k"), (await client.client_info())["db"]

    with client_for(url, options) as client:
        assert client.set("k", "v")
        assert client.role()[0] == b"master"
    assert asyncio.run(main()) == (b"v", 4)


def test_a_server_that_is_no_sentinel(deployment: Deployment) -> None:
    """A Redis server in the place of a sentinel is an error that says what it answered."""
    server: Server = deployment.primary
    with opened(deployment.url_of(server.port)) as cache, pytest.raises(UnstaleError, match="unknown command"):
        cache.invalidate("t")
