"""What a server's engine did: real servers' counters, read and subtracted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from servers import SERVERS, Server, require

from unstale.tools import engine

NONE = {"reads": 0, "writes": 0, "deletes": 0, "scans": 0, "scripts": 0, "other": 0}


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """A connection to each kind of server, which is empty."""
    with server.client as client:
        client.ping()  # what connecting takes is done
        yield client


def done(client: redis.Redis, *acts: Callable[[], object]) -> engine.Work:
    """What the server did while these were called."""
    first = engine.look(client)
    for act in acts:
        act()
    return engine.between(first, engine.look(client))


def test_counts_every_call_by_its_command(client: redis.Redis) -> None:
    """Calls are those that were made, and no others but the look's own INFO."""
    work = done(client, lambda: client.set("a", 1), lambda: client.get("a"), lambda: client.get("a"))
    assert {name: one.calls for name, one in work.commands.items()} == {"set": 1, "get": 2, "info": 6}


def test_subcommands_count_as_their_command(client: redis.Redis) -> None:
    """CLIENT LIST and CLIENT ID are two calls of CLIENT."""
    work = done(client, client.client_list, client.client_id)
    assert work.commands["client"].calls == 2


def test_a_pipeline_is_one_trip(client: redis.Redis) -> None:
    """Three commands in a pipeline are one trip, three apart are three; a look is one."""

    def piped() -> None:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.get("a").get("b").get("c").execute()

    apart = [lambda: client.get("a")] * 3
    assert (done(client, piped).trips, done(client, *apart).trips, done(client).trips) == (2, 4, 1)


def test_every_class_has_its_commands(client: redis.Redis) -> None:
    """A read, a write, a delete, a scan, a script and something else are each found in their class."""
    work = done(
        client,
        lambda: client.mset({f"key{number}": "x" * 1000 for number in range(2000)}),
        lambda: client.set("a", "x" * 1_000_000),
        lambda: client.get("a"),
        lambda: list(client.scan_iter("nothing*", count=5000)),
        lambda: client.eval("local n = 0 for i = 1, 100000 do n = n + i end return n", 0),
        lambda: client.unlink(*(f"key{number}" for number in range(2000))),
        client.client_list,
    )
    seconds = work.seconds_by_class()
    assert set(seconds) == set(engine.CLASSES)
    assert min(seconds.values()) > 0


def test_main_commands_are_the_dearest(client: redis.Redis) -> None:
    """A scan of many keys stands before a read of one."""
    client.mset({f"key{number}": 1 for number in range(20_000)})
    work = done(client, lambda: client.get("key1"), lambda: client.keys("nothing*"))
    assert list(engine.main_commands(work, most=1)) == ["keys"]


def test_the_engine_works_while_it_is_kept_busy(client: redis.Redis) -> None:
    """A script that runs takes CPU of the main thread; a server that nobody asks takes next to none."""
    busy = done(client, lambda: client.eval("for i = 1, 3000000 do end", 0))
    idle = done(client, lambda: time.sleep(0.3))
    assert busy.engine_seconds > 5 * idle.engine_seconds
    assert 0 < busy.engine_percent == 100 * busy.engine_seconds / busy.seconds
    assert busy.process_seconds >= 0.9 * busy.engine_seconds  # the two are read one after the other


def test_a_script_and_what_it_calls_are_counted_twice_by_the_server(client: redis.Redis) -> None:
    """Why `seconds_by_class` subtracts: EVAL's time contains that of the commands in it, which are counted too."""
    client.rpush("list", *range(20_000))
    work = done(client, lambda: client.eval("for i = 1, 20 do redis.call('lrange', KEYS[1], 0, -1) end", 1, "list"))
    assert work.commands["lrange"].calls == 20
    assert work.commands["eval"].seconds > work.commands["lrange"].seconds > 0


def test_a_transaction_is_counted_once(client: redis.Redis) -> None:
    """EXEC's time is that of the commands in it: only theirs is in the classes."""
    client.rpush("list", *range(50_000))

    def transaction() -> None:
        with client.pipeline(transaction=True) as pipeline:
            pipeline.lrange("list", 0, -1).lrange("list", 0, -1).execute()

    work = done(client, transaction)
    seconds = work.seconds_by_class()
    assert work.commands["exec"].seconds >= work.commands["lrange"].seconds
    assert seconds["other"] < seconds["reads"] / 2


def test_a_scripts_commands_are_counted_in_their_class_alone(session_servers: Callable[[str], Server]) -> None:
    """Where the server tells the time inside commands, `scripts` is only what the script itself took."""
    with session_servers("valkey").client as client:  # Redis before 7.2 does not
        client.delete("list")
        client.rpush("list", *range(20_000))
        script = "for i = 1, 20 do redis.call('lrange', KEYS[1], 0, -1) end"
        work = done(client, lambda: client.eval(script, 1, "list"))
    own = work.commands["eval"].seconds - work.commands["lrange"].seconds
    apart = replace(work, engine_seconds=60.0)  # not capped by what the main thread used
    assert apart.seconds_by_class()["scripts"] == pytest.approx(own, abs=0.002)
    assert apart.seconds_by_class()["reads"] == work.commands["lrange"].seconds


def work_of(engine_seconds: float, command_seconds: float | None, **commands: float) -> engine.Work:
    """What a server is imagined to have done, in seconds."""
    calls = {name: engine.Command(1, seconds) for name, seconds in commands.items()}
    return engine.Work(1.0, engine_seconds, engine_seconds, 1, calls, command_seconds)


def test_classes_never_sum_above_the_engine() -> None:
    """Waits for a core, which are in the commands' times, are taken out in proportion."""
    assert work_of(0.25, 1.0, get=0.25, scan=0.75).seconds_by_class() == {**NONE, "reads": 0.0625, "scans": 0.1875}


def test_a_script_in_a_transaction_is_subtracted_once() -> None:
    """EXEC 4 s, of which EVAL 3 s, of which SET 2 s, and GET 1 s: reads 1, writes 2, the script itself 1."""
    work = work_of(9.0, 4.0, exec=4.0, eval=3.0, set=2.0, get=1.0)
    assert work.seconds_by_class() == {**NONE, "reads": 1.0, "writes": 2.0, "scripts": 1.0}


def test_without_the_time_in_commands_a_script_counts_whole() -> None:
    """What Redis before 7.2 leaves: the script's whole time, beside that of its commands."""
    work = work_of(9.0, None, evalsha=3.0, set=2.0)
    assert work.seconds_by_class() == {**NONE, "writes": 2.0, "scripts": 3.0}


def test_a_restart_is_noticed(own_server: Server) -> None:
    """Counters of two lives of a server are not subtracted, even if all of the second's are higher."""
    with own_server.client as client:
        first = engine.look(client)
        own_server.kill()
        own_server.start()
        with own_server.client as again:
            for _ in range(50):
                again.info()
            second = engine.look(again)
    with pytest.raises(ValueError, match="restarted"):
        engine.between(first, replace(second, engine_seconds=first.engine_seconds + 1))


def test_a_reset_is_noticed(client: redis.Redis) -> None:
    """CONFIG RESETSTAT in between is seen, however many reads followed it."""
    client.set("a", 1)
    first = engine.look(client)
    client.config_resetstat()
    second = engine.look(client)
    with pytest.raises(ValueError, match="reset"):
        engine.between(first, replace(second, trips=first.trips + 1))


def test_keys_are_of_the_database_asked_for(server: Server) -> None:
    """Another database's keys are not counted; memory is the whole server's."""
    with server.client as client, redis.Redis(port=server.port, db=3) as third:
        third.mset({"a": 1, "b": 2})
        assert (engine.look(client).keys, engine.look(client, 3).keys) == (0, 2)
        assert engine.look(client).memory_bytes > 0


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("kind", SERVERS)
def test_trips_are_counted_with_io_threads_too(kind: str, threads: str, tmp_path: Path) -> None:
    """The variant with a bigger node counts its trips as the others do."""
    require(kind)
    options = ("--io-threads", threads, "--io-threads-do-reads", "yes")
    with Server(kind, tmp_path, *options) as server, server.client as client:
        client.ping()
        assert done(client, *[lambda: client.get("a")] * 500).trips == 501
