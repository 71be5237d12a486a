"""The system under test: each variant's site as the load sees it, over real HTTP, with a real server.

One gunicorn a variant, for all tests of it. Tests use a user each, so that none depends on another.
"""

from __future__ import annotations

import os
import pickle
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from servers import Server
from site_client import PLAN, ask, eventually, order, place, read

from unstale.tools.lab.place import Place
from unstale.tools.lab.plan import VARIANTS, Variant
from unstale.tools.lab.workers import Site, serving

POSTGRES = {"host": "127.0.0.1", "port": 5432, "user": "postgres"}
SHOWS_AT_ONCE = ("baseline", "pipelined-deletes", "known-keys", "timestamps", "unstale", "unstale-strict")
CACHINGS = (*SHOWS_AT_ONCE, "async-deletes", "no-deletes")
"""A variant for each way of caching. The others differ in their servers alone, but for `hiredis`."""


@dataclass(frozen=True)
class Running:
    """A variant's site, with its servers."""

    variant: Variant
    site: Site
    place: Place
    cache: Server
    config: Server
    broker: Server

    @property
    def url(self) -> str:
        return self.site.base_url


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server, Server]]:
    """The server under test, the second node and the broker, for all variants in turn."""
    with ExitStack() as stack:
        names = ("cache", "config", "broker")
        cache, config, broker = (stack.enter_context(Server("valkey", tmp_path_factory.mktemp(name))) for name in names)
        yield cache, config, broker


def started(name: str, machines: tuple[Server, Server, Server], directory: Path, **given: str) -> Iterator[Running]:
    """A variant's site, on emptied servers."""
    cache, config, broker = machines
    for server in machines:
        with server.client as client:
            client.flushall()
            client.config_resetstat()
    variant = VARIANTS[name]
    broker_url = broker.url if variant.caching == "async-deletes" else None
    here = place(directory, cache.url, config_url=config.url, broker_url=broker_url, **given)
    with serving(variant, PLAN, here) as site:
        yield Running(variant, site, here, cache, config, broker)


@pytest.fixture(scope="module", params=CACHINGS)
def running(
    request: pytest.FixtureRequest, machines: tuple[Server, Server, Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The site of each way of caching, once."""
    yield from started(request.param, machines, tmp_path_factory.mktemp(request.param))


def of(*names: str) -> pytest.MarkDecorator:
    """For the sites of some variants only."""
    return pytest.mark.parametrize("running", names, indirect=True, scope="module")


def test_a_read_misses_then_hits(running: Running) -> None:
    """The first read of a page loads it, the second does not, and shows the same."""
    first, second = read(running.url, 0), read(running.url, 0)
    assert (first.x_cache, second.x_cache) == ("miss", "hit")
    assert first.body == second.body


@of(*SHOWS_AT_ONCE)
def test_an_order_shows_in_the_next_read(running: Running) -> None:
    """All pages that were cached are loaded anew after an order: the first begins with it, the others know of it."""
    before = [read(running.url, 1, page) for page in (1, 2)]
    made = order(running.url, 1)
    after = [read(running.url, 1, page) for page in (1, 2)]
    assert after[0].body["results"][0]["id"] == made.body["id"]
    assert [answer.version for answer in after] == [made.version] * 2
    assert after[1].body["results"][0] == before[0].body["results"][-1]


@of("async-deletes")
def test_an_order_shows_after_the_task(running: Running) -> None:
    """With the deletes in a task the order shows once Celery has done it, and Celery was told by the broker."""
    read(running.url, 1)
    made = order(running.url, 1)
    assert eventually(lambda: read(running.url, 1).version == made.version)
    with running.broker.client as client:
        assert client.info("commandstats")["cmdstat_lpush"]["calls"] >= 1


@of("no-deletes")
def test_an_order_does_not_show(running: Running) -> None:
    """Where nothing is invalidated, what is cached stays as it was."""
    before = read(running.url, 1)
    order(running.url, 1)
    after = read(running.url, 1)
    assert after.x_cache == "hit"
    assert after.version == before.version


def test_an_order_tells_its_number(running: Running) -> None:
    """X-Version of an action is the order's id."""
    made = order(running.url, 2)
    assert made.version == made.body["id"]


def test_the_version_is_the_newest_order(running: Running) -> None:
    """Body and header agree, and are the id of the first order of the first page."""
    answer = read(running.url, 0)
    assert answer.body["version"] == answer.version == answer.body["results"][0]["id"]


def test_an_order_leaves_other_users_pages(running: Running) -> None:
    """What one user does makes nobody else's pages stale."""
    read(running.url, 0)
    order(running.url, 3)
    assert read(running.url, 0).x_cache == "hit"


def test_nobody_sees_another_s_orders(running: Running) -> None:
    """The pages of all users, read twice, have no order in common."""
    seen = [
        {one["id"] for page in (1, 2) for _ in range(2) for one in read(running.url, user, page).body["results"]}
        for user in range(PLAN.users)
    ]
    assert len(set.union(*seen)) == sum(map(len, seen))
    assert min(map(len, seen)) > 20  # both pages: one may be from before an order, where nothing is invalidated


def test_the_catalogue_is_cached_for_all(running: Running) -> None:
    """Who comes first loads it; anybody gets it from the cache afterwards."""
    ask(running.url, "/api/products/")
    answers = [ask(running.url, "/api/products/", token) for token in ("", "token-of-user1")]
    assert [answer.x_cache for answer in answers] == ["hit", "hit"]
    assert answers[0].body == answers[1].body
    assert len(answers[0].body) == 10


def test_an_empty_page_has_a_version(running: Running) -> None:
    """Beyond the last page there is nothing, as of the newest order; it is cached, too."""
    newest = read(running.url, 0).version
    first, second = read(running.url, 0, 9), read(running.url, 0, 9)
    assert first.body == second.body == {"version": newest, "results": []}
    assert (first.x_cache, second.x_cache) == ("miss", "hit")


def test_a_user_without_orders_is_at_version_zero(running: Running) -> None:
    """The admin has ordered nothing."""
    answer = ask(running.url, "/api/orders/?page=1", "token-of-admin")
    assert (answer.body, answer.version) == ({"version": 0, "results": []}, 0)


def test_all_keys_begin_with_the_prefix(running: Running) -> None:
    """On both servers; the configuration is on the second node only."""
    read(running.url, 0)
    order(running.url, 2)
    with running.cache.client as cache, running.config.client as config:
        begins = [{key.partition(b":")[0] for key in client.scan_iter()} for client in (cache, config)]
        features = [len(client.keys("*features*")) for client in (cache, config)]
    assert begins == [{running.place.prefix.encode()}] * 2
    assert features == [0, 1]


def test_each_request_reads_the_configuration(running: Running) -> None:
    """One GET on the second node for each of them, of whatever kind."""
    read(running.url, 0)
    with running.config.client as client:
        before = client.info("commandstats")
        read(running.url, 0)
        order(running.url, 2)
        ask(running.url, "/api/products/")
        after = client.info("commandstats")
    reads = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert sum(reads.get(f"cmdstat_{name}", 0) for name in ("get", "mget")) == 3


def test_the_parser_is_the_variant_s(running: Running) -> None:
    """A connection of the live process parses as the plan says."""
    expected = {"baseline": "_RESP3Parser", "unstale": "hiredis", "unstale-strict": "hiredis"}
    found = ask(running.url, "/about/").body["parser"]
    assert found == expected.get(running.variant.name, "_HiredisParser")


def test_bad_requests_are_refused(running: Running) -> None:
    """No token is 401, no page number 400, no product 400."""
    token = "token-of-user0"
    answers = [
        ask(running.url, "/api/orders/?page=1"),
        ask(running.url, "/api/orders/?page=zero", token),
        ask(running.url, "/api/orders/?page=0", token),
        ask(running.url, "/api/orders/", token, {"product": 999, "quantity": 1}),
    ]
    assert [answer.status for answer in answers] == [401, 400, 400, 400]


@of("baseline")
def test_an_error_of_the_cache_is_seen(running: Running) -> None:
    """Where a server that is full refuses a write the site says 500: it does not quietly go on without a cache."""
    with running.cache.client as client:
        client.config_set("maxmemory", 1)
        refused = ask(running.url, "/api/orders/?page=8", "token-of-user0")
        client.config_set("maxmemory", 0)
    assert refused.status == 500
    assert read(running.url, 0, 8).x_cache == "miss"


@of("baseline")
def test_the_baseline_looks_at_all_keys(running: Running) -> None:
    """Its action walks the keyspace, and its deletes are a transaction, as django-redis has it."""
    read(running.url, 3)
    with running.cache.client as client:
        client.config_resetstat()
        order(running.url, 3)
        stats = client.info("commandstats")
    assert {"cmdstat_scan", "cmdstat_del", "cmdstat_multi"} <= set(stats)


@of("pipelined-deletes")
def test_the_pipelined_client_is_at_work(running: Running) -> None:
    """Its action walks the keyspace, and its deletes are one pipeline, and no transaction."""
    read(running.url, 3)
    with running.cache.client as client:
        client.config_resetstat()
        order(running.url, 3)
        stats = client.info("commandstats")
    assert {"cmdstat_scan", "cmdstat_del"} <= set(stats)
    assert "cmdstat_multi" not in stats


@of("known-keys", "unstale", "unstale-strict", "timestamps")
def test_no_action_looks_for_keys(running: Running) -> None:
    """None of these walks the keyspace."""
    read(running.url, 3)
    with running.cache.client as client:
        client.config_resetstat()
        order(running.url, 3)
        assert "cmdstat_scan" not in client.info("commandstats")


@of("known-keys")
def test_the_index_goes_with_the_pages(running: Running) -> None:
    """An action leaves neither pages of the user's nor the index of them, which has a ttl."""
    newest, own = read(running.url, 3).version, f"{running.place.prefix}:1:user:4:"
    with running.cache.client as client:
        assert client.smembers(f"{own}keys") >= {f"{own}orders:1".encode()}
        assert 0 < client.ttl(f"{own}keys") <= PLAN.ttl
        assert order(running.url, 3).version > newest
        assert not client.keys(f"{own}*")


def kept_by_timestamps(running: Running, pattern: str, value: object) -> None:
    """Put a value in the place of one of the site's, as django-redis would."""
    with running.cache.client as client:
        [key] = client.keys(f"{running.place.prefix}:1:{pattern}")
        client.set(key, pickle.dumps(value))


@of("timestamps")
def test_a_value_without_metadata_is_returned(running: Running) -> None:
    """The article's function takes what has no time as it is."""
    user = ask(running.url, "/api/orders/?page=7", "token-of-user0").body
    kept_by_timestamps(running, "user:*:orders:7", {"version": 7, "results": ["as it is"]})
    assert user["results"] == []
    assert read(running.url, 0, 7).body == {"version": 7, "results": ["as it is"]}


@of("timestamps")
def test_an_unreadable_time_of_a_user_counts_as_never(running: Running) -> None:
    """A value from before the action is then shown: one of the scheme's ways to be stale."""
    with running.cache.client as client:
        for key in client.keys("*:ua:*"):
            client.delete(key)
    stored = read(running.url, 2)
    made = order(running.url, 2)
    kept_by_timestamps(running, "ua:*", "yesterday")
    assert (read(running.url, 2).version, made.version > stored.version) == (stored.version, True)


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL database of this module's own."""
    try:
        admin = psycopg.connect(**POSTGRES, dbname="postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL is not there, which CI needs: {error}")
        pytest.skip(f"PostgreSQL is not there: {error}")
    name = f"unstale_lab_{os.getpid()}_{secrets.token_hex(4)}"
    admin.execute(f'CREATE DATABASE "{name}"')
    try:
        yield f"postgres://{POSTGRES['user']}@{POSTGRES['host']}:{POSTGRES['port']}/{name}"
    finally:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        admin.close()


@pytest.fixture
def on_postgres(postgres_url: str, machines: tuple[Server, Server, Server], tmp_path: Path) -> Iterator[Running]:
    """unstale-strict, which asks the most of a database."""
    yield from started("unstale-strict", machines, tmp_path, database_url=postgres_url)


def test_on_postgresql(on_postgres: Running) -> None:
    """Misses, hits, and shows an order in the next read."""
    reads = [read(on_postgres.url, 0).x_cache for _ in range(2)]
    made = order(on_postgres.url, 0)
    assert (reads, read(on_postgres.url, 0).version) == (["miss", "hit"], made.version)
