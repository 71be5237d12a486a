"""The servers that are told of, each with a client. Who there is may change, so it is asked for each time.

One that is not named any more is remembered for a while, so that its being away shows. Where nobody tells who there is,
all that were known stay.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import redis

from unstale.tools.places import Manner, NobodyTellsError, Origin, Place, connect, hang_up

Client: TypeAlias = "redis.Redis"

REMEMBER_SECONDS: Final = 900.0
"""How long a node that is not named any more is asked all the same."""


class Nodes:
    """The servers behind a URL, each with a client of one connection at a time. One thread uses it.

    Attributes:
        service: what sentinels call it; empty where a URL names servers.
        trouble: why nobody told the last time who there is; empty if somebody did.
    """

    def __init__(self, url: str, timeout: float, sentinel_password: str | None = None) -> None:
        """Read the URL; nothing is asked yet.

        Args:
            url: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster:// and their TLS kinds.
            timeout: seconds for connecting, and again for each answer.
            sentinel_password: of the sentinels, where they have one.

        Raises:
            ConfigurationError: the URL makes no sense.
        """
        self._manner = Manner(None, timeout, timeout, attempts=2)
        self._origin = Origin(url, self._manner, sentinel_password, patience=timeout)
        self._seen: dict[str, float] = {}
        self._clients: dict[str, Client] = {}
        self.service = self._origin.service
        self.trouble = ""

    def named(self, now: float) -> dict[str, Client]:
        """A client of each server, by what it is called.

        Args:
            now: a time that only grows.
        """
        places = self._places()
        self._seen |= {place.name: now for place in places}
        if places:
            self._seen = {name: at for name, at in self._seen.items() if now - at <= REMEMBER_SECONDS}
        elif not self._seen:  # nobody has told yet: those that the URL names are asked themselves
            places = self._origin.seeds
        for place in places:
            if place.name not in self._clients:
                self._clients[place.name] = connect(place.whole(), self._manner)
        for name in self._clients.keys() - (self._seen or {place.name for place in places}):
            hang_up(self._clients.pop(name))
        return dict(self._clients)

    def close(self) -> None:
        """Close the connections, also those at which somebody waits."""
        for client in list(self._clients.values()):
            hang_up(client)

    def _places(self) -> list[Place]:
        """Those who are named now; none, where nobody tells."""
        try:
            places = self._origin.places()
        except NobodyTellsError as error:
            self.trouble = str(error)
            return []
        self.trouble = ""
        return places
