"""What transactions ask of the outbox, an app that a project may have installed. The app puts itself in here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from unstale.contrib.django.backend.engine import Engine
from unstale.contrib.django.transactions.owed import Owed, Row
from unstale.core.closing import Closing

OUTBOX_APP: Final = "unstale.contrib.django.outbox"
SAME: Final = "*"
"""OUTBOX = True: in the database whose transaction it is."""


class Outbox(Protocol):
    """The outbox's own verbs: see `outbox.rows`."""

    def write_with(
        self,
        connection: Any,
        engine: Engine,
        owed: Owed,
        names: tuple[str, ...],
        *,
        soft: bool,
        closing: Closing | None,
    ) -> None:
        """Write a row in a connection's open transaction."""

    def keep(self, engine: Engine, names: tuple[str, ...], using: str, *, soft: bool, owner: str = "") -> bool:
        """Write a row that is committed at once; whether it is there."""

    def takes_over(self, engine: Engine, owed: Owed, using: str) -> bool:
        """Whether the outbox has what is owed, after a COMMIT of this database."""

    def forget(self, rows: Iterable[Row]) -> None:
        """Remove rows whose invalidations have taken effect."""


_installed: list[Outbox] = []


def install(outbox: Outbox) -> None:
    """Be the outbox of this process."""
    _installed[:] = [outbox]


def outbox_of(engine: Engine) -> Outbox | None:
    """The outbox that a cache is to use; None where its options name none.

    Raises:
        ImproperlyConfigured: they do, and the app is not installed, or there is no such database.
    """
    named = engine.options.outbox
    if not named:
        return None
    if named != SAME and named not in settings.DATABASES:
        raise ImproperlyConfigured(
            f"OPTIONS['OUTBOX'] names the database {named!r}, which is not in DATABASES: "
            f"{', '.join(settings.DATABASES)}. True is the one whose transaction it is."
        )
    if not _installed or not apps.is_installed(OUTBOX_APP):
        raise ImproperlyConfigured(
            f"OPTIONS['OUTBOX'] needs its app: add {OUTBOX_APP!r} to INSTALLED_APPS, and run manage.py migrate."
        )
    return _installed[0]
