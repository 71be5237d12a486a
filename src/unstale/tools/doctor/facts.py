"""What a server says about itself, in a few short commands. What it hides or refuses is noted, and the rest still read.

Nothing is judged here: see `findings`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import redis

from unstale.errors import UnstaleError
from unstale.tools.classes import DELETES, WALKS
from unstale.tools.doctor.gate import MOST_SLOW
from unstale.tools.doctor.names import ID, shapes, text_of
from unstale.tools.doctor.results import Facts, Refusal, Slow
from unstale.tools.places import NONSENSE
from unstale.tools.programs import name_of

MOST_CLIENTS: Final = 1000
"""Connections up to which CLIENT LIST is asked: it costs the engine some µs for each."""
DANGEROUS: Final[Mapping[str, tuple[str, ...]]] = {
    "FLUSHALL": (),
    "FLUSHDB": (),
    "KEYS": ("*",),
    "CONFIG SET": ("maxmemory-policy", "noeviction"),
    "DEBUG": ("OBJECT", "a"),
    "SHUTDOWN": (),
}
"""What an application's user should not be allowed, with the words by which ACL DRYRUN is asked, which runs none."""
RECENT_SECONDS: Final = 86_400.0
"""Of the slow log, what is not older."""


@contextmanager
def reading() -> Iterator[None]:
    """What redis-py cannot read is no answer of a Redis or a Valkey.

    Raises:
        redis.exceptions.InvalidResponse: in place of what redis-py raised.
    """
    try:
        yield
    except UnstaleError:  # some of these are ValueErrors, too
        raise
    except NONSENSE as error:
        raise redis.exceptions.InvalidResponse(type(error).__name__) from error


class Asker:
    """Asks a server, and notes what it refuses. A connection that breaks is no refusal, and raises."""

    def __init__(self, client: redis.Redis, refusals: list[Refusal] | None = None) -> None:
        """Ask nothing yet.

        Args:
            client: of the server.
            refusals: what another asker of the same server was refused, to go on with.
        """
        self.client = client
        self.has_answered = False
        self.refusals = [] if refusals is None else refusals

    def greet(self) -> None:
        """See that it answers, and leave no trace: what is looked at should not seem used (since Redis 7.2).

        Raises:
            redis.RedisError: it cannot be looked at.
        """
        with suppress(redis.exceptions.NoPermissionError), reading():
            if not self.client.ping():
                raise redis.exceptions.InvalidResponse("PING")
        with suppress(redis.ResponseError):
            self.client.execute_command("CLIENT NO-TOUCH", "ON")  # type: ignore[no-untyped-call]
        self.has_answered = True

    def ask(self, *command: object) -> Any:
        """A reply; None where it was refused."""
        what = str(command[0])
        try:
            with reading():
                return self.client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.InvalidResponse):
            raise
        except redis.RedisError as error:
            self.refuse(what, error)
            return None

    def info(self, section: str) -> Mapping[str, Any]:
        """A section of INFO; empty where it was refused."""
        found: Mapping[str, Any] = self.ask("INFO", section) or {}
        return found

    def refuse(self, what: str, error: Exception) -> None:
        """Note it, once for each command."""
        if all(one.what != what for one in self.refusals):
            self.refusals.append(Refusal(what=what, why=str(error)))


def facts_of(asker: Asker) -> Facts:
    """All of it.

    Raises:
        redis.ConnectionError, redis.TimeoutError: the server is gone.
        redis.exceptions.InvalidResponse: it is none.
    """
    server, clients, memory = asker.info("server"), asker.info("clients"), asker.info("memory")
    if server and "redis_version" not in server:  # a Valkey says it, too
        raise redis.exceptions.InvalidResponse("INFO")
    role = asker.info("replication").get("role", "")
    counted = asker.info("commandstats")
    settings: Mapping[Any, Any] = asker.ask("CONFIG GET", "max*") or {}
    told = {_text(name): _text(value) for name, value in settings.items()}
    user = asker.ask("ACL WHOAMI")
    walking = _walking(asker, clients.get("connected_clients"))
    return Facts(
        name=name_of(server) if server else "",
        version=tuple(int(part) for part in str(server.get("redis_version", "")).split(".") if part.isdigit()),
        is_valkey="valkey_version" in server,
        is_cluster_node="cluster" in (server.get("redis_mode"), server.get("server_mode")),  # Valkey calls it so
        role=str(role),
        memory_bytes=memory.get("used_memory"),
        most_memory_bytes=_first(memory.get("maxmemory"), told.get("maxmemory")),
        policy=memory.get("maxmemory_policy") or told.get("maxmemory-policy"),
        clients=clients.get("connected_clients"),
        most_clients=_first(clients.get("maxclients"), told.get("maxclients")),
        walking_clients=dict(Counter(name for name, _ in walking)),
        walked_databases=sorted({database for _, database in walking}),
        user=None if user is None else _text(user),
        dangerous=[] if user is None else _dangerous(asker, _text(user)),
        slow=_slow(asker, server.get("server_time_usec", 0) / 1e6),
        keys_calls=_calls(counted, "keys"),
        delete_calls=sum(_calls(counted, command) for command in DELETES),
        latency_events={_text(event[0]): int(event[3]) for event in asker.ask("LATENCY LATEST") or ()},
    )


def _calls(counted: Mapping[str, Any], command: str) -> int:
    return int(counted.get(f"cmdstat_{command}", {}).get("calls", 0))


def _first(*told: object) -> int | None:
    return next((int(str(one)) for one in told if one is not None), None)


def _walking(asker: Asker, clients: int | None) -> list[tuple[str, int]]:
    """Who walks the keyspace: clients that have just sent KEYS or SCAN, by library and name, and their database."""
    if clients is None or clients > MOST_CLIENTS:
        return []
    return [
        (" ".join(filter(None, (one.get("lib-name"), one.get("name")))) or "a client without a name", int(one["db"]))
        for one in asker.ask("CLIENT LIST") or ()
        if one.get("cmd") in WALKS
    ]


def _dangerous(asker: Asker, user: str) -> list[str]:
    """What this user may run that an application's should not; empty where it cannot be asked (Redis before 7)."""
    found = []
    for command, words in DANGEROUS.items():
        answer = asker.ask("ACL DRYRUN", user, *command.split(), *words)
        if answer is None:
            return []
        if _text(answer) == "OK":
            found.append(command)
    return found


def _slow(asker: Asker, now: float) -> list[Slow]:
    """The slow log, entries alike together. Of KEYS and SCAN the pattern is kept, of others nothing but the name."""
    entries = [
        entry
        for entry in asker.ask("SLOWLOG GET", MOST_SLOW) or ()
        if not now or entry["start_time"] > now - RECENT_SECONDS
    ]
    commands = [_command(entry["command"]) for entry in entries]
    alike: dict[str, list[int]] = {}
    patterns = iter(shapes([pattern for _, pattern in commands if pattern is not None], ID))
    for entry, (name, pattern) in zip(entries, commands, strict=True):
        alike.setdefault(name if pattern is None else f"{name} {next(patterns)}", []).append(int(entry["duration"]))
    slow = [Slow(command=name, count=len(took), most_us=max(took)) for name, took in alike.items()]
    return sorted(slow, key=lambda one: -one.most_us)


def _command(told: bytes | str) -> tuple[str, str | None]:
    """A command's name, and the pattern by which it walks the keyspace."""
    words = (told.encode() if isinstance(told, str) else told).split(b" ")
    name = text_of(words[0]).upper()
    upper = [word.upper() for word in words]
    if name == "KEYS" and len(words) > 1:
        return name, text_of(words[1])
    if name == "SCAN" and b"MATCH" in upper[:-1]:
        return name, text_of(words[upper.index(b"MATCH") + 1])
    return name, None


def _text(told: Any) -> str:
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
