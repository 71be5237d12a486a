"""How every store that talks to a server is told to reach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How to reach a server.

    Attributes:
        timeout: seconds for connecting, and again for each answer.
        max_connections: most connections of one process to the server; on a cluster, to each node.
        connection: more arguments for redis-py's connections (`arguments`); they override the URL's.
        sentinel: arguments for the connections to the sentinels of a redis+sentinel:// URL.
        fences_all: whether entries without tags are bound to the life of their server, too (the option `fence`): on a
            cluster the stamps of roots are folded then (`cluster`).
    """

    timeout: float = 0.3
    max_connections: int = 64
    connection: Mapping[str, object] = field(default_factory=dict, repr=False)
    sentinel: Mapping[str, object] = field(default_factory=dict, repr=False)
    fences_all: bool = False
