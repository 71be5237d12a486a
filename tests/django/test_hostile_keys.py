"""The backend with hostile keys: through make_key, delete_pattern and the scans, sync and async."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from hostile import REFUSED, VICTIM, WORKING
from servers import Server

from unstale import remembering
from unstale.core.globs import escape
from unstale.errors import UnstaleError

ALL = {**WORKING, **REFUSED, "long": "k" * 4000, "far too long": "k" * 9000}

everything = pytest.mark.parametrize("text", ALL.values(), ids=ALL)


@pytest.fixture
def backend(configure: Callable[..., Any], server: Server) -> Iterator[Any]:
    """A backend with entries of somebody else's, which must stay, on a server of which nothing may be lost."""
    made = configure(TAG_PATTERNS=["user:{id}:*"], SOCKET_TIMEOUT=5, NAMESPACE="test")
    with server.client as client, remembering(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a pattern is not declared, or a key is none of memcached's
        client.set("outside", "untouched")
        made.set_many({VICTIM: "theirs", "user:victim:page": "theirs"})
        yield made
        assert made.get_many([VICTIM, "user:victim:page"]) == {VICTIM: "theirs", "user:victim:page": "theirs"}
        assert client.get("outside") == b"untouched"


def sync(cache: Any, verb: str, *arguments: Any) -> Any:
    """Call a verb."""
    return getattr(cache, verb)(*arguments)


def awaited(cache: Any, verb: str, *arguments: Any) -> Any:
    """Call a verb's async twin."""
    return async_to_sync(getattr(cache, f"a{verb}"))(*arguments)


@pytest.mark.parametrize("call", [sync, awaited], ids=["sync", "async"])
@everything
def test_a_key_is_one_key(backend: Any, call: Callable[..., Any], text: str) -> None:
    """Django's backends take any text for a key: here it is one key, or it is refused; nothing else is touched."""
    try:
        call(backend, "set", text, "ours")
    except UnstaleError as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right
        return
    assert call(backend, "get", text) == "ours"
    assert call(backend, "get_many", [text, VICTIM]) == {text: "ours", VICTIM: "theirs"}
    assert [call(backend, "has_key", text), call(backend, "touch", text)] == [True, True]
    assert call(backend, "delete", text) is True
    assert call(backend, "get", text, "gone") == "gone"


@everything
def test_a_users_key(backend: Any, text: str) -> None:
    """What stands in the place of a user's id makes nobody else's page stale: neither by its pattern nor by its tag."""
    key = f"user:{text}:page"
    try:
        backend.set(key, "ours")
        backend.delete_pattern(f"user:{escape(text)}:*")
    except UnstaleError as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right
        return
    assert backend.get(key, "gone") == "gone"


@pytest.mark.parametrize("text", WORKING.values(), ids=WORKING)
def test_a_key_as_a_glob_for_itself(backend: Any, text: str) -> None:
    """Escaped, a key is found by a scan and removed by a pattern, alone."""
    backend.set(text, "ours")
    assert backend.keys(escape(text)) == [text]
    assert backend.delete_pattern(escape(text)) == 1
    assert backend.get(text, "gone") == "gone"
    assert sorted(backend.keys("*")) == sorted([VICTIM, "user:victim:page"])


@everything
def test_a_glob(backend: Any, text: str) -> None:
    """As a glob that nobody declared it removes what matches it, which Redis decides, or it is refused."""
    try:
        found = backend.keys(text)
        assert backend.delete_pattern(text) == len(found)
    except UnstaleError as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right
    backend.set_many({VICTIM: "theirs", "user:victim:page": "theirs"})


@everything
def test_a_prefix(configure: Callable[..., Any], backend: Any, text: str) -> None:
    """A prefix of this kind keeps its entries apart from all others, also from a pattern of theirs."""
    other = configure("other", {"KEY_PREFIX": f"x{text}"}, NAMESPACE="test", SOCKET_TIMEOUT=5)
    other.set(VICTIM, "of another prefix")
    assert [other.get(VICTIM), backend.get(VICTIM)] == ["of another prefix", "theirs"]
    backend.delete_pattern("nobody*")
    assert other.get(VICTIM) == "of another prefix"
    try:
        other.delete_pattern("*")
    except UnstaleError as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right
