"""How every store that talks to a server is told to reach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unstale.core.replay import Recent


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How to reach a server.

    Attributes:
        timeout: seconds for connecting, and again for each answer.
        max_connections: most connections of one process to the server.
        connection: more arguments for redis-py's connections (`arguments`); they override the URL's.
        sentinel: arguments for the connections to the sentinels of a redis+sentinel:// URL.
        wait: how many replicas must acknowledge an invalidation.
        recent: with fence="replay", the bumps of this process that new servers are brought.
        wait_seconds: for how long the server waits for them; less than `timeout`.
    """

    timeout: float = 0.3
    max_connections: int = 64
    connection: Mapping[str, object] = field(default_factory=dict, repr=False)
    sentinel: Mapping[str, object] = field(default_factory=dict, repr=False)
    wait: int = 0
    wait_seconds: float = 0.15
    recent: Recent | None = field(default=None, repr=False)
