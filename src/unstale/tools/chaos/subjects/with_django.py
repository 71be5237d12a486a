"""unstale in Django with its outbox, as a project has it: rows and outbox in one database, invalidation at COMMIT.

Django's settings are the process's, so a process can have one such subject. A relay runs beside (`relay`).
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, transaction

from unstale.events import Event, Invalidated
from unstale.tools.chaos.record import Effect
from unstale.tools.chaos.subject import Commit, Loader, Moment, Place, Value
from unstale.tools.chaos.subjects.naming import name_of, tag_of, tags_of, valued

DRAIN_SECONDS: Final = 60.0
"""How long the outbox may take to be empty, once all is healed."""
LOOK_SECONDS: Final = 0.05


class Heard(threading.local):
    """Whether this thread's invalidation has taken effect. What the outbox holds in its place tells no event."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.invalidated = False


heard = Heard()


def on_event(event: Event) -> None:
    """Hook: note that an invalidation took effect."""
    if isinstance(event, Invalidated):
        heard.invalidated = True


def configure(place: Place) -> None:
    """Set Django up for a place, once in a process, and see that its outbox has a table."""
    settings.configure(
        SECRET_KEY="a key of chaos itself: nothing that it signs outlives the run",  # noqa: S106 - as it says
        INSTALLED_APPS=["unstale.contrib.django", "unstale.contrib.django.outbox"],
        DATABASES={"default": database_settings(place.database)},
        CACHES={"default": cache_settings(place)},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    from unstale.contrib.django.outbox.models import Invalidation  # noqa: PLC0415 - settings come first

    with Path(place.scratch, "outbox.lock").open("w") as lock:  # the first process makes the table
        fcntl.flock(lock, fcntl.LOCK_EX)
        if Invalidation._meta.db_table not in connection.introspection.table_names():  # noqa: SLF001 - Django's documented API
            call_command("migrate", verbosity=0, interactive=False)


def cache_settings(place: Place) -> dict[str, Any]:
    """CACHES' default. Upper-case options of the phase are added to its OPTIONS."""
    own = {name: value for name, value in place.options.items() if name.isupper()}
    given = {"NAMESPACE": place.namespace, "OUTBOX": True, "IGNORE_EXCEPTIONS": True, "SOCKET_TIMEOUT": 0.3}
    return {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": place.url,
        "TIMEOUT": 300,
        "OPTIONS": {**given, **own, "ON_EVENT": on_event},
    }


def database_settings(url: str) -> dict[str, Any]:
    """DATABASES' default, of sqlite:///path or postgres://user:password@host:port/name."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        options = {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path, "OPTIONS": options}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": None,
    }


@contextmanager
def deferred() -> Iterator[None]:
    """On SQLite: transactions that begin here take no write lock, so that they keep nobody from writing."""
    one: Any = connection
    mode = getattr(one, "transaction_mode", None)
    if mode is None:
        yield
        return
    one.transaction_mode = "DEFERRED"
    try:
        yield
    finally:
        one.transaction_mode = mode


class WithOutbox:
    """`cache.get_or_set` with the row's tag; `cache.invalidate` in the transaction that writes the row."""

    beside: ClassVar[str] = "unstale.tools.chaos.subjects.relay"

    def __init__(self, place: Place) -> None:
        """Set Django up."""
        configure(place)
        self.place = place

    def read(self, key: int, row: int, load: Loader) -> Value:
        """See Subject."""
        return valued(cache.get_or_set(name_of(key, row), load, tags=tags_of(self.place, key, row)))

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        """See Subject. The moment comes before unstale's own hook, which stands first among those of the COMMIT."""
        with transaction.atomic():
            done = cache.invalidate(tag_of(row))
            with connection.cursor() as cursor:
                version = commit(cursor)
            heard.invalidated = isinstance(done, Invalidated)  # `Deferred`, until the COMMIT
            connection.run_on_commit.insert(0, (set(), partial(moment, "committed"), False))
        return Effect.EFFECTIVE if heard.invalidated else Effect.QUEUED, version

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        """A transaction that sees nothing younger than its first query; gives its cursor."""
        with deferred(), transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield cursor

    def settle(self) -> None:
        """See Subject: wait until the relay has emptied the outbox. Raises TimeoutError if that does not come."""
        from unstale.contrib.django.outbox import relay  # noqa: PLC0415 - settings come first

        deadline = time.monotonic() + DRAIN_SECONDS
        while relay.depth_and_age()[0]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"The outbox is not empty after {DRAIN_SECONDS:.0f} seconds.")
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """See Subject."""
        connection.close()
        cache.core.close()
