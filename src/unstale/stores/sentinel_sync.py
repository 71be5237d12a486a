"""The synchronous store's way to a service's primary: redis-py's clients ask the sentinels, one after the other.

Time: each sentinel has its share of `timeout` for connecting, and again for its answer, and after `timeout` no more are
asked. So a new connection takes at most about twice `timeout` longer than one to a fixed address, and one dead sentinel
among three a third of it; that one is then left alone for a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from unstale.stores.addresses import Address
from unstale.stores.connect import for_wire, made, maker, timed, understood
from unstale.stores.proof import Vouched
from unstale.stores.sentinel import ADDRESS_COMMAND, Known, Primary, Word, sentinel_arguments, word_of
from unstale.stores.sentinel_url import Place, place_of

if TYPE_CHECKING:
    from redis import Redis

    from unstale.stores.options import StoreOptions


class NamedConnection(Vouched, Connection):
    """A connection to the server that the sentinels named."""

    def __init__(self, sentinels: Sentinels, address: Address, **arguments: Any) -> None:
        """Not connected yet."""
        self._sentinels = sentinels
        self._address = address
        super().__init__(host=address[0], port=address[1], **arguments)  # type: ignore[no-untyped-call]

    def vouch(self) -> float:
        """See Vouched."""
        return self._sentinels.vouch(self._address)


class NamedTlsConnection(NamedConnection, SSLConnection):
    """The same over TLS."""


class Sentinels(Primary):
    """The sentinels of a service."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Connect to none yet.

        Raises:
            ConfigurationError: the URL or an argument makes no sense.
        """
        place: Place = place_of(url)
        super().__init__(place, options.timeout)
        kind, arguments = understood(place.url, options.connection)
        arguments.pop("host")
        self._kind = timed(NamedTlsConnection if issubclass(kind, SSLConnection) else NamedConnection)
        self._arguments = for_wire(arguments, options.timeout)
        maker(self._kind, {"sentinels": self, "address": place.sentinels[0], **self._arguments})
        given = sentinel_arguments(options.sentinel, options.timeout / len(place.sentinels))
        given["retry"] = Retry(NoBackoff(), 0)
        clients = Sentinel(place.sentinels, sentinel_kwargs=given).sentinels  # type: ignore[no-untyped-call]
        self._clients: dict[Address, Redis] = dict(zip(place.sentinels, clients, strict=True))

    def connect(self) -> AbstractConnection:
        """Make a connection to the primary, not yet connected, after asking who that is.

        Raises:
            StoreUnavailableError: the sentinels know of none.
        """
        known, answers = self._ask()
        connection: AbstractConnection = made(lambda: self._kind(self, self.new(known, answers), **self._arguments))
        return connection

    def vouch(self, address: Address) -> float:
        """See Vouched."""
        if self.vouched_until(address) <= monotonic() and self._ask()[0] is None:
            self.unheard()
        return self.vouched_until(address)

    def _ask(self) -> tuple[Known | None, Mapping[Address, Word | RedisError]]:
        """One round; None if no sentinel knows the service."""
        asked_at = monotonic()
        answers: dict[Address, Word | RedisError] = {}
        for address in self.to_ask():
            if answers and monotonic() - asked_at > self.timeout:
                break
            answers[address] = self._answer(self._clients[address])
        return self.heard(answers, asked_at), answers

    def _answer(self, client: Redis) -> Word | RedisError:
        try:
            with client.pipeline(transaction=False) as pipe:
                pipe.execute_command(ADDRESS_COMMAND, self.place.service)  # type: ignore[no-untyped-call]
                pipe.sentinel_master(self.place.service)
                return word_of(pipe.execute(raise_on_error=False))
        except RedisError as error:
            return error

    def close(self) -> None:
        """Close the connections to the sentinels."""
        for client in self._clients.values():
            client.close()
