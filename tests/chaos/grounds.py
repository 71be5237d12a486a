"""Where tests of chaos run: the kinds of servers and databases in turn, and a watcher who is told nothing."""

from __future__ import annotations

import os

import psycopg
import pytest

from unstale.tools.chaos.course import Tick
from unstale.tools.chaos.results import Outcome

POSTGRES = "postgres://postgres@127.0.0.1:5432/postgres"
"""Beside this database each phase makes its own."""
PROGRAMS = ("embedded", "redis-server")
DATABASES = ("sqlite", "postgresql")


def require_postgres() -> str:
    """The URL of PostgreSQL. Skip where there is none; in CI that is a failure."""
    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL is not there, which CI needs: {error}")
        pytest.skip(f"PostgreSQL is not there: {error}")
    return POSTGRES


def database_of(kind: str) -> str:
    """What a plan calls a database of this kind."""
    return require_postgres() if kind == "postgresql" else "sqlite"


class Unwatched:
    """A watcher whom it does not interest."""

    def begins(self, outcome: Outcome) -> None: ...

    def goes_on(self, what: str, tick: Tick | None = None) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...
