"""What a server's engine did between two looks at it: INFO and its command statistics, read and subtracted.

Nothing here starts a server, waits, or judges. The engine is the main thread, which runs all commands: the figure that
ElastiCache calls EngineCPUUtilization. The process has other threads (I/O, freeing memory), which are counted apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

CommandClass: TypeAlias = Literal["reads", "writes", "deletes", "scans", "scripts", "other"]
CLASSES: Final[tuple[CommandClass, ...]] = ("reads", "writes", "deletes", "scans", "scripts", "other")

_WORDS: Final[Mapping[CommandClass, str]] = {
    "reads": "get mget getrange strlen exists ttl pttl type hget hmget hgetall smembers sismember zrange zscore lrange",
    "writes": "set setex psetex setnx mset getset getex append incr incrby decr decrby expire pexpire pexpireat "
    "expireat persist rename hset hmset hdel sadd srem zadd zrem zremrangebyscore lpush rpush setrange copy",
    "deletes": "del unlink getdel flushdb flushall",
    "scans": "scan keys sscan hscan zscan",
    "scripts": "eval evalsha eval_ro evalsha_ro fcall fcall_ro",
}
CLASS_OF: Final[Mapping[str, CommandClass]] = {
    command: kind for kind, commands in _WORDS.items() for command in commands.split()
}
"""By a command's name in lower case; what is not here is `other`."""


@dataclass(frozen=True, slots=True)
class Command:
    """What one command has cost since the server began."""

    calls: int
    seconds: float
    """Inside the command, in the engine. A script's contain those of the commands that it calls."""


@dataclass(frozen=True, slots=True)
class Look:
    """A server's counters at one moment. All but `at`, memory and keys only grow while the server lives."""

    at: float
    """Seconds of the monotonic clock, halfway through the look."""
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


@dataclass(frozen=True, slots=True)
class Work:
    """What the engine did between two looks."""

    seconds: float
    """From look to look."""
    engine_seconds: float
    process_seconds: float
    trips: int
    commands: Mapping[str, Command]

    @property
    def engine_percent(self) -> float:
        """Of one core."""
        return 100 * self.engine_seconds / self.seconds if self.seconds else 0.0

    def seconds_by_class(self) -> dict[CommandClass, float]:
        """Seconds inside commands, for every class, also one with none."""
        found: dict[CommandClass, float] = dict.fromkeys(CLASSES, 0.0)
        for name, command in self.commands.items():
            found[CLASS_OF.get(name, "other")] += command.seconds
        return found


def look(client: Any, database: int = 0) -> Look:
    """Ask a server for its counters, in one trip.

    Args:
        client: a redis-py client (sync).
        database: whose keys are counted.

    Raises:
        redis.RedisError: it cannot be asked.
    """
    begun = time.monotonic()
    with client.pipeline(transaction=False) as pipeline:
        for section in ("cpu", "stats", "memory", "keyspace", "commandstats"):
            pipeline.info(section)
        cpu, stats, memory, keyspace, commands = pipeline.execute()
    suffix = "_main_thread" if "used_cpu_user_main_thread" in cpu else ""
    return Look(
        at=(begun + time.monotonic()) / 2,
        engine_seconds=cpu[f"used_cpu_user{suffix}"] + cpu[f"used_cpu_sys{suffix}"],
        process_seconds=cpu["used_cpu_user"] + cpu["used_cpu_sys"],
        trips=stats["total_reads_processed"],
        memory_bytes=memory["used_memory"],
        keys=keyspace.get(f"db{database}", {}).get("keys", 0),
        commands=_by_command(commands),
    )


def between(first: Look, second: Look) -> Work:
    """What was done from one look to the next, of the same server.

    Raises:
        ValueError: the counters went back: the server was restarted, or its statistics were reset, in between.
    """
    if second.engine_seconds < first.engine_seconds or second.trips < first.trips:
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
    )


def _by_command(told: Mapping[str, Mapping[str, float]]) -> dict[str, Command]:
    found: dict[str, Command] = {}
    for name, one in told.items():
        command = name.removeprefix("cmdstat_").partition("|")[0].lower()
        known = found.get(command, Command(0, 0.0))
        found[command] = Command(known.calls + int(one["calls"]), known.seconds + one["usec"] / 1e6)
    return found


def main_commands(work: Work, most: int = 3) -> Iterable[str]:
    """The commands that took the engine most time, the dearest first."""
    return sorted(work.commands, key=lambda name: -work.commands[name].seconds)[:most]
