"""The one place through which the doctor's commands go. What is not on its list is not sent: it only reads.

redis-py packs every command, also those of its own handshake, with a packer that a connection is given. A `Gate` is
that packer. It counts what it lets through, too, so that a run is bounded in commands.

Each command on the list costs the engine next to nothing whatever the size of the server: SCAN only with a small COUNT,
MEMORY USAGE only with SAMPLES 1 (0 would look at every element of a key), GETRANGE only for the first bytes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import hiredis

from unstale.tools.doctor.errors import NotReadOnlyError, SpentError
from unstale.tools.places import Manner

CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 10.0
"""How long an answer may take: the engine may be busy with one command after another."""
MOST_SCANNED: Final = 100
"""Keys of one SCAN, at most: about 50 µs of the engine."""
HEAD_BYTES: Final = 1024
"""Of a value, at most: the head of an entry of unstale's, never a value of an application's."""
MOST_SLOW: Final = 128
"""Entries of the slow log, which keeps so many unless it is told otherwise."""
Words: TypeAlias = Sequence[bytes]
Rule: TypeAlias = Callable[[Words], bool]
"""Whether a command with these arguments may be sent."""


def _anything(_: Words) -> bool:
    return True


def _is_at_most(word: bytes, most: int) -> bool:
    return word.isdigit() and int(word) <= most


def _scan(words: Words) -> bool:
    """`SCAN cursor COUNT n`, and nothing else: no pattern, which would be matched against every key."""
    match words:
        case [_, b"COUNT", count]:
            return _is_at_most(count, MOST_SCANNED)
    return False


def _head(words: Words) -> bool:
    """`GETRANGE key 0 n`."""
    match words:
        case [_, b"0", last]:
            return _is_at_most(last, HEAD_BYTES - 1)
    return False


def _usage(words: Words) -> bool:
    """`MEMORY USAGE key SAMPLES 1`."""
    return list(words[1:]) == [b"SAMPLES", b"1"]


def _slow(words: Words) -> bool:
    """`SLOWLOG GET n`."""
    match words:
        case [count]:
            return _is_at_most(count, MOST_SLOW)
    return False


HANDSHAKE: Final[Mapping[str, Rule]] = dict.fromkeys(
    ("AUTH", "CLIENT NO-TOUCH", "CLIENT SETINFO", "HELLO", "PING", "SELECT"), _anything
)  # fmt: skip
"""What is sent before anything else, most of it by redis-py. NO-TOUCH: keys that are looked at stay as old as they
are, for who evicts by age."""
ALLOWED: Final[Mapping[str, Rule]] = {
    **HANDSHAKE,
    **dict.fromkeys(
        (
            *("ACL DRYRUN", "ACL WHOAMI", "CLIENT LIST", "CLUSTER NODES", "CLUSTER SLOTS", "CONFIG GET", "DBSIZE"),
            *("INFO", "LATENCY LATEST", "PTTL", "RANDOMKEY", "READONLY"),
            *("SENTINEL GET-MASTER-ADDR-BY-NAME", "SENTINEL REPLICAS"),
        ),
        _anything,
    ),
    "GETRANGE": _head,
    "MEMORY USAGE": _usage,
    "SCAN": _scan,
    "SLOWLOG GET": _slow,
}
"""By a command, or a command and its subcommand. MONITOR is beside it, for who asks for it."""


class Gate:
    """The packer of a server's connections."""

    def __init__(self, most: int, *, monitor: bool = False) -> None:
        """Let nothing through yet.

        Args:
            most: commands, the handshakes' included.
            monitor: whether MONITOR may be sent.
        """
        self.sent: Counter[str] = Counter()
        """How often each command was sent."""
        self._most = most
        self._monitor = monitor
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many commands were sent."""
        return self.sent.total()

    @property
    def left(self) -> int:
        """How many more may be."""
        return self._most - self.count

    def manner(self, answer_seconds: float = ANSWER_SECONDS) -> Manner:
        """How the doctor talks to servers: all commands go through the gate, and each is tried once."""
        return Manner(self, CONNECT_SECONDS, answer_seconds)

    def pack(self, *command: object) -> list[bytes]:
        """A command's bytes. It is what redis-py asks of a packer.

        Raises:
            NotReadOnlyError: it is not on the list.
            SpentError: there were as many as may be.
        """
        words = _words(command)
        name = self._named(words)
        with self._lock:
            if self.left <= 0:
                raise SpentError
            self.sent[name] += 1
        return [hiredis.pack_command(tuple(words))]  # type: ignore[arg-type] # its stubs know one word only

    def _named(self, words: Words) -> str:
        """Its name on the list."""
        if self._monitor and [word.upper() for word in words] == [b"MONITOR"]:
            return "MONITOR"
        for length in (2, 1):
            name = b" ".join(words[:length]).decode("utf-8", "replace").upper()
            rule = ALLOWED.get(name)
            if rule is not None and len(words) >= length and rule(words[length:]):
                return name
        first = words[0].decode("utf-8", "replace")[:40] if words else ""
        raise NotReadOnlyError(f"{NotReadOnlyError.__doc__} It was {first!r}.")


def _words(command: Sequence[object]) -> list[bytes]:
    """As redis-py's packers take it: the first may hold a subcommand behind a space."""
    first, *rest = command
    return [*_encode(first).split(), *map(_encode, rest)]


def _encode(word: object) -> bytes:
    match word:
        case bytes():
            return word
        case str():
            return word.encode()
        case int() | float():
            return repr(word).encode()
    raise NotReadOnlyError(f"{NotReadOnlyError.__doc__} An argument was a {type(word).__name__}.")
