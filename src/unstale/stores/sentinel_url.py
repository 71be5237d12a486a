"""What a redis+sentinel:// URL says: which sentinels to ask, for which service, and how to talk to its primary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from unstale.errors import ConfigurationError
from unstale.stores.addresses import Address
from unstale.stores.host_urls import address_of, parts_of

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
    parts = parts_of(url)
    service, _, database = parts.path.partition("/")
    if not service:
        raise ConfigurationError(f"The URL names no service: {_FORM}.")
    if database and not database.isdecimal():
        raise ConfigurationError(f"Behind the service a URL has the database's number, not {database[:20]!r}.")
    addresses = tuple(address_of(one, PORT, url, f"A sentinel has no host: {_FORM}.") for one in parts.hosts)
    primary = f"{SCHEMES[url.partition('://')[0]]}://{parts.credentials}primary/{database}{parts.options}"
    return Place(addresses, unquote(service), primary)
