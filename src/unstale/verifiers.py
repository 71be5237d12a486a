"""Verifiers with what the core has not: a lock, chance, an end at the process's end, a beginning at a fork, and a log.

The log is a file of lines of JSON, for `unstale verify`. Each line says what one process has found since its last one,
so the sum of all lines is what all have found, whoever wrote them, and a process that dies takes at most what it has
found in LINE_SECONDS with it, and nothing that differed. A line is appended in one write, which on a
local file system is whole, also beside others' (POSIX write(2), O_APPEND). It holds keys and tags of what was lost, and
no value.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from unstale.core.sampling import Verify
from unstale.core.verified import MAX_LOST, Counts, LostKey, add_to
from unstale.core.verifier import Done, Verifier
from unstale.draw import chance
from unstale.errors import ConfigurationError
from unstale.events import Failed, Trouble

FORMAT: Final = 1
LINE_SECONDS: Final = 60.0
"""How long what was the same, or says nothing, waits for a line; what differed is written at once."""
MODE: Final = 0o600


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one process has found in a while.

    Attributes:
        format: of this line.
        at: when it was written, in seconds since 1970.
        seconds: how long that while was.
        namespace: of the cache.
        rate: the share of hits that is verified.
        limit: seconds up to which a difference is watched.
        kinds: counts by kind of key.
        lost: what was lost.
    """

    format: int
    at: float
    seconds: float
    namespace: str
    rate: float
    limit: float
    kinds: dict[str, Counts]
    lost: list[LostKey] = []


class Log:
    """The file, and what is to be written to it."""

    def __init__(self, path: Path, policy: Verify, namespace: str, fail: Callable[[Trouble], None]) -> None:
        """Begin with nothing; the file is made with the first line.

        Args:
            path: the file's.
            policy: what its lines say besides counts.
            namespace: the cache's.
            fail: told when the file cannot be written.
        """
        self._path = path
        self._policy = policy
        self._namespace = namespace
        self._fail = fail
        self.begin_anew()

    def begin_anew(self) -> None:
        """Nothing is to be written: in a child process the parent writes what it has found."""
        self._lock = threading.Lock()
        self._kinds: dict[str, Counts] = {}
        self._lost: list[LostKey] = []
        self._since = time.monotonic()

    def __call__(self, done: Done) -> None:
        """Note what has ended, and write a line if it is time."""
        with self._lock:
            add_to(self._kinds, done.kind, done.counts)
            if (
                done.lost is not None and len(self._lost) < MAX_LOST
            ):  # a file that cannot be written does not fill memory
                self._lost.append(done.lost)
            if not done.counts.differed and time.monotonic() - self._since < LINE_SECONDS:
                return
        self.write()

    def write(self) -> None:
        """Write what was not written. If that fails it is kept for the next line, and told."""
        with self._lock:
            if not self._kinds:
                return
            now = time.monotonic()
            line = Line(
                format=FORMAT,
                at=time.time(),
                seconds=now - self._since,
                namespace=self._namespace,
                rate=self._policy.rate,
                limit=self._policy.limit_seconds,
                kinds=self._kinds,
                lost=self._lost,
            )
            try:
                _append(self._path, msgspec.json.encode(line) + b"\n")
            except OSError as failed:
                error: OSError = failed
            else:
                self._kinds, self._lost, self._since = {}, [], now
                return
        self._fail(Failed("verify", "", error))


def _append(path: Path, line: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        written = os.write(file, line)
        if written < len(line):  # the disk is full: what is torn is told apart by the reader
            os.write(file, b"\n")
            raise OSError(f"only {written} of {len(line)} bytes were written")
    finally:
        os.close(file)


_verifiers: Final[weakref.WeakSet[Verifier]] = weakref.WeakSet()
_logs: Final[weakref.WeakSet[Log]] = weakref.WeakSet()


def make_verifier(given: object, namespace: str, fail: Callable[[Trouble], None]) -> Verifier | None:
    """A verifier for a cache.

    Args:
        given: a rate, or a `Verify`.
        namespace: the cache's.
        fail: told when its log cannot be written.

    Returns:
        None where nothing is to be verified.

    Raises:
        ConfigurationError: what was given makes no sense, or there is no such directory for the log.
    """
    policy = given if isinstance(given, Verify) else Verify(_rate(given))
    if not policy.rate:
        return None
    verifier = Verifier(policy, threading.Lock(), chance)
    _verifiers.add(verifier)
    if policy.log is not None:
        log = Log(_checked(policy.log), policy, namespace, fail)
        verifier.tell = log
        _logs.add(log)
        weakref.finalize(verifier, log.write)  # with the cache, or at the process's end
    return verifier


def _rate(given: object) -> float:
    if type(given) is not int and type(given) is not float:
        raise ConfigurationError("verify must be the share of hits to verify, such as 0.001, or an unstale.Verify.")
    return given


def _checked(given: str | Path) -> Path:
    path = Path(given)
    if not path.is_absolute():
        raise ConfigurationError(
            "verify's log must be an absolute path: a process that runs elsewhere would write another."
        )
    if not path.parent.is_dir():
        raise ConfigurationError(f"verify's log needs a directory that exists; {path.parent} does not.")
    return path


def _after_fork() -> None:
    for verifier in list(_verifiers):
        verifier.begin_anew(threading.Lock())
    for log in list(_logs):
        log.begin_anew()


def _at_exit() -> None:
    """What is watched ends here; a log writes that at once."""
    for verifier in list(_verifiers):
        verifier.give_up()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
