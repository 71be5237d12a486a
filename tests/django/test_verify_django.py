"""OPTIONS["VERIFY"]: hits are loaded as well, never inside a transaction; what is planted in a database is found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, Client, TestCase
from ledger_app.models import Order
from servers import Server
from view_site import RUNS, body, browser_of, serving, words

from unstale import Verify, remembering
from unstale.contrib.django import cached
from unstale.contrib.django.views import cached_view
from unstale.core.verified import Counts, Verification
from unstale.errors import ConfigurationError

PATIENCE_SECONDS = 60.0
EACH = Verify(1.0, limit=0.3, share=1.0)


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture(params=["default", "postgres"])
def using(request: pytest.FixtureRequest, databases: None) -> Iterator[str]:
    """The alias of a SQLite and of a PostgreSQL database, emptied."""
    if request.param == "postgres":
        request.getfixturevalue("postgres_database")
    Order.objects.using(request.param).all().delete()
    yield request.param
    connections[request.param].close()


@pytest.fixture(autouse=True)
def in_a_request(databases: None) -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


@pytest.fixture
def backend(configure: Callable[..., Any]) -> Any:
    """A backend that verifies each hit."""
    return configure(VERIFY=EACH, TAG_PATTERNS=["user:{id}:*"], ON_EVENT=lambda event: None)


def report(backend: Any) -> Verification:
    """What it has found."""
    found: Verification = backend.core.verification()
    return found


def until(holds: Callable[[], bool], does: Callable[[], object] = lambda: None) -> None:
    """Do something until it holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        does()
        time.sleep(0.01)


def orders(using: str, user_id: int = 42) -> list[Order]:
    """A user's orders, whole models: equal in their ids, different in their totals."""
    return list(Order.objects.using(using).filter(user_id=user_id).order_by("pk"))


def test_models_are_compared_by_their_fields(backend: Any, using: str) -> None:
    """Django says that they are equal; the total of one is not, and nobody has said so: it is found."""
    order = Order.objects.using(using).create(user_id=42, total=1)

    def read() -> Any:
        return backend.get_or_set("user:42:orders", lambda: orders(using))

    assert [read(), read(), read()] == [[order]] * 3
    assert report(backend).total == Counts(same=2)
    Order.objects.using(using).filter(pk=order.pk).update(total=2)
    until(lambda: bool(report(backend).lost), read)
    [lost, *_] = report(backend).lost
    assert (lost.key, lost.stood) == (":1:user:42:orders", True)
    assert any(tag.endswith("user:42") for tag in lost.tags)
    backend.invalidate("user:42")


def test_a_sound_application(backend: Any, using: str) -> None:
    """What is invalidated with its COMMIT settles, and nothing is lost."""
    order = Order.objects.using(using).create(user_id=42)
    for total in range(5):
        backend.get_or_set("user:42:orders", lambda: orders(using))
        backend.get_or_set("user:42:orders", lambda: orders(using))
        with transaction.atomic(using=using):
            Order.objects.using(using).filter(pk=order.pk).update(total=total + 1)
            backend.invalidate("user:42")
    until(lambda: not report(backend).watched)
    assert report(backend).total == Counts(same=5)


def test_not_inside_a_transaction(backend: Any, using: str) -> None:
    """There the loader would see what nobody else does: the hit is skipped. After it, it is verified."""
    order = Order.objects.using(using).create(user_id=42)
    backend.get_or_set("user:42:orders", lambda: orders(using))
    with transaction.atomic(using=using):
        Order.objects.using(using).filter(pk=order.pk).update(total=7)
        served = backend.get_or_set("user:42:orders", lambda: orders(using))
        transaction.set_rollback(True, using=using)
    assert [one.total for one in served] == [0]
    assert (report(backend).total, report(backend).watched) == (Counts(skipped=1), 0)
    backend.get_or_set("user:42:orders", lambda: orders(using))
    assert report(backend).total == Counts(same=1, skipped=1)


def test_not_in_a_project_s_own_transaction(backend: Any, using: str) -> None:
    """Nor under set_autocommit(False)."""
    backend.get_or_set("user:42:orders", lambda: orders(using))
    connections[using].ensure_connection()
    transaction.set_autocommit(False, using=using)
    try:
        backend.get_or_set("user:42:orders", lambda: orders(using))
    finally:
        transaction.rollback(using=using)
        transaction.set_autocommit(True, using=using)
    assert report(backend).total == Counts(skipped=1)


def test_a_thread_does_it_also_inside_a_transaction(configure: Callable[..., Any], using: str) -> None:
    """By a connection of its own, which sees what all see."""
    backend = configure(VERIFY=EACH, RUNNER="threads", ON_EVENT=lambda event: None)
    Order.objects.using(using).create(user_id=42, total=1)
    backend.get_or_set("orders", lambda: [one.total for one in orders(using)])
    with transaction.atomic(using=using):
        backend.get_or_set("orders", lambda: [one.total for one in orders(using)])
        until(lambda: bool(report(backend).total.judged))
    assert report(backend).total == Counts(same=1)


def test_a_queue_of_other_processes_is_not_asked(configure: Callable[..., Any]) -> None:
    """What was served is in this process: its reader does it. Functions too, which could travel for a refresh."""
    sent: list[Any] = []
    from unstale.contrib.django.runners import _Remote

    backend = configure(VERIFY=EACH, RUNNER=_Remote(sent.append))
    for _ in range(2):
        backend.get_or_set("orders", lambda: 1)
        doubled(2)
    assert (sent, report(backend).total) == ([], Counts(same=2))


@cached("doubled:{number}", tags=["number:{number}"])
def doubled(number: int) -> int:
    """A decorated function."""
    return 2 * number


@cached("adoubled:{number}")
async def adoubled(number: int) -> int:
    """A decorated coroutine function."""
    return 2 * number


def test_decorated_functions(backend: Any) -> None:
    """Are verified."""
    assert [doubled(4), doubled(4)] == [8, 8]
    assert report(backend).kinds == {":*:doubled:*": Counts(same=1)}


def test_in_asynchronous_code(backend: Any) -> None:
    """The same, counted with the rest."""
    from django.core.cache import cache

    async def main() -> None:
        for _ in range(2):
            assert await adoubled(4) == 8
            assert await cache.aget_or_set("a", lambda: [1]) == [1]
        assert await backend.async_core.get_or_set("b", afail) == 1
        await backend.async_core.close()

    async def afail() -> int:
        return 1

    asyncio.run(main())
    assert report(backend).total == Counts(same=2)


def test_a_row_that_is_gone(backend: Any, using: str) -> None:
    """Its loader raises DoesNotExist, the cache serves it on."""
    order = Order.objects.using(using).create(user_id=42)

    def read() -> Any:
        return backend.get_or_set(f"user:42:order:{pk}", lambda: Order.objects.using(using).get(pk=pk))

    pk = order.pk
    read()
    order.delete()
    until(lambda: bool(report(backend).lost), read)
    backend.invalidate("user:42")


def test_in_a_test_case(configure: Callable[..., Any], databases: None) -> None:
    """The block that `TestCase` wraps around a test is no transaction in this."""
    backend = configure(VERIFY=1, ON_EVENT=lambda event: None)

    class Tried(TestCase):
        databases = {"default"}  # noqa: RUF012 - Django's

        def test_it(self) -> None:
            for _ in range(2):
                backend.get_or_set("orders", lambda: len(orders("default")))

    result = Tried("test_it").run()
    assert result is not None
    assert result.wasSuccessful()
    assert report(backend).total == Counts(same=1)


def test_as_settings_say_it(configure: Callable[..., Any], tmp_path: Path) -> None:
    """A rate, a dict, or a `Verify`, whose own `unless` is asked as well."""
    barred = Verify(1.0, share=1.0, unless=lambda: True)
    given: list[Any] = [1, {"rate": 1.0, "log": str(tmp_path / "verify.jsonl"), "except_keys": ["x"]}, barred, 0, None]
    totals = []
    for number, one in enumerate(given):
        backend = configure(VERIFY=one, NAMESPACE=f"n{number}")
        for _ in range(2):
            backend.get_or_set(f"orders:{number}", lambda: 1)
        totals.append(report(backend).total)
    assert totals == [Counts(same=1), Counts(same=1), Counts(skipped=1), Counts(), Counts()]


@pytest.mark.parametrize("given", [2, "often", {"rate": 0.1, "surprise": 1}, {"limit": 5}, {"rate": 2}], ids=str)
def test_what_makes_no_sense(configure: Callable[..., Any], given: Any) -> None:
    """Says so, and which alias."""
    with pytest.raises((ImproperlyConfigured, ConfigurationError), match=r"verify|VERIFY"):
        _ = configure(VERIFY=given).core


class TestViews:
    """Responses that are kept: only where `views` says so, since their views run once more."""

    @pytest.fixture
    def verifying(self, configure: Callable[..., Any]) -> Iterator[Any]:
        """The site on a backend that verifies its views, too."""
        policy = {"rate": 1.0, "share": 1.0, "views": True}
        backend = configure(VERIFY=policy, RUNNER="threads", ON_EVENT=lambda event: None)  # an engine of its own
        with serving():
            yield backend

    def test_only_where_it_is_wanted(self, configure: Callable[..., Any]) -> None:
        """Else a hit runs no view."""
        backend = configure(VERIFY=1, ON_EVENT=lambda event: None)
        with serving():
            assert words(Client(), "/products/7/") == ["miss", "hit"]
        assert (report(backend).total, RUNS["/products/7/"]) == (Counts(), 1)

    def test_a_view_that_answers_the_same(self, verifying: Any) -> None:
        """Is verified in its request's own time, though there is a runner; its client gets what was kept."""
        answers = [Client().get("/all/rendered/") for _ in range(3)]
        assert [answer["X-Cache"] for answer in answers] == ["miss", "hit", "hit"]
        assert {answer.content for answer in answers} == {b"hello 1"}
        assert report(verifying).total == Counts(same=2)

    def test_a_view_that_answers_something_else(self, verifying: Any) -> None:
        """This one counts its runs: it never answers the same twice, and its client sees nothing of that."""
        bodies = [body(Client().get("/products/7/")) for _ in range(2)]
        assert bodies == ["/products/7/ 1"] * 2
        assert (report(verifying).total, RUNS["/products/7/"]) == (Counts(unrepeatable=1), 4)

    def test_what_could_not_be_kept_is_not_verified(self, verifying: Any) -> None:
        """It is not served from the cache either."""
        for _ in range(2):
            Client().get("/all/denied/")
        assert report(verifying).total == Counts()

    def test_each_user_s_own(self, verifying: Any) -> None:
        """The user is known in the second run as well."""
        browser = browser_of("ann")
        bodies = {body(browser.get("/history/")) for _ in range(2)}
        assert len(bodies) == 1
        assert report(verifying).total == Counts(unrepeatable=1)

    def test_not_inside_a_transaction(self, verifying: Any) -> None:
        """As all else."""
        Client().get("/products/7/")
        with transaction.atomic():
            assert Client().get("/products/7/")["X-Cache"] == "hit"
        assert RUNS["/products/7/"] == 1
        assert report(verifying).total == Counts()

    def test_asynchronous_views(self, verifying: Any) -> None:
        """The same."""
        runs: list[int] = []

        @cached_view(ttl=60, x_cache=True)
        async def view(request: HttpRequest) -> HttpResponse:
            runs.append(1)
            return HttpResponse("the same")

        async def main() -> list[str]:
            made = AsyncRequestFactory().get("/async/")
            made.user = AnonymousUser()
            found = [(await view(made))["X-Cache"] for _ in range(2)]
            await verifying.async_core.close()
            return found

        assert asyncio.run(main()) == ["miss", "hit"]
        assert (report(verifying).total, len(runs)) == (Counts(same=1), 2)


def test_it_is_one_cache_for_all_threads(backend: Any) -> None:
    """Django makes a backend for each; what they find is one."""
    from threading import Thread

    backend.get_or_set("orders", lambda: 1)
    thread = Thread(target=lambda: caches["default"].get_or_set("orders", lambda: 1))
    thread.start()
    thread.join()
    assert report(backend).total == Counts(same=1)
