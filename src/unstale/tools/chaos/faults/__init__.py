"""All faults by name. Each module has those that are done to one kind of thing; nothing here starts a server.

    names        keys that go: evicted, expired, flushed
    connections  clients that are cut off, or kept waiting, by the server
    processes    readers, writers and servers that stand still
    network      what happens on the way, by the proxy
    restarts     a server that dies and comes back: empty, or with what it once knew
    memory       a server that is full
    pairs        a replica that takes its primary's place
        sentinels    the same by sentinels
        clusters     the same in a cluster, and slots that move

A fault that needs no servers of the run's own is done to a user's, too: it touches only what is the run's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from unstale.tools.chaos.faults import (
    clusters,
    connections,
    memory,
    names,
    network,
    pairs,
    processes,
    restarts,
    sentinels,
)
from unstale.tools.chaos.world import Fault

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        fault.name: fault
        for module in (names, connections, processes, network, restarts, memory, pairs, sentinels, clusters)
        for fault in module.FAULTS
    }
)
