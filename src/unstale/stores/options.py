"""How every store that talks to a server is told to reach it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How to reach a server.

    Attributes:
        timeout: seconds for connecting, and again for each answer.
        max_connections: most connections of one process to the server.
    """

    timeout: float = 0.3
    max_connections: int = 64
