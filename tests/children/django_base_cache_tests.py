"""Django's own `BaseCacheTests`, from its source distribution, on our backend: no test is overridden.

    python django_base_cache_tests.py DIRECTORY LOCATION

DIRECTORY holds Django's `tests/cache` as `cache`. Prints one JSON object: each test's outcome.
"""

from __future__ import annotations

import json
import sys
import unittest

import django
from django.conf import settings


def configure(location: str) -> None:
    """The settings of Django's own test runner, as far as these tests need them, with our backend."""
    backend = {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": location}
    settings.configure(
        SECRET_KEY="django_tests_secret_key",
        USE_TZ=False,
        INSTALLED_APPS=["django.contrib.contenttypes", "cache"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        CACHES={"default": backend},
    )
    django.setup()


class Outcomes(unittest.TestResult):
    """Each test's outcome, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, str] = {}

    def _note(self, test: unittest.TestCase, outcome: str) -> None:
        self.by_name[test.id().rpartition(".")[2]] = outcome

    def addSuccess(self, test):  # noqa: N802 - unittest's names
        self._note(test, "passed")

    def addSkip(self, test, reason):  # noqa: N802
        self._note(test, f"skipped: {reason}")

    def addFailure(self, test, err):  # noqa: N802
        self._note(test, f"failed: {self._exc_info_to_string(err, test)}")

    def addError(self, test, err):  # noqa: N802
        self._note(test, f"error: {self._exc_info_to_string(err, test)}")

    def addSubTest(self, test, subtest, err):  # noqa: N802
        if err is not None:
            self._note(test, f"failed: {self._exc_info_to_string(err, test)}")


def main() -> None:
    """Run them."""
    directory, location = sys.argv[1:]
    sys.path.insert(0, directory)
    configure(location)
    from cache.tests import BaseCacheTests, caches_setting_for_tests
    from django.test import TestCase, override_settings
    from django.test.utils import get_runner, setup_test_environment

    base = dict(settings.CACHES["default"])

    @override_settings(CACHES=caches_setting_for_tests(base=base, exclude={"cull", "zero_cull"}))
    class UnstaleCacheTests(BaseCacheTests, TestCase):
        """All of Django's, as they are."""

    setup_test_environment()
    runner = get_runner(settings)(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    outcomes = Outcomes()
    unittest.defaultTestLoader.loadTestsFromTestCase(UnstaleCacheTests).run(outcomes)
    runner.teardown_databases(databases)
    sys.stdout.write(json.dumps(outcomes.by_name))


if __name__ == "__main__":
    main()
