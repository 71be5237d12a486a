"""A PostgreSQL database that a tool makes beside the one that is named to it, and drops. In that one nothing is done.

No message has a password. What is refused is raised as the tool's own error, which each call is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from unstale.errors import UnstaleError

Refused: TypeAlias = type[UnstaleError]
"""What is raised where it cannot be done."""


@contextmanager
def database_beside(url: str, prefix: str, refused: Refused) -> Iterator[str]:
    """A new database's URL. It is gone afterwards.

    Args:
        url: postgres://user:password@host:port/name.
        prefix: of the new one's name.
        refused: raised where it cannot be made.
    """
    name = f"{prefix}{os.urandom(4).hex()}"
    with _asking(url, refused) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with _asking(url, refused) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def check_that_databases_can_be_made(url: str, each: str, refused: Refused) -> None:
    """See it before anything is started.

    Args:
        url: as above.
        each: what needs a new one, for the message.
        refused: raised where it cannot be reached, or its user may make none.
    """
    with _asking(url, refused) as connection:
        may = connection.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if not may or not may[0]:
        needs = f"each {each} needs a new one"
        raise refused(f"The user of --database may not make databases, and {needs}: grant CREATEDB.")


def connect(url: str, refused: Refused) -> Any:
    """A connection in autocommit; `refused` is raised where psycopg is not installed, and its errors elsewhere."""
    return _driver(refused).connect(url, autocommit=True, connect_timeout=5)


def _driver(refused: Refused) -> Any:
    try:
        import psycopg  # noqa: PLC0415 - only where PostgreSQL is named
    except ImportError as error:
        raise refused("--database needs psycopg: pip install 'psycopg[binary]'") from error
    return psycopg


@contextmanager
def _asking(url: str, refused: Refused) -> Iterator[Any]:
    """A connection to the database that is named."""
    if not url.startswith(("postgres://", "postgresql://")):
        raise refused("--database is postgres://user:password@host:port/name. Leave it out for SQLite.")
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname}:{parts.port or 5432}"
    except ValueError:  # not chained: it quotes a part of the URL, and with it of the password
        raise refused(
            "--database cannot be read. Write it as postgres://user:password@host:port/name, with %-signs for special "
            "characters in the password (%2F for a slash)."
        ) from None
    try:
        with connect(url, refused) as connection:
            yield connection
    except _driver(refused).Error as error:
        raise refused(f"PostgreSQL at {where} refused: {type(error).__name__}.") from error
