"""What a rule is: an id, words for people, and a function from code to hits. Rules read; they print nothing."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from unstale.tools.audit.code.scopes import Scope
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.results import Level


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A rule's find.

    Attributes:
        node: the call at whose beginning the finding stands.
        scope: where it stands.
        why: what is the matter here; "" for the rule's own words.
        remedy: what to write here; "" for the rule's own words.
        also: other nodes of the same file that belong to it.
        reached_by: the function whose callers reach it; None if it does not matter who does.
        pattern: the pattern of a walk.
        by_name: whether the receiver is a cache by its name only.
    """

    node: ast.AST
    scope: Scope
    why: str = ""
    remedy: str = ""
    also: tuple[ast.AST, ...] = ()
    reached_by: Scope | None = None
    pattern: ast.expr | None = field(default=None)
    by_name: bool = False


Find: TypeAlias = Callable[[Code], Iterable[Hit]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes:
        id: UNS001.
        name: a few words with hyphens.
        level: how bad it is.
        why: one or two sentences.
        remedy: what to write in its place.
        find: finds it.
        text: the module's docstring, with an example of each kind.
    """

    id: str
    name: str
    level: Level
    why: str
    remedy: str
    find: Find
    text: str
