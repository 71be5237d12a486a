"""The warden of a server, run as a program.

    python -m unstale.tools.lab.warden CORE FRACTION COMMAND…

It starts the server, pinned to CORE and held to FRACTION of it ("-": neither), and writes the server's process id to
its standard output. The server is ended as soon as the warden's standard input ends, which is when the lab closes it,
or has ended, however it ended: the kernel closes the pipe of a process that was killed, too. Should the warden itself
be killed, then Linux ends the server; elsewhere it would stay.

The server is ended by SIGKILL: it keeps nothing on disk, and a process that is stopped hears no other signal.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import subprocess
import sys
from typing import Final

from unstale.tools.lab.throttle import Throttle

LOOK_SECONDS: Final = 0.2
"""How often it looks whether the server still runs."""


def main(core: str, fraction: str, *command: str) -> int:
    """Start the server, keep it, end it; 1 if it has ended by itself."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,  # a log
        preexec_fn=functools.partial(_prepare, None if core == "-" else int(core)),  # noqa: PLW1509 - no threads here
    )
    try:
        print(server.pid, flush=True)  # noqa: T201 - what the lab waits for
        return keep(server, None if fraction == "-" else Throttle(server.pid, float(fraction)))
    finally:
        server.kill()
        server.wait()


def keep(server: subprocess.Popen[bytes], throttle: Throttle | None) -> int:
    """Wait for the end of the standard input, or of the server."""
    while server.poll() is None:
        try:
            seconds = throttle.step() if throttle else LOOK_SECONDS
        except ProcessLookupError:
            continue  # it has just ended
        if select.select([sys.stdin], [], [], seconds)[0]:
            return 0
    return 1


def _prepare(core: int | None) -> None:
    """Run in the server's process, before its program."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends with the warden


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
