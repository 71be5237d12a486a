"""Functions that are cached in both processes. Each result says which process made it."""

import functools
import os
import time
import uuid
from pathlib import Path

from unstale.contrib.django import cached

DEADLINE_SECONDS = 60.0


def gate(name: str) -> None:
    """Say that a load has begun, and wait until the test lets it go on; only where a test has shut the gate."""
    folder = Path(os.environ.get("WORKER_GATES", "/nonexistent"))
    if not (folder / f"{name}.shut").exists():
        return
    (folder / f"{name}.began").touch()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (folder / f"{name}.open").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


@cached("orders:{user_id}", tags=["user:{user_id}/orders"], ttl=300, stale_ttl=300)
def orders(user_id: int) -> dict[str, object]:
    """Which process loaded it, and for whom."""
    gate(f"orders-{user_id}")
    return {"user": user_id, "pid": os.getpid(), "load": uuid.uuid4().hex}


@cached("invoice:{number}", tags=["invoices"], ttl=300, stale_ttl=300)
def invoice(number: uuid.UUID) -> tuple[uuid.UUID, int]:
    """With an argument that JSON does not know."""
    return number, os.getpid()


@cached("fails:{name}", tags=["fails"], ttl=300, stale_ttl=300)
def fails_elsewhere(name: str) -> str:
    """Loads only in the tests' process."""
    if os.environ.get("WORKER_GATES"):
        raise OSError(name)
    return name


def counted(function):
    """A decorator above `cached`."""

    @functools.wraps(function)
    def wrapper(*arguments, **named):
        return function(*arguments, **named)

    return wrapper


@counted
@cached("wrapped:{name}", tags=["wrapped"], ttl=300, stale_ttl=300)
def wrapped(name: str) -> int:
    """Found below another decorator."""
    return os.getpid()


class Shop:
    """A method's object cannot travel; a static method has none."""

    @cached("shop:{name}", tags=["shops"], ttl=300, stale_ttl=300, ignore=["self"])
    def method(self, name: str) -> int:
        """Bound to an object."""
        return os.getpid()

    @staticmethod
    @cached("static-shop:{name}", tags=["shops"], ttl=300, stale_ttl=300)
    def static(name: str) -> int:
        """Bound to none."""
        return os.getpid()


def plain(name: str) -> str:
    """Not decorated: no job may call it."""
    raise AssertionError(name)
