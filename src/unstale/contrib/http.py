"""HTTP's rules for stored responses, the same for every framework: what may be stored, under which key and ETag.

Pure: no framework, no store, no clock. Headers are pairs of names and values; a name's case does not matter.

A request is answered without the cache if it is neither GET nor HEAD, or has a body, `Range`, `If-Match`,
`If-Unmodified-Since`, `Cache-Control: no-store`, or (unless asked for) `Authorization`. `Cache-Control: no-cache`,
`max-age=0` and `Pragma` of a request are not obeyed: what is stored is fresh by its stamps, not by its age, and no
client shall be able to make the views run.

The lifetime here is the decorator's `ttl` and the tags. What the response says in `Cache-Control` is for the caches
behind us, which we cannot invalidate. Where a view says nothing it gets `no-cache`: they ask again, with the ETag.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from string import Formatter
from typing import Any, Final, Self, TypeAlias, TypedDict
from urllib.parse import quote, unquote_to_bytes

import msgspec

from unstale.core.keys import check_tag
from unstale.core.policy import DEFAULT, Ttl, seconds, stale_seconds
from unstale.errors import ConfigurationError, InvalidKeyError, InvalidTagError, UnstaleError
from unstale.templates import Template

Headers: TypeAlias = Sequence[tuple[str, str]]
TagsOfRequest: TypeAlias = "Iterable[str] | Callable[[Any], Iterable[str]]"

STATUSES: Final = frozenset({200, 203, 300, 301, 404, 410})
"""What can be stored at all; RFC 9110 section 15.1 without 204, 206 and the like, which nobody asks for."""
MAX_BYTES: Final = 1024 * 1024
UNSTORED_SECONDS: Final = 10.0
"""How long it is remembered that a key's response could not be stored: nobody waits for another's load meanwhile."""
SHOWN: Final = 96
"""Characters of the path that a key shows, for whoever looks at the keys."""

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_MADE_ANEW: Final = frozenset({"content-length", "date"})
_ETAG: Final = re.compile(r'(?:W/)?("[^"]*")')


class ResponseOptions(TypedDict, total=False):
    """What `cached_response` can be told, all by name, all with a default.

    Attributes:
        tags: templates over the path's parameters such as "product:{product_id}", or a function that makes the tags
            from the request. (): the response is stale at its ttl's end, or at `clear()`.
        ttl: seconds (or a timedelta) that a response stays fresh; None for no limit. The cache's own.
        stale_ttl: seconds more that it may be served while it is made anew, and where that fails. The cache's own.
        vary: the request headers that the response depends on; their values are part of the key. ().
        authorized: store responses to requests with `Authorization` too, for each of its values apart. False.
        key: makes what stands in the key for scheme, host, path and query, from the request. None: all of them.
        statuses: which of 200, 203, 300, 301, 404 and 410 are stored. (200,).
        max_bytes: largest body that is stored; what is longer is passed through. 1 MiB.
        ignore: request headers that an endpoint of FastAPI declares and the response does not depend on. ().
        x_cache: say `X-Cache: hit`, `miss` or `bypass`. False.
    """

    tags: TagsOfRequest
    ttl: Ttl
    stale_ttl: Ttl
    vary: Iterable[str]
    authorized: bool
    key: Callable[[Any], str] | None
    statuses: Iterable[int]
    max_bytes: int
    ignore: Iterable[str]
    x_cache: bool


_KNOWN: Final = frozenset(ResponseOptions.__annotations__)


class UnkeptError(UnstaleError):
    """The view answered 5xx or 304: nothing is stored. Whoever called the cache hands the view's own response on."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One route's rules.

    Attributes:
        vary: names of request headers, in lower case, whose values are part of the key.
        authorized: whether requests with `Authorization` are admitted; its value is then part of the key.
        statuses: which are stored.
        max_bytes: largest body that is stored.
    """

    vary: tuple[str, ...] = ()
    authorized: bool = False
    statuses: frozenset[int] = frozenset({200})
    max_bytes: int = MAX_BYTES

    @classmethod
    def of(cls, options: ResponseOptions) -> Self:
        """The rules among a route's options.

        Raises:
            ConfigurationError: an option is unknown or makes no sense.
            InvalidDurationError: a duration is no number of seconds above zero.
        """
        unknown = sorted(set(options) - _KNOWN)
        if unknown:
            raise ConfigurationError(f"No such option: {unknown[0]!r}. Known: {', '.join(sorted(_KNOWN))}.")
        statuses = frozenset(options.get("statuses", (200,)))
        if not statuses or statuses - STATUSES:
            raise ConfigurationError(f"statuses must be some of {sorted(STATUSES)}, not {sorted(statuses)}.")
        max_bytes = options.get("max_bytes", MAX_BYTES)
        if type(max_bytes) is not int or max_bytes < 1:
            raise ConfigurationError("max_bytes must be an int of at least 1.")
        if (ttl := options.get("ttl", DEFAULT)) is not DEFAULT:
            seconds(ttl)
        if (stale_ttl := options.get("stale_ttl", DEFAULT)) is not DEFAULT:
            stale_seconds(stale_ttl)
        authorized = options.get("authorized", False)
        return cls(_vary_names(options.get("vary", ()), authorized=authorized), authorized, statuses, max_bytes)

    def admit(self, method: str, headers: Headers) -> bool:
        """Whether a request may be answered from the cache, and its response be stored (not that of a HEAD)."""
        names = {name.lower() for name, _ in headers}
        return (
            method in ("GET", "HEAD")
            and (self.authorized or "authorization" not in names)
            and not names & {"range", "if-match", "if-unmodified-since", "transfer-encoding"}
            and header(headers, "content-length") in ("", "0")
            and "no-store" not in _directives(headers)
        )

    def keep(self, status: int, headers: Headers) -> bool:
        """Whether a response may be stored, by its head."""
        length = header(headers, "content-length")
        return (
            status in self.statuses
            and not header_names(headers) & {"set-cookie", "set-cookie2", "content-range"}
            and not _directives(headers) & {"private", "no-store"}
            and _listed(headers, "vary") <= set(self.vary)
            and "text/event-stream" not in header(headers, "content-type").lower()
            and not (length.isdecimal() and int(length) > self.max_bytes)
        )

    def key(self, shown: str, parts: Sequence[str], headers: Headers) -> str:
        """A key: what is shown of it, and a digest of all its parts and of the named headers' values."""
        digest = blake2b(digest_size=20)
        for part in (*parts, *(text for name in self.vary for text in (name, header(headers, name)))):
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:%s," % (len(raw), raw))
        return f"response1:{quote(shown, safe='/=&', errors='surrogatepass')[:SHOWN]}#{digest.hexdigest()}"

    def stored(self, status: int, headers: Headers, body: bytes) -> StoredResponse:
        """The form in which a response is stored, and served from then on."""
        dropped = _HOP_BY_HOP | _MADE_ANEW | _listed(headers, "connection")
        kept = [(name, value) for name, value in headers if name.lower() not in dropped]
        names = header_names(kept)
        if "etag" not in names:
            kept.append(("etag", make_etag(kept, body)))
        if "cache-control" not in names:
            kept.append(("cache-control", "no-cache"))
        unsaid = [name for name in self.vary if name not in _listed(headers, "vary")]
        if unsaid:
            kept.append(("vary", ", ".join(unsaid)))
        return StoredResponse(status, kept, body)


def _vary_names(names: Iterable[str], *, authorized: bool) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ConfigurationError(f"vary must be a list of header names, not a str: write vary=[{names!r}].")
    found = {name.strip().lower() for name in names} | ({"authorization"} if authorized else set())
    if "*" in found or "" in found:
        raise ConfigurationError("vary must name request headers; a response that varies by all cannot be stored.")
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as plain data.

    Attributes:
        status: its status.
        headers: its headers, without those of one connection.
        body: its whole body.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def packed(self) -> bytes:
        """As bytes, which every codec carries."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpacked(cls, data: object) -> Self | None:
        """From bytes; None for what is no stored response."""
        try:
            return msgspec.msgpack.decode(data, type=cls) if isinstance(data, bytes) else None
        except msgspec.MsgspecError:
            return None

    def answer(self, method: str, headers: Headers) -> StoredResponse:
        """What this request is sent: the response, or 304 without its body if the client has it."""
        etag = header(self.headers, "etag")
        if self.status == 200 and etag_matches(etag, header(headers, "if-none-match")):  # noqa: PLR2004 - RFC 9110 13.2.1
            kept = [pair for pair in self.headers if not pair[0].lower().startswith("content-")]
            return StoredResponse(304, kept, b"")
        sized = [*self.headers, ("content-length", str(len(self.body)))]
        return StoredResponse(self.status, sized, b"" if method == "HEAD" else self.body)


def header(headers: Headers, name: str) -> str:
    """A header's values, joined as RFC 9110 section 5.3 has it; "" where there is none."""
    return ", ".join(value for found, value in headers if found.lower() == name)


def header_names(headers: Headers) -> set[str]:
    """The names, in lower case."""
    return {name.lower() for name, _ in headers}


def _listed(headers: Headers, name: str) -> set[str]:
    """The members of a header that is a list of names, in lower case."""
    return {member for part in header(headers, name).split(",") if (member := part.strip().lower())}


def _directives(headers: Headers) -> set[str]:
    """The directives of `Cache-Control`, without their arguments: `private="a"` counts as `private`."""
    return {member.partition("=")[0].strip() for member in _listed(headers, "cache-control")}


def make_etag(headers: Headers, body: bytes) -> str:
    """A strong ETag of a body and of what it is: content type and encoding."""
    digest = blake2b(digest_size=16)
    for part in (header(headers, "content-type").encode(), header(headers, "content-encoding").encode(), body):
        digest.update(b"%d:%s," % (len(part), part))
    return f'"{digest.hexdigest()}"'


def etag_matches(etag: str, if_none_match: str) -> bool:
    """Whether `If-None-Match` has this ETag, by weak comparison (RFC 9110 section 13.1.2)."""
    own = _ETAG.fullmatch(etag.strip())
    if own is None:
        return False
    return if_none_match.strip() == "*" or own[1] in _ETAG.findall(if_none_match)


def sorted_query(query: str) -> str:
    """A query with its parameters sorted by name. One name's values keep their order, which may mean something.

    Nothing is decoded but names, to compare them: two spellings of a value are two keys, never one for two values.
    """
    parts = [part for part in query.split("&") if part]
    return "&".join(sorted(parts, key=lambda part: unquote_to_bytes(part.partition("=")[0].replace("+", " "))))


def template_of(
    text: str, parameters: Mapping[str, inspect.Parameter] | None = None, kind: type[Template] = Template
) -> Template:
    """A tag's template of a kind, checked against a view's parameters, or by itself where these are not known yet.

    Raises:
        ConfigurationError: it cannot be read, or names what is no argument.
    """
    if parameters is None and isinstance(text, str):
        try:
            fields = [field for _, field, _, _ in Formatter().parse(text) if field is not None]
        except ValueError as error:
            raise ConfigurationError(f"The template {text!r} cannot be read: {error}.") from error
        names = [name for field in fields if (name := field.partition(".")[0].partition("[")[0]).isidentifier()]
        parameters = {name: inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names}
    return kind(text, parameters or {})


class TagRules:
    """How the tags of a request are made: by templates, or by the application's function.

    Attributes:
        arguments: what the templates name.
    """

    __slots__ = ("_make", "_templates", "arguments")

    def __init__(
        self,
        tags: TagsOfRequest,
        parameters: Mapping[str, inspect.Parameter] | None = None,
        kind: type[Template] = Template,
    ) -> None:
        """Check the templates, and against a view's parameters if these are known; `kind` fills them.

        Raises:
            ConfigurationError: a template cannot be read, or names what is no argument.
        """
        if isinstance(tags, str):
            raise ConfigurationError(f"tags must be a list of templates, not a str: write tags=[{tags!r}].")
        self._make = tags if callable(tags) else None
        self._templates = () if callable(tags) else tuple(template_of(tag, parameters, kind) for tag in tags)
        self.arguments = frozenset[str]().union(*(template.arguments for template in self._templates))

    def of(self, request: object, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The tags of a request, from its path's parameters.

        Raises:
            ConfigurationError: the path has no such parameter.
            InvalidKeyError, InvalidTagError: a parameter's value gives no tag.
        """
        if self._make is not None:
            return tuple(check_tag(tag) for tag in self._make(request))
        missing = sorted(self.arguments - set(arguments))
        if missing:
            known = ", ".join(arguments) or "none"
            raise ConfigurationError(f"A tag names {missing[0]!r}, which the path does not have. There are: {known}.")
        return tuple(check_tag(template.filled(arguments)) for template in self._templates)

    def of_read(self, request: object, arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The same for a read; None where a value in the path gives no tag: no entry can be kept under it."""
        try:
            return self.of(request, arguments)
        except (InvalidKeyError, InvalidTagError):
            if self._make is not None:
                raise
            return None
