"""Carrying out what the outbox still holds: bump first, then remove the row. No row is passed over.

There is no cursor: a transaction that commits late leaves a row with a lower id than rows that are done, and a cursor
would skip it. Relays may run side by side: where the database can (SKIP LOCKED) each takes rows that no other holds;
elsewhere two may do the same row, which is harmless.

A row younger than `grace` seconds is left for later: its own process is most likely about to do it, and would wait for
the relay's lock to remove it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction
from django.db.models import Count, DurationField, ExpressionWrapper, F, Min
from django.db.models.functions import Now

from unstale.contrib.django.aliases import engines
from unstale.contrib.django.backend.engine import Engine
from unstale.contrib.django.outbox.models import Invalidation
from unstale.contrib.django.transactions.outbox_port import SAME, outbox_of
from unstale.contrib.django.transactions.owed import Owed
from unstale.core.closing import Closing
from unstale.errors import StoreError, UnstaleError

BATCH: Final = 500
GRACE_SECONDS: Final = 2.0

logger = logging.getLogger("unstale")


@dataclass(slots=True)
class Report:
    """What one round has done.

    Attributes:
        done: rows whose invalidations have taken effect.
        kept: rows that were tried in vain, or belong to no cache of CACHES, by the reason; all of them stay.
    """

    done: int = 0
    kept: dict[str, int] = field(default_factory=dict)

    def keep(self, reason: str, rows: int) -> None:
        """Count rows that stay."""
        self.kept[reason] = self.kept.get(reason, 0) + rows


def relay(
    using: str = DEFAULT_DB_ALIAS,
    *,
    batch: int = BATCH,
    grace: float = GRACE_SECONDS,
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Go once through one database's outbox.

    Args:
        using: the database's alias.
        batch: rows that are taken, bumped and removed together.
        grace: seconds that a row is left to its own process.
        stop: asked between batches.

    Returns:
        What was done. That a cache's server is away is no error: its rows stay, and say so.

    Raises:
        django.db.Error: the database failed. Rows whose invalidations had taken effect may still be there.
    """
    report, known = Report(), engines()
    for alias, engine in known.items():
        last = 0
        while not stop():
            with _transaction(using):
                rows = _take(using, alias, last, batch, grace)
                if not rows:
                    break
                failed = _carry_out(engine, rows)
                _note(using, rows, failed, report)
            last = rows[-1].pk
            if isinstance(failed.get(last), StoreError):  # the server is away: the rest would fare no better
                break
    strangers = Invalidation.objects.using(using).exclude(cache__in=known).count()
    if strangers:
        report.keep("no such cache in CACHES", strangers)
    return report


def _can_lock(using: str) -> bool:
    features = connections[using].features
    return bool(features.has_select_for_update_skip_locked and features.supports_select_for_update_with_limit)


def _transaction(using: str) -> AbstractContextManager[Any]:
    """Where rows are locked, they are until they are removed. SQLite locks whole databases: there nothing is held."""
    made: AbstractContextManager[Any] = transaction.atomic(using=using) if _can_lock(using) else nullcontext()
    return made


def _take(using: str, alias: str, last: int, batch: int, grace: float) -> list[Invalidation]:
    """The next rows of this round."""
    rows = Invalidation.objects.using(using).filter(cache=alias, pk__gt=last)
    if grace > 0:
        rows = rows.filter(created_at__lte=Now() - timedelta(seconds=grace))
    if _can_lock(using):
        rows = rows.select_for_update(skip_locked=True)
    return list(rows.order_by("pk")[:batch])


def _carry_out(engine: Engine, rows: Sequence[Invalidation]) -> dict[int, UnstaleError]:
    """Let rows take effect, all in one trip if that works; what went wrong, by row."""
    try:
        _owed(rows).carry_out(engine)
    except StoreError as error:
        return {row.pk: error for row in rows}
    except UnstaleError:  # a row that is none of ours must not keep the others from being done
        return dict(_one_by_one(engine, rows))
    return {}


def _one_by_one(engine: Engine, rows: Sequence[Invalidation]) -> Iterator[tuple[int, UnstaleError]]:
    for row in rows:
        try:
            _owed([row]).carry_out(engine)
        except UnstaleError as error:
            yield row.pk, error


def _owed(rows: Sequence[Invalidation]) -> Owed:
    owed = Owed()
    for row in rows:
        if row.owner:
            owed.closings.append(Closing(tuple(row.tags), row.owner))
        else:
            (owed.soft if row.soft else owed.hard).update(row.tags)
    return owed


def _note(using: str, rows: Sequence[Invalidation], failed: dict[int, UnstaleError], report: Report) -> None:
    """Remove what has taken effect; say of the rest why it has not."""
    manager = Invalidation.objects.using(using)
    done = [row.pk for row in rows if row.pk not in failed]
    if done:
        manager.filter(pk__in=done).delete()
        report.done += len(done)
    kinds = {type(error).__name__ for error in failed.values()}
    for kind in kinds:
        keys = [key for key, error in failed.items() if type(error).__name__ == kind]
        manager.filter(pk__in=keys).update(attempts=F("attempts") + 1, last_error=kind)
        report.keep(kind, len(keys))


def depth_and_age(using: str = DEFAULT_DB_ALIAS) -> tuple[int, float]:
    """How many rows wait, and for how many seconds the oldest has, by the database's clock; (0, 0.0) for none."""
    age = ExpressionWrapper(Now() - Min("created_at"), output_field=DurationField())
    found = Invalidation.objects.using(using).aggregate(depth=Count("pk"), age=age)
    return found["depth"], max(found["age"].total_seconds(), 0.0) if found["depth"] else 0.0


class NoTableError(UnstaleError):
    """The outbox has no table. Run manage.py migrate."""


def outboxes() -> list[str]:
    """The databases that hold an outbox of this project, as CACHES, DATABASE_ROUTERS and their tables say.

    Raises:
        NoTableError: a database that OUTBOX names has no table for it; or with OUTBOX = True, none has.
        ImproperlyConfigured: OUTBOX names what is not there.
    """
    known = [engine for engine in engines().values() if outbox_of(engine) is not None]
    named = {engine.options.outbox for engine in known} - {SAME}
    check_tables(named)
    if any(engine.options.outbox == SAME for engine in known):
        routed = {alias for alias in settings.DATABASES if router.allow_migrate_model(alias, Invalidation)}
        named |= set(filter(_has_table, routed))
        if not named:
            check_tables(routed)
    return sorted(named)


def check_tables(databases: Iterable[str]) -> None:
    """Raise NoTableError if one of these has no table for an outbox, ConnectionDoesNotExist if there is none such."""
    lacking = sorted(using for using in databases if not _has_table(using))
    if lacking:
        raise NoTableError(
            f"The outbox has no table in the database {', '.join(map(repr, lacking))}: run manage.py migrate."
        )


def _has_table(using: str) -> bool:
    return Invalidation._meta.db_table in connections[using].introspection.table_names()  # noqa: SLF001 - Django's documented API
