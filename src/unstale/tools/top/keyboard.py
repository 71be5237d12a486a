"""Keys as they are pressed, without Enter. Where the input is no terminal there are none."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager


class Keyboard:
    """The terminal's keys."""

    def __init__(self, descriptor: int | None) -> None:
        """Of an open terminal; None: there is none."""
        self._descriptor = descriptor

    def pressed(self, seconds: float) -> str:
        """Wait for keys, at most so long; empty if there were none. At the input's end it is `q`: nobody is left."""
        if self._descriptor is None:
            time.sleep(seconds)
            return ""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return ""
        return os.read(self._descriptor, 64).decode("ascii", "ignore") or "q"


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """The keys, unechoed, while this is open; after it the terminal is as it was. Ctrl-C still interrupts."""
    if not sys.stdin.isatty():
        yield Keyboard(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
