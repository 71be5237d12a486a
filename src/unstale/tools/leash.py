"""A program that runs a command, and ends it when whoever started it has gone, in whatever way: also by kill -9.

    python -I -S leash.py COMMAND…

It knows by its standard input, a pipe whose other end only its starter holds: at its end, or at SIGTERM, the command
and all that it started get SIGTERM, and what is left after a while SIGKILL. That works wherever there are pipes, and
does not depend on the thread that started it, as Linux's PR_SET_PDEATHSIG does. Otherwise it ends with the command, and
with its status. It uses nothing but the standard library, so that it starts in a few milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from typing import Final

TERM_SECONDS: Final = 5.0
"""How long what gets SIGTERM may take to end."""
LOOK_SECONDS: Final = 0.1


def main(command: list[str]) -> int:
    """Run the command; its exit status."""
    told_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told_to_end.append(number))
    # A session of its own: no Ctrl-C of the terminal's reaches it, so the starter decides when it ends.
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        close_fds=False,
        start_new_session=True,
        preexec_fn=end_with_leash,  # noqa: PLW1509 - this program has no threads
    )
    while child.poll() is None and not told_to_end:
        if select.select([sys.stdin], [], [], LOOK_SECONDS)[0] and not os.read(0, 1):
            break
    end(child)
    return child.returncode


def end(child: subprocess.Popen[bytes]) -> None:
    """End the command and all that it started."""
    if child.poll() is None:
        signal_group(child, signal.SIGTERM)
        signal_group(child, signal.SIGCONT)  # one that is stopped hears nothing but SIGKILL
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(TERM_SECONDS)
    signal_group(child, signal.SIGKILL)
    child.wait()


def signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the command and what it started, where there is any of it left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: PermissionError, if all are zombies
        os.killpg(child.pid, number)


def end_with_leash() -> None:
    """Have the kernel end the command, should this program be killed (Linux)."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - most of its time to start

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
