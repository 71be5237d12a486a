"""From the alarm to its cause: the example shop on django-redis, what doctor and audit say, and the shop mended.

`shop_before` has what differs from `examples/shop`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest
import shops
from servers import Server
from shops import Shop
from test_audit_cases import expected

from unstale.tools.audit import audit
from unstale.tools.doctor.results import Report

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("untraced_children")]

BEFORE = Path(__file__).parent / "shop_before"
OTHERS_KEYS = 100_000
"""In the server's keyspace beside the shop's: what makes a walk dear."""


def shop_as_it_was(folder: Path, *, with_comments: bool) -> Path:
    """The shop on django-redis.

    Args:
        folder: where its code is to be.
        with_comments: those that say which faults are planted. They are these tests', and no comment is rewritten away.
    """
    shutil.copytree(shops.EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(BEFORE, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for file in folder.rglob("*.py") if not with_comments else ():
        file.write_text(re.sub(r"  # expect: .*", "", file.read_text()))
    return folder


def run(*command: Any, status: int = 0, **environment: str) -> str:
    """What a command of unstale's prints."""
    done = subprocess.run(
        [sys.executable, "-m", "unstale", *map(str, command)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == status, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_planted_faults(tmp_path: Path) -> None:
    """Every one of them is found, and nothing else; and there is one for each rule."""
    folder = shop_as_it_was(tmp_path / "shop", with_comments=True)
    found = Counter((each.path, each.line, each.rule) for each in audit(folder).findings)
    assert found == expected(folder)
    assert {rule for _, _, rule in found} == {f"UNS{number:03}" for number in range(1, 12)}


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after `--fix --yes`."""
    folder = shop_as_it_was(tmp_path_factory.mktemp("mended") / "shop", with_comments=False)
    before = {file: file.read_text() for file in folder.rglob("*.py")}
    assert "+        transaction.on_commit(" in run("audit", folder, "--fix")
    assert {file: file.read_text() for file in folder.rglob("*.py")} == before
    run("audit", folder, "--fix", "--yes")
    return folder


def test_what_is_left(mended: Path) -> None:
    """For people to decide."""
    assert Counter((each.rule, each.path) for each in audit(mended).findings) == {
        ("UNS002", "shop/caching.py"): 1,
        ("UNS003", "shop/dashboards.py"): 1,
        ("UNS005", "shop/dashboards.py"): 1,
        ("UNS006", "shop/dashboards.py"): 2,
        ("UNS007", "shop/dashboards.py"): 1,
        ("UNS008", "shop/dashboards.py"): 1,
        ("UNS009", "shop/services.py"): 1,
        ("UNS010", "shop/dashboards.py"): 1,
        ("UNS011", "shop/dashboards.py"): 1,
    }


def test_the_shop_s_own_test_passes(mended: Path, tmp_path: Path) -> None:
    """In one process: what is rolled back, cancelled, saved and counted."""
    told = {
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "SHOP_HOME": str(tmp_path),
        "SHOP_CACHE": f"embedded://{tmp_path / 'cache'}",
    }
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "try_it.py"],
        cwd=mended,
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (ran.stdout, ran.returncode) == ("", 0), ran.stderr[-2000:]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with many keys."""
    with Server("valkey", tmp_path_factory.mktemp("server")) as one, one.client as client:
        with client.pipeline(transaction=False) as pipeline:
            for number in range(OTHERS_KEYS):
                pipeline.set(f"other:{number}", b"", ex=3600)
            pipeline.execute()
        yield one


@contextmanager
def orders_on_end(shop: Shop) -> Iterator[None]:
    """Orders, and looks at the history, as long as this lasts."""
    stop = threading.Event()
    raised: list[BaseException] = []

    def order_and_look() -> None:
        try:
            with closing(HTTPConnection("127.0.0.1", shop.port, timeout=60)) as connection:
                while not stop.is_set():
                    shop.ask(connection, 1, {"product": 1, "quantity": 1})
                    for user in range(shops.USERS):
                        shop.ask(connection, user)
        except BaseException as error:  # noqa: BLE001 - raised below, where it is a failure
            raised.append(error)

    thread = threading.Thread(target=order_and_look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert raised == []


def examined(shop: Shop, server: Server, *, status: int) -> Report:
    """What the doctor says while the shop is used."""
    with orders_on_end(shop):
        said = run("doctor", server.url, "--json", "--seconds", "5", status=status)
    assert json.loads(said)["target"] == server.url
    return msgspec.json.decode(said, type=Report)


@pytest.mark.timeout(300)
def test_the_doctor_names_the_cause(server: Server, tmp_path: Path) -> None:
    """As it was, the shop keeps the engine busy with walks of the keyspace."""
    folder = shop_as_it_was(tmp_path / "shop", with_comments=False)
    with shops.running(folder, tmp_path, {"SHOP_CACHE": server.url}, orders=0) as shop:
        report = examined(shop, server, status=3)
    assert report.findings[0].id == "pattern-deletes"
    (node,) = report.nodes
    assert node.costs is not None
    assert node.costs.by_pattern >= 0.9


@pytest.fixture(scope="module")
def running(mended: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The mended shop, on the same server."""
    home = tmp_path_factory.mktemp("home")
    with shops.running(mended, home, {"SHOP_CACHE": server.url}, orders=400) as shop:
        yield shop


@pytest.fixture
def shop(running: Shop) -> Shop:
    """The mended shop, of which nothing was seen yet."""
    return running.anew()


@pytest.mark.timeout(300)
def test_the_doctor_is_content(shop: Shop, server: Server) -> None:
    """Nothing to change, and nothing walks."""
    report = examined(shop, server, status=0)
    assert report.worst in (None, "info")
    assert [node.costs for node in report.nodes] == [None]


@pytest.mark.timeout(400)
def test_a_history_has_every_order(shop: Shop) -> None:
    """The end-to-end test of the example shop, on the mended one."""
    shops.histories_have_their_orders(shop)


def test_histories_are_apart(shop: Shop) -> None:
    """And this one."""
    shops.histories_are_apart(shop)


def test_the_catalogue_follows_a_price(shop: Shop) -> None:
    """And this."""
    shops.the_catalogue_follows(shop, "from shop.services import set_price; set_price(1, {cents})")
