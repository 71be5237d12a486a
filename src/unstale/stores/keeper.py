"""The keeper of an embedded server, run as a program: python -I -S keeper.py DIRECTORY BINARY.

It starts the server in DIRECTORY, goes into the background, and exits with 0 as soon as the server answers, with 1 if
it does not. In the background it waits until nobody holds `users.lock` any more, then ends the server. It uses nothing
but the standard library, so that it starts in a few milliseconds.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time

START_SECONDS = 10.0


def main(directory: str, binary: str) -> int:
    """Fork; the parent waits for word of the server, the child keeps it."""
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        return 0 if os.read(ready, 1) else 1
    os.close(ready)
    os.setsid()
    keep(directory, binary, tell)
    return 0


def keep(directory: str, binary: str, tell: int) -> None:
    """Start the server, say so, wait for the last user to go, end it."""
    path = os.path.join(directory, "server.sock")
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # whoever started us may have blocked SIGTERM
    held = os.open(os.path.join(directory, "server.lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    server = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", path, "--unixsocketperm", "700", "--dir", directory]
        + ["--save", "", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru"],
        pass_fds=[held],
        preexec_fn=end_with_keeper,  # noqa: PLW1509 - this program has no threads
    )
    os.close(held)  # the server holds it now: the lock lives as long as the server
    try:
        if not answers(path, server):
            return
        os.write(tell, b"1")
        os.close(tell)
        with open(os.path.join(directory, "users.lock"), "ab") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            server.terminate()
            server.wait(10)
            if os.path.basename(directory).startswith("unstale-own-"):
                remove(directory)
    finally:
        if server.poll() is None:
            server.kill()


def answers(path: str, server: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers; whether it does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(1.0)
                sock.connect(path)
                sock.sendall(b"PING\r\n")
                if sock.recv(16).startswith(b"+PONG"):
                    return True
        except OSError:
            time.sleep(0.003)
    return False


def end_with_keeper() -> None:
    """Have the kernel end the server if the keeper is killed (Linux; elsewhere it would stay)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def remove(directory: str) -> None:
    """Remove a process's own directory."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
