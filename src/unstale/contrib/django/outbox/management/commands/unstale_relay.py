"""`manage.py unstale_relay`: carries out what the outbox still holds, until it is told to end, or `--once`.

With the cache's server or the database away it waits, says so, and loses nothing: it is back within seconds after them,
since nothing that is owed takes effect before. Run as many as you like. SIGTERM and SIGINT end it between two batches.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, close_old_connections
from django.utils.connection import ConnectionDoesNotExist

from unstale import errors
from unstale.contrib.django.outbox import relay as relaying

MAX_WAIT_SECONDS: Final = 3.0
"""A round in vain is a query and one try at the server: cheap beside what is stale meanwhile."""
SAY_SECONDS: Final = 30.0
"""How often the same trouble is told."""


class _EndedError(BaseException):
    """A signal came while the relay slept."""


class Command(BaseCommand):
    """Carry out what the outbox holds."""

    help = "Carry out the invalidations that the outbox still holds."

    _is_ended = False
    _sleeps = False

    def add_arguments(self, parser: CommandParser) -> None:
        """What can be told."""
        parser.add_argument("--once", action="store_true", help="one round; exit status 1 if rows were tried in vain")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between rounds (default: 1)")
        parser.add_argument("--batch", type=int, default=relaying.BATCH, help="rows taken together (default: 500)")
        parser.add_argument(
            "--grace",
            type=float,
            default=relaying.GRACE_SECONDS,
            help="seconds that a row is left to the process that wrote it (default: 2)",
        )
        parser.add_argument(
            "--database", action="append", help="alias; may be given again (default: all with an outbox)"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Do it."""
        if options["batch"] < 1 or options["interval"] <= 0 or options["grace"] < 0:
            raise CommandError("--batch and --interval must be above zero, --grace not below.")
        if options["once"]:
            try:
                kept = self._round(options)
            except (relaying.NoTableError, ConnectionDoesNotExist, ImproperlyConfigured) as error:
                raise CommandError(str(error)) from error
            if kept:
                raise CommandError(f"rows stay in the outbox: {_shown(kept)}")
            return
        self._listen()
        with suppress(_EndedError):
            self._loop(options)
        self.stdout.write("ended")

    def _loop(self, options: dict[str, Any]) -> None:
        wait, told, tell_at = options["interval"], "", 0.0
        while not self._is_ended:
            kept, said = {}, ""
            try:
                kept = self._round(options)
            except relaying.NoTableError as error:
                said = str(error)
            except Error as error:
                said = f"the database failed: {type(error).__name__}"
            if kept:
                said = f"rows stay in the outbox: {_shown(kept)}"
            if said and (said != told or time.monotonic() >= tell_at):
                self.stderr.write(f"waiting, {said}")
                tell_at = time.monotonic() + SAY_SECONDS
            told = said
            close_old_connections()
            self._sleep(wait)
            wait = min(wait * 2, max(MAX_WAIT_SECONDS, options["interval"])) if said else options["interval"]

    def _round(self, options: dict[str, Any]) -> dict[str, int]:
        """One round through all databases; what stays."""
        kept: dict[str, int] = {}
        relaying.check_tables(options["database"] or ())
        databases = options["database"] or relaying.outboxes()
        if not databases:
            self.stderr.write("No cache in CACHES has OPTIONS['OUTBOX']: there is nothing to relay.")
        for using in databases:
            report = relaying.relay(using, batch=options["batch"], grace=options["grace"], stop=lambda: self._is_ended)
            if report.done:
                self.stdout.write(f"{using}: {report.done} done")
            for reason, rows in report.kept.items():
                kept[reason] = kept.get(reason, 0) + rows
        return kept

    def _listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._is_ended = True
        if self._sleeps:
            raise _EndedError

    def _sleep(self, seconds: float) -> None:
        self._sleeps = True
        if not self._is_ended:  # asked after `_sleeps` is set: a signal in between raises
            time.sleep(seconds)
        self._sleeps = False


def _shown(kept: dict[str, int]) -> str:
    """How many rows stay, and why."""
    return "; ".join(f"{rows}: {_reason(kind)}" for kind, rows in kept.items())


def _reason(kind: str) -> str:
    """An error of ours says in its first sentence what it is."""
    found = getattr(errors, kind, None)
    return f"{found.__doc__.partition('. ')[0].rstrip('.')} ({kind})" if found and found.__doc__ else kind
