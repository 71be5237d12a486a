"""Processes that are killed between COMMIT and the bump, one for each user.

Argument: JSON with DATABASES, CACHES, `using`, `mode` and `users`. Each process writes an order of its user and dies by
SIGKILL at the very first step after COMMIT, before anything was sent to the cache's server. Prints how many died so.

Modes: "atomic", a block of the project's with a savepoint in it; "autocommit", a registered model's write without a
block; "strict", a block whose tags are closed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, NoReturn

import django
from django.conf import settings

given = json.loads(sys.argv[1])
settings.configure(
    SECRET_KEY=given["SECRET_KEY"],
    INSTALLED_APPS=["unstale.contrib.django.outbox", "ledger_app"],
    DATABASES=given["DATABASES"],
    CACHES=given["CACHES"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

from django.core.cache import cache  # noqa: E402 - settings come first
from django.db import connections, transaction  # noqa: E402
from ledger_app.models import Order  # noqa: E402

from unstale.contrib.django import invalidates  # noqa: E402
from unstale.contrib.django.transactions import waiting  # noqa: E402


def die(*_: object) -> NoReturn:
    """End here and now, as by the kernel's hand."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def write(user: int, using: str, mode: str) -> None:
    """Write an order of a user's, and invalidate what depends on it."""
    order = Order(user_id=user, total=1)
    if mode == "autocommit":
        order.save(using=using)
        return
    with transaction.atomic(using=using):
        order.save(using=using)
        with transaction.atomic(using=using):
            cache.invalidate(f"user:{user}", using=using, strict=mode == "strict")
        order.save(using=using)


def run(user: int) -> int:
    """In a child: write and die; the signal that ended it."""
    child = os.fork()
    if not child:
        waiting.carry_out = die  # type: ignore[assignment] # what `flush` calls, right after COMMIT
        write(user, given["using"], given["mode"])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


if given["mode"] == "autocommit":
    invalidates(Order, "user:{user_id}")
with transaction.atomic(using=given["using"]):  # what is imported at the first use is imported once, not in each child
    write(0, given["using"], given["mode"])
    transaction.set_rollback(True, using=given["using"])
cache.core.ping()
connections.close_all()
users: list[Any] = given["users"]
print(sum(run(user) == signal.SIGKILL for user in users))  # noqa: T201 - what the test reads
