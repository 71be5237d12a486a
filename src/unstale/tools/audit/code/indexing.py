"""From a syntax tree to scopes, in one pass over the nodes. It resolves nothing: names stay names."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any, Final

from unstale.tools.audit.code.scopes import (
    Annotated,
    Defined,
    FunctionNode,
    Imported,
    Module,
    Parameter,
    Scope,
    Step,
    Value,
)

GROWING: Final = frozenset({"append", "add", "extend", "update", "insert", "appendleft", "setdefault"})
"""Methods of lists, sets and dicts that put their arguments into them."""


def indexed(path: str, name: str, tree: ast.Module, *, is_package: bool) -> Module:
    """A module's scopes.

    Args:
        path: relative to what is audited.
        name: the module's dotted name.
        tree: its syntax.
        is_package: whether it is an `__init__.py`.

    Raises:
        RecursionError: an expression is nested too deeply.
    """
    module = Module(path, name, is_package, tree)
    _Indexer(module).begin()
    return module


class _Indexer:
    def __init__(self, module: Module) -> None:
        self.module = module
        self.inside: list[tuple[Scope, ast.AST]] = []
        self.grown: list[tuple[str, Value]] = []
        self.special: dict[type[ast.AST], Callable[[Any, Scope], Iterable[ast.AST] | None]] = {
            ast.FunctionDef: self._function,
            ast.AsyncFunctionDef: self._function,
            ast.Lambda: self._lambda,
            ast.ClassDef: self._class,
            ast.Import: self._import,
            ast.ImportFrom: self._import_from,
            ast.Assign: self._assign,
            ast.AugAssign: self._augmented,
            ast.AnnAssign: self._annotated,
            ast.NamedExpr: self._walrus,
            ast.For: self._for,
            ast.AsyncFor: self._for,
            ast.comprehension: self._comprehension,
            ast.With: self._with,
            ast.AsyncWith: self._with,
            ast.Call: self._call,
            ast.Return: self._return,
            ast.Yield: self._yield,
            ast.YieldFrom: self._yield,
            ast.Global: self._global,
            ast.Nonlocal: self._global,
            ast.Compare: self._compare,
            ast.Dict: self._dict,
            ast.Constant: self._constant,
        }

    def begin(self) -> None:
        scope = self._scope(self.module.tree, "", None)
        self._all(self.module.tree.body, scope)
        while self.inside:  # functions when what is around them is known: what is global must be
            inner, body = self.inside.pop()
            if isinstance(body, ast.Lambda):
                inner.returns.append(body.body)
                self._visit(body.body, inner)
            elif isinstance(body, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._all(body.body, inner)
        for name, value in self.grown:  # when it is known where each name is at home
            self._home(name, value.scope).bind(name, value)

    @staticmethod
    def _home(name: str, scope: Scope) -> Scope:
        """The scope that a name belongs to which is not bound here itself: `found.append(key)`."""
        around: Scope | None = scope
        while around is not None:
            if name in around.bindings and name not in around.elsewhere and (around is scope or not around.is_class):
                return around
            around = around.parent
        return scope

    def _scope(self, node: ast.Module | ast.ClassDef | FunctionNode, name: str, parent: Scope | None) -> Scope:
        scope = Scope(self.module, node, name, parent)
        self.module.scopes[node] = scope
        if parent is not None:
            parent.children.append(scope)
        return scope

    def _all(self, nodes: Iterable[ast.AST], scope: Scope) -> None:
        for node in nodes:
            self._visit(node, scope)

    def _visit(self, node: ast.AST, scope: Scope) -> None:
        """A node and what is in it, with a stack of our own: chains of hundreds of calls are not too deep."""
        waiting = [node]
        while waiting:
            each = waiting.pop()
            special = self.special.get(type(each))
            if special is None:
                waiting += reversed(list(ast.iter_child_nodes(each)))
            elif (more := special(each, scope)) is not None:
                waiting += reversed(list(more))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        inner = self._scope(node, node.name, scope)
        self._bind(node.name, Defined(inner), scope)
        self._parameters(node, inner, scope)
        self._all(node.decorator_list, scope)
        self.inside.append((inner, node))

    def _lambda(self, node: ast.Lambda, scope: Scope) -> None:
        inner = self._scope(node, "<lambda>", scope)
        self._parameters(node, inner, scope)
        self.inside.append((inner, node))

    def _parameters(self, node: FunctionNode, inner: Scope, scope: Scope) -> None:
        given = node.args
        plain = [*given.posonlyargs, *given.args]
        defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
        pairs: list[tuple[ast.arg, int | None, ast.expr | None, str]] = [
            (arg, at, default, "") for at, (arg, default) in enumerate(zip(plain, defaults, strict=True))
        ]
        pairs += [(arg, None, default, "") for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
        pairs += [(arg, None, None, stars) for arg, stars in ((given.vararg, "*"), (given.kwarg, "**")) if arg]
        for arg, position, default, many in pairs:
            made = Parameter(inner, arg.arg, position, arg.annotation, default, many)
            inner.parameters.append(made)
            inner.bind(arg.arg, made)
            if default is not None:
                self._visit(default, scope)
            if arg.annotation is not None:
                self._visit(arg.annotation, scope)

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        inner = self._scope(node, node.name, scope)
        self._bind(node.name, Defined(inner), scope)
        self._all([*node.decorator_list, *node.bases, *[each.value for each in node.keywords]], scope)
        self._all(node.body, inner)

    def _import(self, node: ast.Import, scope: Scope) -> None:
        for each in node.names:
            if each.asname:
                self._bind(each.asname, Imported(each.name, None), scope)
            else:
                root = each.name.partition(".")[0]
                self._bind(root, Imported(root, None), scope)

    def _import_from(self, node: ast.ImportFrom, scope: Scope) -> None:
        for each in node.names:
            made = Imported(node.module or "", each.name, node.level)
            if each.name == "*":
                scope.stars.append(made)
            else:
                self._bind(each.asname or each.name, made, scope)

    def _assign(self, node: ast.Assign, scope: Scope) -> None:
        for target in node.targets:
            self._target(target, node.value, (), scope)
        self._visit(node.value, scope)

    def _augmented(self, node: ast.AugAssign, scope: Scope) -> None:
        self._target(node.target, node.value, (Step.MADE_OF,), scope)
        self._visit(node.value, scope)

    def _annotated(self, node: ast.AnnAssign, scope: Scope) -> None:
        if isinstance(node.target, ast.Name):
            self._bind(node.target.id, Annotated(node.annotation, scope), scope)
        elif isinstance(node.target, ast.Attribute):
            scope.attributes.append((node.target, Annotated(node.annotation, scope)))
        if node.value is not None:
            self._target(node.target, node.value, (), scope)
            self._visit(node.value, scope)

    def _walrus(self, node: ast.NamedExpr, scope: Scope) -> None:
        self._target(node.target, node.value, (), scope)
        self._visit(node.value, scope)

    def _for(self, node: ast.For | ast.AsyncFor, scope: Scope) -> None:
        self._target(node.target, node.iter, (Step.ELEMENT,), scope)
        self._visit(node.iter, scope)
        self._all([*node.body, *node.orelse], scope)

    def _comprehension(self, node: ast.comprehension, scope: Scope) -> None:
        self._target(node.target, node.iter, (Step.ELEMENT,), scope)
        self._visit(node.iter, scope)
        self._all(node.ifs, scope)

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
        scope.withs.append(node)
        for item in node.items:
            if item.optional_vars is not None:
                self._target(item.optional_vars, item.context_expr, (Step.ENTER,), scope)
            self._visit(item.context_expr, scope)
        self._all(node.body, scope)

    def _call(self, node: ast.Call, scope: Scope) -> Iterable[ast.AST]:
        scope.calls.append(node)
        func = node.func
        if isinstance(func, ast.Attribute) and func.attr in GROWING and isinstance(func.value, ast.Name):
            for arg in node.args:
                self.grown.append((func.value.id, Value(arg, scope, (Step.MADE_OF,))))
        return ast.iter_child_nodes(node)

    def _return(self, node: ast.Return, scope: Scope) -> None:
        if node.value is not None:
            scope.returns.append(node.value)
            self._visit(node.value, scope)

    def _yield(self, node: ast.Yield | ast.YieldFrom, scope: Scope) -> None:
        if node.value is not None:
            scope.yields.append(node.value)
            self._visit(node.value, scope)

    def _global(self, node: ast.Global | ast.Nonlocal, scope: Scope) -> None:
        """Python wants it to stand before the names are used."""
        scope.elsewhere.update(node.names)

    def _compare(self, node: ast.Compare, scope: Scope) -> Iterable[ast.AST]:
        scope.compares.append(node)
        return ast.iter_child_nodes(node)

    @staticmethod
    def _constant(node: ast.Constant, scope: Scope) -> None:
        if isinstance(node.value, str) and ("redis.call" in node.value or "redis.pcall" in node.value):
            scope.module.scripts.append((node, node.value))

    def _dict(self, node: ast.Dict, scope: Scope) -> Iterable[ast.AST]:
        scope.module.dicts.append(node)
        return ast.iter_child_nodes(node)

    def _target(self, target: ast.expr, value: ast.expr, steps: tuple[Step | int, ...], scope: Scope) -> None:
        match target:
            case ast.Name(id=name):
                self._bind(name, Value(value, scope, steps), scope)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                same = value.elts if isinstance(value, (ast.Tuple, ast.List)) and not steps else []
                for at, part in enumerate(parts):
                    if len(same) == len(parts) and not isinstance(part, ast.Starred):
                        self._target(part, same[at], (), scope)
                    else:
                        self._target(part, value, (*steps, at), scope)
            case ast.Starred(value=inner):
                self._target(inner, value, steps[:-1] if steps and isinstance(steps[-1], int) else steps, scope)
            case ast.Attribute():
                scope.attributes.append((target, Value(value, scope, steps)))
                self._visit(target.value, scope)
            case ast.Subscript(value=ast.Name(id=name)):
                self.grown.append((name, Value(value, scope, (*steps, Step.MADE_OF))))
                self._visit(target.slice, scope)
            case ast.Subscript(value=ast.Attribute() as holder):
                scope.attributes.append((holder, Value(value, scope, (*steps, Step.MADE_OF))))
                self._visit(holder.value, scope)
                self._visit(target.slice, scope)
            case _:
                self._visit(target, scope)

    def _bind(self, name: str, binding: Value | Annotated | Imported | Defined, scope: Scope) -> None:
        """In this scope, or where `global` and `nonlocal` say."""
        where = scope
        if name in scope.elsewhere:
            around = scope.parent
            while around is not None and around.parent is not None and (around.is_class or name not in around.bindings):
                around = around.parent
            where = around or scope
        where.bind(name, binding)
