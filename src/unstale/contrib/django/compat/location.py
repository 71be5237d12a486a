"""LOCATION as django-redis, django-valkey and Django's RedisCache take it, as one URL of ours. No I/O.

The first server is the primary, and the only one that is asked: a stamp that is read from a replica may be old. But
several nodes of a cluster are several places to begin from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured

from unstale.contrib.django.notices import warn_once
from unstale.stores.urls import is_cluster

_BETWEEN: Final = re.compile(r"[;,]\s*(?=[a-z][a-z+]*://)")
"""What separates URLs. A comma may also stand in a password, or between the hosts of a redis+sentinel URL."""
_BEHIND: Final = re.compile("[/?#]")
_SCHEMES: Final = {"valkey": "redis", "valkeys": "rediss"}
_WITHOUT_QUERY: Final = ("memory", "embedded")


@dataclass(frozen=True, slots=True)
class Location:
    """A server, as LOCATION names it.

    Attributes:
        url: without what `query` holds.
        query: options of redis-py's pool that stood in the URL: the cache takes them as options of its own.
        has: which of username, password and db the URL itself says.
    """

    url: str = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    has: frozenset[str] = frozenset()


def read_location(location: Any, poolwide: Iterable[str]) -> Location:
    """Read LOCATION.

    Args:
        location: a URL, several between commas or semicolons, or a list of them.
        poolwide: options of redis-py's pool, which a URL may have in its query.

    Raises:
        ImproperlyConfigured: there is none.
    """
    urls = _BETWEEN.split(location) if isinstance(location, str) else list(location or ())
    urls = [url.strip() for url in map(str, urls) if url.strip()]
    if not urls:
        raise ImproperlyConfigured("LOCATION names no server. Write one: redis://127.0.0.1:6379/0.")
    if len(urls) > 1 and all(is_cluster(url) for url in urls):
        urls = [_as_one(urls)]
    if len(urls) > 1:
        warn_once(
            f"LOCATION names {len(urls)} servers. Only the first, the primary, is used: what a replica shows may "
            "be older than what was invalidated."
        )
    scheme, _, rest = urls[0].partition("://")
    if scheme in _WITHOUT_QUERY:
        return Location(urls[0])
    return _without_query(f"{_SCHEMES.get(scheme, scheme)}://{rest}", frozenset(poolwide))


def _as_one(urls: Sequence[str]) -> str:
    """Nodes of one cluster, as one URL: the first one's, with the others' hosts."""
    scheme, _, rest = urls[0].partition("://")
    front = _BEHIND.split(rest, maxsplit=1)[0]
    hosts = [_split(url).netloc.rpartition("@")[2] for url in urls[1:]]
    return f"{scheme}://{','.join([front, *hosts])}{rest.removeprefix(front)}"


def _without_query(url: str, poolwide: frozenset[str]) -> Location:
    front, question, query = url.partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    ours = tuple((name, value) for name, value in given if name in poolwide)
    left = [(name, value) for name, value in given if name not in poolwide and name != "is_master"]
    kept = query if len(left) == len(given) else urlencode(left)
    return Location(front + (question + kept if kept else ""), ours, _said(front, {name for name, _ in left}))


def _said(front: str, query: set[str]) -> frozenset[str]:
    """Which of a connection's parts a URL says: these count more than an option beside it, as in redis-py."""
    parts = _split(front)
    credentials = parts.netloc.rpartition("@")[0]
    user, _, password = credentials.partition(":")
    is_said = {
        "username": bool(user),
        "password": bool(password),
        "db": parts.scheme != "unix" and bool(parts.path.strip("/")),
    }
    return frozenset(name for name, said in is_said.items() if said or name in query)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # the core says what is wrong with it
        return SplitResult("", "", "", "", "")


def sentinel_url(location: Location, sentinels: Sequence[Any], *, tls: bool) -> str:
    """The URL of a service that sentinels know, for a LOCATION of the form redis://service/database.

    Args:
        location: that LOCATION.
        sentinels: pairs of host and port.
        tls: whether the primary speaks TLS.

    Raises:
        ImproperlyConfigured: SENTINELS is no list of pairs.
    """
    if location.url.partition("://")[0].endswith("+sentinel"):
        return location.url
    hosts = ",".join(_host(each) for each in sentinels)
    parts = _split(location.url)
    credentials, at, service = parts.netloc.rpartition("@")
    scheme = "rediss+sentinel" if tls or parts.scheme == "rediss" else "redis+sentinel"
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme}://{credentials}{at}{hosts}/{service.partition(':')[0]}{parts.path.rstrip('/')}{query}"


def _host(pair: Any) -> str:
    if not isinstance(pair, list | tuple) or len(pair) != 2:  # noqa: PLR2004 - host and port
        raise ImproperlyConfigured('SENTINELS must be a list of pairs of host and port: [("10.0.0.1", 26379)].')
    host, port = pair
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
