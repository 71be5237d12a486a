"""All faults by name. Each module has those that are done to one kind of thing; nothing here starts a server.

names        keys that go: evicted, expired, flushed
connections  clients that are cut off, or kept waiting, by the server
processes    readers, writers and servers that stand still
network      what happens on the way, by the proxy
restarts     a server that dies and comes back: empty, or with what it once knew
memory       a server that is full
pairs        a replica that takes its primary's place
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from unstale.tools.chaos.faults import connections, memory, names, network, pairs, processes, restarts
from unstale.tools.chaos.world import Fault

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        fault.name: fault
        for module in (names, connections, processes, network, restarts, memory, pairs)
        for fault in module.FAULTS
    }
)
