"""Round trips and commands, counted at the server: a hit is one, an invalidation is one, get_many is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers import Server

from unstale import Cache, remembering
from unstale.stores import wire

COUNTING = 4
"""INFO calls of `Counter.during` itself; the call that reads their number comes on top."""


class Counter:
    """Counts what the server was asked: commands by name, and reads of its sockets (a pipeline is one)."""

    def __init__(self, server: Server) -> None:
        self._client = server.client

    def stats(self) -> dict[str, int]:
        """Calls of each command so far, without those that count."""
        found = self._client.info("commandstats")
        return {name.removeprefix("cmdstat_"): one["calls"] for name, one in found.items() if name != "cmdstat_info"}

    def reads(self) -> int:
        """Times the server has read from a client, its own count, less those of `info` itself."""
        return int(self._client.info("stats")["total_reads_processed"])

    def during(self, act: Callable[[], Any]) -> tuple[int, dict[str, int]]:
        """Round trips and commands that `act` costs."""
        before = self.stats()
        reads = self.reads()
        act()
        trips = self.reads() - reads - 1
        after = self.stats()
        return trips, {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@pytest.fixture
def counter(server: Server) -> Iterator[Counter]:
    """A counter at the server."""
    made = Counter(server)
    yield made
    made.close()


@pytest.fixture
def cache(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    """A cache whose connection is made, whose proof lasts for the test, and whose scripts the server knows."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 3600.0)
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as made, remembering():
        made.set("warm", 1)
        made.touch("warm")
        made.delete("warm")
        yield made


TAGS = [["a"], ["a/b/c"], [f"user:42/{number}" for number in range(31)]]


@pytest.mark.parametrize("tags", TAGS, ids=len)
def test_a_hit_is_one_trip_and_one_command(cache: Cache, counter: Counter, tags: list[str]) -> None:
    """However many tags: one MGET."""
    cache.get_or_set("k", lambda: "v", tags=tags)
    assert counter.during(lambda: cache.get("k", tags=tags)) == (1, {"mget": 1})
    assert counter.during(lambda: cache.get_or_set("k", lambda: "v", tags=tags)) == (1, {"mget": 1})


def test_a_hit_without_its_tags_is_one_trip_from_the_second_on(cache: Cache, counter: Counter) -> None:
    """Tags that were not said cost one more trip the first time only."""
    cache.set("k", "v", tags=["a", "b"])
    assert counter.during(lambda: cache.get("k")) == (2, {"mget": 2})
    assert counter.during(lambda: cache.get("k")) == (1, {"mget": 1})


def test_an_invalidation_is_one_trip(cache: Cache, counter: Counter) -> None:
    """One small write a tag, in one trip."""
    cache.set_many({f"k{number}": number for number in range(100)}, tags=["a/b", "c"])
    assert counter.during(lambda: cache.invalidate("a")) == (1, {"set": 1})
    assert counter.during(lambda: cache.invalidate("a", "a/b", "c")) == (1, {"set": 3})


def test_an_invalidation_of_what_nobody_caches_leaves_nothing(cache: Cache, server: Server) -> None:
    """No key is made for a tag that no entry carries."""
    with server.client as client:
        before = client.dbsize()
        cache.invalidate("nobody:1", "nobody:2")
        assert client.dbsize() == before


def test_clear_is_one_trip(cache: Cache, counter: Counter) -> None:
    """Sixteen small writes, in one trip."""
    assert counter.during(cache.clear) == (1, {"set": 16})


def test_get_many_is_one_trip(cache: Cache, counter: Counter) -> None:
    """Fifty keys with two tags each: one MGET."""
    keys = [f"k{number}" for number in range(50)]
    cache.set_many(dict.fromkeys(keys, 1), tags=lambda key: [f"t/{key}"])
    found: dict[str, Any] = {}
    cost = counter.during(lambda: found.update(cache.get_many(keys, tags=lambda key: [f"t/{key}"])))
    assert (cost, len(found)) == ((1, {"mget": 1}), 50)


def test_get_many_without_its_tags_is_two_trips_at_the_most(cache: Cache, counter: Counter) -> None:
    """Tags that were not said cost one more trip for all keys together, and the next time none."""
    keys = [f"k{number}" for number in range(50)]
    cache.set_many(dict.fromkeys(keys, 1), tags=lambda key: [f"t/{key}"])
    assert counter.during(lambda: cache.get_many(keys)) == (2, {"mget": 2})
    assert counter.during(lambda: cache.get_many(keys)) == (1, {"mget": 1})


def test_a_miss_is_three_trips(cache: Cache, counter: Counter) -> None:
    """Look; lease and stamps; store: and the load in between."""
    trips, _ = counter.during(lambda: cache.get_or_set("k", lambda: "v", tags=["user:42/orders"]))
    assert trips == 3


def test_set_and_set_many_are_one_trip(cache: Cache, counter: Counter) -> None:
    """A set needs no look first."""
    assert counter.during(lambda: cache.set("k", 1, tags=["a"]))[0] == 1
    assert counter.during(lambda: cache.set_many({"a": 1, "b": 2, "c": 3}, tags=["a"]))[0] == 1


def test_small_verbs_are_one_trip(cache: Cache, counter: Counter) -> None:
    """has_key, ttl, touch, incr and delete, on an entry whose tags are said."""
    cache.set("n", 1, tags=["a"])
    for verb in (cache.has_key, cache.ttl, cache.touch, cache.incr, cache.delete):
        assert counter.during(lambda verb=verb: verb("n", tags=["a"]))[0] == 1, verb


def test_the_proof_travels_with_a_read(server: Server, counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new proof of role and identity costs a command, not a trip."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 0.0)
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache, server.client as client:
        cache.set("k", "v")
        proofs = client.info("commandstats")["cmdstat_info"]["calls"]
        assert counter.during(lambda: cache.get("k"))[0] == 1
        asked = client.info("commandstats")["cmdstat_info"]["calls"] - proofs
        assert asked == 1 + COUNTING + 1
