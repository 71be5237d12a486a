"""In which keys a pattern can be read in too many ways, and which anchored pattern to write in its place.

Pure: no Django, no I/O. It returns data and sentences; the checks and the backend say them. A placeholder holds no
character that follows it, so none before a dot holds "www.example.com": there the remedy is a line of literal text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from unstale.contrib.django.patterns.parsing import Pattern, TooManyBindings, parse_pattern
from unstale.contrib.django.patterns.tokens import (
    ANY,
    SEPARATORS,
    Literal,
    OneOf,
    PatternError,
    Placeholder,
    Token,
    decoded,
    encoded,
    written,
)

_DIGEST: Final = "0123456789abcdef" * 2
PAGES: Final = "views.decorators.cache.cache_page"
REPRESENTATIVE_KEYS: Final = (
    f"{PAGES}.books.GET.{_DIGEST}.{_DIGEST}.en-us.UTC",
    f"{PAGES}..HEAD.{_DIGEST}.{_DIGEST}.pt-br.America/Argentina/Buenos_Aires",
    f"views.decorators.cache.cache_header.books.{_DIGEST}.en-us.UTC",
    f"template.cache.sidebar.{_DIGEST}",
    f"django.contrib.sessions.cache{_DIGEST}",
    *(separator.join(("shop", "user", "42", "orders", "page", "1", "en")) for separator in SEPARATORS),
)
"""Keys that Django makes (`django.utils.cache`, `django.core.cache.utils`), and some that projects make."""
DOTTED_PAGE: Final = f"{PAGES}.www.example.com.GET.{_DIGEST}.{_DIGEST}.en-us.UTC"
"""A page of `cache_page(key_prefix="www.example.com")`: each dot is one more way to read it."""

_PAGE: Final = re.compile(
    r"views\.decorators\.cache\.cache_(?:page|header)\.(?P<prefix>.*?)\.(?:[A-Z]+\.)?[0-9a-f]{32}(?:\..*)?", re.DOTALL
)
_PARTS: Final = tuple("123456789")


def is_page(key: str) -> bool:
    """Whether `cache_page` or the cache middleware makes this key."""
    return _PAGE.fullmatch(key) is not None


def is_too_many(pattern: Pattern, keys: Iterable[str]) -> bool:
    """Whether the pattern has more than MAX_BINDINGS bindings in one of the keys."""
    try:
        for key in keys:
            pattern.bindings(key)
    except TooManyBindings:
        return True
    return False


def key_of_many_parts(pattern: Pattern) -> str:
    """A key of many parts in which the pattern can be read in too many ways: in one for each part.

    Returns:
        "" if the number of ways does not grow with the key's parts.
    """
    candidates = (DOTTED_PAGE, *(_filled(pattern.tokens, separator) for separator in SEPARATORS))
    return next((key for key in candidates if is_too_many(pattern, [key])), "")


def _filled(tokens: Sequence[Token], separator: str) -> str:
    """A key that matches: each asterisk takes nine parts."""
    text = "" if tokens[:1] != (ANY,) else f"shop{separator}"
    for token in tokens:
        match token:
            case Literal():
                text += decoded(token.raw)
            case OneOf():
                text += chr(min((each for each in token.members if chr(each).isalnum()), default=ord("_")))
            case Placeholder():
                text += token.name
            case _:
                text += separator.join(_PARTS)
    return text


def remedy(pattern: Pattern, key: str) -> str:
    """What to write in place of a pattern that can be read in too many ways in a key."""
    if page := _PAGE.fullmatch(key):
        return _page_remedy(pattern, page["prefix"])
    proposed = _anchored_for_key(pattern, key)
    return "Anchor the pattern, with the text that its keys begin with" + (f': "{proposed}".' if proposed else ".")


def _page_remedy(pattern: Pattern, prefix: str) -> str:
    proposed = anchored_for_pages(pattern)
    text = f'For pages of cache_page write in its place "{proposed}"'
    if len(parse_pattern(proposed).names) == 1:
        text += f', with delete_pattern("{parse_pattern(proposed).glob(dict.fromkeys(pattern.names, "books"))}")'
    if "." not in prefix:
        return text + "."
    line = written([ANY, Literal(encoded(f".{prefix}.")), ANY])
    return f'{text}. A key_prefix with dots fits no placeholder before a dot: add a line with its text, "{line}".'


def anchored_for_pages(pattern: Pattern) -> str:
    """A pattern of the same placeholders, for pages, which does not have too many bindings."""
    for tokens in _anchored(pattern, PAGES, "."):
        proposed = _parsed(tokens)
        if not proposed or is_too_many(proposed, REPRESENTATIVE_KEYS) or key_of_many_parts(proposed):
            continue
        if proposed.bindings(REPRESENTATIVE_KEYS[0]):
            return proposed.text
    name = next(iter(pattern.names), "prefix")
    return f"{PAGES}.{{{name}}}.*"


def _anchored_for_key(pattern: Pattern, key: str) -> str:
    """A pattern of the same placeholders that begins as the key does; "" if none fits it."""
    first = next(token for token in pattern.tokens if isinstance(token, Placeholder))
    separator = decoded(first.until or first.without) or ":"
    for tokens in _anchored(pattern, key.partition(separator)[0], separator):
        proposed = _parsed(tokens)
        if proposed and not is_too_many(proposed, [key]) and proposed.bindings(key) and not key_of_many_parts(proposed):
            return proposed.text
    return ""


def _anchored(pattern: Pattern, start: str, separator: str) -> Iterator[list[Token]]:
    behind = pattern.tokens[1:] if pattern.tokens[0] is ANY else pattern.tokens
    lead, between = Literal(encoded(start)), Literal(encoded(separator))
    every = [part for name in pattern.names for part in (between, Placeholder(name))]
    yield [lead, *behind]
    yield [lead, *every, between, ANY]


def _parsed(tokens: Iterable[Token]) -> Pattern | None:
    try:
        return parse_pattern(written(tokens))
    except PatternError:
        return None
