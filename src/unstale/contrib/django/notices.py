"""What is said once: the class of our warnings, and what has been said in this process."""

from __future__ import annotations

import threading
import warnings
from typing import Final

MAX_NOTICES: Final = 1000


class UnstaleWarning(UserWarning):
    """Something in the project's settings or code makes the cache do more than it should, or not what it says."""


_said: Final[set[str]] = set()
_lock: Final = threading.Lock()


def warn_once(text: str, stacklevel: int = 3) -> None:
    """Say something about the project's settings or code, once in this process.

    Args:
        text: the same for the same matter.
        stacklevel: whose line is shown; see `warnings.warn`.
    """
    with _lock:
        if text in _said or len(_said) >= MAX_NOTICES:
            return
        _said.add(text)
    warnings.warn(text, UnstaleWarning, stacklevel=stacklevel)


def forget() -> None:
    """For tests: as if nothing had been said."""
    _said.clear()
