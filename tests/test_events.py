"""What a cache says of itself: each event a frozen value, through one hook, and the log for what nobody hooks."""

from __future__ import annotations

import dataclasses
import logging
import pickle

import pytest
from servers import Server

from unstale import Cache
from unstale.events import (
    BreakerClosed,
    BreakerOpened,
    Drained,
    Event,
    Failed,
    Hit,
    Invalidated,
    Lost,
    Miss,
    Queued,
    Refused,
    Stale,
    Stored,
    Trouble,
    Why,
    logging_hook,
    together,
)
from unstale.options import Reporter


def test_a_fill_and_a_hit(cache: Cache, events: list[Event]) -> None:
    """A miss, what was stored, then a hit."""
    for _ in range(2):
        cache.get_or_set("k", lambda: b"12345", tags=["a/b"], ttl=10)
    miss, stored, hit = events
    assert (miss, hit) == (Miss("k", Why.ABSENT), Hit("k"))
    assert isinstance(stored, Stored)
    assert (stored.key, stored.tags, stored.ttl) == ("k", ("a", "a/b"), 10)
    assert stored.size == 48 + 16 * 3 + len("a0a/b0k0") + 5
    assert stored.load_seconds > 0


def test_invalidated_and_stale(cache: Cache, events: list[Event]) -> None:
    """An invalidation names its tags, the next read the tag that is stale."""
    cache.set("k", 1, tags=["a/b"])
    done = cache.invalidate("a", "nobody")
    cache.get("k")
    assert events[1:] == [Invalidated(("a", "nobody"), 1), Stale("k", "a")]
    assert done == events[1]


def test_ttl_without_a_limit(cache: Cache, events: list[Event]) -> None:
    """What stays until evicted has the ttl None."""
    cache.set("k", 1, ttl=None)
    assert [event.ttl for event in events if isinstance(event, Stored)] == [None]


def test_a_key_in_a_scope(cache: Cache, events: list[Event]) -> None:
    """Events name keys as the caller did, and tags in full."""
    cache.scope("user", 42).set("orders", 1, tags=["orders"])
    [stored] = events
    assert isinstance(stored, Stored)
    assert (stored.key, stored.tags) == ("orders", ("user:42", "user:42/orders"))


def test_unreadable(server: Server, events: list[Event]) -> None:
    """Bytes that are not ours are a miss, and said to be."""
    with Cache.from_url(server.url, namespace="test", on_event=events.append) as cache, server.client as client:
        client.set("test:e:k", "something else")
        cache.get("k")
        cache.set("source", [1])
        client.copy("test:e:source", "test:e:k", replace=True)
        cache.get("k")
    reasons = [event.why for event in events if isinstance(event, Miss)]
    assert reasons == [Why.UNREADABLE, Why.OTHER_KEY]


def test_undecodable(server: Server, events: list[Event]) -> None:
    """A payload that its codec cannot read is a miss, and said to be."""
    with Cache.from_url(server.url, namespace="test", on_event=events.append) as cache, server.client as client:
        cache.set("k", "text")
        entry = client.get("test:e:k")
        client.set("test:e:k", entry[:-5] + b"\xc1\xc1\xc1\xc1\xc1")
        assert cache.get_or_set("k", lambda: "loaded") == "loaded"
    assert Miss("k", Why.UNDECODABLE) in events


def test_missing_tags_are_a_reason(cache: Cache, events: list[Event]) -> None:
    """An entry without a tag that was asked for is a miss, and said to be."""
    cache.set("k", 1, tags=["a"])
    cache.get("k", tags=["a", "b"])
    assert events[-1] == Miss("k", Why.TAGS)


EVENTS: list[Event] = [
    Hit("k"),
    Miss("k", Why.ABSENT),
    Stale("k", "a"),
    Stored("k", ("a",), 100, 0.5, 60.0),
    Refused("k", Why.STALE),
    Invalidated(("a",), 1),
    Failed("get", "k", ValueError("text")),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_are_frozen(event: Event) -> None:
    """No hook can change what the next one sees."""
    field = dataclasses.fields(event)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, field, "changed")


def test_events_travel() -> None:
    """Events can be pickled, for a hook that hands them to another process."""
    plain = EVENTS[:-1]
    assert pickle.loads(pickle.dumps(plain)) == plain  # noqa: S301 - its own


def test_the_log_has_keys_never_values(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The logging hook writes keys and tags, and nothing of a value."""
    caplog.set_level(logging.DEBUG, "unstale")
    with Cache.from_url(url, namespace="test", on_event=logging_hook()) as cache:
        cache.get_or_set("orders:42", lambda: "s3cret-value", tags=["user:42"])
        cache.get("orders:42")
        cache.invalidate("user:42")
        cache.get("orders:42")
    assert "orders:42" in caplog.text
    assert "user:42" in caplog.text
    assert "s3cret" not in caplog.text
    assert [record.levelname for record in caplog.records if "Invalidated" in record.message] == ["INFO"]


def test_a_hook_of_its_own_error(url: str) -> None:
    """An exception in the hook is the hook's own: it passes through."""

    def broken(event: Event) -> None:
        raise ZeroDivisionError

    with Cache.from_url(url, namespace="test", on_event=broken) as cache, pytest.raises(ZeroDivisionError):
        cache.get("k")


RARE: dict[str, tuple[Event, int]] = {
    "opened": (BreakerOpened(5, LookupError("why")), logging.WARNING),
    "closed": (BreakerClosed(1.5), logging.INFO),
    "queued": (Queued(("t",), LookupError("why")), logging.WARNING),
    "drained": (Drained(3), logging.INFO),
    "lost": (Lost("k", ("t",), 60.0, stood=True), logging.WARNING),
}


@pytest.mark.parametrize(("event", "level"), RARE.values(), ids=RARE)
def test_levels_of_what_is_rare(caplog: pytest.LogCaptureFixture, event: Event, level: int) -> None:
    """What somebody should look into is a warning."""
    with caplog.at_level(logging.DEBUG, "unstale"):
        logging_hook()(event)
    [record] = caplog.records
    assert (record.levelno, type(event).__name__ in record.getMessage()) == (level, True)


@pytest.mark.parametrize(("event", "level"), RARE.values(), ids=RARE)
def test_what_is_rare_is_logged_without_a_hook(caplog: pytest.LogCaptureFixture, event: Trouble, level: int) -> None:
    """Each time, since it happens once an outage."""
    del level
    reporter = Reporter(None)
    reporter(event)
    reporter(event)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


class Measuring:
    """A hook that counts, and says nothing in words."""

    only_measures = True

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.seen.append(event)


@pytest.mark.parametrize(("event", "level"), RARE.values(), ids=RARE)
def test_what_is_rare_is_logged_beside_measuring(caplog: pytest.LogCaptureFixture, event: Trouble, level: int) -> None:
    """A metric does not name the key. A hook that may word it is told alone."""
    del level
    measuring = Measuring()
    Reporter(together(measuring, Measuring()))(event)
    assert (measuring.seen, len(caplog.records)) == ([event], 1)
    Reporter(together(measuring, lambda _: None))(event)
    assert (measuring.seen, len(caplog.records)) == ([event] * 2, 1)
