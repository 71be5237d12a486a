"""What a redis+cluster:// URL says: which nodes to ask for the others, and how to talk to all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from unstale.errors import ConfigurationError
from unstale.stores.addresses import Address
from unstale.stores.host_urls import address_of, parts_of

SCHEMES: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""And the scheme of a node's own URL."""
PORT: Final = 6379
_NO_HOST: Final = "The URL names no node: redis+cluster://[user:password@]host1:6379,host2:6379."


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster's place.

    Attributes:
        seeds: nodes of it, or a configuration endpoint.
        url: the URL of a node, with a host that stands for none.
    """

    seeds: tuple[Address, ...]
    url: str = field(repr=False)


def place_of(url: str) -> Place:
    """Read a URL.

    Raises:
        ConfigurationError: it is none of the form redis+cluster://[user:password@]host:port,…[/0][?option=…].
    """
    parts = parts_of(url)
    if parts.path not in ("", "0"):
        raise ConfigurationError("A cluster has one database, number 0: put nothing behind the nodes.")
    seeds = tuple(address_of(one, PORT, url, _NO_HOST) for one in parts.hosts)
    return Place(seeds, f"{SCHEMES[url.partition('://')[0]]}://{parts.credentials}node/{parts.options}")


def arguments_of_a_node(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What all nodes' connections have in common.

    Raises:
        ConfigurationError: a database other than 0.
    """
    if arguments.get("db") not in (None, 0):
        raise ConfigurationError("A cluster has one database, number 0: leave db out.")
    return {name: value for name, value in arguments.items() if name not in ("db", "host", "port")}
