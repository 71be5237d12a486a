"""What a project's settings say of its caches: which backend each alias has, and the TAG_PATTERNS of unstale's.

What is not written out counts as another backend without patterns: who asks whether something is safe is told no.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Final, NamedTuple

from unstale.contrib.django.patterns import Matcher, PatternError
from unstale.tools.audit.code.scopes import Module

UNSTALE: Final = "unstale.contrib.django.UnstaleCache"
DJANGO_REDIS: Final = "django_redis.cache.RedisCache"
UNKNOWN: Final = ""
"""In place of an alias: nobody can tell which one."""
NOT_SHARED: Final = frozenset({
    "django.core.cache.backends.locmem.LocMemCache", "django.core.cache.backends.dummy.DummyCache",
})  # fmt: skip
"""What tests and developers have in place of the real one: it does not count."""


_PLACEHOLDER: Final = re.compile(r"(?<!\{)\{\w+\}(?!\})")
SAMPLE: Final = "x7"
"""In place of a value."""


class Declared(NamedTuple):
    """One alias of CACHES, as far as it is written out.

    Attributes:
        module: the settings.
        alias: its name.
        backend: the dotted name; "" where it is not written out.
        patterns: its TAG_PATTERNS.
    """

    module: Module
    alias: str
    backend: str
    patterns: tuple[str, ...]


def caches_of(modules: Iterable[Module]) -> Iterator[Declared]:
    """Every alias of every CACHES, as far as their names are written out."""
    for module in modules:
        has_it = "CACHES" in module.scope.bindings or module.scope.stars
        for statement in ast.walk(module.tree) if has_it else ():
            match statement:
                case ast.Assign(targets=[target], value=value):
                    yield from _assigned(module, target, value)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    yield from _assigned(module, target, value)
                case _:
                    pass


def _assigned(module: Module, target: ast.expr, value: ast.expr) -> Iterator[Declared]:
    match target:
        case ast.Name(id="CACHES"):
            for alias, each in _items(value):
                yield _declared(module, alias, each)
        case ast.Subscript(value=ast.Name(id="CACHES"), slice=ast.Constant(value=str() as alias)):
            yield _declared(module, alias, value)
        case ast.Subscript(
            value=ast.Subscript(value=ast.Name(id="CACHES"), slice=ast.Constant(value=str() as alias)),
            slice=ast.Constant(value="BACKEND"),
        ):
            yield Declared(module, alias, _text(value), ())
        case _:
            pass


def _declared(module: Module, alias: str, value: ast.expr) -> Declared:
    said = dict(_items(value))
    options = said.get("OPTIONS")
    patterns = dict(_items(options)).get("TAG_PATTERNS") if options is not None else None
    return Declared(module, alias, _text(said.get("BACKEND")), tuple(_texts(patterns)))


def _items(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """The named items of a dict, written as `{…}` or as `dict(…)`."""
    match node:
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, value
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            yield from ((each.arg, each.value) for each in keywords if each.arg is not None)
        case _:
            pass


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _texts(patterns: ast.expr | None) -> Iterator[str]:
    if isinstance(patterns, (ast.List, ast.Tuple)):
        for each in patterns.elts:
            text = _text(each.elts[0] if isinstance(each, ast.Tuple) and each.elts else each)
            if text:
                yield text
    elif patterns is not None:
        yield from (key for key, _ in _items(patterns))


class Caches:
    """All aliases of a project. Of an alias that several settings have, what is true of each of them is."""

    def __init__(self, modules: Iterable[Module]) -> None:
        """Look at every CACHES."""
        self._modules = modules

    @cached_property
    def _of(self) -> dict[str, list[Declared]]:
        found: dict[str, list[Declared]] = defaultdict(list)
        for each in caches_of(self._modules):
            if each.backend not in NOT_SHARED:
                found[each.alias].append(each)
        return found

    def _named(self, aliases: Collection[str]) -> Collection[str]:
        """What aliases stand for: an unknown one for all that there are."""
        return aliases if aliases and UNKNOWN not in aliases else list(self._of)

    def on_unstale(self, aliases: Collection[str]) -> bool:
        """Whether caches surely have unstale's backend."""
        named = self._named(aliases)
        return bool(named) and all(self._is_unstale(alias) for alias in named)

    def _is_unstale(self, alias: str) -> bool:
        said = self._of.get(alias, ())
        return bool(said) and all(each.backend == UNSTALE for each in said)

    def declare(self, aliases: Collection[str], patterns: Collection[str]) -> bool:
        """Whether unstale's backend is told these patterns, by each of the aliases."""
        return (
            bool(patterns)
            and self.on_unstale(aliases)
            and all(
                has_declared(each.patterns, text)
                for text in patterns
                for alias in self._named(aliases)
                for each in self._of[alias]
            )
        )

    def give_tag(self, aliases: Collection[str], key: str) -> bool:
        """Whether a key carries a tag by the declared patterns, in each of the aliases."""
        return self.on_unstale(aliases) and all(
            _is_tagged(key, each.patterns) for alias in self._named(aliases) for each in self._of[alias]
        )


def has_declared(declared: tuple[str, ...], pattern: str) -> bool:
    """Whether one of the patterns that are declared is this one, or is it with a value filled in."""
    if nameless(pattern) in map(nameless, declared):
        return True
    filled = _PLACEHOLDER.sub(SAMPLE, pattern).replace("{{", "{").replace("}}", "}")
    try:
        return Matcher(declared).tag_for_delete(filled) is not None
    except PatternError:
        return False


def _is_tagged(key: str, patterns: tuple[str, ...]) -> bool:
    try:
        return bool(Matcher(patterns).tags_of(key))
    except PatternError:
        return False


def nameless(pattern: str) -> str:
    """A pattern without the names of its placeholders: they do not matter."""
    return _PLACEHOLDER.sub("{}", pattern)
