"""Files of records: what is in them at each moment, and after a process was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from unstale.tools.chaos import recording
from unstale.tools.chaos.mishaps import MOST, Mishaps, mishaps_in
from unstale.tools.chaos.record import Effect, Read, Source, Write
from unstale.tools.chaos.recording import READ, WRITE, Reads, Writes, count_of, reads_in, writes_in

A_READ = Read(3, 10, 20, Source.LOADER, 1, 7)
WRITER = """
import os, signal, sys
from pathlib import Path
from unstale.tools.chaos.recording import Writes
with Writes(Path(sys.argv[1])) as writes:
    writes.intend(1, 2, 10)
    writes.intend(5, 6, 11)
    writes.committed(1, 2, 10, 30)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_reads_come_back_as_they_were(tmp_path: Path) -> None:
    """All fields, large and negative ones too, from the buffers of several threads."""
    read = Read(2**31 - 1, 2**62, 2**62 + 1, Source.CACHE, -5, 10**12)
    with Reads(tmp_path / "reads") as file:
        first, second = file.buffer(), file.buffer()
        first.add(read)
        second.add(A_READ)
        first.flush()
        second.flush()
        second.flush()
    assert list(reads_in(tmp_path / "reads")) == [read, A_READ]


def test_a_read_waits_for_a_second_at_the_most(tmp_path: Path) -> None:
    """The next read of that thread writes it."""
    with Reads(tmp_path / "reads") as file:
        buffer = file.buffer()
        begun = buffer._flush_at - recording.FLUSH_NS
        buffer.add(A_READ._replace(ended=begun + recording.FLUSH_NS - 1))
        waiting = count_of(tmp_path / "reads", READ)
        buffer.add(A_READ._replace(ended=begun + recording.FLUSH_NS))
        assert (waiting, count_of(tmp_path / "reads", READ)) == (0, 2)


def test_many_reads_do_not_wait(tmp_path: Path) -> None:
    """A buffer is bounded."""
    with Reads(tmp_path / "reads") as file:
        buffer = file.buffer()
        for _ in range(recording.FLUSH_BYTES // READ.size + 1):
            buffer.add(A_READ)
        assert count_of(tmp_path / "reads", READ) > 0


def test_more_reads_than_are_read_at_a_time(tmp_path: Path) -> None:
    """None is left out, and none is torn."""
    reads = [A_READ._replace(key=number) for number in range(recording.CHUNK + 2)]
    with Reads(tmp_path / "reads") as file:
        buffer = file.buffer()
        for one in reads:
            buffer.add(one)
        buffer.flush()
    assert list(reads_in(tmp_path / "reads")) == reads


def test_a_torn_record_is_left_out(tmp_path: Path) -> None:
    """As a process leaves it that was killed while it wrote."""
    path = tmp_path / "reads"
    path.write_bytes(READ.pack(*A_READ) + READ.pack(*A_READ)[:-1])
    assert (list(reads_in(path)), count_of(path, READ)) == ([A_READ], 1)


def test_a_file_that_is_not_there_yet_has_no_records(tmp_path: Path) -> None:
    """A process that has just been started has none."""
    assert count_of(tmp_path / "reads", READ) == 0


def test_a_write_is_known_as_far_as_it_came(tmp_path: Path) -> None:
    """An intent alone is UNKNOWN; each step takes the place of the one before."""
    path, done = tmp_path / "writes", Write(1, 2, 10, 30, 40, Effect.EFFECTIVE)
    with Writes(path) as writes:
        seen = []
        for step in (
            lambda: writes.intend(1, 2, 10),
            lambda: writes.committed(1, 2, 10, 30),
            lambda: writes.done(done),
        ):
            step()
            seen.append(writes_in(path))
    unknown = Write(1, 2, 10, 0, 0, Effect.UNKNOWN)
    assert seen == [[unknown], [unknown._replace(committed=30)], [done]]
    assert count_of(path, WRITE) == 3


def test_the_same_version_begun_twice_is_two_writes(tmp_path: Path) -> None:
    """The first was never committed, so the second got its version."""
    with Writes(tmp_path / "writes") as writes:
        writes.intend(1, 2, 10)
        writes.intend(1, 2, 20)
    assert [one.began for one in writes_in(tmp_path / "writes")] == [10, 20]


def test_a_killed_writer_has_written_all_that_it_began(tmp_path: Path) -> None:
    """Nothing of a writer's waits in a buffer."""
    killed = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path / "writes")], check=False)
    assert killed.returncode == -signal.SIGKILL
    found = {(one.row, one.version): one.committed for one in writes_in(tmp_path / "writes")}
    assert found == {(1, 2): 30, (5, 6): 0}


def test_mishaps_are_counted_over_all_processes(tmp_path: Path) -> None:
    """By their first lines."""
    for name in ("a", "b"):
        mishaps = Mishaps(tmp_path / f"{name}.errors")
        mishaps.tell("read", ValueError("no\nmore"))
        mishaps.tell("read", ValueError("no"))
        mishaps.close()
    assert mishaps_in(tmp_path) == {"read: ValueError: no": 4}


def test_so_many_different_mishaps_are_told_and_no_more(tmp_path: Path) -> None:
    """The rest is one number."""
    mishaps = Mishaps(tmp_path / "a.errors")
    for number in range(MOST + 3):
        mishaps.tell("read", ValueError(str(number)))
    mishaps.close()
    found = mishaps_in(tmp_path)
    assert (len(found), found["(others)"]) == (MOST + 1, 3)


def test_no_mishap_leaves_no_file(tmp_path: Path) -> None:
    """Its absence says that there was none."""
    Mishaps(tmp_path / "a.errors").close()
    assert list(tmp_path.iterdir()) == []
