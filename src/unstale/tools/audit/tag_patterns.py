"""For each pattern delete the TAG_PATTERNS that make it one write, read from the code that writes the pattern.

A pattern that a helper is given is looked at from its callers. What it is made of becomes placeholders:
`f"user:{user.pk}:*"` and `"user:%s:*" % user_id` are `user:{user_pk}:*` and `user:{user_id}:*`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from unstale.contrib.django.patterns import PatternError, parse_pattern
from unstale.tools.audit.code.callers import Site
from unstale.tools.audit.code.calling import argument_of
from unstale.tools.audit.code.keys import Form, Hole, Known
from unstale.tools.audit.code.scopes import Parameter, Scope, Step, Value
from unstale.tools.audit.code.understood import Code

MOST: Final = 20
MOST_DEEP: Final = 3
_WORDS: Final = re.compile(r"[A-Za-z_]\w*")
_EMPTY: Final = frozenset({"self", "cls", "str", "int", "get", "kwargs", "instance", "request", "data", "obj", "args"})


def proposals(code: Code, pattern: ast.expr, scope: Scope) -> tuple[str, ...]:
    """The patterns to declare for a pattern delete.

    Args:
        code: the project.
        pattern: what the call is given.
        scope: where it stands.

    Returns:
        Each once, in the order in which they are found; none where the text cannot be found, or no pattern can be
        declared for it (it has no fixed text, or a placeholder touches a wildcard).
    """
    found: dict[str, None] = {}
    for form in _forms(code, pattern, scope, {}, MOST_DEEP):
        text = declared(form)
        if text and len(found) < MOST:
            found[text] = None
    return tuple(found)


def _forms(code: Code, pattern: ast.expr, scope: Scope, known: Known, deep: int) -> Iterator[Form]:
    form = code.keys.form(pattern, scope, known)
    if several := list(_each_of_several(code, form, scope)):
        yield from several
        return
    names = {parameter.name for parameter in scope.parameters if parameter.name not in {"self", "cls"}}
    asks = [part for part in form if isinstance(part, Hole) and part.text in names]
    has_wildcard = any(isinstance(part, str) and "*" in part for part in form)
    is_plain = any(isinstance(part, str) and part.strip("*:.-_") for part in form) and declared(form)
    if deep and scope.is_function and asks and (not has_wildcard or not is_plain):
        sites = code.callers.direct(scope)
        for site in sites:
            given = code.keys.filled(site.call, site.scope, scope, known)
            merged = {**known, **given}
            inner = code.keys.form(pattern, scope, merged)
            asked = {parameter.name for parameter in site.scope.parameters}
            if any(isinstance(part, Hole) and part.text in asked for part in inner) and not any(
                isinstance(part, str) and part.strip("*:.-_") for part in inner
            ):
                yield from _above(code, pattern, scope, site.scope, merged, deep - 1)
            else:
                yield inner
        if sites:
            return
    yield form


def _each_of_several(code: Code, form: Form, scope: Scope) -> Iterator[Form]:
    """For `for pattern in patterns:` what callers give, as several arguments or as a list written out."""
    if len(form) != 1 or not isinstance(hole := form[0], Hole):
        return
    for binding in scope.bindings.get(hole.text, ()):
        match binding:
            case Value(expr=ast.Name(id=name), steps=(Step.ELEMENT,)):
                for parameter in scope.outermost.parameters:
                    if parameter.name == name:
                        for site in code.callers.direct(scope.outermost):
                            for each in _given(code, site, parameter):
                                yield code.keys.form(each, site.scope)
            case _:
                pass


def _given(code: Code, site: Site, parameter: Parameter) -> list[ast.expr]:
    shift = code.inference.shift(site.call, site.scope, parameter.scope)
    if parameter.many == "*":
        first = sum(each.position is not None for each in parameter.scope.parameters) - shift
        return [each for each in site.call.args[max(first, 0) :] if not isinstance(each, ast.Starred)]
    given = argument_of(site.call, parameter, shift)
    return list(given.elts) if isinstance(given, (ast.List, ast.Tuple)) else []


def _above(code: Code, pattern: ast.expr, scope: Scope, middle: Scope, known: Known, deep: int) -> Iterator[Form]:
    """One caller further up."""
    if not deep:
        return
    for site in code.callers.direct(middle):
        outer = code.keys.filled(site.call, site.scope, middle)
        filled = {
            place: tuple(piece for part in form for piece in _replaced(part, middle, outer))
            for place, form in known.items()
        }
        yield code.keys.form(pattern, scope, filled)


def _replaced(part: str | Hole, middle: Scope, outer: Known) -> Form:
    if isinstance(part, Hole) and (form := outer.get((middle, part.text))):
        return form
    return (part,)


def declared(form: Form) -> str:
    """A pattern with placeholders; "" if none can be declared.

    Args:
        form: the glob, as text and values.
    """
    taken: set[str] = set()
    text = ""
    for part in form:
        text += part.replace("{", "{{").replace("}", "}}") if isinstance(part, str) else f"{{{_name(part, taken)}}}"
    if not any(isinstance(part, str) and part.strip("*?") for part in form):
        return ""
    try:
        parse_pattern(text)
    except PatternError:
        return ""
    return text


def _name(hole: Hole, taken: set[str]) -> str:
    words = [
        word for word in _WORDS.findall(re.sub(r"\([^()]*\)|'[^']*'|\"[^\"]*\"", "", hole.text)) if word not in _EMPTY
    ]
    name = "_".join(words[-2:]).strip("_").lower() or "value"
    name = name if name.isascii() and name.isidentifier() else "value"
    free, count = name, 2
    while free in taken:
        free, count = f"{name}{count}", count + 1
    taken.add(free)
    return free
