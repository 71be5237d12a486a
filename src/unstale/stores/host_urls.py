"""What URLs that name several hosts have in common: redis+sentinel:// and redis+cluster://.

No message shows a part of a URL in which a password may be.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from unstale.errors import ConfigurationError
from unstale.stores.addresses import Address
from unstale.stores.connect import ESCAPE, unreadable


class Parts(NamedTuple):
    """A URL's parts."""

    credentials: str
    """With the @ behind them; empty where there are none."""
    hosts: tuple[str, ...]
    path: str
    """Without slashes around it."""
    options: str
    """With the ? before them; empty where there are none."""


def parts_of(url: str) -> Parts:
    """A URL of the form scheme://[user:password@]host:port,…[/path][?option=…], taken apart.

    Raises:
        ConfigurationError: a password in it is not percent-encoded.
    """
    rest = url.partition("://")[2]
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    behind = rest.removeprefix(authority)
    if "@" in behind:  # so what is shown may be a secret
        raise ConfigurationError(ESCAPE)
    credentials, at, hosts = authority.rpartition("@")
    path, question, query = behind.partition("?")
    return Parts(f"{credentials}{at}", tuple(hosts.split(",")), path.partition("#")[0].strip("/"), f"{question}{query}")


def address_of(host: str, port: int, url: str, otherwise: str) -> Address:
    """The address of one of the hosts.

    Args:
        host: as it stands in the URL.
        port: where none is named.
        url: the URL.
        otherwise: the message where it has no host.

    Raises:
        ConfigurationError: it has no host, or cannot be read.
    """
    try:
        parts = urlsplit(f"//{host}")
        name, named = parts.hostname, parts.port
    except ValueError:  # its text may show a part of a password that was not percent-encoded
        raise unreadable(url) from None
    if not name:
        raise ConfigurationError(otherwise)
    return name, port if named is None else named
