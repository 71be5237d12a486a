"""`AsyncCache` is `Cache` with `await`: the same names, parameters, defaults and results, with few exceptions."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from unstale import AsyncCache, Cache
from unstale.cached import AsyncCachedFunction, CachedFunction

RENAMED = {"__enter__": "__aenter__", "__exit__": "__aexit__"}
"""Names that Python itself gives another form for asyncio."""
NOT_AWAITED = {"__init__", "__repr__", "cached", "from_parts", "from_url", "inline", "iter_keys", "planned"} | {
    "key_for",
    "scope",
    "shun",
    "strict",
    "verification",
}
"""What waits for nothing (`iter_keys` gives what waits)."""
LOADERS = {"get_or_set": "loader", "get_or_set_many": "load_missing", "refresh": "loader"}
"""Parameters whose annotations differ: the loader is `async def`."""
OWN = {"__init__", "cached", "__call__"}
"""Signatures that name a type of the façade's own (its store, its functions): names and defaults still agree."""


def public(kind: type) -> dict[str, Any]:
    """A class's own public methods and those it inherits, with the special ones that it defines."""
    return {
        name: getattr(kind, name)
        for name in dir(kind)
        if not name.startswith("_") or name in {"__init__", *RENAMED, *RENAMED.values()}
    }


PAIRS = [
    pytest.param(sync, getattr(AsyncCache, RENAMED.get(name, name), None), name, id=name)
    for name, sync in public(Cache).items()
    if callable(sync) and name not in RENAMED.values()
]
FUNCTION_PAIRS = [
    pytest.param(getattr(CachedFunction, name), getattr(AsyncCachedFunction, name), name, id=name)
    for name in ("__call__", "key_for", "refresh", "invalidate")
]
both = pytest.mark.parametrize(("sync", "asynchronous", "name"), [*PAIRS, *FUNCTION_PAIRS])


def plain(annotation: object) -> str:
    """An annotation without what only asyncio adds."""
    return re.sub(r"Coroutine\[Any, Any, (\w+)\]", r"\1", str(annotation)).replace("Async", "")


def test_the_same_public_names() -> None:
    """Neither has a verb that the other has not."""
    assert {RENAMED.get(name, name) for name in public(Cache)} == set(public(AsyncCache))


def test_the_same_names_on_decorated_functions() -> None:
    """Neither kind of decorated function has a method that the other has not."""
    names = [{name for name in dir(kind) if not name.startswith("_")} for kind in (CachedFunction, AsyncCachedFunction)]
    assert names[0] == names[1]


@both
def test_the_same_parameters(sync: Any, asynchronous: Any, name: str) -> None:
    """Parameters have the same names, kinds and defaults, in the same order."""
    ours, theirs = inspect.signature(sync).parameters, inspect.signature(asynchronous).parameters
    shapes = [[(one.name, one.kind, one.default) for one in each.values()] for each in (ours, theirs)]
    assert shapes[0] == shapes[1]


@both
def test_the_same_annotations(sync: Any, asynchronous: Any, name: str) -> None:
    """Parameters are annotated alike, but for loaders and what is the façade's own."""
    own = {parameter for parameter in ("store", "io") if name == "__init__"} | {LOADERS.get(name)}
    annotated = [
        {one.name: str(one.annotation) for one in inspect.signature(each).parameters.values() if one.name not in own}
        for each in (sync, asynchronous)
    ]
    assert annotated[0] == annotated[1]


@both
def test_the_same_results(sync: Any, asynchronous: Any, name: str) -> None:
    """What comes back is annotated alike: an `async def` names what it gives when it is awaited."""
    returned = [plain(inspect.signature(each).return_annotation) for each in (sync, asynchronous)]
    assert returned[0] == returned[1]


@both
def test_awaited_or_not(sync: Any, asynchronous: Any, name: str) -> None:
    """Whatever waits is `async def`; what does not is a plain function in both."""
    assert not inspect.iscoroutinefunction(sync)
    assert inspect.iscoroutinefunction(asynchronous) == (name not in NOT_AWAITED)


@both
def test_both_are_documented(sync: Any, asynchronous: Any, name: str) -> None:
    """Each has a docstring of its own."""
    assert sync.__doc__
    assert asynchronous.__doc__


@pytest.mark.parametrize(
    "option", ["namespace", "ttl", "timeout", "codec", "fence", "lease", "stamp_ttl", "beta", "replica_lag"]
)
def test_options_are_checked_alike(option: str) -> None:
    """A mistake in an option is the same error from both."""
    raised = []
    for kind in (Cache, AsyncCache):
        with pytest.raises(Exception, match=r".+") as caught:
            kind.from_url("memory://", **{option: object()})
        raised.append((caught.type, str(caught.value).partition("<object")[0]))
    assert raised[0] == raised[1]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis:",
        "http://x",
        "memory://x",
        "redis+cluster://x/1",
        "redis+cluster://x,:7000",
        "redis://x/one",
        "redis://x/0?timeout=1",
        "redis://a:b#@x",
    ],
)
def test_urls_are_checked_alike(url: str) -> None:
    """A mistake in a URL is the same error from both."""
    raised = []
    for kind in (Cache, AsyncCache):
        with pytest.raises(ValueError, match=r".+") as caught:
            kind.from_url(url)
        raised.append((caught.type, str(caught.value)))
    assert raised[0] == raised[1]


def test_no_option_is_no_option_of_either() -> None:
    """An unknown option is a TypeError from both."""
    for kind in (Cache, AsyncCache):
        with pytest.raises(TypeError, match="surprise"):
            kind.from_url("memory://", surprise=1)
