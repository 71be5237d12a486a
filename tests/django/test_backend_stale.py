"""To every verb of the backend a stale entry is absent, though its bytes are still in Redis; and what one trip is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from servers import Server

from unstale import remembering

Call = Callable[..., Any]
KEY = "user:42:n"
NAME = b"django:e::1:user:42:n"
STAMP = b"django:s:{:1:user:42}"


@pytest.fixture(autouse=True)
def in_a_request() -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, backend: Any) -> Call:
    """Calls verbs by their names, of each kind."""

    def call_one(verb: str, *arguments: Any, **named: Any) -> Any:
        if request.param == "sync":
            return getattr(backend, verb)(*arguments, **named)
        return async_to_sync(getattr(backend, "a" + verb))(*arguments, **named)

    return call_one


@contextmanager
def unchanged(server: Server) -> Iterator[None]:
    """The entry's bytes are there before, and the same afterwards."""
    with server.client as client:
        before = client.dump(NAME)
        assert before is not None
        assert client.strlen(NAME) > 48
        yield
        assert client.dump(NAME) == before


@pytest.fixture
def stale(backend: Any, server: Server) -> None:
    """An integer under KEY, with a limit, whose tag was invalidated: by no one who can have removed a byte."""
    backend.set(KEY, 5, 1000)
    assert backend.get(KEY) == 5
    with unchanged(server):
        backend.invalidate("user:42")


ABSENT: dict[str, Callable[[Call], tuple[Any, Any]]] = {
    "get": lambda call: (call("get", KEY, "absent"), "absent"),
    "get_many": lambda call: (call("get_many", [KEY]), {}),
    "has_key": lambda call: (call("has_key", KEY), False),
    "set xx": lambda call: (call("set", KEY, 7, xx=True), False),
    "touch": lambda call: (call("touch", KEY, 2000), False),
    "touch for good": lambda call: (call("touch", KEY, None), False),
    "ttl": lambda call: (call("ttl", KEY), 0),
    "pttl": lambda call: (call("pttl", KEY), 0),
    "persist": lambda call: (call("persist", KEY), False),
    "expire": lambda call: (call("expire", KEY, 2000), False),
    "pexpire": lambda call: (call("pexpire", KEY, 2000_000), False),
    "expire_at": lambda call: (call("expire_at", KEY, 2**32), False),
    "pexpire_at": lambda call: (call("pexpire_at", KEY, 2**42), False),
    "keys": lambda call: (call("keys", "*"), []),
}


@pytest.mark.parametrize("verb", ABSENT)
@pytest.mark.usefixtures("stale")
def test_a_stale_entry_is_absent(call: Call, server: Server, verb: str) -> None:
    """What only looks, or changes what is there, finds nothing, and leaves the bytes."""
    with unchanged(server):
        found, absent = ABSENT[verb](call)
    assert found == absent


RAISING: dict[str, Callable[[Call], Any]] = {
    "incr": lambda call: call("incr", KEY),
    "decr": lambda call: call("decr", KEY, 3),
    "incr_version": lambda call: call("incr_version", KEY),
    "decr_version": lambda call: call("decr_version", KEY),
}


@pytest.mark.parametrize("verb", RAISING)
@pytest.mark.usefixtures("stale")
def test_a_stale_count_is_absent(call: Call, server: Server, verb: str) -> None:
    """What counts raises as for a key that was never set."""
    with unchanged(server), pytest.raises(ValueError, match="not found"):
        RAISING[verb](call)


STORING: dict[str, Callable[[Call], tuple[Any, Any]]] = {
    "add": lambda call: (call("add", KEY, 7), True),
    "set nx": lambda call: (call("set", KEY, 7, nx=True), True),
    "get_or_set": lambda call: (call("get_or_set", KEY, 7), 7),
    "incr from nothing": lambda call: (call("incr", KEY, 7, ignore_key_check=True), 7),
}


@pytest.mark.parametrize("verb", STORING)
@pytest.mark.usefixtures("stale")
def test_a_stale_entry_is_replaced(call: Call, verb: str) -> None:
    """What stores where nothing is stores over it."""
    done, expected = STORING[verb](call)
    assert (done, call("get", KEY)) == (expected, 7)


@pytest.mark.usefixtures("stale")
def test_a_stale_entry_is_deleted(call: Call, server: Server) -> None:
    """Its bytes go, but nothing is said to have been there."""
    assert call("delete", KEY) is False
    with server.client as client:
        assert client.exists(NAME) == 0


@pytest.mark.usefixtures("stale")
def test_stale_entries_are_not_counted(call: Call) -> None:
    """delete_many counts what was fresh."""
    call("set", "other", 1)
    assert call("delete_many", [KEY, "other"]) == 1


# What lives without a limit


@pytest.mark.parametrize(
    "make",
    [
        lambda call: call("set", KEY, 1, None),
        lambda call: call("set", KEY, 1, 100) and call("touch", KEY, None),
        lambda call: call("set", KEY, 1, 100) and call("persist", KEY),
        lambda call: call("set", KEY, 1, 100) and call("expire", KEY, None),
    ],
    ids=["set", "touch", "persist", "expire"],
)
def test_without_a_limit_the_stamps_have_none(call: Call, server: Server, make: Callable[[Call], Any]) -> None:
    """An entry for good is not lost by its stamps' expiry, however it came to be one; invalidation ends it."""
    assert make(call)
    with server.client as client:
        assert [client.pttl(NAME), client.pttl(STAMP)] == [-1, -1]
        assert {client.pttl(root) for root in client.keys("django:r:*") if client.pttl(root) < 0} == {-1}
    call("invalidate", "user:42")
    assert call("get", KEY) is None


def test_touch_carries_the_stamps_along(call: Call, server: Server) -> None:
    """Where an entry outlives the stamps' usual life, they live as long."""
    long = 90 * 86400
    call("set", KEY, 1, 100)
    call("touch", KEY, long)
    with server.client as client:
        assert min(client.ttl(STAMP), client.ttl(NAME)) >= long - 5


def test_a_touch_while_nobody_looks(call: Call, server: Server) -> None:
    """Touch and persist leave the value and its freshness as they are."""
    call("set", KEY, 5, 100)
    assert [call("touch", KEY, 200), call("persist", KEY), call("get", KEY), call("incr", KEY)] == [True, True, 5, 6]


# Trips


@contextmanager
def sent(server: Server) -> Iterator[list[str]]:
    """The commands that clients send meanwhile; those of scripts do not count."""
    names: list[str] = []
    with server.client as client, client.monitor() as monitor:
        yield names
        with server.client as last:
            last.echo("over")
        for each in monitor.listen():
            if each["command"] == "ECHO over":
                break
            if each["client_type"] != "lua":
                names.append(each["command"].split(" ")[0].upper())
    names[:] = [name for name in names if name not in ("INFO", "CLIENT", "HELLO", "SELECT", "PING")]


def script(names: list[str]) -> list[str]:
    """The same with each way to call a script under one name."""
    return ["SCRIPT" if name.startswith("EVAL") else name for name in names]


def test_a_hit_is_one_command(call: Call, server: Server) -> None:
    """One MGET of the entry and its stamps."""
    call("set", KEY, "value")
    call("get", KEY)
    with sent(server) as names:
        assert call("get", KEY) == "value"
    assert names == ["MGET"]


@pytest.mark.parametrize("fresh", [0, 5, 10])
def test_get_many_of_ten_is_one_command(call: Call, server: Server, fresh: int) -> None:
    """Ten keys of ten tags are one MGET, be they there or not (the stamps that a first miss lacks are a trip more)."""
    keys = [f"user:{number}:page" for number in range(10)]
    call("set_many", dict.fromkeys(keys[:fresh], 1))
    call("get_many", keys)
    with sent(server) as names:
        assert len(call("get_many", keys)) == fresh
    assert names == ["MGET"]


def test_incr_is_one_script(call: Call, server: Server) -> None:
    """It checks the stamps, adds, and leaves the time to live."""
    call("set", KEY, -5, 1000)
    call("incr", KEY)
    with sent(server) as names:
        assert call("incr", KEY, -10) == -14
    assert script(names) == ["SCRIPT"]
    with server.client as client:
        assert 990 < client.ttl(NAME) <= 1000


def test_touch_is_one_script(call: Call, server: Server) -> None:
    """It checks the stamps where the times are."""
    call("set", KEY, 1, 1000)
    call("touch", KEY, 500)
    with sent(server) as names:
        assert call("touch", KEY, 600) is True
    assert script(names) == ["SCRIPT"]


@pytest.mark.parametrize("count", [1, 500])
def test_an_invalidation_is_one_write(call: Call, server: Server, count: int) -> None:
    """However many entries carry the tag."""
    call("set_many", {f"user:42:{number}": number for number in range(count)})
    with sent(server) as names:
        call("invalidate", "user:42")
    assert names == ["SET"]


def test_clear_is_sixteen_writes(call: Call, server: Server) -> None:
    """Whatever is stored. The set of structures' names is read besides."""
    call("set_many", {str(number): number for number in range(200)})
    with sent(server) as names:
        call("clear")
    assert [name for name in names if name != "SMEMBERS"] == ["SET"] * 16


def test_the_time_left_is_of_the_entry(call: Call) -> None:
    """Ttl rounds seconds, pttl has milliseconds."""
    call("set", KEY, 1, 100.5)
    left = call("pttl", KEY)
    assert 95_000 < left <= 100_500
    assert math.isclose(call("ttl", KEY), left / 1000, abs_tol=5)
