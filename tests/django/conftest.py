"""Django for all tests in this folder: settings once for the process, real databases, the backend on real servers.

Shared by all: settings cannot be configured twice. Apps with models for tests are folders named `…_app` in here; each
is installed, and its tables are made in every database. pytest-django is switched off (pyproject.toml): these tests
commit for real. Servers and stores come from tests/conftest.py.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import psycopg
import pytest
from django.conf import settings
from django.core.cache import caches
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from servers import Server

from unstale.contrib.django.backend import engine

HERE = Path(__file__).parent
FOLDER = tempfile.TemporaryDirectory(prefix="unstale-django-")
POSTGRES = {"host": "127.0.0.1", "port": 5432, "user": "postgres"}
POSTGRES_NAME = f"unstale_{os.getpid()}_{secrets.token_hex(4)}"
OPTIONAL_APPS = ("unstale.contrib.django.outbox",)
APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rest_framework",
    "rest_framework.authtoken",
    "unstale.contrib.django",
    *(name for name in OPTIONAL_APPS if (HERE.parent.parent / "src" / Path(*name.split(".")) / "apps.py").exists()),
    *sorted(path.name for path in HERE.glob("*_app") if path.is_dir()),
]


def sqlite(name: str) -> dict[str, Any]:
    """A SQLite database in a file: threads and processes see what is committed, and only that."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(FOLDER.name, f"{name}.sqlite3")),
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }


def postgres(**options: Any) -> dict[str, Any]:
    """The tests' own PostgreSQL database; the fixture `postgres` makes it when it is first wanted."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": POSTGRES_NAME,
        "HOST": POSTGRES["host"],
        "PORT": POSTGRES["port"],
        "USER": POSTGRES["user"],
        "OPTIONS": options,
    }


if not settings.configured:
    settings.configure(
        SECRET_KEY="the-tests-have-a-key-of-fifty-characters-0123456789",
        DEBUG=False,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        USE_I18N=True,
        LANGUAGES=[("en", "English"), ("de", "German")],
        ROOT_URLCONF="django.contrib.auth.urls",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=APPS,
        MIDDLEWARE=[],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        DATABASES={
            "default": sqlite("default"),
            "other": sqlite("other"),
            "postgres": postgres(),
            "snapshot": postgres(isolation_level=psycopg.IsolationLevel.REPEATABLE_READ),
        },
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    )
    django.setup()


def migrate(alias: str) -> None:
    """Make all tables in a database, those of apps without migrations too."""
    call_command("migrate", database=alias, run_syncdb=True, verbosity=0)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """After the last test in here: the engines, which are the process's, let go of their connections.

    Other tests count those of the servers that they share with these.
    """
    if nextitem is None or HERE not in nextitem.path.parents:
        for one in list(engine._engines.values()):
            one.close()
        engine._engines.clear()


@pytest.fixture(scope="session")
def databases() -> Iterator[None]:
    """Both SQLite databases, with their tables."""
    migrate("default")
    migrate("other")
    yield
    connections.close_all()


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """The alias of a PostgreSQL database of the tests' own; `snapshot` is the same one at REPEATABLE READ."""
    try:
        admin = psycopg.connect(**POSTGRES, dbname="postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL is not there, which CI needs: {error}")
        pytest.skip(f"PostgreSQL is not there: {error}")
    admin.execute(f'CREATE DATABASE "{POSTGRES_NAME}"')
    try:
        migrate("postgres")
        yield "postgres"
    finally:
        connections.close_all()
        admin.execute(f'DROP DATABASE "{POSTGRES_NAME}" WITH (FORCE)')
        admin.close()


@pytest.fixture
def configure(server: Server, databases: None) -> Iterator[Callable[..., Any]]:
    """Set CACHES to our backend on the test's server, and give the backend: `configure(TAG_PATTERNS=[…])`."""
    overrides = []

    def with_options(alias: str = "default", params: dict[str, Any] | None = None, **options: Any) -> Any:
        one = {
            "BACKEND": "unstale.contrib.django.UnstaleCache",
            "LOCATION": server.url,
            "OPTIONS": options,
            **(params or {}),
        }
        override = override_settings(CACHES={**settings.CACHES, alias: one})
        override.enable()
        overrides.append(override)
        return caches[alias]

    yield with_options
    for override in reversed(overrides):
        override.disable()


@pytest.fixture
def backend(configure: Callable[..., Any]) -> Any:
    """The backend on the test's server, with one declared pattern."""
    return configure(TAG_PATTERNS=["user:{id}:*"], SOCKET_TIMEOUT=5)
