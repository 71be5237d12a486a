"""The application's database: a new one for each variant, so that all begin with the same rows.

SQLite: a file in the variant's folder. PostgreSQL: a database beside the one that was named, made and dropped here;
in the named one nothing is read or written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from unstale.tools.lab.errors import LabError
from unstale.tools.lab.plan import Plan
from unstale.tools.postgres import check_that_databases_can_be_made, database_beside

PREFIX: Final = "unstale_lab_"


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
    with database_beside(url, PREFIX, LabError) as made:
        yield made


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
    check_that_databases_can_be_made(url, "step", LabError)
