"""Who is primary of a service, by its sentinels' word; what the synchronous and the asyncio store share of that.

After a failover that somebody asks for, the old primary goes on as one for about 10 seconds. So an invalidation on one
of the two would not be seen on the other. Three rules keep all stores on one server at a time:

- Each new connection asks who is primary, and a connection's proof of its role includes that the sentinels still name
  its server. All are asked, and the highest configuration epoch wins: they learn of a failover one after the other.
- A new primary is used only when it has been named for as long as a proof lasts and an answer takes: by then nobody
  uses the old one. Until then there is no primary, as during the failover itself.
- A store that learns of a failover drops its connections at once.

Nothing here waits or locks. Threads may learn at the same time and in any order: what is known is the highest of the
last things learned.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from redis.connection import Connection, SSLConnection
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from unstale.errors import (
    ConfigurationError,
    NotPrimaryError,
    StoreAuthError,
    StoreError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from unstale.stores import wire
from unstale.stores.addresses import Address
from unstale.stores.arguments import taken
from unstale.stores.sentinel_url import Place

ADDRESS_COMMAND: Final = "SENTINEL GET-MASTER-ADDR-BY-NAME"
"""Beside SENTINEL MASTER, for the epoch: while a failover is under way this one names the new primary first, from the
moment of the new epoch on; the other when all replicas have followed."""
SILENT_SECONDS: Final = 5.0
"""How long a sentinel that did not answer is left alone while others do."""
LAG_SECONDS: Final = 30.0
"""For how long a lower epoch than the known one is held for old news."""
KEPT: Final = 32
NOT_YET: Final = (-1, -1)


@dataclass(frozen=True, slots=True)
class Word:
    """What one sentinel says.

    Attributes:
        address: the primary's.
        epoch: of the configuration that made it primary.
        is_up: whether the sentinel sees it.
        named_at: the monotonic time since when it has been named, or later.
    """

    address: Address
    epoch: int
    is_up: bool
    named_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class Known:
    """What is known.

    Attributes:
        era: raised when the sentinels were told of their service anew, which may lower the epoch.
        epoch: of the configuration.
        until: the monotonic time until which this may be used without asking.
        address: the primary's.
        is_up: whether a sentinel that says so sees it.
        confirmed_at: the monotonic time when sentinels were last asked who said so.
        named_at: the monotonic time since when it has been named, or later.
    """

    era: int
    epoch: int
    until: float
    address: Address
    is_up: bool
    confirmed_at: float
    named_at: float


def decided(words: Sequence[Word], before: Known | None, asked_at: float, *, everyone: bool) -> Known:
    """What is known after sentinels have answered.

    Args:
        words: what they said; one at least.
        before: what was known.
        asked_at: the monotonic time before they were asked.
        everyone: whether all of them have answered.
    """
    until = asked_at + wire.PROOF_SECONDS
    epoch = max(word.epoch for word in words)
    newest = [word for word in words if word.epoch == epoch]
    if before is None:
        return _first(newest, 0, until, asked_at)
    same = [word for word in newest if word.address == before.address]
    if epoch == before.epoch and same:
        named_at = min(before.named_at, *(word.named_at for word in same))
        confirmed_at = max(asked_at, before.confirmed_at)
        is_up = any(word.is_up for word in same)
        return replace(before, until=until, is_up=is_up, confirmed_at=confirmed_at, named_at=named_at)
    if epoch > before.epoch:
        return _first(newest, before.era, until, asked_at)
    is_news = asked_at > before.confirmed_at and (everyone or asked_at - before.confirmed_at > LAG_SECONDS)
    return _first(newest, before.era + 1, until, asked_at) if is_news else replace(before, until=until)


def _first(newest: Sequence[Word], era: int, until: float, asked_at: float) -> Known:
    word = max(newest, key=lambda word: word.is_up)
    named_at = min(other.named_at for other in newest if other.address == word.address)
    return Known(era, word.epoch, until, word.address, word.is_up, asked_at, named_at)


class Primary:
    """What a store knows of its primary.

    Attributes:
        place: the service's place.
        timeout: seconds for connecting to a server, and again for each answer.
    """

    def __init__(self, place: Place, timeout: float) -> None:
        """Know nothing."""
        self.place = place
        self.timeout = timeout
        self._listener: Callable[[], Callable[[], None] | None] = _nobody
        self._learned: deque[Known] = deque(maxlen=KEPT)
        self._told = NOT_YET
        self._silent_until: dict[Address, float] = {}
        self._unheard = 0

    def tell(self, listener: Callable[[], None]) -> None:
        """Have a method called, while its object lives, when another server becomes primary.

        It is called before anybody is told the new one's address, in whatever thread learns of it.
        """
        self._listener = weakref.WeakMethod(listener)

    @property
    def known(self) -> Known | None:
        """What is known now."""
        return max(tuple(self._learned), key=lambda known: (known.era, known.epoch, known.until), default=None)

    def heard(self, answers: Mapping[Address, Word | RedisError], asked_at: float) -> Known | None:
        """Take in a round of answers; what is known after it. None if no sentinel knew the service."""
        words = [answer for answer in answers.values() if isinstance(answer, Word)]
        for address, answer in answers.items():
            if isinstance(answer, RedisConnectionError | RedisTimeoutError):
                self._silent_until[address] = monotonic() + SILENT_SECONDS
        if not words:
            return None
        self._unheard = 0
        everyone = len(words) == len(self.place.sentinels)
        return self._learn(decided(words, self.known, asked_at, everyone=everyone))

    def _learn(self, learned: Known) -> Known:
        self._learned.append(learned)
        known = self.known or learned
        of_known = (known.era, known.epoch)
        if self._told != of_known:
            listener = self._listener()
            if listener is not None and self._told != NOT_YET:
                listener()
            self._told = of_known  # only now: until then others tell as well, rather than go on
        return known

    def to_ask(self) -> list[Address]:
        """The sentinels to ask: those that were not silent of late, or all if there are none."""
        now = monotonic()
        return [one for one in self.place.sentinels if self._silent_until.get(one, 0.0) <= now] or [
            *self.place.sentinels
        ]

    def new(self, known: Known | None, answers: Mapping[Address, Word | RedisError]) -> Address:
        """The address for a new connection, after a round of answers.

        Raises:
            StoreUnavailableError: no sentinel knows the service's primary, they hold it for down, or it is too new.
            StoreAuthError: the sentinels want other credentials.
        """
        if known is None:
            raise self._unknown(answers)
        if not known.is_up:
            host, port = known.address
            raise StoreUnavailableError(
                f"The sentinels hold {host}:{port}, the primary of {self.place.service!r}, for down."
            )
        if monotonic() < known.named_at + wire.PROOF_SECONDS + self.timeout:
            raise StoreUnavailableError(
                f"The primary of {self.place.service!r} has just changed. "
                "The new one is used as soon as nobody can use the old one any more."
            )
        return known.address

    def unheard(self) -> None:
        """Go on after a round without an answer: without sentinels there is no failover either.

        The next round is after 1 s, then 2, 4 and 5, since each may take its time.
        """
        known = self.known
        if known is not None:
            wait = min(wire.PROOF_SECONDS * 2.0**self._unheard, SILENT_SECONDS)
            self._unheard = min(self._unheard + 1, 10)
            self._learned.append(replace(known, until=monotonic() + wait))

    def vouched_until(self, address: Address) -> float:
        """The monotonic time until which a server's connections may go on without asking.

        Raises:
            NotPrimaryError: another server is primary.
        """
        known = self.known
        if known is None:
            return 0.0
        if known.address != address:
            raise NotPrimaryError
        return known.until

    def _unknown(self, answers: Mapping[Address, Word | RedisError]) -> StoreError:
        errors = [error for error in answers.values() if isinstance(error, RedisError)]
        said = "; ".join(f"{host}:{port} {_reason(error)}" for (host, port), error in answers.items())
        text = f"No sentinel knows a primary for {self.place.service!r}: {said}."
        if any(isinstance(error, AuthenticationError) for error in errors):
            return StoreAuthError(f"{text} The sentinels' own credentials are given as sentinel={{'password': …}}.")
        if errors and all(isinstance(error, RedisTimeoutError) for error in errors):
            return StoreTimeoutError(text)
        return StoreUnavailableError(text)


def _reason(error: Word | RedisError) -> str:
    match error:
        case AuthenticationError():
            return "refused the credentials"
        case RedisTimeoutError():
            return "did not answer in time"
        case ResponseError() if "No such master" in str(error):
            return "does not know it"
        case ResponseError():
            return f"answered with an error: {str(error).partition(', with args')[0]}"
        case _:
            return f"cannot be reached ({error})"


def word_of(replies: Sequence[Any]) -> Word | RedisError:
    """A sentinel's word, from its replies to ADDRESS_COMMAND and SENTINEL MASTER."""
    address, state = replies
    for reply in (state, address):
        if isinstance(reply, RedisError):
            return reply
    if not address:
        return ResponseError("No such master with that name")
    host, port = str(address[0]), int(address[1])
    is_down = (host, port) == (state["ip"], state["port"]) and (state["is_sdown"] or state["is_odown"])
    return Word((host, port), state["config-epoch"], not is_down, _named_at((host, port), state))


def _named_at(address: Address, state: Mapping[str, Any]) -> float:
    """Since when a sentinel has named a primary: since it last took its role to have changed, which a restart resets.

    While a failover is under way the state is the old primary's. In epoch 0 there has been no failover.
    """
    if not state["config-epoch"]:
        return -math.inf
    is_new = address != (state["ip"], state["port"])
    return monotonic() - (0.0 if is_new else state["role-reported-time"] / 1000)


def sentinel_arguments(given: Mapping[str, object], timeout: float) -> dict[str, Any]:
    """The arguments of redis-py's clients of the sentinels.

    Args:
        given: by name; `ssl=True` for TLS.
        timeout: seconds for connecting to one, and again for each answer.

    Raises:
        ConfigurationError: an argument is unknown or makes no sense.
    """
    rest = dict(given)
    secure = rest.pop("ssl", False)
    if secure not in (True, False) or (rest.get("db") not in (None, 0)):
        raise ConfigurationError("In sentinel ssl is True or False, and there is no db: sentinels have none.")
    rest.pop("db", None)
    arguments = taken(rest, SSLConnection if secure else Connection, "sentinel")
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    return {**arguments, **limits, "ssl": secure, "protocol": 2, "decode_responses": True}


def _nobody() -> None:
    """Nobody listens."""
