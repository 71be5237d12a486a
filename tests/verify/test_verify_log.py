"""The log of what verifying has found: lines that add up, over processes, forks and their ends."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from unstale import Cache, Verify, verifiers
from unstale.core.verified import Counts, LostKey, settled_after, total_of
from unstale.core.verifier import Done
from unstale.errors import ConfigurationError
from unstale.events import Event, Failed
from unstale.options import make_keyspace
from unstale.verifiers import LINE_SECONDS, Line, Log

POLICY = Verify(0.5, limit=30)
LOST = LostKey("orders:42", ("user:42",), 60.0, stood=True, at=1.0)


def lines_of(path: Path) -> list[Line]:
    """What a log holds."""
    raw = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Line) for line in raw]


def total(path: Path) -> Counts:
    """All of it together."""
    return total_of(counts for line in lines_of(path) for counts in line.kinds.values())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log is to be."""
    return tmp_path / "verify.jsonl"


@pytest.fixture
def told() -> list[Any]:
    """What could not be done."""
    return []


@pytest.fixture
def log(path: Path, told: list[Any]) -> Log:
    """A log."""
    return Log(path, POLICY, "shop", told.append)


def test_what_was_the_same_waits_for_a_line(log: Log, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written when it has waited long enough, added up."""
    for _ in range(3):
        log(Done("orders:*", Counts(same=1)))
    log(Done("orders:*", Counts(skipped=1)))
    assert not path.exists()
    now = time.monotonic() + LINE_SECONDS
    monkeypatch.setattr(verifiers.time, "monotonic", lambda: now)
    log(Done("users:*", Counts(same=1)))
    [line] = lines_of(path)
    assert line.kinds == {"orders:*": Counts(same=3, skipped=1), "users:*": Counts(same=1)}
    assert (line.namespace, line.rate, line.limit, line.lost) == ("shop", 0.5, 30.0, [])
    assert line.seconds >= LINE_SECONDS


@pytest.mark.parametrize("counts", [settled_after(1.0), Counts(lost=2), Counts(unsettled=1)], ids=str)
def test_what_differed_is_written_at_once(log: Log, path: Path, counts: Counts) -> None:
    """With all that has waited; nothing is written twice."""
    log(Done("orders:*", Counts(same=1)))
    log(Done("orders:*", counts, LOST if counts.lost else None))
    log.write()
    [line] = lines_of(path)
    assert line.kinds == {"orders:*": Counts(same=1) + counts}
    assert line.lost == ([LOST] if counts.lost else [])


def test_a_file_that_cannot_be_written(log: Log, path: Path, told: list[Any]) -> None:
    """It is told, and what was found is kept for the next line."""
    path.mkdir()
    log(Done("orders:*", Counts(lost=1), LOST))
    [failed] = told
    assert (type(failed), failed.operation, type(failed.error)) == (Failed, "verify", IsADirectoryError)
    path.rmdir()
    log.write()
    [line] = lines_of(path)
    assert (line.kinds, line.lost) == ({"orders:*": Counts(lost=1)}, [LOST])


def test_a_full_disk(log: Log, path: Path, told: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A torn line is ended, so that it costs no other line."""
    written = os.write

    def short(file: int, data: bytes) -> int:
        return written(file, data[: len(data) // 2] if len(data) > 1 else data)

    with monkeypatch.context() as patch:
        patch.setattr(verifiers.os, "write", short)
        log(Done("orders:*", Counts(lost=1)))
    log.write()
    torn, whole = path.read_bytes().splitlines()
    assert msgspec.json.decode(whole, type=Line).kinds == {"orders:*": Counts(lost=1)}
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(torn)
    assert len(told) == 1


def test_threads_lose_nothing(log: Log, path: Path) -> None:
    """Each counts, and some write meanwhile."""

    def work() -> None:
        for number in range(200):
            log(Done("orders:*", Counts(same=1) if number % 10 else Counts(lost=1)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.write()
    assert total(path) == Counts(same=720, lost=80)


def test_only_its_owner_may_read_it(log: Log, path: Path) -> None:
    """It names keys."""
    log(Done("orders:*", Counts(lost=1)))
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("given", "says"), [("verify.jsonl", "absolute"), ("/nowhere/at/all/verify.jsonl", "directory that exists")]
)
def test_where_it_cannot_be(given: str, says: str) -> None:
    """That is said when the cache is made."""
    with pytest.raises(ConfigurationError, match=says):
        make_keyspace({"verify": Verify(0.1, log=given)})


def test_a_cache_that_is_let_go_writes_what_it_has(path: Path) -> None:
    """Not only at the process's end."""
    cache = Cache.from_url("memory://", verify=Verify(1.0, share=1.0, log=path))
    for _ in range(3):
        cache.get_or_set("k", lambda: 1)
    assert not path.exists()
    cache.close()
    del cache
    assert total(path) == Counts(same=2)


def test_a_kind_with_half_a_character(path: Path) -> None:
    """Of the user's own making: it is written as it can be, and no reader is kept from his value."""
    policy = Verify(1.0, share=1.0, log=path, kind_of=lambda key: f"{key}\ud800")
    with Cache.from_url("memory://", verify=policy) as cache:
        rows = iter([1, 1, 2, 2, 2])
        for _ in range(3):
            assert cache.get_or_set("k", lambda: next(rows)) == 1
    del cache
    gc.collect()
    assert {kind for line in lines_of(path) for kind in line.kinds} == {"k\\ud800"}


PROCESS = """
import os, sys, time
from unstale import Cache, Verify

cache = Cache.from_url("memory://", namespace="shop", verify=Verify(1.0, limit=60, share=1.0, log=sys.argv[1]))
rows = {"k": 1}
read = lambda: cache.get_or_set("k", lambda: rows["k"])
read()
read()
"""
ENDS = {
    "by itself": "",
    "by an exception": "raise SystemExit(3)",
    "with something watched": "rows['k'] = 2; read()",
    "forked": """
child = os.fork()
read()
if child:
    read()
    os.waitpid(child, 0)
""",
}
FOUND = {
    "by itself": Counts(same=1),
    "by an exception": Counts(same=1),
    "with something watched": Counts(same=1, unsettled=1),
    "forked": Counts(same=4),  # one before the fork, two in the parent, one in the child: the parent's is no one else's
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_ends(path: Path, end: str) -> None:
    """It leaves all that it has found, once."""
    subprocess.run([sys.executable, "-c", PROCESS + ENDS[end], str(path)], check=False, timeout=60)
    assert total(path) == FOUND[end]


def test_a_child_begins_anew(path: Path) -> None:
    """What its parent has found is its parent's, and what that watches."""
    script = """
rows['k'] = 2
read()
child = os.fork()
if not child:
    found = cache.verification()
    os._exit(0 if not found.kinds and not found.watched else 9)
assert cache.verification().watched == 1
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", PROCESS + script, str(path)], check=False, timeout=60).returncode == 0


def test_a_process_that_is_killed(path: Path) -> None:
    """It takes nothing that differed with it."""
    script = PROCESS + "rows['k'] = 2; read(); cache.invalidate('x'); cache.delete('k'); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", script, str(path)])
    try:
        deadline = time.monotonic() + 60
        while not total(path).differed:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    found = total(path)
    assert (found.same, sum(found.settled)) == (1, 1)


def test_processes_write_side_by_side(path: Path) -> None:
    """No line of one is torn by another's."""
    script = """
import sys
from unstale import Verify
from unstale.core.verified import Counts
from unstale.core.verifier import Done
from unstale.verifiers import Log
from pathlib import Path

log = Log(Path(sys.argv[1]), Verify(0.5), "shop", print)
for number in range(300):
    log(Done("kind " * 200, Counts(lost=1)))
"""
    children = [subprocess.Popen([sys.executable, "-c", script, str(path)]) for _ in range(4)]
    assert [child.wait(timeout=60) for child in children] == [0] * 4
    assert total(path) == Counts(lost=1200)


def test_the_hook_is_told_what_cannot_be_written(path: Path) -> None:
    """As of all else that goes wrong beside a caller."""
    events: list[Event] = []
    path.mkdir()
    cache = Cache.from_url("memory://", on_event=events.append, verify=Verify(1.0, share=1.0, log=path))
    numbers = {"k": 1}
    cache.get_or_set("k", lambda: numbers["k"])
    numbers["k"] = 2
    assert cache.get_or_set("k", lambda: numbers["k"]) == 1
    cache.delete("k")
    deadline = time.monotonic() + 60
    while not any(isinstance(event, Failed) for event in events):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    path.rmdir()
