"""The asyncio store's way to a service's primary: redis-py's clients ask the sentinels, all at a time.

A round has connections of its own, since a store serves any number of event loops. Time: `timeout` for connecting, and
again for the answers; so a new connection takes at most about twice `timeout` longer than one to a fixed address. A
sentinel that is dead is then left alone for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from unstale.stores.addresses import Address
from unstale.stores.connect import for_link, maker, understood_for_asyncio
from unstale.stores.proof import AsyncVouched
from unstale.stores.sentinel import ADDRESS_COMMAND, Known, Primary, Word, sentinel_arguments, word_of
from unstale.stores.sentinel_url import Place, place_of

if TYPE_CHECKING:
    from unstale.stores.options import StoreOptions


class NamedConnection(AsyncVouched, Connection):
    """A connection to the server that the sentinels name when it connects."""

    def __init__(self, sentinels: AsyncSentinels, **arguments: Any) -> None:
        """Not connected yet."""
        self.sentinels = sentinels
        super().__init__(**arguments)

    async def connect(self) -> None:
        """Ask, then connect. Raises StoreUnavailableError if the sentinels know of no primary."""
        self.host, self.port = await self.sentinels.primary()
        await super().connect()  # type: ignore[no-untyped-call]

    async def vouch(self) -> None:
        """See AsyncVouched."""
        await self.sentinels.vouch((self.host, self.port))

    def vouched_until(self) -> float:
        """See AsyncVouched."""
        return self.sentinels.vouched_until((self.host, self.port))


class NamedTlsConnection(NamedConnection, SSLConnection):
    """The same over TLS."""


class AsyncSentinels(Primary):
    """The sentinels of a service."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Connect to none yet.

        Raises:
            ConfigurationError: the URL or an argument makes no sense.
        """
        place: Place = place_of(url)
        super().__init__(place, options.timeout)
        kind, arguments = understood_for_asyncio(place.url, options.connection)
        arguments.pop("host")
        named = NamedTlsConnection if issubclass(kind, SSLConnection) else NamedConnection
        self.connect = maker(named, {"sentinels": self, **for_link(arguments, options.timeout)})
        given = sentinel_arguments(options.sentinel, options.timeout)
        self._client_arguments = {**given, "retry": Retry(NoBackoff(), 0)}

    async def primary(self) -> Address:
        """The address for a new connection. Raises StoreUnavailableError if the sentinels know of none."""
        known, answers = await self._ask()
        return self.new(known, answers)

    async def vouch(self, address: Address) -> None:
        """See AsyncVouched."""
        if self.vouched_until(address) <= monotonic() and (await self._ask())[0] is None:
            self.unheard()
        self.vouched_until(address)

    async def _ask(self) -> tuple[Known | None, Mapping[Address, Word | RedisError]]:
        """One round; None if no sentinel knows the service."""
        asked_at = monotonic()
        addresses = self.to_ask()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._answer(address)) for address in addresses]
        answers = {address: task.result() for address, task in zip(addresses, tasks, strict=True)}
        return self.heard(answers, asked_at), answers

    async def _answer(self, address: Address) -> Word | RedisError:
        client = Redis(host=address[0], port=address[1], **self._client_arguments)
        try:
            async with client, client.pipeline(transaction=False) as pipe:
                pipe.execute_command(ADDRESS_COMMAND, self.place.service)
                pipe.sentinel_master(self.place.service)
                return word_of(await pipe.execute(raise_on_error=False))
        except RedisError as error:
            return error
        except (OSError, RuntimeError) as error:  # uvloop: the sentinel has hung up while redis-py was about to write
            return RedisConnectionError(type(error).__name__)
