"""A listener that hears all that a program says of itself, and looks for what it must never say."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable
from typing import Self

CANARY = "kanarienvogel"
"""What all secrets and values of these tests have in them. Nothing else has."""
VALUE = f"a value, {CANARY} 1"
PASSWORD = f"{CANARY}-password"
SIGNING_KEY = f"{CANARY}-signing-key-0123456789abcdef"
TOKEN = f"{CANARY}-token"


class _Heard(logging.Handler):
    """Keeps each record as any handler might show it."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.lines += [self.format(record), repr(record.args), *of_error(error)]


class Listener:
    """Hears every log record of any level and logger, warnings, and what threads and destructors fail with.

    Attributes:
        said: all texts.
    """

    def __init__(self) -> None:
        self.said: list[str] = []
        self._handler = _Heard()
        self._levels: dict[logging.Logger, tuple[int, bool, bool]] = {}
        self._warnings = warnings.catch_warnings(record=True)

    def __enter__(self) -> Self:
        loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
        for logger in (logging.root, *loggers, logging.getLogger("unstale"), logging.getLogger("asyncio")):
            self._levels[logger] = (logger.level, logger.propagate, logger.disabled)
            logger.setLevel(1)
            logger.propagate, logger.disabled = True, False
        logging.root.addHandler(self._handler)
        self._caught = self._warnings.__enter__()
        warnings.simplefilter("always")
        self._hooks = (sys.unraisablehook, threading.excepthook)
        sys.unraisablehook = lambda raised: self.hear(raised.exc_value, raised.err_msg)
        threading.excepthook = lambda raised: self.hear(raised.exc_value)
        return self

    def __exit__(self, *exception: object) -> None:
        gc.collect()
        sys.unraisablehook, threading.excepthook = self._hooks
        logging.root.removeHandler(self._handler)
        for logger, (level, propagates, is_disabled) in self._levels.items():
            logger.setLevel(level)
            logger.propagate, logger.disabled = propagates, is_disabled
        self.said += self._handler.lines
        self.said += [f"{one.message} {one.message!r}" for one in self._caught or ()]
        self._warnings.__exit__(*exception)

    def hear(self, *things: object) -> None:
        """Take in what a program might show: errors with all that is behind them, anything else as text."""
        for thing in things:
            self.said += of_error(thing) if isinstance(thing, BaseException) else [str(thing), repr(thing)]

    def look_at(self, *roots: object) -> int:
        """Take in the texts of all objects of ours that can be reached from some; how many there are."""
        ours = list(reachable(roots))
        for one in ours:
            self.said += [repr(one), str(one)]
        return len(ours)

    @property
    def told(self) -> list[str]:
        """What should not have been said."""
        return [text for text in self.said if CANARY in text]


def of_error(error: BaseException | None) -> list[str]:
    """All that an error, its causes, contexts and notes say, and its traceback.

    A context that is suppressed (`from None`) is shown by nobody.
    """
    texts: list[str] = []
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        texts += [str(one), repr(one), repr(one.args), *getattr(one, "__notes__", ())]
        texts += traceback.format_exception(one)
        left += [one.__cause__, None if one.__suppress_context__ else one.__context__]
        left += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    return texts


def reachable(roots: Iterable[object]) -> Iterable[object]:
    """The objects of unstale's own types, and of redis-py's, that can be reached; not through modules and classes."""
    seen: set[int] = set()
    left = list(roots)
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type) or type(one).__name__ in ("module", "function", "frame"):
            continue
        seen.add(id(one))
        if type(one).__module__.startswith(("unstale.", "redis.")):
            yield one
        left += gc.get_referents(one)
