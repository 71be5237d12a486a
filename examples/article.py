"""Per-user caching without deletes: time stamps as they are usually written, and the same three functions on unstale.

    python examples/article.py

*Redis Cache Deletion Performance* describes three functions. Storing a value notes the time beside it; a user's action
notes the time under `ua:<userid>`; reading gives nothing if the value is older than that user's last action. That takes
the load of deleting keys off the server, and it loses every race below. On unstale the three functions are as short,
no clock is asked, and a read is one round trip in place of two.

Why unstale wins them: an entry records its tags' stamps (random bytes, not times) as they were *before* its value was
computed, and is fresh only while every one of them still stands. `get` that misses remembers the stamps that it saw, so
that the `set` which follows in the same thread or task stores under those, and not at all if one has changed since.
(In a request that is wrapped in `remembering()`, an action of its own counts like anybody's.) `get_or_set` does the
same without relying on what is remembered, and lets one caller load while the others wait: prefer it.

And why an unreadable value is a miss with unstale, where time stamps serve it: a value without readable metadata may be
older than any action, cut short, or not ours at all. Serving it is a guess that no action of the user's can ever
correct; a miss costs one load.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import redis

from unstale import Cache, remembering
from unstale.stores.embedded import EmbeddedServer


@dataclass(frozen=True)
class TimeStamps:
    """The article's functions, as they are usually written. The clock is injected to show what happens when."""

    client: redis.Redis
    clock: Callable[[], float] = time.time

    def user_cache_set(self, key: str, data: Any, duration: int) -> None:
        """Store data with the time of storing, for `duration` seconds."""
        self.client.set(key, json.dumps({"data": data, "stored_at": self.clock()}), ex=duration)

    def update_user_cache_timestamp(self, userid: int) -> None:
        """Note that the user acted just now."""
        self.client.set(f"ua:{userid}", self.clock())

    def user_cache_get(self, userid: int, key: str) -> Any:
        """Read data that is not older than the user's last action; None where there is none."""
        acted_at = _time(self.client.get(f"ua:{userid}"))
        stored = self.client.get(key)
        if stored is None:
            return None
        data, stored_at = _unpacked(stored)
        if acted_at is not None and stored_at is not None and stored_at < acted_at:
            return None
        return data


def _time(stored: bytes | None) -> float | None:
    """A user's time; a missing or unreadable one counts as "never acted"."""
    try:
        return float(stored or b"")
    except ValueError:
        return None


def _unpacked(stored: bytes) -> tuple[Any, float | None]:
    """Data and its time; a value without readable metadata as it is."""
    try:
        value: Any = json.loads(stored)
    except ValueError:
        return stored, None
    try:
        return value["data"], float(value["stored_at"])
    except (KeyError, TypeError, ValueError):
        return value, None


@dataclass(frozen=True)
class OnUnstale:
    """The same three on unstale. A scope is a user's own cache: its keys and its tag are that user's alone."""

    cache: Cache

    def user_cache_set(self, userid: int, key: str, data: Any, duration: int) -> None:
        """Store data, under the stamps that the `get` before it saw, for `duration` seconds."""
        self.cache.scope("user", userid).set(key, data, ttl=duration)

    def update_user_cache_timestamp(self, userid: int) -> None:
        """Make all of this user's entries stale: one small write. Call it after the database's COMMIT."""
        self.cache.scope("user", userid).invalidate()

    def user_cache_get(self, userid: int, key: str) -> Any:
        """Read fresh data; None where there is none (say another default if None is among your values)."""
        return self.cache.scope("user", userid).get(key)

    def user_cache(self, userid: int, key: str, load: Callable[[], Any], duration: int) -> Any:
        """Read, or load and store: the better form of get and set, in one call."""
        return self.cache.scope("user", userid).get_or_set(key, load, ttl=duration)


USER, KEY, DURATION = 42, "orders", 300
OLD, NEW = ["a book"], ["a book", "a pen"]


class Side(Protocol):
    """One user's page, cached in one of the two ways. `clock` is what the clock shows on the host that does it."""

    def get(self) -> Any:
        """Read the page."""

    def store(self, page: Any, *, clock: float) -> None:
        """Store the page."""

    def act(self, *, clock: float) -> None:
        """Do what makes the page old."""

    def lose_stamp(self) -> None:
        """Lose the note of the user's actions, as by eviction or expiry."""

    def overwrite(self, change: Callable[[bytes], bytes]) -> None:
        """Put other bytes in the place of the stored ones."""


@dataclass(frozen=True)
class TimeStampSide:
    """The page with time stamps, under the key "orders:42"."""

    client: redis.Redis

    def get(self) -> Any:
        """Read the page."""
        return TimeStamps(self.client).user_cache_get(USER, f"{KEY}:{USER}")

    def store(self, page: Any, *, clock: float) -> None:
        """Store the page."""
        TimeStamps(self.client, lambda: clock).user_cache_set(f"{KEY}:{USER}", page, DURATION)

    def act(self, *, clock: float) -> None:
        """Do what makes the page old."""
        TimeStamps(self.client, lambda: clock).update_user_cache_timestamp(USER)

    def lose_stamp(self) -> None:
        """Lose the user's time."""
        self.client.delete(f"ua:{USER}")

    def overwrite(self, change: Callable[[bytes], bytes]) -> None:
        """Put other bytes in the place of the stored ones."""
        self.client.set(f"{KEY}:{USER}", change(self.client.get(f"{KEY}:{USER}")))


@dataclass(frozen=True)
class UnstaleSide:
    """The page with unstale, under the key "orders" of the user's scope. No clock is asked."""

    client: redis.Redis
    cache: Cache

    def get(self) -> Any:
        """Read the page."""
        return OnUnstale(self.cache).user_cache_get(USER, KEY)

    def store(self, page: Any, *, clock: float) -> None:  # noqa: ARG002 - the point of it
        """Store the page."""
        OnUnstale(self.cache).user_cache_set(USER, KEY, page, DURATION)

    def act(self, *, clock: float) -> None:  # noqa: ARG002 - the point of it
        """Do what makes the page old."""
        OnUnstale(self.cache).update_user_cache_timestamp(USER)

    def lose_stamp(self) -> None:
        """Lose all stamps."""
        self.client.delete(*self.client.keys("*:s:*"))

    def overwrite(self, change: Callable[[bytes], bytes]) -> None:
        """Put other bytes in the place of the stored ones."""
        [name] = self.client.keys("*:e:*")
        self.client.set(name, change(self.client.get(name)))


def in_another_request(do: Callable[[], None]) -> None:
    """Let another thread do something from beginning to end, now."""
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()


def load_overlaps_an_action(side: Side) -> Any:
    """A view loads the page; before it stores it, the user acts elsewhere."""
    side.get()  # a miss, so the view computes the page, from the database as it is now
    in_another_request(lambda: side.act(clock=101))
    side.store(OLD, clock=102)
    return side.get()


def clocks_differ(side: Side) -> Any:
    """The page is stored by a host whose clock is five seconds fast; two seconds later the user acts on another."""
    side.get()
    side.store(OLD, clock=105)
    in_another_request(lambda: side.act(clock=102))
    return side.get()


def times_are_equal(side: Side) -> Any:
    """The user acts within the same tick of the clock in which the page was stored."""
    side.get()
    side.store(OLD, clock=100)
    in_another_request(lambda: side.act(clock=100))
    return side.get()


def stamp_is_lost(side: Side) -> Any:
    """The user acts; then the server evicts the note of it, or lets it expire."""
    side.get()
    side.store(OLD, clock=100)
    in_another_request(lambda: side.act(clock=101))
    side.lose_stamp()
    return side.get()


def value_is_foreign(side: Side) -> Any:
    """An older release left the page without metadata; the user acts."""
    side.get()
    side.store(OLD, clock=100)
    side.overwrite(lambda _stored: json.dumps(OLD).encode())
    in_another_request(lambda: side.act(clock=101))
    return side.get()


def value_is_cut_short(side: Side) -> Any:
    """Half of the stored bytes are gone."""
    side.get()
    side.store(OLD, clock=100)
    side.overwrite(lambda stored: stored[: len(stored) // 2])
    return side.get()


RACES: tuple[Callable[[Side], Any], ...] = (
    load_overlaps_an_action,
    clocks_differ,
    times_are_equal,
    stamp_is_lost,
    value_is_foreign,
    value_is_cut_short,
)
"""After each of them the right answer is None: a miss, so that the page is computed anew."""


def run(race: Callable[[Side], Any], client: redis.Redis, cache: Cache) -> tuple[Any, Any]:
    """Run a race with time stamps and with unstale; what a reader is served at the end of each.

    Args:
        race: one of RACES.
        client: of a server that has nothing else in it: it is emptied.
        cache: on the same server.
    """
    client.flushdb()
    with remembering():  # what a request is wrapped in
        return race(TimeStampSide(client)), race(UnstaleSide(client, cache))


def better_form(cache: Cache) -> list[Any]:
    """Three reads by `get_or_set`; while the first loads, the user acts. What each of them is given."""
    pages = [OLD]

    def load() -> Any:
        page = pages[-1]
        if page is OLD:
            pages.append(NEW)
            in_another_request(lambda: OnUnstale(cache).update_user_cache_timestamp(USER))
        return page

    return [OnUnstale(cache).user_cache(USER, KEY, load, DURATION) for _ in range(3)]


def main() -> int:
    """Run all races on a server of our own, and print who serves what. Returns 1 if unstale serves anything."""
    lost = 0
    with tempfile.TemporaryDirectory() as directory:
        server = EmbeddedServer(Path(directory))
        with redis.Redis.from_url(server.url) as client, Cache.from_url(server.url, namespace="article") as cache:
            for race in RACES:
                stamped, ours = run(race, client, cache)
                lost += ours is not None
                print(f"{race.__doc__}\n  time stamps: {_told(stamped)}\n  unstale:     {_told(ours)}\n")
            client.flushdb()
            print(
                "get_or_set, three times; the user acts while the first loads. Only the first, which began before, is"
            )
            print(f"given the old page:\n  {better_form(cache)}")
        server.leave()
    return 1 if lost else 0


def _told(served: Any) -> str:
    return "a miss: computed anew" if served is None else f"serves {served!r}"


if __name__ == "__main__":
    sys.exit(main())
