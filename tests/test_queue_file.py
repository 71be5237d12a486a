"""The queue's file: what was appended is there, once, whoever dies where; and what was done is not."""

from __future__ import annotations

import errno
import gc
import json
import math
import os
import signal
import stat
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from children.launch import Child

from unstale import outbox
from unstale.core.pending import Pending, packed, unpacked
from unstale.errors import ConfigurationError, QueueError
from unstale.outbox import QueueFile


def record(number: int, **more: Any) -> Pending:
    """A record of one's own."""
    return Pending(f"{number:032x}", (f"test:s:{{user:{number}}}".encode(),), 86400.0, **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the queue is."""
    return tmp_path / "queue"


@pytest.fixture
def queue(path: Path) -> QueueFile:
    """An empty queue."""
    return QueueFile(path)


def test_it_begins_empty(queue: QueueFile, path: Path) -> None:
    """Its file is made at once, for its owner alone: tags may tell of users."""
    assert (queue.has_any(), queue.read()) == (False, ([], 0))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_appended_is_there(queue: QueueFile) -> None:
    """In order, and every field as it was, names that are no UTF-8 among them."""
    records = [
        record(1),
        record(2, soft=True, lag=1.5),
        Pending("c" * 32, (b"\xff:s:{\xfe}", "ü:s:{ü}/ü".encode()), math.inf, owner="d" * 32, keep=2.0),
        Pending("e" * 32, (b"test:r:15", b"a:b:r:16383{BDKA}"), 1),
    ]
    for one in records:
        queue.append(one)
    assert (queue.has_any(), queue.read()) == (True, (records, 0))


def test_another_process_sees_it(queue: QueueFile, path: Path) -> None:
    """A second queue on the same file is the same queue."""
    queue.append(record(1))
    other = QueueFile(path)
    other.append(record(2))
    assert queue.read() == other.read() == ([record(1), record(2)], 0)


class User:
    """Somebody who uses a queue."""

    def __init__(self) -> None:
        self.held = 0
        self.told: list[Pending] = []

    def hold(self) -> None:
        """Count."""
        self.held += 1

    def follow(self, done: Sequence[Pending]) -> None:
        """Keep."""
        self.told += done


def test_all_of_a_process_are_told(queue: QueueFile, path: Path) -> None:
    """Each once, with whatever object for the file they joined; who is gone is kept by nobody."""
    one, other, gone = User(), User(), User()
    again = QueueFile(path)
    assert [queue.join(one.hold), queue.join(one.hold), again.join(one.hold), again.join(other.hold)] == [
        True,
        False,
        False,
        True,
    ]
    again.join(gone.hold)
    queue.follow(one.follow)
    noticed = weakref.ref(gone)
    del gone
    gc.collect()
    queue.hold()
    again.tell([record(1)])
    assert (one.held, other.held, one.told, noticed()) == (1, 1, [record(1)], None)


def test_a_child_whose_parent_was_draining(queue: QueueFile) -> None:
    """The turn to drain, and the lock of those who join, were a thread's that a child does not have."""
    assert (queue.take_turn(), queue.take_turn()) == (True, False)
    with outbox._making:
        child = os.fork()
        if not child:
            os._exit(0 if queue.take_turn() and queue.join(User().hold) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    queue.give_turn()


def test_what_is_done_goes(queue: QueueFile) -> None:
    """And only that; when all is done the file is empty."""
    for number in range(3):
        queue.append(record(number))
    queue.remove({record(0).mark, record(2).mark})
    assert queue.read() == ([record(1)], 0)
    queue.remove({record(1).mark})
    assert (queue.has_any(), queue.read()) == (False, ([], 0))


def test_removed_twice(queue: QueueFile) -> None:
    """Two who drain at a time do no harm."""
    queue.append(record(1))
    queue.append(record(2))
    for _ in range(2):
        queue.remove({record(1).mark})
    assert queue.read() == ([record(2)], 0)


def test_one_that_waits_for_the_lock_writes_to_the_new_file(queue: QueueFile, path: Path) -> None:
    """Who opened the file before another took its place notices."""
    queue.append(record(1))
    queue.append(record(2))
    entered, go_on = threading.Event(), threading.Event()
    lock = QueueFile._lock

    class Late(QueueFile):
        def _lock(self, opened: int, deadline: float) -> None:
            if not entered.is_set() and armed:
                entered.set()
                assert go_on.wait(30)
            lock(self, opened, deadline)

    armed = False
    late = Late(path)
    armed = True
    thread = threading.Thread(target=late.append, args=(record(3),))
    thread.start()
    assert entered.wait(30)
    queue.remove({record(1).mark})
    go_on.set()
    thread.join(30)
    assert queue.read() == ([record(2), record(3)], 0)


@pytest.mark.parametrize("block", [7, 100, outbox.BLOCK])
def test_the_last_ones(queue: QueueFile, path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """They come in parts, from the end, as they were kept; with the last the file is empty."""
    monkeypatch.setattr(outbox, "BLOCK", block)
    records = [record(number) for number in range(7)]
    for one in records:
        queue.append(one)
    met: list[Pending] = []
    while queue.has_any():
        part = queue.last(3)
        assert 1 <= len(part.records) <= 3
        met[:0] = part.records
        queue.remove({one.mark for one in part.records}, part.start)
        assert queue.read() == (records[: 7 - len(met)], 0)
    assert met == records


def test_how_much_is_a_part(queue: QueueFile) -> None:
    """It is counted in stamps; the end of a strict write is dearer, and one record may be more than a part."""
    many = Pending("a" * 32, tuple(b"test:r:%d" % number for number in range(16)), 1.0)
    for one in (record(1), many, record(2, owner="0" * 32), record(3)):
        queue.append(one)
    for expected in ([record(3)], [record(2, owner="0" * 32)], [many], [record(1)], []):
        part = queue.last(10)
        assert (part.records, part.damaged) == (expected, 0)
        queue.remove({one.mark for one in expected}, part.start)


def test_the_last_ones_are_damaged(queue: QueueFile, path: Path) -> None:
    """They count, and go; what is torn does not count."""
    queue.append(record(1))
    end = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"junk\n" * 2 + packed(record(2))[:20])
    part = queue.last(2)
    assert part == ([], 2, end)
    queue.remove(set(), part.start)
    assert path.read_bytes() == packed(record(1))


def test_appended_while_the_last_are_done(queue: QueueFile) -> None:
    """It stays, wherever it stands."""
    for number in range(3):
        queue.append(record(number))
    part = queue.last(2)
    queue.append(record(9))
    queue.remove({one.mark for one in part.records}, part.start)
    assert queue.read() == ([record(0), record(9)], 0)


def test_two_who_do_the_same_part(queue: QueueFile, path: Path) -> None:
    """The second removes nothing else: neither what is before it nor what has come to its place."""
    for number in range(4):
        queue.append(record(number))
    part = queue.last(1)
    marks = {one.mark for one in part.records}
    queue.remove(marks, part.start)
    queue.remove(marks, part.start)
    assert queue.read() == ([record(0), record(1), record(2)], 0)
    before = queue.last(1)
    queue.remove({one.mark for one in before.records}, before.start)
    longer = Pending("b" * 32, (b"test:s:{%b}" % (b"x" * 100), b"test:s:{y}"), 1.0)
    queue.append(longer)
    queue.append(record(5))
    queue.remove(marks, part.start)
    assert queue.read() == ([record(0), record(1), longer, record(5)], 0)


@pytest.mark.parametrize("left", [1, 8, 9, 10, 30, -1])
def test_a_torn_last_record(queue: QueueFile, path: Path, left: int) -> None:
    """What a process has written of a record when it died was never acknowledged: it is no record, and goes."""
    queue.append(record(1))
    with path.open("ab") as file:
        file.write(packed(record(2))[:left])
    assert queue.read() == ([record(1)], 0)
    queue.append(record(3))
    assert queue.read() == ([record(1), record(3)], 0)


def test_a_damaged_record(queue: QueueFile, path: Path) -> None:
    """A record whose bytes changed on the disk is counted, the others are read, and it goes when they do."""
    for number in range(3):
        queue.append(record(number))
    text = path.read_bytes()
    path.write_bytes(text.replace(b"user:1", b"user:7"))
    assert queue.read() == ([record(0), record(2)], 1)
    queue.remove({record(0).mark})
    assert queue.read() == ([record(2)], 0)


@pytest.mark.parametrize("junk", [b"\n", b"junk\n", b"\0" * 100 + b"\n", b"00000000 \n", b"ffffffff []\n"])
def test_junk(junk: bytes) -> None:
    """Lines that are no records are counted as damaged."""
    assert unpacked(junk + packed(record(1))) == ([record(1)], 1)


GOOD: list[Any] = ["0" * 32, ["test:s:{t}"], 86400.0, False, 0.0, "", 0.0]


def with_one(at: int, value: Any) -> bytes:
    """A record of which one thing is other, with a right checksum."""
    body = json.dumps([*GOOD[:at], value, *GOOD[at + 1 :]]).encode()
    return b"%08x %b\n" % (crc32(body), body)


def named(*names: str) -> bytes:
    """A record with these names, and a right checksum."""
    return with_one(1, names)


NESTED = b"[" * 200_000
STRANGE = {
    "an entry": named("test:s:{t}", "test:e:k"),
    "an entry that looks like a stamp": named("test:e:b:s:{t}"),
    "a lease": named("test:l:k"),
    "a hashed entry": named("test:h:r:7"),
    "another's": named("session:42"),
    "no namespace": named(":s:{t}"),
    "no hash tag": named("test:s:t"),
    "no root": named("test:r:x"),
    "a root and more": named("test:r:7:x"),
    "no name": named(),
    "a lone surrogate": named("test:s:{\ud800}"),
    "a name that is none": with_one(1, [5]),
    "names that are a str": with_one(1, "test:s:{t}"),
    "names that are a dict": with_one(1, {"test:s:{t}": 1}),
    "a mark that is none": with_one(0, "x"),
    "a mark that is a number": with_one(0, 5),
    "NaN": with_one(2, math.nan),
    "a negative time": with_one(2, -1.0),
    "no time": with_one(2, 0),
    "a time that is text": with_one(2, "86400"),
    "a time that is true": with_one(2, True),
    "a number that no float holds": with_one(4, 10**400),
    "a number in digits": with_one(3, 1),
    "a lag that is a list": with_one(4, []),
    "an owner that is none": with_one(5, "o"),
    "an owner that is a list": with_one(5, ["0" * 32]),
    "a longer time than there is": with_one(6, 1e300),
    "one field less": b"%08x %b\n" % (crc32(b"[1]"), b"[1]"),
    "a dict": b"%08x %b\n" % (crc32(b"{}"), b"{}"),
    "a number": b"%08x %b\n" % (crc32(b"7"), b"7"),
    "lists in lists": b"%08x %b\n" % (crc32(NESTED), NESTED),
    "digits without end": b"%08x %b\n" % (crc32(b"9" * 5000), b"9" * 5000),
    "no text": b"%08x %b\n" % (crc32(b'["\xff"]'), b'["\xff"]'),
}


@pytest.mark.parametrize("line", STRANGE.values(), ids=STRANGE)
def test_a_right_checksum_is_not_enough(line: bytes) -> None:
    """Whoever wrote it: what is no record is damaged, raises nothing, and names nothing but stamps."""
    assert unpacked(with_one(0, "1" * 32) + line) == ([Pending("1" * 32, (b"test:s:{t}",), 86400.0)], 1)


def test_a_symbolic_link(tmp_path: Path, path: Path) -> None:
    """It is not followed: what it points to is no queue of ours, and stays as it is."""
    target = tmp_path / "precious"
    target.write_bytes(b"text")
    target.chmod(0o600)
    path.symlink_to(target)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        QueueFile(path)
    assert target.read_bytes() == b"text"


def test_a_symbolic_link_that_comes_later(queue: QueueFile, tmp_path: Path, path: Path) -> None:
    """Nor is it when it takes the file's place, or that of the one beside it."""
    target = tmp_path / "precious"
    target.write_bytes(packed(record(7)))
    target.chmod(0o600)
    queue.append(record(1))
    queue.append(record(2))
    Path(f"{path}.new").symlink_to(target)
    queue.remove({record(1).mark})
    assert queue.read() == ([record(2)], 0)
    path.unlink()
    path.symlink_to(target)
    for use in (queue.read, lambda: queue.append(record(3)), lambda: queue.remove({record(7).mark})):
        with pytest.raises(QueueError, match="symbolic link"):
            use()
    assert (queue.has_any(), target.read_bytes()) == (True, packed(record(7)))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write(path: Path, mode: int) -> None:
    """What is in it may be anybody's: it is refused, and says what to do."""
    path.write_bytes(packed(record(1)))
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        QueueFile(path)
    assert path.read_bytes() == packed(record(1))


def test_a_file_of_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same: its owner could write what it likes."""
    path.write_bytes(packed(record(1)))
    path.chmod(0o600)
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with pytest.raises(ConfigurationError, match="another user"):
        QueueFile(path)


@pytest.mark.parametrize("text", [b"text", b"text\n", b"12345678 \n", b"deadbeef is a commit\n", b"\0" * 50, b"{"])
def test_a_file_of_something_else(path: Path, text: bytes) -> None:
    """It is refused, now and later, not emptied."""
    queue = QueueFile(path)
    path.write_bytes(text)
    with pytest.raises(ConfigurationError, match="no record of unstale's"):
        QueueFile(path)
    for use in (queue.read, lambda: queue.append(record(3)), lambda: queue.remove(set())):
        with pytest.raises(QueueError, match="no record of unstale's"):
            use()
    assert path.read_bytes() == text


@pytest.mark.parametrize("left", range(1, 20))
def test_a_torn_first_record(queue: QueueFile, path: Path, left: int) -> None:
    """It is no other file's first line, whatever its length."""
    path.write_bytes(packed(record(1))[:left])
    assert QueueFile(path).read() == ([], 0)
    queue.append(record(2))
    assert queue.read() == ([record(2)], 0)


def test_no_regular_file(path: Path) -> None:
    """A pipe is none."""
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError, match="no regular file"):
        QueueFile(path)


def test_a_file_that_was_removed(queue: QueueFile, path: Path) -> None:
    """It is made anew."""
    path.unlink()
    assert (queue.has_any(), queue.read()) == (False, ([], 0))
    queue.append(record(1))
    assert queue.read() == ([record(1)], 0)


@pytest.mark.parametrize("bad", ["", 5, "missing/queue"])
def test_a_path_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: Any) -> None:
    """A mistake in the path shows when the cache is made, not in an outage."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="queue"):
        QueueFile(bad)


def failing(name: str, error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a call of the operating system fail."""

    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("name", ["write", "fsync"])
def test_a_full_disk(queue: QueueFile, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is not on the disk raises, and leaves nothing that would be taken for it."""
    queue.append(record(1))
    with monkeypatch.context() as patch:
        failing(name, OSError(errno.ENOSPC, "No space left on device"), patch)
        with pytest.raises(QueueError, match="No space left"):
            queue.append(record(2))
    assert queue.read() == ([record(1)], 0)
    queue.append(record(3))
    assert queue.read() == ([record(1), record(3)], 0)


def test_a_really_full_disk(queue: QueueFile, path: Path) -> None:
    """The same where the kernel says so: a record that fits in part is taken back."""
    import resource

    queue.append(record(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
        with pytest.raises(QueueError, match="too large"):
            queue.append(record(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert queue.read() == ([record(1)], 0)


def test_the_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and, when it is made, its directory are synced before a record counts as kept."""
    synced: list[bool] = []
    really = os.fsync

    def fsync(opened: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(opened).st_mode))
        really(opened)

    monkeypatch.setattr(os, "fsync", fsync)
    queue = QueueFile(tmp_path / "queue")
    assert synced == [True]
    queue.append(record(1))
    assert synced == [True, False]
    queue.append(record(2))
    queue.remove({record(1).mark})
    assert synced == [True, False, False, False, True]


def test_a_lock_that_is_not_given_back(queue: QueueFile, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is stopped while he writes keeps others waiting for a while, not for ever."""
    monkeypatch.setattr("unstale.outbox.LOCK_SECONDS", 0.05)
    with queue._locked(), pytest.raises(QueueError, match="cannot be used"):
        QueueFile.append(queue, record(1))
    queue.append(record(2))
    assert queue.read() == ([record(2)], 0)


def test_a_child_does_not_keep_the_lock(queue: QueueFile) -> None:
    """One that was forked while another thread held it has the file open as well, until it ends."""
    with queue._locked():
        ended, tell = os.pipe()
        child = os.fork()
        if not child:
            os.read(ended, 1)
            os._exit(0)
    try:
        queue.append(record(1))
    finally:
        os.write(tell, b"x")
        os.waitpid(child, 0)
        os.close(ended)
        os.close(tell)
    assert queue.read() == ([record(1)], 0)


def test_many_processes(path: Path, queue: QueueFile) -> None:
    """Several append while others remove: nothing is lost, nothing comes twice."""
    children = [Child("queue_user.py", "append", str(path), str(number)) for number in range(3)]
    removed: list[str] = []
    try:
        waiting = set(range(3))
        while waiting or queue.has_any():
            found, damaged = queue.read()
            assert damaged == 0
            queue.remove({one.mark for one in found})
            removed += [one.mark for one in found]
            for number in list(waiting):
                if children[number].process.poll() is not None:
                    waiting.discard(number)
        assert [child.process.returncode for child in children] == [0, 0, 0]
    finally:
        for child in children:
            child.__exit__()
    assert len(removed) == len(set(removed)) == 3 * 200


STEPS = ("append written", "append synced", "remove written", "remove replaced", "remove truncated")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step(queue: QueueFile, path: Path, step: str) -> None:
    """Who dies at whatever step leaves what was acknowledged before, and a file that goes on to work."""
    queue.append(record(1))
    queue.append(record(2))
    with Child("queue_user.py", "die", str(path), step) as child:
        assert child.end() == -signal.SIGKILL
    found, damaged = queue.read()
    left: dict[str, list[list[Pending]]] = {
        "append written": [[record(1), record(2)], [record(1), record(2), record(3)]],
        "append synced": [[record(1), record(2), record(3)]],
        "remove written": [[record(1), record(2)]],
        "remove replaced": [[record(2)]],
        "remove truncated": [[]],
    }
    assert (found in left[step], damaged) == (True, 0)
    queue.append(record(9))
    assert queue.read() == ([*found, record(9)], 0)
