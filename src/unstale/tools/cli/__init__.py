"""The command `unstale`. Only in this package something is printed: the tools return data.

Exit status: 0 all is well, 1 something did not run to its end, 2 it cannot be done as asked, 130 it was stopped, 141
nobody reads its output any more.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from unstale.tools.cli.status import STOPPED

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""By which it is stopped; SIGHUP: the terminal is closed."""


def main() -> None:
    """The command. Each of its parts needs an extra of its own."""
    _open_what_is_closed()
    _handle(_SIGNALS, _leave)  # libraries take a second or more to import, and some hide what is raised meanwhile
    try:
        from unstale.tools.cli.application import application  # noqa: PLC0415 - an extra: the package does not need it
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("unstale"):
            raise
        sys.exit(f"The command unstale needs {error.name}: pip install 'unstale[lab]' (or audit, doctor)")
    _handle(_SIGNALS, _as_ctrl_c)
    _handle((signal.SIGINT,), signal.default_int_handler)  # by which asyncio knows that it may take its place
    application()


def _open_what_is_closed() -> None:
    """Streams that are closed (`2>&-`) lead nowhere, in place of to whatever file or socket is opened next."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115 - to the end
            setattr(sys, name, nowhere)


def _handle(numbers: Sequence[signal.Signals], stop: Callable[[int, FrameType | None], None]) -> None:
    """What is done when it is to be stopped; a signal that is ignored stays so."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End at once: nothing was begun."""
    os._exit(STOPPED)


def _as_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does: every child process ends, and what was measured is kept."""
    raise KeyboardInterrupt
