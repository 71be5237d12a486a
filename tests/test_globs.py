"""Globs are matched here as the server matches them, and never for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import Server

from unstale.core.globs import escape, regex_of

PIECES = [
    "a",
    "b",
    "c",
    "ab",
    "*",
    "**",
    "?",
    "[",
    "]",
    "[a-c]",
    "[^a]",
    "[^a-b]",
    "[c-a]",
    "[]",
    "[^]",
    "[a-]",
    "[-a]",
]
PIECES += [
    "\\",
    "\\*",
    "\\?",
    "\\[",
    "[\\]]",
    "[a-\\]]",
    "[\\a-c]",
    "-",
    "^",
    "é",
    "[é]",
    "{a}",
    "$",
    ".",
    "(",
    "|",
    " ",
]
TEXTS = ["a", "b", "c", "-", "^", "]", "[", "\\", "*", "?", "é", "{", "}", "$", ".", "(", "|", " ", "\n"]
globs = st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map("".join)
texts = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=5).map("".join)

MATCHES = {
    ("*", "anything"): True,
    ("a*", "a"): True,
    ("a*", "ba"): False,
    ("*a", "ba"): True,
    ("a?c", "abc"): True,
    ("a?c", "ac"): False,
    ("[a-c]x", "bx"): True,
    ("[a-c]x", "dx"): False,
    ("[^a-c]x", "dx"): True,
    ("[^a-c]x", "ax"): False,
    ("\\*", "*"): True,
    ("\\*", "a"): False,
    ("user:42:*", "user:42:orders"): True,
    ("user:42:*", "user:421:orders"): False,
    ("*b*d", "abbcd"): True,
    ("*b*d", "dbc"): False,
    ("??", "é"): True,
    ("a.c", "abc"): False,
    ("*\n*", "a\nb"): True,
}


@pytest.mark.parametrize(("glob", "text"), MATCHES)
def test_matches(glob: str, text: str) -> None:
    """A glob matches whole texts, byte by byte."""
    assert (regex_of(glob).fullmatch(text.encode()) is not None) == MATCHES[glob, text]


@pytest.fixture(scope="module", params=["valkey", "redis"])
def client(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Iterator[redis.Redis]:
    """A client of a real server of each kind."""
    with session_servers(request.param).client as made:
        yield made


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(glob=globs, names=st.lists(texts, min_size=1, max_size=8, unique=True))
def test_as_the_server_matches(client: redis.Redis, glob: str, names: list[str]) -> None:
    """Of any names it matches those that SCAN gives."""
    client.flushall()
    client.mset(dict.fromkeys(names, 1))
    scanned = {name.decode() for name in client.scan_iter(match=glob, count=1000)}
    assert {name for name in names if regex_of(glob).fullmatch(name.encode())} == scanned


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=texts, other=texts)
def test_escaped_text_matches_itself_alone(client: redis.Redis, text: str, other: str) -> None:
    """Escaped, a text is its own glob, here and at the server."""
    client.flushall()
    client.mset({text: 1, other: 1})
    assert list(client.scan_iter(match=escape(text), count=1000)) == [text.encode()]
    assert regex_of(escape(text)).fullmatch(text.encode())
    assert (regex_of(escape(text)).fullmatch(other.encode()) is not None) == (text == other)


def test_many_stars_take_no_time() -> None:
    """A glob of many stars that nearly matches is refused at once: without atomic groups it would take years."""
    assert regex_of("*a" * 40 + "b").fullmatch(b"a" * 4000 + b"c") is None
