"""What a redis+cluster:// URL says: which nodes to ask for the others, and how to talk to all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from unstale.errors import ConfigurationError
from unstale.stores.cluster import Address
from unstale.stores.connect import ESCAPE, unreadable

SCHEMES: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""And the scheme of a node's own URL."""
PORT: Final = 6379


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
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    behind = rest.removeprefix(authority)
    if "@" in behind:  # so what is shown may be a secret
        raise ConfigurationError(ESCAPE)
    credentials, at, hosts = authority.rpartition("@")
    path, question, query = behind.partition("?")
    if path.partition("#")[0].strip("/") not in ("", "0"):
        raise ConfigurationError("A cluster has one database, number 0: put nothing behind the nodes.")
    seeds = tuple(_address(one, url) for one in hosts.split(","))
    return Place(seeds, f"{SCHEMES[scheme]}://{credentials}{at}node/{question}{query}")


def _address(text: str, url: str) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:  # its text may show a part of a password that was not percent-encoded
        raise unreadable(url) from None
    if not host:
        raise ConfigurationError("The URL names no node: redis+cluster://[user:password@]host1:6379,host2:6379.")
    return host, port or PORT


def arguments_of_a_node(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What all nodes' connections have in common.

    Raises:
        ConfigurationError: a database other than 0.
    """
    if arguments.get("db") not in (None, 0):
        raise ConfigurationError("A cluster has one database, number 0: leave db out.")
    return {name: value for name, value in arguments.items() if name not in ("db", "host", "port")}
