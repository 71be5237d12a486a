"""What a project's settings say of its caches: which backend each alias has, and the TAG_PATTERNS of unstale's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from unstale.tools.audit.code.scopes import Module

UNSTALE: Final = "unstale.contrib.django.UnstaleCache"
DJANGO_REDIS: Final = "django_redis.cache.RedisCache"


class Declared(NamedTuple):
    """One alias of CACHES, as far as it is written out.

    Attributes:
        module: the settings.
        alias: its name.
        backend: the dotted name.
        node: the alias's dict.
        patterns: its TAG_PATTERNS.
    """

    module: Module
    alias: str
    backend: str
    node: ast.Dict
    patterns: tuple[str, ...]


def caches_of(modules: Iterable[Module]) -> Iterator[Declared]:
    """Every alias of every CACHES that is written out as a dict."""
    for module in modules:
        for statement in ast.walk(module.tree) if "CACHES" in module.scope.bindings else ():
            if isinstance(statement, ast.Assign) and any(
                isinstance(each, ast.Name) and each.id == "CACHES" for each in statement.targets
            ):
                yield from _aliases(module, statement.value)


def _aliases(module: Module, value: ast.expr) -> Iterator[Declared]:
    if not isinstance(value, ast.Dict):
        return
    for key, each in zip(value.keys, value.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(each, ast.Dict):
            backend = _item(each, "BACKEND")
            options = _item(each, "OPTIONS")
            patterns = _item(options, "TAG_PATTERNS") if isinstance(options, ast.Dict) else None
            if isinstance(backend, ast.Constant):
                yield Declared(module, str(key.value), str(backend.value), each, tuple(_texts(patterns)))


def _item(node: ast.Dict, name: str) -> ast.expr | None:
    return next(
        (
            value
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant) and key.value == name
        ),
        None,
    )


def _texts(patterns: ast.expr | None) -> Iterator[str]:
    if isinstance(patterns, (ast.List, ast.Tuple)):
        for each in patterns.elts:
            text = each.elts[0] if isinstance(each, ast.Tuple) and each.elts else each
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield text.value
    elif isinstance(patterns, ast.Dict):
        yield from (key.value for key in patterns.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def declared_patterns(modules: Iterable[Module]) -> frozenset[str]:
    """The patterns that unstale's backend is told, without the names of their placeholders."""
    return frozenset(nameless(text) for each in caches_of(modules) if each.backend == UNSTALE for text in each.patterns)


def nameless(pattern: str) -> str:
    """A pattern without the names of its placeholders: they do not matter."""
    return re.sub(r"(?<!\{)\{\w+\}(?!\})", "{}", pattern)
