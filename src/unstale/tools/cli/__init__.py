"""The command `unstale`. Only in this package something is printed: the tools return data.

Exit status: 0 all is well, 1 something did not run to its end, 2 it cannot be done as asked, 130 it was stopped.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from unstale.tools.cli.status import STOPPED


def main() -> None:
    """The command. Each of its parts needs an extra of its own."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal is closed
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _as_ctrl_c)
    try:
        from unstale.tools.cli.application import application  # noqa: PLC0415 - an extra: the package does not need it
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("unstale"):
            raise
        sys.exit(f"The command unstale needs {error.name}: pip install 'unstale[lab]' (or audit, doctor)")
    except KeyboardInterrupt:  # the libraries take a second or more to import
        sys.exit(STOPPED)
    application()


def _as_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does: every child process ends, and what was measured is kept."""
    raise KeyboardInterrupt
