"""A wire that brings its server this process's recent bumps before it is used."""

from __future__ import annotations

from time import monotonic
from typing import Any

from unstale.core.replay import Recent
from unstale.errors import StoreRefusedError
from unstale.stores import commands
from unstale.stores.commands import Trip, any_error, parsed
from unstale.stores.limits import Limits
from unstale.stores.proof import INFO_REPLICATION
from unstale.stores.replaying import HIDDEN, bringing, check_role, check_same, hidden_proof, questions
from unstale.stores.wire import Wire


class ReplayingWire(Wire):
    """A connection to one server."""

    __slots__ = ("_recent",)

    def __init__(self, recent: Recent, *arguments: Any) -> None:
        """As Wire; with the recent bumps."""
        self._recent = recent
        super().__init__(*arguments)

    def _introduce(self, limits: Limits) -> None:
        try:
            super()._introduce(limits)
        except StoreRefusedError:  # INFO is hidden
            asked_at = monotonic()
            self._proof, reply = hidden_proof(self._recent, self.transfer(questions(self._recent), limits))
            self.prove(reply, asked_at)
        steps = bringing(self._recent, self.identity)
        trip = next(steps, None)
        while trip is not None:
            try:
                trip = steps.send(self._made(trip, limits))
            except StopIteration:
                trip = None

    def _identity_by(self, replication: Any) -> bytes:
        if self._proof is INFO_REPLICATION:
            identity = super()._identity_by(replication)
            check_same(self.identity, identity)
            return identity
        check_role(replication)
        return HIDDEN

    def _made(self, trip: Trip[Any], limits: Limits) -> Any:
        replies = self.transfer(trip.commands, limits)
        if any_error(replies, "NOSCRIPT"):
            replies = self.transfer([commands.by_text(command) for command in trip.commands], limits)
        return parsed(trip, replies, self.identity)
