"""The asyncio store on a Redis or Valkey Cluster: an `AsyncRedisStore` for each primary, the trips of `cluster_trips`.

As there, a hit whose names share a slot is that node's own read; all else asks its nodes at the same time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from redis.exceptions import RedisError

from unstale.core.ports import Reading
from unstale.errors import BreakerOpenError, StoreError, StoreTimeoutError, StoreUnavailableError, WrongNodeError
from unstale.stores.addresses import Address
from unstale.stores.cluster import CLUSTER_IDENTITY, Nodes, fold_at, layout_of, named
from unstale.stores.cluster_run import (
    Answer,
    Broken,
    Kind,
    Request,
    entered,
    has_left,
    limits_of,
    unknown_scripts,
    with_replies,
)
from unstale.stores.cluster_trips import ClusterTrips
from unstale.stores.cluster_url import arguments_of_a_node, place_of
from unstale.stores.commands import PING
from unstale.stores.connect import for_link, made, maker, understood_for_asyncio
from unstale.stores.options import StoreOptions
from unstale.stores.proof import translated
from unstale.stores.redis_async import AsyncRedisStore, within

SLOTS_COMMAND: Final = ("CLUSTER", "SLOTS")


def _retired(store: AsyncRedisStore) -> None:
    """A node is none any more."""
    store.let_go()
    store.guard.retire()


class _Port:
    """Reaches nodes."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Connect to none yet. Raises ConfigurationError."""
        self._options = options
        place = place_of(url)
        kind, arguments = understood_for_asyncio(place.url, options.connection)
        self._kind = kind
        self._arguments = for_link(arguments_of_a_node(arguments), options.timeout)
        maker(kind, {**self._arguments, "host": place.seeds[0][0], "port": place.seeds[0][1]})
        self.seeds = place.seeds

    def _connection(self, address: Address) -> Any:
        return made(lambda: self._kind(**self._arguments, host=address[0], port=address[1]))

    def store(self, address: Address) -> AsyncRedisStore:
        """The store of one node."""
        options = replace(self._options, server=named(address))
        return AsyncRedisStore(lambda: self._connection(address), options)

    async def slots(self, address: Address, seconds: float) -> Any:
        """See Port. A connection of its own: who is asked may be a replica, which serves nothing else."""
        connection = self._connection(address)
        try:
            async with asyncio.timeout(seconds):
                await connection.connect()
                await connection.send_command(*SLOTS_COMMAND)
                return await connection.read_response()
        except TimeoutError as error:
            raise StoreTimeoutError from error
        except (RedisError, TypeError, ValueError) as error:
            raise translated(error)  # noqa: B904 - it sets its cause itself
        except (OSError, RuntimeError) as error:  # uvloop: it has hung up while redis-py was about to write
            raise StoreUnavailableError(f"The connection broke: {type(error).__name__}.") from error
        finally:
            await connection.disconnect(nowait=True)

    async def pause(self, seconds: float) -> None:
        """See Port."""
        await asyncio.sleep(seconds)

    async def exchange(self, requests: Sequence[Request[AsyncRedisStore]]) -> list[Answer | Broken]:
        """See Port."""
        if len(requests) == 1:
            return [await self._ask(requests[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(request)) for request in requests]
        return [task.result() for task in tasks]

    async def _ask(self, request: Request[AsyncRedisStore]) -> Answer | Broken:
        guard = request.node.store.guard
        try:
            leave = entered(guard, request.kind)
        except StoreError as error:
            return Broken(error, sent=False)
        begun: list[bool] = []
        try:
            if request.until == math.inf:
                answer = await self._answer(request, begun)
            else:
                answer = await within(request.until, self._answer(request, begun))
        except StoreError as error:
            has_left(guard, request.kind, leave, error)
            return Broken(error, bool(begun))
        except BaseException as error:
            has_left(guard, request.kind, leave, error)
            raise
        has_left(guard, request.kind, leave, None)
        return answer

    async def _answer(self, request: Request[AsyncRedisStore], begun: list[bool]) -> Answer:
        """What a node answers. Once something may have been sent, `begun` is filled."""
        store = request.node.store.apart if request.apart else request.node.store
        limits = limits_of(store.guard, request.kind, request.until, 0.0)
        is_read = request.kind is Kind.READ
        link = await store.link_by(limits.connect_until)
        if request.once and link.proved_until < monotonic():
            await link.exchange([PING])
        trips = request.made(link.identity)
        commands = request.commands(trips)
        begun.append(True)
        replies = await link.exchange(commands, is_read=is_read, limits=limits)
        positions, again = unknown_scripts(commands, replies)
        if positions:
            with_replies(replies, positions, await link.exchange(again, is_read=is_read, limits=limits))
        store.settle(link, replies)
        return Answer(trips, replies, link.identity)


class AsyncClusterStore(ClusterTrips[AsyncRedisStore]):
    """A store on a cluster."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Connect to nothing yet. Arguments and errors are those of `ClusterStore`."""
        port = _Port(url, options)
        nodes = Nodes(port.seeds, port.store, _retired)
        super().__init__(port, nodes, options)
        self._folds_roots = options.fences_all

    async def read(self, names: Sequence[bytes]) -> Reading:
        """See Store. The hit path: names of one slot are one MGET, to one node."""
        nodes = self._nodes
        if type(names) is tuple and nodes.table and not nodes.is_doubtful and not self.gate.is_troubled:
            layout = layout_of(names)
            node = nodes.table[layout.slot] if layout.slot >= 0 else None
            if node is not None:
                try:
                    values, identity = await node.store.read(names)
                except (StoreTimeoutError, BreakerOpenError) as error:
                    nodes.is_doubtful = isinstance(error, StoreTimeoutError)
                    raise
                except WrongNodeError:  # the long way finds out where the slot is
                    pass
                except StoreUnavailableError:  # gone: who has its slots now?
                    nodes.is_doubtful = True
                else:
                    fold_at(values, layout.tags + layout.roots if self._folds_roots else layout.tags, identity)
                    return values, CLUSTER_IDENTITY
        return await super().read(names)

    async def close(self) -> None:
        """See Store."""
        self.end()
        for node in self._nodes.known:
            await node.store.close()
