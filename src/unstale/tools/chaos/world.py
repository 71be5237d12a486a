"""The servers of a phase, and the faults that can be done to them and to the processes around them.

A `World` starts what a topology needs on free ports of this machine and ends all of it, however the run ends. A fault
is struck from the run's own process, heals what it has done before it returns, and says what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol


class World(Protocol):
    """What faults can reach.

    Attributes:
        url: what subjects connect to: the server, a proxy before it, sentinels or a cluster.
        namespace: what the subject's names begin with.
        readers: process ids of readers that run now.
        writers: process ids of writers that run now.
    """

    url: str
    namespace: str
    readers: list[int]
    writers: list[int]


class Fault(NamedTuple):
    """Something that breaks.

    Attributes:
        name: what phases call it.
        says: what it stands for, a sentence for people.
        strike: does it, heals it, and says what was done.
        needs: what it cannot do without: "own" servers, a "pair", a "proxy", "sentinel", "cluster".
    """

    name: str
    says: str
    strike: Callable[[World, Random], str]
    needs: frozenset[str] = frozenset()
