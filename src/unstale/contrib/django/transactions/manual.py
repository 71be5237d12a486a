"""`commit()` under `set_autocommit(False)`: Django runs no commit hooks then, so what waits for them asks for it here.

The connection's own `commit` is put behind one that, after it, runs the hooks of this package that stand on the
connection, and no others. `rollback()` and `close()` need nothing: Django empties the list. A COMMIT that is sent past
the connection, as SQL, is not seen; what it owes stays dirty in this thread, and is done with the next `commit()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

OURS: Final = "unstale."


def is_manual(connection: Any) -> bool:
    """Whether a connection's transaction ends with a `commit()` of the project's, and with no block.

    Django turns autocommit off for its own blocks as well.
    """
    return not connection.autocommit and not connection.commit_on_exit


def watch(connection: Any) -> None:
    """Run our hooks after each `commit()` of a connection that is in manual transactions. Once for each connection."""
    if not isinstance(connection.commit, Commit):
        connection.commit = Commit(connection, connection.commit)


class Commit:
    """A connection's `commit`, and what is to follow."""

    __slots__ = ("_commit", "_connection")

    def __init__(self, connection: Any, commit: Callable[[], None]) -> None:
        """Stand in front of it.

        Args:
            connection: whose it is.
            commit: its own.
        """
        self._connection = connection
        self._commit = commit

    def __call__(self) -> None:
        """Commit, and do what was to wait for it.

        Raises:
            StoreError: the transaction is committed, and an invalidation has not taken effect.
        """
        self._commit()
        if is_manual(self._connection):  # else a block of atomic() ends: Django runs the hooks itself
            self._follow()

    def _follow(self) -> None:
        one = self._connection
        hooks = one.run_on_commit
        others = [hook for hook in hooks if not _is_ours(hook[1])]
        if len(others) == len(hooks):
            return
        one.run_on_commit = [hook for hook in hooks if _is_ours(hook[1])]
        try:
            one.run_and_clear_commit_hooks()
        finally:
            one.run_on_commit = [*others, *one.run_on_commit]
            self._commit()  # of the outbox's rows that are done: or they would stay locked until the next COMMIT


def _is_ours(hook: Any) -> bool:
    return type(getattr(hook, "__self__", None)).__module__.startswith(OURS)
