"""Projects' own tests: inside `TestCase` invalidation works as outside, though its hooks never run there."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from ledger_app.models import Order
from servers import Server

from unstale import remembering
from unstale.contrib.django import transactions
from unstale.contrib.django.testing import capture_invalidations


class RolledBackError(Exception):
    """Ends a block with a rollback."""


class OfAProject(TestCase):
    """What projects write. Not collected: it is run by the tests below, on a configured cache."""

    __test__ = False

    def setUp(self) -> None:
        cache.set("user:42:page", "old")

    def test_without_a_block(self) -> None:
        """The wrapping block is no transaction of the project's."""
        cache.invalidate("user:42")
        assert cache.get("user:42:page") is None
        assert cache.get_or_set("user:42:page", lambda: "new") == "new"
        assert cache.get("user:42:page") == "new"

    def test_a_block(self) -> None:
        """It has taken effect when the block has ended."""
        with transaction.atomic():
            Order.objects.create(user_id=42)
            cache.invalidate("user:42")
            assert cache.get("user:42:page") is None
            assert not cache.set("user:42:page", "uncommitted")
        assert cache.get_or_set("user:43:page", Order.objects.count) == 1
        assert cache.get_or_set("user:42:page", Order.objects.count) == 1
        assert cache.get("user:42:page") == 1

    def test_a_block_that_is_rolled_back(self) -> None:
        """Nothing happened."""
        with suppress(RolledBackError), transaction.atomic():
            cache.invalidate("user:42")
            raise RolledBackError
        assert cache.get("user:42:page") == "old"

    def test_blocks_in_blocks(self) -> None:
        """An inner one that is rolled back takes its own along."""
        cache.set("user:43:page", "old")
        with transaction.atomic():
            cache.invalidate("user:42")
            with suppress(RolledBackError), transaction.atomic():
                cache.invalidate("user:43")
                raise RolledBackError
            assert cache.get("user:43:page") == "old"
            assert cache.get("user:42:page") is None
        assert cache.get("user:42:page") is None
        assert cache.get("user:43:page") == "old"

    def test_two_blocks(self) -> None:
        """The second one is not the first one's transaction, which has ended."""
        with transaction.atomic():
            cache.invalidate("user:42")
        with transaction.atomic():
            assert cache.get_or_set("user:42:page", lambda: "new") == "new"
            assert cache.get("user:42:page") == "new"

    def test_a_second_block_that_is_rolled_back(self) -> None:
        """It does not take along what the first has done."""
        with transaction.atomic():
            cache.invalidate("user:42")
        with suppress(RolledBackError), transaction.atomic():
            raise RolledBackError
        assert cache.get("user:42:page") is None

    def test_exactly_once(self) -> None:
        """Once it has taken effect, neither a captured hook nor another verb does it again."""
        with capture_invalidations() as invalidated, self.captureOnCommitCallbacks(execute=True):
            with transaction.atomic():
                cache.invalidate("user:42")
            cache.get("user:42:page")
            cache.get("user:42:page")
        assert len(invalidated.whole) == 1

    def test_captured_hooks(self) -> None:
        """Those of the project's are counted and run as they were without us; ours is one of them."""
        ran = []
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            with transaction.atomic():
                transaction.on_commit(lambda: ran.append("first"))
                cache.get_or_set("user:7:page", lambda: "x")
            with transaction.atomic():
                cache.invalidate("user:42")
                transaction.on_commit(lambda: ran.append("second"))
        assert ran == ["first", "second"]
        assert len(callbacks) == 3
        assert not transactions.pending()

    def test_captured_inside_a_wider_capture(self) -> None:
        """A capture that begins after other hooks shows none of these."""
        transaction.on_commit(lambda: self.fail("not this one"))
        with self.captureOnCommitCallbacks(execute=True) as callbacks, transaction.atomic():
            cache.invalidate("user:42")
        assert len(callbacks) == 1
        assert cache.get("user:42:page") is None

    def test_what_was_invalidated(self) -> None:
        """A test may ask right after the block."""
        with capture_invalidations() as invalidated:
            with transaction.atomic():
                cache.invalidate("user:42")
            assert invalidated.tags == {"user:42"}

    def test_strict(self) -> None:
        """Closed tags open with the block."""
        with transaction.atomic():
            cache.invalidate("user:42", strict=True)
        assert cache.get_or_set("user:43:page", lambda: "new") == "new"
        assert cache.get_or_set("user:42:page", lambda: "new") == "new"
        assert cache.get("user:42:page") == "new"

    def test_a_query_count(self) -> None:
        """The cache asks the database nothing that a project's test would count."""
        with self.assertNumQueries(3), transaction.atomic():  # SAVEPOINT, SELECT, RELEASE
            cache.get_or_set("count", Order.objects.count)
            cache.invalidate("user:42")


class OfAProjectThatCommits(TransactionTestCase):
    """The same, where transactions are real."""

    __test__ = False
    available_apps = ["ledger_app", "unstale.contrib.django.outbox"]  # noqa: RUF012 - Django's own form

    def test_a_block(self) -> None:
        """It takes effect at COMMIT."""
        cache.set("user:42:page", "old")
        with transaction.atomic():
            cache.invalidate("user:42")
        assert not transactions.pending()
        assert cache.get("user:42:page") is None

    def test_a_rollback(self) -> None:
        """Nothing happened."""
        cache.set("user:42:page", "old")
        with suppress(RolledBackError), transaction.atomic():
            cache.invalidate("user:42")
            raise RolledBackError
        assert cache.get("user:42:page") == "old"


CASES = [
    pytest.param(outbox, kind, name, id=f"{kind.__name__}-{name}{'-outbox' if outbox else ''}")
    for outbox in (False, True)
    for kind in (OfAProject, OfAProjectThatCommits)
    for name in unittest.TestLoader().getTestCaseNames(kind)
    if not (outbox and name == "test_a_query_count")  # the outbox's row is a query, and is meant to be seen
]


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.mark.parametrize(("outbox", "kind", "name"), CASES)
def test_of_a_project(configure: Callable[..., Any], outbox: bool, kind: Any, name: str) -> None:
    """A project's own test passes, as Django's own runner runs it, without and with an outbox."""
    configure(TAG_PATTERNS=["user:{id}:*"], OUTBOX=outbox)
    result = unittest.TestResult()
    with remembering():
        unittest.TestSuite([kind(name)]).run(result)
    connection.close()
    assert result.testsRun == 1
    assert result.errors + result.failures == []
