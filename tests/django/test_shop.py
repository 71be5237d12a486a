"""The shop, end to end: gunicorn with four processes, a real database, one embedded cache, over real HTTP."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import psycopg
import pytest
import shops
from shops import Shop

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("untraced_children")]

POSTGRES = {"host": "127.0.0.1", "port": 5432, "user": "postgres"}
ORDERS = {"sqlite": 1000, "postgres": 300}
"""The second database is there to see that nothing is SQLite's alone."""


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL database of this module's own."""
    try:
        admin = psycopg.connect(**POSTGRES, dbname="postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL is not there, which CI needs: {error}")
        pytest.skip(f"PostgreSQL is not there: {error}")
    name = f"unstale_shop_{os.getpid()}_{secrets.token_hex(4)}"
    admin.execute(f'CREATE DATABASE "{name}"')
    try:
        yield f"postgres://{POSTGRES['user']}@{POSTGRES['host']}:{POSTGRES['port']}/{name}"
    finally:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        admin.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop, once on each database: what one test has ordered disturbs no other."""
    database = {"SHOP_DATABASE": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}
    with shops.running(shops.EXAMPLE, tmp_path_factory.mktemp("shop"), database, ORDERS[request.param]) as shop:
        yield shop


@pytest.fixture
def shop(running: Shop) -> Shop:
    """The shop, of which nothing was seen yet."""
    return running.anew()


@pytest.mark.timeout(400)
def test_a_history_has_every_order_that_was_acknowledged(shop: Shop) -> None:
    """1,000 orders under concurrent load: each next history has the order, whichever process answers; most are hits."""
    shops.histories_have_their_orders(shop)


def test_one_user_never_sees_another_s_history(shop: Shop) -> None:
    """Tokens decide whose history is answered, also when it is a hit."""
    shops.histories_are_apart(shop)


def test_the_catalogue_follows_a_price(shop: Shop) -> None:
    """A product that is changed by a management command, in another process, is new in every process at once."""
    shops.the_catalogue_follows(
        shop, "from shop.models import Product; Product.objects.filter(pk=1).update(cents={cents})"
    )
