"""A project's own tests: the fixture `invalidated` under pytest-django, `capture_invalidations` in Django's test cases.

Each is a real run of pytest, or of `manage.py test`, in a project of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from test_relay import child_environment

SETTINGS = """
SECRET_KEY = "the-tests-have-a-key-of-fifty-characters-0123456789"
USE_TZ = True
INSTALLED_APPS = ["unstale.contrib.django", "ledger_app"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SILENCED_SYSTEM_CHECKS = ["unstale.W003"]
CACHES = {
    "default": {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": "memory://",
        "KEY_PREFIX": "shop:one",
        "OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"]},
    }
}
"""

WITH_PYTEST = """
import pytest
from django.core.cache import cache
from django.db import transaction


def test_at_once(invalidated):
    assert invalidated.tags == set()
    cache.invalidate("user:42/orders", "user:43")
    assert invalidated.tags == {"user:42/orders", "user:43"}
    assert invalidated.whole == ["shop%3Aone:1:user:42/orders", "shop%3Aone:1:user:43"]


def test_what_contains_it(invalidated):
    cache.invalidate("user:42/orders")
    assert "user:42/orders" in invalidated
    assert "user:42/orders/page" in invalidated
    assert "user:42" not in invalidated
    assert "user:4" not in invalidated


def test_everything(invalidated):
    cache.clear()
    assert invalidated.tags == {"*"}
    assert "user:42" in invalidated


def test_a_declared_pattern(invalidated):
    cache.delete_pattern("user:42:*")
    assert invalidated.tags == {"user:42"}


def test_softly(invalidated):
    cache.invalidate("user:42", soft=True)
    assert invalidated.tags == {"user:42"}


def test_another_test_s_is_not_seen(invalidated):
    assert invalidated.tags == set()
    assert repr(invalidated) == "<Invalidations []>"


@pytest.mark.django_db
def test_in_a_block_inside_the_test_s_own(invalidated):
    with transaction.atomic():
        cache.invalidate("user:42")
        assert invalidated.tags == set()
    assert invalidated.tags == {"user:42"}


@pytest.mark.django_db
def test_a_rollback(invalidated):
    with transaction.atomic():
        cache.invalidate("user:42")
        transaction.set_rollback(True)
    assert invalidated.tags == set()


@pytest.mark.django_db(transaction=True)
def test_a_real_commit(invalidated):
    with transaction.atomic():
        cache.invalidate("user:42")
        assert invalidated.tags == set()
    assert invalidated.tags == {"user:42"}


async def _ainvalidate():
    await cache.ainvalidate("user:42")


def test_asynchronous_code(invalidated):
    from asgiref.sync import async_to_sync

    async_to_sync(_ainvalidate)()
    assert invalidated.tags == {"user:42"}


@pytest.mark.xfail(raises=AssertionError, strict=True)
def test_it_can_fail(invalidated):
    cache.invalidate("user:42")
    assert invalidated.tags == {"user:43"}
"""

WITH_TESTCASE = """
from django.core.cache import cache
from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from ledger_app.models import Order
from unstale.contrib.django import invalidates
from unstale.contrib.django.testing import capture_invalidations

invalidates(Order, "user:{user_id}", above=None)


class InATestCase(TestCase):
    def setUp(self):
        cache.invalidate("before")

    def test_a_block(self):
        with capture_invalidations() as invalidated:
            with transaction.atomic():
                cache.invalidate("user:42")
                self.assertEqual(invalidated.tags, set())
        self.assertEqual(invalidated.tags, {"user:42"})

    def test_what_ends_right_before_the_block_s_end(self):
        with capture_invalidations() as invalidated, transaction.atomic():
            cache.invalidate("user:42")
        self.assertEqual(invalidated.tags, {"user:42"})

    def test_what_was_due_before_is_not_of_it(self):
        with transaction.atomic():
            cache.invalidate("user:41")
        with capture_invalidations() as invalidated:
            pass
        self.assertEqual(invalidated.tags, set())

    def test_a_registered_model(self):
        with capture_invalidations() as invalidated:
            Order.objects.create(user_id=42)
        self.assertEqual(invalidated.tags, {"user:42"})

    def test_a_rollback(self):
        with capture_invalidations() as invalidated, transaction.atomic():
            cache.invalidate("user:42")
            transaction.set_rollback(True)
        self.assertEqual(invalidated.tags, set())

    def test_after_the_block_nothing_is_heard(self):
        with capture_invalidations() as invalidated:
            cache.invalidate("user:42")
        cache.invalidate("user:43")
        self.assertEqual(invalidated.tags, {"user:42"})


class WithRealCommits(TransactionTestCase):
    def test_a_block(self):
        with capture_invalidations() as invalidated:
            Order.objects.create(user_id=42)
        self.assertEqual(invalidated.tags, {"user:42"})


class WithoutADatabase(SimpleTestCase):
    def test_at_once(self):
        with capture_invalidations() as invalidated:
            cache.invalidate("user:42")
        self.assertIn("user:42", invalidated)


class WithoutPytest(SimpleTestCase):
    def test_pytest_is_not_needed(self):
        import sys

        self.assertNotIn("pytest", sys.modules)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with settings and tests."""
    (tmp_path / "own_settings.py").write_text(SETTINGS)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["unstale.contrib.django.fixtures"]\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = own_settings\nfilterwarnings = error\n")
    return tmp_path


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the project's folder."""
    environment = child_environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(project), environment["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, *command],
        env=environment,
        cwd=project,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_fixture_under_pytest_django(project: Path) -> None:
    """All of the project's tests do what they say, the one that must fail too."""
    (project / "test_own.py").write_text(textwrap.dedent(WITH_PYTEST))
    done = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_own.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed, 1 xfailed" in done.stdout


def test_what_a_failing_assertion_shows(project: Path) -> None:
    """The tags, so that one need not look further."""
    (project / "test_own.py").write_text(
        "from django.core.cache import cache\n\n\n"
        "def test_it(invalidated):\n"
        "    cache.invalidate('user:42')\n"
        "    assert 'user:43' in invalidated\n"
    )
    done = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_own.py")
    assert done.returncode == 1
    assert "<Invalidations ['user:42']>" in done.stdout


def test_in_django_s_test_cases(project: Path) -> None:
    """`manage.py test`, without pytest."""
    (project / "tests.py").write_text(textwrap.dedent(WITH_TESTCASE))
    done = run(project, "-W", "error", "-m", "django", "test", "--settings", "own_settings", "-v", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 9 tests" in done.stderr
