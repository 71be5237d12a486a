"""What a redis+sentinel:// URL says: which sentinels to ask, for which service, and how to talk to its primary."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit

from unstale.errors import ConfigurationError
from unstale.stores.connect import ESCAPE, unreadable

Address: TypeAlias = tuple[str, int]
"""Host and port."""

SCHEMES: Final = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
"""And the scheme of the primary's own URL."""
PORT: Final = 26379
_FORM: Final = "redis+sentinel://[user:password@]host1:26379,host2:26379/service[/database]"


@dataclass(frozen=True, slots=True)
class Place:
    """A service's place.

    Attributes:
        sentinels: their addresses.
        service: what they call it.
        url: the URL of its primary, with a host that stands for none.
    """

    sentinels: tuple[Address, ...]
    service: str
    url: str = field(repr=False)


def place_of(url: str) -> Place:
    """Read a URL.

    Raises:
        ConfigurationError: it is none of the form redis+sentinel://host:port,…/service[/database][?option=…].
    """
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    behind = rest.removeprefix(authority)
    if "@" in behind:  # so what is shown may be a secret
        raise ConfigurationError(ESCAPE)
    credentials, at, hosts = authority.rpartition("@")
    path, question, query = behind.partition("?")
    service, _, database = path.partition("#")[0].strip("/").partition("/")
    if not service:
        raise ConfigurationError(f"The URL names no service: {_FORM}.")
    if database and not database.isdecimal():
        raise ConfigurationError(f"Behind the service a URL has the database's number, not {database[:20]!r}.")
    addresses = tuple(_address(one, url) for one in hosts.split(","))
    primary = f"{SCHEMES[scheme]}://{credentials}{at}primary/{database}{question}{query}"
    return Place(addresses, unquote(service), primary)


def _address(text: str, url: str) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:  # its text may show a part of a password that was not percent-encoded
        raise unreadable(url) from None
    if not host:
        raise ConfigurationError(f"A sentinel has no host: {_FORM}.")
    return host, PORT if port is None else port
