"""How every store that talks to a server is told to reach it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from unstale.events import BreakerClosed, BreakerOpened

if TYPE_CHECKING:
    from unstale.core.replay import Recent

READ_SECONDS: Final = 0.04
"""With what it takes to notice, and to go on without the server, a read is over within 50 ms."""
INVALIDATE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How to reach a server.

    Attributes:
        timeout: seconds for connecting, and again for each answer.
        max_connections: most connections of one process to the server; on a cluster, to each node.
        connection: more arguments for redis-py's connections (`arguments`); they override the URL's.
        sentinel: arguments for the connections to the sentinels of a redis+sentinel:// URL.
        read_timeout: seconds for the answer to a read; at most `timeout`.
        invalidate_timeout: seconds for an invalidation in all.
        tell: told when the breaker opens and closes.
        server: what it is called there: its address, without a password.
        watch: called about once a second while reads ask the server: looks whether an invalidation is queued, and
            holds them back then.
        wait: how many replicas must acknowledge an invalidation.
        recent: with fence="replay", the bumps of this process that new servers are brought.
        wait_seconds: for how long the server waits for them; less than `timeout` and `invalidate_timeout`.
        fences_all: whether entries without tags are bound to the life of their server, too (the option `fence`): on a
            cluster the stamps of roots are folded then (`cluster`).
    """

    timeout: float = 0.3
    max_connections: int = 64
    connection: Mapping[str, object] = field(default_factory=dict, repr=False)
    sentinel: Mapping[str, object] = field(default_factory=dict, repr=False)
    read_timeout: float = READ_SECONDS
    invalidate_timeout: float = INVALIDATE_SECONDS
    tell: Callable[[BreakerOpened | BreakerClosed], None] | None = None
    server: str = ""
    watch: Callable[[], None] | None = None
    wait: int = 0
    wait_seconds: float = 0.15
    recent: Recent | None = field(default=None, repr=False)
    fences_all: bool = False
