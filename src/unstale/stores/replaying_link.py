"""A link that brings its server this process's recent bumps before it is used: `replaying_wire` for asyncio."""

from __future__ import annotations

from typing import Any

from unstale.core.replay import Recent
from unstale.errors import StoreRefusedError
from unstale.stores import commands
from unstale.stores.commands import Trip, any_error, parsed
from unstale.stores.link import Link
from unstale.stores.proof import INFO_REPLICATION
from unstale.stores.replaying import HIDDEN, bringing, check_role, check_same, hidden_proof, questions


class ReplayingLink(Link):
    """A connection to one server, of one event loop."""

    def __init__(self, recent: Recent, *arguments: Any) -> None:
        """As Link; with the recent bumps."""
        super().__init__(*arguments)
        self._recent = recent

    async def _introduce(self) -> None:
        try:
            await super()._introduce()
        except StoreRefusedError:  # INFO is hidden
            self._proof, reply = hidden_proof(self._recent, await self.exchange(questions(self._recent)))
            self._prove(reply)
        steps = bringing(self._recent, self.identity)
        trip = next(steps, None)
        while trip is not None:
            try:
                trip = steps.send(await self._made(trip))
            except StopIteration:
                trip = None

    def _identity_by(self, replication: Any) -> bytes:
        if self._proof is INFO_REPLICATION:
            identity = super()._identity_by(replication)
            check_same(self.identity, identity)
            return identity
        check_role(replication)
        return HIDDEN

    async def _made(self, trip: Trip[Any]) -> Any:
        replies = await self.exchange(trip.commands)
        if any_error(replies, "NOSCRIPT"):
            replies = await self.exchange([commands.by_text(command) for command in trip.commands])
        return parsed(trip, replies, self.identity)
