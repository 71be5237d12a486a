"""The servers of a phase, and the faults that can be done to them and to the processes around them.

`worlds.standing` starts what a topology needs on free ports of this machine and ends all of it, however the run ends.
A fault is struck from the run's own process, heals what it has done before it returns, and says what it was. All of
them, by name, are in `faults`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

import redis

from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.layouts import Layout, Pair
from unstale.tools.chaos.proxy import Proxy
from unstale.tools.chaos.servers import client_of

Need: TypeAlias = Literal["own", "pair", "proxy", "sentinel", "cluster"]
T = TypeVar("T")
OWN: Final[frozenset[Need]] = frozenset({"own"})
PROXY: Final[frozenset[Need]] = frozenset({"proxy"})
PAIR: Final[frozenset[Need]] = OWN | PROXY | {"pair"}
SENTINEL: Final[frozenset[Need]] = OWN | {"sentinel"}
CLUSTER: Final[frozenset[Need]] = OWN | {"cluster"}
"""What faults need."""


@dataclass(slots=True, eq=False)
class World:
    """What faults can reach.

    Attributes:
        url: what subjects connect to: the server, a proxy before it, sentinels or a cluster.
        namespace: what the subject's names begin with.
        layout: the servers.
        has: what faults may need that is here.
        proxy: that subjects connect through, if there is one.
        readers: process ids of readers that run now.
        writers: process ids of writers that run now.
    """

    url: str
    namespace: str
    layout: Layout
    has: frozenset[Need] = frozenset()
    proxy: Proxy | None = None
    readers: list[int] = field(default_factory=list)
    writers: list[int] = field(default_factory=list)

    def clients(self) -> list[redis.Redis]:
        """A new client of each primary. Close them."""
        return [client_of(url) for url in self.layout.primaries()]

    def servers(self, kind: type[T]) -> T:
        """The servers, where they are of this kind.

        Raises:
            ChaosError: they are not: the fault was struck where it cannot be.
        """
        if not isinstance(self.layout, kind):
            raise ChaosError(f"This fault needs servers as {kind.__name__} has them, not {type(self.layout).__name__}.")
        return self.layout

    def through(self) -> Proxy:
        """The proxy.

        Raises:
            ChaosError: there is none.
        """
        if self.proxy is None:
            raise ChaosError("This fault needs a proxy.")
        return self.proxy

    def heal(self) -> None:
        """Mend whatever is still broken, after a phase or a fault that failed, and wait until all is well."""
        self.layout.heal()
        if self.proxy is not None:
            self.proxy.straighten()
        if self.proxy is not None and isinstance(self.layout, Pair):
            self.proxy.lead_to(self.layout.primary.address)


class Fault(NamedTuple):
    """Something that breaks.

    Attributes:
        name: what phases call it.
        says: what it stands for, a sentence for people.
        strike: does it, heals it, and says what was done.
        needs: what it cannot do without: "own" servers, a "pair", a "proxy", "sentinel", "cluster". What does not need
            own servers touches nothing but the run's own names and processes.
    """

    name: str
    says: str
    strike: Callable[[World, Random], str]
    needs: frozenset[Need] = frozenset()

    def can_be_struck(self, world: World) -> bool:
        """Whether the world has what it needs."""
        return self.needs <= world.has
