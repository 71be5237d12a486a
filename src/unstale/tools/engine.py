"""What a server's engine did between two looks at it: INFO and its command statistics, read and subtracted.

Nothing here starts a server, waits, or judges. The engine is the main thread, which runs all commands: the figure that
ElastiCache calls EngineCPUUtilization. The process has other threads (I/O, freeing memory), which are counted apart.

Two traps of `INFO commandstats`, both measured on Redis 7.0 and Valkey 9.1 (tests/test_engine.py holds them):

- A command inside a script or a transaction is counted twice: by its own name, and in the time of EVALSHA or EXEC.
- Its times are a clock's, not the CPU's: a command during which the server had to wait for its core (on a busy
  machine, or held to a fraction of a core) counts the wait.

`Work.seconds_by_class` allows for both.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from unstale.tools.wording import printable

ALARM_PERCENT: Final = 90.0
"""Engine CPU at which ElastiCache's guide tells to alarm (for a node with one core's worth of engine)."""
CommandClass: TypeAlias = Literal["reads", "writes", "deletes", "scans", "scripts", "other"]
CLASSES: Final[tuple[CommandClass, ...]] = ("reads", "writes", "deletes", "scans", "scripts", "other")

_WORDS: Final[Mapping[CommandClass, str]] = {
    "reads": "get mget getrange strlen exists ttl pttl expiretime pexpiretime type hget hmget hgetall hkeys hvals "
    "hlen hexists smembers smismember sismember scard zrange zrangebyscore zscore zmscore zcard lrange llen",
    "writes": "set setex psetex setnx mset msetnx getset getex append incr incrby incrbyfloat decr decrby expire "
    "pexpire pexpireat expireat persist rename getdel hset hsetnx hmset hincrby hdel sadd srem spop zadd zincrby zrem "
    "zremrangebyscore zremrangebyrank lpush rpush lpop rpop lrem ltrim setrange copy",
    "deletes": "del unlink",
    "scans": "scan keys sscan hscan zscan",
    "scripts": "eval evalsha eval_ro evalsha_ro fcall fcall_ro",
}
CLASS_OF: Final[Mapping[str, CommandClass]] = {
    command: kind for kind, commands in _WORDS.items() for command in commands.split()
}
"""By a command's name in lower case; what is not here is `other`. FLUSHDB is: it invalidates nothing in particular."""
EXEC: Final = "exec"
"""Its time is that of the commands in it, which are counted by their own names, and next to nothing of its own."""


@dataclass(frozen=True, slots=True)
class Command:
    """What one command has cost since the server began."""

    calls: int
    seconds: float
    """Inside the command, by the clock. A script's and EXEC's contain those of the commands in them."""


@dataclass(frozen=True, slots=True)
class Look:
    """A server's counters at one moment. All but `at`, memory and keys only grow while the server lives."""

    at: float
    """Seconds of the monotonic clock, when the answer had come: a busy server answers late, with its counts of then."""
    engine_seconds: float
    """CPU seconds of the main thread. macOS does not tell it apart: there it is the whole process's."""
    process_seconds: float
    """CPU seconds of all the process's threads."""
    trips: int
    """How often it has read from a client: a round trip each, where a client waits for its answers."""
    memory_bytes: int
    keys: int
    """In the database that was asked for."""
    commands: Mapping[str, Command]
    """By name in lower case; subcommands by that of the whole (`client|list` is `client`)."""
    command_seconds: float | None = None
    """Inside commands, each second once. None: this server does not tell (Redis before 7.2)."""
    run_id: str = ""
    """Another one after each start of the server."""
    databases: Mapping[int, int] = field(default_factory=dict)
    """The keys of each database that has any, by its number."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the engine did between two looks."""

    seconds: float
    """From look to look."""
    engine_seconds: float
    process_seconds: float
    trips: int
    commands: Mapping[str, Command]
    command_seconds: float | None = None
    """As in `Look`."""

    @property
    def engine_percent(self) -> float:
        """Of one core."""
        return 100 * self.engine_seconds / self.seconds if self.seconds else 0.0

    def seconds_by_class(self) -> dict[CommandClass, float]:
        """Seconds inside commands, for every class, also one with none: the sums of `seconds_by_command`."""
        found: dict[CommandClass, float] = dict.fromkeys(CLASSES, 0.0)
        for name, seconds in self.seconds_by_command().items():
            found[CLASS_OF.get(name, "other")] += seconds
        return found

    def seconds_by_command(self) -> dict[str, float]:
        """Seconds inside each command, each second once. Their sum is never above `engine_seconds`.

        What a script calls counts by its own name, and a script's time is what is left of it. A server that does not
        tell `command_seconds` lets no one know that rest: there it is the whole of the script's time, so commands
        inside scripts weigh double. Where the sum would be above `engine_seconds`, all are made smaller in proportion:
        the waits that are in them fell on whatever command was running.
        """
        found = {name: command.seconds for name, command in self.commands.items() if name != EXEC}
        scripts = sum(seconds for name, seconds in found.items() if CLASS_OF.get(name) == "scripts")
        if self.command_seconds is not None and scripts:
            twice = sum(found.values()) - self.command_seconds
            left = 1 - min(max(0.0, twice), scripts) / scripts
            found = {
                name: seconds * left if CLASS_OF.get(name) == "scripts" else seconds for name, seconds in found.items()
            }
        total = sum(found.values())
        part = min(1.0, self.engine_seconds / total) if total else 1.0
        return {name: seconds * part for name, seconds in found.items()}


def look(client: Any, database: int = 0) -> Look:
    """Ask a server for its counters, in one trip.

    Args:
        client: a redis-py client (sync).
        database: whose keys are counted.

    Raises:
        redis.RedisError: it cannot be asked.
    """
    with client.pipeline(transaction=False) as pipeline:
        for section in ("server", "cpu", "stats", "memory", "keyspace", "commandstats"):
            pipeline.info(section)
        server, cpu, stats, memory, keyspace, commands = pipeline.execute()
    at = time.monotonic()
    spent = stats.get("eventloop_duration_cmd_sum")
    suffix = "_main_thread" if "used_cpu_user_main_thread" in cpu else ""
    databases = {int(name[2:]): of["keys"] for name, of in keyspace.items() if name[2:].isdigit()}
    return Look(
        at=at,
        engine_seconds=cpu[f"used_cpu_user{suffix}"] + cpu[f"used_cpu_sys{suffix}"],
        process_seconds=cpu["used_cpu_user"] + cpu["used_cpu_sys"],
        trips=stats["total_reads_processed"],
        memory_bytes=memory["used_memory"],
        keys=databases.get(database, 0),
        databases=databases,
        commands=_by_command(commands),
        command_seconds=None if spent is None else spent / 1e6,
        run_id=server.get("run_id", ""),
    )


def between(first: Look, second: Look) -> Work:
    """What was done from one look to the next, of the same server.

    Raises:
        ValueError: the counters went back: the server was restarted, or its statistics were reset, in between.
    """
    if second.run_id != first.run_id or _went_back(first, second):
        raise ValueError("The server's counters went back between two looks: it was restarted, or reset.")
    none = Command(0, 0.0)
    before = {name: first.commands.get(name, none) for name in second.commands}
    grown = {
        name: Command(now.calls - before[name].calls, now.seconds - before[name].seconds)
        for name, now in second.commands.items()
        if now.calls > before[name].calls
    }
    return Work(
        seconds=second.at - first.at,
        engine_seconds=second.engine_seconds - first.engine_seconds,
        process_seconds=second.process_seconds - first.process_seconds,
        trips=second.trips - first.trips,
        commands=grown,
        command_seconds=None
        if first.command_seconds is None or second.command_seconds is None
        else second.command_seconds - first.command_seconds,
    )


def _went_back(first: Look, second: Look) -> bool:
    """Whether any counter is lower than before. Statistics that were reset begin without any command."""
    none = Command(0, 0.0)
    return (
        second.engine_seconds < first.engine_seconds
        or second.trips < first.trips
        or any(second.commands.get(name, none).calls < one.calls for name, one in first.commands.items())
    )


def command_of(field: str) -> str:
    """A command's name, from that of its field in `INFO commandstats`; a subcommand's is that of the whole."""
    return printable(field.removeprefix("cmdstat_").partition("|")[0].lower())


def _by_command(told: Mapping[str, Mapping[str, float]]) -> dict[str, Command]:
    found: dict[str, Command] = {}
    for name, one in told.items():
        command = command_of(name)
        known = found.get(command, Command(0, 0.0))
        found[command] = Command(known.calls + int(one["calls"]), known.seconds + one["usec"] / 1e6)
    return found


def main_commands(work: Work, most: int = 3) -> Iterable[str]:
    """The commands that took the engine most time, the dearest first."""
    return sorted(work.commands, key=lambda name: -work.commands[name].seconds)[:most]
