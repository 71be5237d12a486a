"""The article's functions in examples/article.py: which races time stamps lose, and that unstale loses none of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from servers import Server

from examples import article
from examples.article import NEW, OLD, RACES, USER, OnUnstale, Side, TimeStamps, TimeStampSide, UnstaleSide
from unstale import Cache, remembering


@pytest.fixture
def client(session_servers: Callable[[str], Server]) -> Iterator[redis.Redis]:
    """A client of the embedded server, emptied."""
    with session_servers("valkey").client as made:
        made.flushdb()
        yield made


@pytest.fixture
def cache(client: redis.Redis, session_servers: Callable[[str], Server]) -> Iterator[Cache]:
    """A cache on the same server."""
    with Cache.from_url(session_servers("valkey").url, namespace="article", timeout=5) as made, remembering():
        yield made


@pytest.fixture(params=["time stamps", "unstale"])
def side(request, client, cache) -> Side:
    """The page, cached in each of the two ways."""
    return TimeStampSide(client) if request.param == "time stamps" else UnstaleSide(client, cache)


def test_a_stored_page_is_served(side):
    """Both ways serve what was stored while nothing happens."""
    side.get()
    side.store(OLD, clock=100)
    assert side.get() == OLD


def test_an_action_makes_the_page_a_miss(side):
    """Both ways serve nothing after an action that nothing overlaps."""
    side.get()
    side.store(OLD, clock=100)
    article.in_another_request(lambda: side.act(clock=101))
    assert side.get() is None


def test_a_page_computed_after_an_action_is_served(side):
    """Both ways serve a page that is computed and stored after an action."""
    side.act(clock=100)
    side.get()
    side.store(NEW, clock=101)
    assert side.get() == NEW


STALE = [race for race in RACES if race is not article.value_is_cut_short]


@pytest.mark.parametrize("race", STALE, ids=lambda race: race.__name__)
def test_time_stamps_serve_the_old_page(race, client):
    """With time stamps the old page is served at the end of the race."""
    assert race(TimeStampSide(client)) == OLD


def test_time_stamps_serve_half_a_page(client):
    """With time stamps bytes that cannot be read are served as they are."""
    assert article.value_is_cut_short(TimeStampSide(client)).startswith(b'{"data"')


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_unstale_serves_nothing(race, client, cache):
    """With unstale the end of each race is a miss."""
    assert race(UnstaleSide(client, cache)) is None


@pytest.mark.parametrize("race", STALE, ids=lambda race: race.__name__)
def test_the_page_can_be_cached_again_after_a_race(race, client, cache):
    """With unstale the miss at the end of a race heals: what the next request computes is served."""
    side = UnstaleSide(client, cache)
    race(side)
    with remembering():
        assert side.get() is None
        side.store(NEW, clock=200)
        assert side.get() == NEW


def test_the_overlapping_set_stores_nothing(client, cache):
    """The page that was loaded before the action is refused by the server, not merely judged stale later."""
    article.load_overlaps_an_action(UnstaleSide(client, cache))
    assert client.keys("*:e:*") == []


def test_an_unreadable_time_counts_as_never_acted(client):
    """The time-stamp version is the article's: a user's time that cannot be read hides nothing."""
    stamps = TimeStamps(client, lambda: 100.0)
    stamps.user_cache_set("orders:42", OLD, 60)
    client.set(f"ua:{USER}", "yesterday")
    assert stamps.user_cache_get(USER, "orders:42") == OLD


def test_time_stamps_are_stored_with_the_value(client):
    """The time-stamp version is the article's: a dict of the data and the time of storing."""
    TimeStamps(client, lambda: 100.0).user_cache_set("orders:42", OLD, 60)
    assert json.loads(client.get("orders:42")) == {"data": OLD, "stored_at": 100.0}


def test_an_action_leaves_other_users_pages(cache):
    """With unstale an action makes one user's pages stale, and nobody else's."""
    pages = OnUnstale(cache)
    pages.user_cache_set(1, "orders", OLD, 60)
    pages.user_cache_set(2, "orders", OLD, 60)
    pages.update_user_cache_timestamp(1)
    assert [pages.user_cache_get(user, "orders") for user in (1, 2)] == [None, OLD]


def test_the_better_form_gives_the_old_page_only_to_who_began_before(client, cache):
    """`get_or_set`, during whose load the user acts, stores nothing; the next one loads anew, the third is a hit."""
    assert article.better_form(cache) == [OLD, NEW, NEW]


def test_the_example_runs():
    """The example runs as a script of its own, and ends with 0."""
    done = subprocess.run([sys.executable, "examples/article.py"], cwd=Path(__file__).parent.parent, check=False)
    assert done.returncode == 0
