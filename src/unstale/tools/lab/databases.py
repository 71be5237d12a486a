"""The application's database: a new one for each variant, so that all begin with the same rows.

SQLite: a file in the variant's folder. PostgreSQL: a database beside the one that was named, made and dropped here;
in the named one nothing is read or written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from unstale.tools.lab.errors import LabError
from unstale.tools.lab.plan import Plan


@contextmanager
def database(url: str | None, scratch: Path) -> Iterator[str]:
    """A new database's URL, as `SHOP_DATABASE` has it. It is gone afterwards.

    Args:
        url: of PostgreSQL: postgres://user:password@host:port/name; None: SQLite.
        scratch: the variant's folder.

    Raises:
        LabError: it cannot be made. The message has no password.
    """
    if url is None:
        yield f"sqlite://{scratch / 'shop.db'}"
        return
    name = f"unstale_lab_{os.urandom(4).hex()}"
    with _asking(url) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with _asking(url) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def check_database(plan: Plan, url: str | None) -> None:
    """See, before anything is started, that databases can be made there.

    Raises:
        LabError: there is none, it cannot be reached, or its user may make none; or it is not what the plan has.
    """
    if plan.database == "PostgreSQL" and url is None:
        raise LabError("That run was on PostgreSQL. Name it again, with --database: no password is kept.")
    if plan.database == "SQLite" and url is not None:
        raise LabError("That run was on SQLite. Resume it without --database.")
    if url is None:
        return
    with _asking(url) as connection:
        may = connection.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if not may or not may[0]:
        raise LabError("The user of --database may not make databases, and each step needs a new one: grant CREATEDB.")


@contextmanager
def _asking(url: str) -> Iterator[Any]:
    """A connection to PostgreSQL, in autocommit."""
    if not url.startswith(("postgres://", "postgresql://")):
        raise LabError("--database is postgres://user:password@host:port/name. Leave it out for SQLite.")
    try:
        import psycopg  # noqa: PLC0415 - only where PostgreSQL is named
    except ImportError as error:
        raise LabError("--database needs psycopg: pip install 'psycopg[binary]'") from error
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname}:{parts.port or 5432}"
    except ValueError:  # not chained: it quotes a part of the URL, and with it of the password
        raise LabError(
            "--database cannot be read. Write it as postgres://user:password@host:port/name, with %-signs for special "
            "characters in the password (%2F for a slash)."
        ) from None
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            yield connection
    except psycopg.Error as error:
        raise LabError(f"PostgreSQL at {where} refused: {type(error).__name__}.") from error
