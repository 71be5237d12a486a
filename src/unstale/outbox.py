"""Invalidations that wait for the server in a local file, durable as far as its disk, for the processes of a machine.

    append    under the file's lock: what is torn of a last record goes, then the record is written, to the disk
    last      the last ones, which are done first: any order does, and the end of a file is removed at no cost
    remove    under it as well, after they have taken effect: the end goes; what was appended to it meanwhile is
              written, with all before it, to a file that takes its place

Who dies in between leaves them to the next: a record takes effect at least once, and twice is harmless.

A file belongs to one server: a record says which stamps, not where. It holds no value and no password, but tags.

What is queued keeps the whole process from serving old values: who uses the same file is known by its real path.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from unstale.core.pending import BEGINNING, Part, Pending, begins_queue, last_of, packed, unpacked
from unstale.errors import ConfigurationError, QueueError

LOCK_SECONDS: Final = 1.0
"""How long one waits for others who use the file at this moment."""
LOOK_SECONDS: Final = 0.001
BLOCK: Final = 1 << 16
"""Bytes that are read of the end at a time."""
MODE: Final = 0o600
OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

Hold: TypeAlias = Callable[[], None]
Follow: TypeAlias = Callable[[Sequence[Pending]], None]


class _Users:
    """Who uses one file in this process, whatever object they opened it with. They are not kept alive by it."""

    def __init__(self) -> None:
        self.holds: list[weakref.WeakMethod[Hold]] = []
        self.followers: list[weakref.WeakMethod[Follow]] = []
        self.turn = [True]

    def hold(self) -> None:
        """Have all of them hold back."""
        for one in list(self.holds):
            hold = one()
            if hold is not None:
                hold()


_users: Final[weakref.WeakValueDictionary[str, _Users]] = weakref.WeakValueDictionary()
_making = threading.Lock()


def _users_of(path: Path) -> _Users:
    """Those of a file; it need not exist yet, so its directory is what is resolved."""
    real = os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118 - a name, not a path to walk
    with _making:
        return _users.setdefault(real, _Users())


def _join(users: list[weakref.WeakMethod[Any]], method: Any) -> bool:
    """Add one to a list, which loses those that are gone; whether it was not there."""
    with _making:
        if any(one() == method for one in users):
            return False
        users[:] = [*(one for one in users if one() is not None), weakref.WeakMethod(method)]
        return True


def _after_fork() -> None:
    """In a child: a thread of the parent's may have had the lock, or the turn."""
    global _making  # noqa: PLW0603 - a lock cannot be made free otherwise
    _making = threading.Lock()
    for users in list(_users.values()):
        users.turn = [True]


os.register_at_fork(after_in_child=_after_fork)


def watching(path: str | os.PathLike[str]) -> Callable[[], None]:
    """What looks whether a file has anything, and has all caches of this process that use it hold back then.

    Another process may have queued something and be idle, or dead: whoever uses the file drains it.
    """
    name, users = os.fspath(path), _users_of(Path(path).absolute())

    def look() -> None:
        try:
            is_empty = not os.lstat(name).st_size
        except FileNotFoundError:
            return
        except OSError:  # who reads it says what is wrong
            is_empty = False
        if not is_empty:
            users.hold()

    return look


class QueueFile:
    """A file of pending invalidations.

    Attributes:
        path: where it is.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Make the file where there is none: a mistake in its path is to show now, not in an outage.

        Raises:
            ConfigurationError: it cannot be made or written, or this system has no locks for files.
        """
        given: object = path
        if not isinstance(given, str | os.PathLike) or not os.fspath(path):
            raise ConfigurationError("queue must be the path of a local file.")
        if not Path(path).is_absolute():
            raise ConfigurationError(
                f"queue must be an absolute path: {str(path)!r} is another file for who runs elsewhere."
            )
        try:
            import fcntl  # noqa: PLC0415 - Windows has none
        except ImportError as error:
            raise ConfigurationError("queue needs a system with flock.") from error
        self._flock = fcntl.flock
        self._exclusive, self._unlock = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN
        self.path = Path(path).absolute()
        self._users = _users_of(self.path)
        try:
            with self._locked():
                pass
        except QueueError as error:
            raise ConfigurationError(str(error)) from error

    def has_any(self) -> bool:
        """Whether there may be a record."""
        try:
            return self.path.lstat().st_size > 0
        except FileNotFoundError:
            return False
        except OSError:
            return True  # who reads it says what is wrong

    def join(self, hold: Hold) -> bool:
        """See Queue."""
        return _join(self._users.holds, hold)

    def hold(self) -> None:
        """See Queue."""
        self._users.hold()

    def follow(self, follow: Follow) -> None:
        """See Queue."""
        _join(self._users.followers, follow)

    def tell(self, done: Sequence[Pending]) -> None:
        """See Queue."""
        for one in list(self._users.followers):
            follow = one()
            if follow is not None:
                follow(done)

    def take_turn(self) -> bool:
        """See Queue. Without a lock: one thread empties the list."""
        try:
            return self._users.turn.pop()
        except IndexError:
            return False

    def give_turn(self) -> None:
        """See Queue."""
        self._users.turn = [True]

    def append(self, pending: Pending) -> None:
        """Keep a record; on return it is on the disk, as far as the disk says so.

        Raises:
            QueueError: it is not kept.
        """
        with self._locked() as opened:
            _drop_torn_end(opened)
            end = os.lseek(opened, 0, os.SEEK_END)
            try:
                _write(opened, packed(pending))
                os.fsync(opened)
            except BaseException:
                with suppress(OSError):  # what is left of it is torn, and goes with the next
                    os.ftruncate(opened, end)
                raise

    def read(self) -> tuple[list[Pending], int]:
        """All records, and how many lines are damaged. Raises QueueError."""
        with self._locked() as opened:
            return unpacked(_read(opened))

    def last(self, most: int) -> Part:
        """See Queue. It takes as long for a large file as for a small one."""
        with self._locked() as opened:
            start, text = os.fstat(opened).st_size, b""
            while start and text.count(b"\n") < 2:  # noqa: PLR2004 - the first line may be cut off, the second is whole
                block = min(start, BLOCK)
                start -= block
                text = os.pread(opened, block, start) + text
            return last_of(text, start, most)

    def remove(self, marks: set[str], start: int = 0) -> None:
        """Remove records by their marks, and damaged lines; what was appended meanwhile stays.

        Args:
            marks: theirs.
            start: where the first of them is, if nobody has removed it since.

        Raises:
            QueueError: they are there still, and will be done again.
        """
        with self._locked() as opened:
            size = os.fstat(opened).st_size
            if start >= size > 0:
                return  # others have done the same
            if start and os.pread(opened, 1, start - 1) != b"\n":
                start = 0  # the file is another by now
            records, _ = unpacked(_read(opened, start))
            left = [record for record in records if record.mark not in marks]
            if not left:
                os.ftruncate(opened, start)
                os.fsync(opened)
                return
            before = os.pread(opened, start, 0)
            beside = self.path.with_name(f"{self.path.name}.new")
            beside.unlink(missing_ok=True)  # of one who died
            made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
            try:
                _write(made, before)
                _write(made, b"".join(map(packed, left)))
                os.fsync(made)
            finally:
                os.close(made)
            beside.replace(self.path)
            self._sync_directory()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, opened and locked. Raises QueueError for what goes wrong inside, too."""
        try:
            opened = self._open()
            try:
                yield opened
            finally:
                self._flock(opened, self._unlock)  # a child that was forked meanwhile has it open, too
                os.close(opened)
        except OSError as error:
            raise _failed(self.path, error) from error

    def _open(self) -> int:
        """Open and lock; again if another has taken the file's place meanwhile."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            is_new = not self.path.exists()
            opened = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
            try:
                _check_owner(self.path, os.fstat(opened))
                self._lock(opened, deadline)
                if is_new:
                    self._sync_directory()
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(opened), self.path.lstat()):
                        _check_content(self.path, opened)
                        return opened
            except BaseException:
                os.close(opened)
                raise
            os.close(opened)

    def _lock(self, opened: int, deadline: float) -> None:
        while True:
            try:
                self._flock(opened, self._exclusive)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(LOOK_SECONDS)
            else:
                return

    def _sync_directory(self) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _check_owner(path: Path, found: os.stat_result) -> None:
    """Raise QueueError for a file that somebody else can write, or that is none."""
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "it is no regular file. Name a file, or a path where there is none yet")
    if found.st_uid != os.geteuid():
        raise _refused(path, "it belongs to another user. Run as that user, or name a file of your own")
    if found.st_mode & OTHERS_WRITE:
        raise _refused(path, "others may write to it. Look at what is in it, and chmod 600")


def _check_content(path: Path, opened: int) -> None:
    """Raise QueueError for a file with something else in it, which draining would empty."""
    head = os.pread(opened, BEGINNING, 0)
    if not begins_queue(head):
        why = "its first line is no record of unstale's. Name another file; if it was damaged, move it and clear()"
        raise _refused(path, why)


def _drop_torn_end(opened: int) -> None:
    """Remove what a process that died has written of its last record: its call had not returned."""
    size = os.lseek(opened, 0, os.SEEK_END)
    if not size or os.pread(opened, 1, size - 1) == b"\n":
        return
    text = _read(opened)
    whole = text.rfind(b"\n") + 1
    os.ftruncate(opened, whole)


def _read(opened: int, start: int = 0) -> bytes:
    os.lseek(opened, start, os.SEEK_SET)
    parts = []
    while part := os.read(opened, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _write(opened: int, text: bytes) -> None:
    left = memoryview(text)
    while left:
        left = left[os.write(opened, left) :]


def _refused(path: Path, why: str) -> QueueError:
    return QueueError(f"The queue {str(path)!r} cannot be used: {why}.")


def _failed(path: Path, error: OSError) -> QueueError:
    if error.errno == errno.ELOOP:
        return _refused(path, "it is a symbolic link. Name the file itself")
    return QueueError(f"The queue {str(path)!r} cannot be used: {error.strerror or type(error).__name__}.")
