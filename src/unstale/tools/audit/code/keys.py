"""Keys as text with placeholders, so that two can be compared and a pattern be declared for one.

`"user:%s:orders" % user.pk`, `f"user:{user.pk}:orders"` and `USER_KEY.format(user.pk)` are all `user:{user.pk}:orders`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from unstale.tools.audit.code.calling import argument_of
from unstale.tools.audit.code.inferring import Inference
from unstale.tools.audit.code.scopes import Imported, Parameter, Scope, Value

MOST_DEEP: Final = 8
_PERCENT: Final = re.compile(r"%(?:\((\w+)\))?[-#0 +]*\d*(?:\.\d+)?([sdirxXuf%])")
_BRACES: Final = re.compile(r"\{\{|\}\}|\{(\w*)(?:[.\[][^{}]*)?(?:![rsa])?(?::[^{}]*)?\}")
_SAME_TEXT: Final = frozenset({"str", "force_str", "force_text", "smart_str", "int", "text_type", "unicode", "repr"})


@dataclass(frozen=True, slots=True)
class Hole:
    """A value within a key.

    Attributes:
        text: its source, with names filled in as far as they are known.
    """

    text: str


Part: TypeAlias = str | Hole
Form: TypeAlias = tuple[Part, ...]
Known: TypeAlias = Mapping[tuple[Scope, str], Form]
"""What parameters stand for, where a function's key is looked at from its caller."""


class Keys:
    """Reads keys."""

    def __init__(self, inference: Inference) -> None:
        """Take the project."""
        self._inference = inference

    def form(self, expr: ast.expr, scope: Scope, known: Known | None = None) -> Form:
        """A key as literal text and values.

        Args:
            expr: the key.
            scope: where it stands.
            known: what the parameters of functions stand for.
        """
        return _merged(self._parts(expr, scope, known or {}, MOST_DEEP))

    def _parts(self, expr: ast.expr, scope: Scope, known: Known, deep: int) -> Form:  # noqa: C901, PLR0911, PLR0912 - a case for each way
        if deep <= 0:
            return (Hole(ast.unparse(expr)),)
        match expr:
            case ast.Constant(value=str() as text):
                return (text,)
            case ast.Constant(value=bytes() as raw):
                return (raw.decode(errors="replace"),)
            case ast.Constant(value=value) if value is not None:
                return (str(value),)
            case ast.JoinedStr(values=values):
                return tuple(part for each in values for part in self._parts(each, scope, known, deep - 1))
            case ast.FormattedValue(value=inner) | ast.Await(value=inner) | ast.NamedExpr(value=inner):
                return self._parts(inner, scope, known, deep - 1)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return (*self._parts(left, scope, known, deep - 1), *self._parts(right, scope, known, deep - 1))
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                return self._percent(left, right, scope, known, deep) or (self._hole(expr, scope, known),)
            case ast.Name(id=name):
                return self._name(name, expr, scope, known, deep)
            case ast.Subscript(value=table, slice=ast.Constant(value=name)):
                return self._looked_up(table, name, scope, deep) or (self._hole(expr, scope, known),)
            case ast.Attribute():
                return self._attribute(expr, scope, deep) or (self._hole(expr, scope, known),)
            case ast.Call(func=ast.Name(id=name), args=[inner]) if name in _SAME_TEXT:
                return self._parts(inner, scope, known, deep - 1)
            case ast.Call(func=ast.Attribute(value=template, attr="format")):
                return self._format(template, expr, scope, known, deep) or (self._hole(expr, scope, known),)
            case ast.Call(
                func=ast.Attribute(value=ast.Constant(value=str() as between), attr="join"),
                args=[ast.List(elts=parts) | ast.Tuple(elts=parts)],
            ):
                joined: list[Part] = []
                for at, part in enumerate(parts):
                    joined += [between] if at else []
                    joined += self._parts(part, scope, known, deep - 1)
                return tuple(joined)
            case ast.Call():
                return self._call(expr, scope, known, deep) or (self._hole(expr, scope, known),)
            case _:
                return (self._hole(expr, scope, known),)

    def _hole(self, expr: ast.expr, scope: Scope, known: Known) -> Hole:
        """A value, with what its names stand for."""
        names = {node.id for node in ast.walk(expr) if isinstance(node, ast.Name)}
        text = ast.unparse(expr)
        for name in names:
            if form := known.get((scope, name)):
                text = re.sub(rf"\b{re.escape(name)}\b", lambda _, form=form: written(form), text)  # type: ignore[misc]
        return Hole(text)

    def _name(self, name: str, expr: ast.Name, scope: Scope, known: Known, deep: int) -> Form:
        home, bindings = self._inference.home(name, scope)
        if home is not None and (form := known.get((home, name))):
            return form
        values = [each for each in bindings if not isinstance(each, Parameter)]
        if len(values) == 1 and len(bindings) == 1 and isinstance(one := values[0], Value) and not one.steps:
            return self._parts(one.expr, one.scope, known, deep - 1) if _is_text(one.expr) else (Hole(name),)
        if len(bindings) == 1 and home is not None:
            constant = self._imported_text(name, scope, deep)
            if constant:
                return constant
        return (Hole(expr.id),)

    def _imported_text(self, name: str, scope: Scope, deep: int) -> Form:
        """A constant of another module, however often it was imported on the way."""
        found = self._imported(name, scope)
        if len(found) == 1 and _is_text(found[0].expr):
            return self._parts(found[0].expr, found[0].scope, {}, deep - 1)
        return ()

    def _imported(self, name: str, scope: Scope) -> list[Value]:
        """What is bound to a name, in another module if it was imported."""
        home, bindings = self._inference.home(name, scope)
        for _ in range(MOST_DEEP):
            if home is None or len(bindings) != 1 or not isinstance(one := bindings[0], Imported):
                break
            module, rest = self._inference.project.imported(one, home.module)
            if module is None or not rest:
                return []
            home, bindings = module.scope, module.scope.bindings.get(rest, [])
        return [each for each in bindings if isinstance(each, Value)]

    def _looked_up(self, table: ast.expr, name: object, scope: Scope, deep: int) -> Form:
        """A constant of a dict that is written out: `KEYS["list"]`."""
        match table:
            case ast.Name(id=called):
                bound = self._imported(called, scope)
            case ast.Attribute():
                bound = [each for each in self._inference.bindings_of(table, scope) if isinstance(each, Value)]
            case _:
                return ()
        if len(bound) != 1 or bound[0].steps or not isinstance(bound[0].expr, ast.Dict):
            return ()
        written_out = bound[0].expr
        found = [
            value
            for key, value in zip(written_out.keys, written_out.values, strict=True)
            if isinstance(key, ast.Constant) and key.value == name
        ]
        if len(found) != 1 or not _is_text(found[0]):
            return ()
        return self._parts(found[0], bound[0].scope, {}, deep - 1)

    def _attribute(self, expr: ast.Attribute, scope: Scope, deep: int) -> Form:
        """A constant of a class or module."""
        found = [each for each in self._inference.bindings_of(expr, scope) if isinstance(each, Value)]
        if (
            len(found) == 1
            and not found[0].steps
            and isinstance(found[0].expr, (ast.Constant, ast.JoinedStr, ast.BinOp))
            and _is_text(found[0].expr)
        ):
            return self._parts(found[0].expr, found[0].scope, {}, deep - 1)
        return ()

    def _percent(self, left: ast.expr, right: ast.expr, scope: Scope, known: Known, deep: int) -> Form:
        template = self._parts(left, scope, known, deep - 1)
        if not all(isinstance(part, str) for part in template):
            return ()
        values = list(right.elts) if isinstance(right, ast.Tuple) else [right]
        named = (
            {
                key.value: value
                for key, value in zip(right.keys, right.values, strict=True)
                if isinstance(key, ast.Constant)
            }
            if isinstance(right, ast.Dict)
            else {}
        )
        parts: list[Part] = []
        text, at = "".join(str(part) for part in template), 0
        for found in _PERCENT.finditer(text):
            parts.append(text[at : found.start()])
            at = found.end()
            if found.group(2) == "%":
                parts.append("%")
                continue
            value = named.get(found.group(1)) if found.group(1) else values.pop(0) if values else None
            parts += self._parts(value, scope, known, deep - 1) if value is not None else [Hole("?")]
        return (*parts, text[at:])

    def _format(self, template: ast.expr, call: ast.Call, scope: Scope, known: Known, deep: int) -> Form:
        parts = self._parts(template, scope, known, deep - 1)
        if not all(isinstance(part, str) for part in parts):
            return ()
        named = {each.arg: each.value for each in call.keywords if each.arg}
        text, at, count = "".join(str(part) for part in parts), 0, 0
        done: list[Part] = []
        for found in _BRACES.finditer(text):
            done.append(text[at : found.start()])
            at = found.end()
            if found.group() in ("{{", "}}"):
                done.append(found.group()[0])
                continue
            name = found.group(1)
            value = named.get(name)
            if not name or name.isdigit():
                place = int(name) if name else count
                count += not name
                value = call.args[place] if place < len(call.args) else None
            done += self._parts(value, scope, known, deep - 1) if value is not None else [Hole(name or "?")]
        return (*done, text[at:])

    def _call(self, call: ast.Call, scope: Scope, known: Known, deep: int) -> Form:
        """What a function of the project that does nothing but write a key gives."""
        targets = self._inference.targets(call, scope)
        if len(targets) != 1 or len(targets[0].returns) != 1 or targets[0].yields:
            return ()
        function = targets[0]
        inner = self.filled(call, scope, function, known)
        form = self._parts(function.returns[0], function, inner, deep - 1)
        return form if any(isinstance(part, str) for part in form) else ()

    def filled(self, call: ast.Call, scope: Scope, function: Scope, known: Known | None = None) -> Known:
        """What the parameters of a function stand for in a call of it."""
        found: dict[tuple[Scope, str], Form] = dict(known or {})
        shift = self._inference.shift(call, scope, function)
        for parameter in function.parameters:
            if (given := argument_of(call, parameter, shift)) is not None:
                found[function, parameter.name] = self.form(given, scope, known)
            elif parameter.default is not None and not parameter.many:
                found[function, parameter.name] = self.form(parameter.default, function.parent or function)
        return found


def written(form: Form) -> str:
    """A form as text: values in braces."""
    return "".join(part if isinstance(part, str) else f"{{{part.text}}}" for part in form)


def _is_text(expr: ast.expr) -> bool:  # noqa: PLR0911 - a case for each sort of expression
    """Whether it is worth to put an expression in the place of its name: it is text, or is made of text."""
    match expr:
        case ast.Constant(value=str() | bytes() | int()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(left) or _is_text(right)
        case ast.BinOp(left=left, op=ast.Mod()):
            return _is_text(left)
        case ast.Call(func=ast.Attribute(attr="format" | "join")):
            return True
        case ast.Call():
            return True
        case ast.Name() | ast.Attribute():
            return False
        case _:
            return False


def _merged(parts: Form) -> Form:
    done: list[Part] = []
    for part in parts:
        if isinstance(part, str) and done and isinstance(done[-1], str):
            done[-1] += part
        elif part != "":
            done.append(part)
    return tuple(done)
