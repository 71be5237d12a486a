"""Calls of Django's cache, rewritten where their shape is exact.

    cache.delete(key)  # inside atomic()      → transaction.on_commit(partial(cache.delete, key))
    cache.delete_many(cache.keys(pattern))    → cache.delete_pattern(pattern)
    found = cache.get(key)                    → found = cache.get_or_set(key, lambda: load(), 60)
    if found is None:
        found = load()
        cache.set(key, found, 60)

`partial` and not a lambda: what the call is given is computed where it stands, as before; after a delete an object
has no primary key any more.
"""
# ruff: noqa: N802 - the methods have libcst's names

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import libcst as cst
from libcst import matchers as m
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.metadata import MetadataWrapper, PositionProvider

from unstale.tools.audit.results import Finding

Place: TypeAlias = tuple[int, int]
_NO_LAMBDA: Final = m.OneOf(m.Await(), m.Yield(), m.NamedExpr(), m.From())


def rewritten(old: bytes, findings: Sequence[Finding]) -> tuple[bytes, list[str], list[str]]:
    """A file with some of its findings taken away.

    Args:
        old: the file.
        findings: of it.

    Returns:
        The file then, what was done and what was left, a sentence each.
    """
    wanted = {(each.line, each.column): each for each in findings}
    if not wanted:
        return old, [], []
    module = cst.parse_module(old)
    wrapper = MetadataWrapper(module)
    rewriter = _Rewriter(wrapper.module, _in_characters(old, wanted))
    new = wrapper.visit(rewriter)
    if rewriter.needs:
        context = CodemodContext()
        for name, item in sorted(rewriter.needs):
            AddImportsVisitor.add_needed_import(context, name, item)
        new = AddImportsVisitor(context).transform_module(new)
    left = [
        f"{each.path}:{each.line}: {each.rule} is left: {_why(each)}"
        for each in findings
        if each not in rewriter.done and not _by_backend(each)
    ]
    return new.bytes, [said for _, said in sorted(rewriter.said)], left


def _by_backend(finding: Finding) -> bool:
    """Whether the backend's TAG_PATTERNS are what helps."""
    return finding.rule == "UNS001" and finding.family == "django" and bool(finding.patterns)


def _why(finding: Finding) -> str:
    if finding.by_name or finding.family != "django":
        return "it is no call of Django's cache itself."
    return {
        "UNS001": "no pattern can be declared for it, or its keys are used otherwise.",
        "UNS004": "its result is used, or the transaction is of another database than the default one.",
        "UNS005": "it is not of the shape: get, is None, one expression, set.",
    }[finding.rule]


def _in_characters(old: bytes, wanted: Mapping[Place, Finding]) -> dict[Place, Finding]:
    """Columns from 0 in characters: the findings count bytes from 1."""
    lines = old.splitlines()
    found: dict[Place, Finding] = {}
    for (line, column), each in wanted.items():
        raw = lines[line - 1][: column - 1] if line <= len(lines) else b""
        found[line, len(raw.decode("utf-8", "replace"))] = each
    return found


class _Rewriter(cst.CSTTransformer):
    """Rewrites what it was given the places of."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, module: cst.Module, wanted: Mapping[Place, Finding]) -> None:
        super().__init__()
        self.module = module
        self.wanted = wanted
        self.done: list[Finding] = []
        self.said: list[tuple[int, str]] = []
        self.needs: set[tuple[str, str]] = set()
        self.around: list[cst.With] = []
        self.taken = _bound(module)

    def visit_With(self, node: cst.With) -> None:
        self.around.append(node)

    def leave_With(self, original_node: cst.With, updated_node: cst.With) -> cst.With:
        del original_node
        self.around.pop()
        return updated_node

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine:
        match original_node.body:
            case [cst.Expr(value=cst.Call() as call)]:
                return self._put_off(call, updated_node) or self._as_pattern(call, updated_node) or updated_node
            case _:
                return updated_node

    def _finding(self, node: cst.CSTNode, rule: str) -> Finding | None:
        start = self.get_metadata(PositionProvider, node).start
        found = self.wanted.get((start.line, start.column))
        if found is None or found.rule != rule or found.by_name or found.family != "django":
            return None
        return found

    def _done(self, finding: Finding, said: str) -> None:
        self.done.append(finding)
        self.said.append((finding.line, f"{finding.path}:{finding.line}: {said}"))

    def _put_off(self, call: cst.Call, updated: cst.SimpleStatementLine) -> cst.SimpleStatementLine | None:
        finding = self._finding(call, "UNS004")
        free = (
            self.taken.get("partial", "functools") == "functools"
            and self.taken.get("transaction", "django.db") == "django.db"
        )
        if (
            finding is None
            or not free
            or any(m.matches(item.item, _OTHER_DATABASE) for each in self.around for item in each.items)
        ):
            return None
        given = [cst.Arg(call.func), *[arg.with_changes(comma=cst.MaybeSentinel.DEFAULT) for arg in call.args]]
        later = cst.Call(
            cst.Attribute(cst.Name("transaction"), cst.Name("on_commit")),
            [cst.Arg(cst.Call(cst.Name("partial"), given))],
        )
        self.needs |= {("functools", "partial"), ("django.db", "transaction")}
        self._done(finding, "put off until COMMIT.")
        return updated.with_changes(body=[cst.Expr(later)])

    def _as_pattern(self, call: cst.Call, updated: cst.SimpleStatementLine) -> cst.SimpleStatementLine | None:
        """`cache.delete_many(cache.keys(pattern))`."""
        match call:
            case cst.Call(
                func=cst.Attribute(value=cache, attr=cst.Name(value="delete_many")),
                args=[cst.Arg(value=cst.Call(func=cst.Attribute(value=same, attr=cst.Name(value="keys"))) as walk)],
            ) if self._code(cache) == self._code(same) and (finding := self._finding(walk, "UNS001")):
                made = walk.with_changes(func=cst.Attribute(cache, cst.Name("delete_pattern")))
                self._done(finding, "keys() and delete_many() are delete_pattern().")
                return updated.with_changes(body=[cst.Expr(made)])
            case _:
                return None

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        """Two statements that are one fill, and two that are one pattern delete."""
        old, new = list(original_node.body), list(updated_node.body)
        body: list[cst.BaseStatement] = []
        at = 0
        while at < len(old):
            pair = (old[at], old[at + 1]) if at + 1 < len(old) else None
            made = (self._filled(*pair) or self._deleted(*pair, old[at + 2 :])) if pair else None
            body.append(made or new[at])
            at += 2 if made else 1
        return updated_node.with_changes(body=body)

    def _filled(self, first: cst.BaseStatement, second: cst.BaseStatement) -> cst.BaseStatement | None:
        """`x = cache.get(key)`, then `if x is None:` with `x = load()` and `cache.set(key, x, …)`."""
        match first, second:
            case (
                cst.SimpleStatementLine(
                    body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name() as name)], value=cst.Call() as get)]
                ),
                cst.If(
                    test=cst.Comparison(
                        left=cst.Name(value=tested),
                        comparisons=[cst.ComparisonTarget(operator=cst.Is(), comparator=cst.Name(value="None"))],
                    ),
                    body=cst.IndentedBlock(
                        body=[
                            cst.SimpleStatementLine(
                                body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=loaded))], value=load)]
                            ),
                            cst.SimpleStatementLine(body=[cst.Expr(value=cst.Call() as store)]),
                        ]
                    ),
                    orelse=None,
                ),
            ) if tested == loaded == name.value:
                return self._get_or_set(first, second, name, get, load, store)
            case _:
                return None

    def _get_or_set(
        self,
        first: cst.SimpleStatementLine,
        second: cst.If,
        name: cst.Name,
        get: cst.Call,
        load: cst.BaseExpression,
        store: cst.Call,
    ) -> cst.BaseStatement | None:
        finding = self._finding(store, "UNS005")
        shape = m.Call(func=m.Attribute(attr=m.Name("get")), args=[m.Arg(keyword=None, star="")])
        if (
            finding is None
            or not m.matches(get, shape)
            or not m.matches(store, m.Call(func=m.Attribute(attr=m.Name("set"))))
        ):
            return None
        own, other = cst.ensure_type(get.func, cst.Attribute), cst.ensure_type(store.func, cst.Attribute)
        given = list(store.args)
        if len(given) < 2 or any(each.star for each in given) or given[0].keyword or given[1].keyword:  # noqa: PLR2004 - key and value
            return None
        same = self._code(own.value) == self._code(other.value) and self._code(get.args[0].value) == self._code(
            given[0].value
        )
        stored = m.matches(given[1].value, m.Name(name.value))
        if (
            not same
            or not stored
            or m.findall(load, _NO_LAMBDA)
            or m.findall(load, m.Name(name.value))
            or _has_comments(second)
        ):
            return None
        loader = cst.Lambda(cst.Parameters(), load)
        args = [given[0], cst.Arg(loader, comma=cst.MaybeSentinel.DEFAULT), *given[2:]]
        made = cst.Call(
            own.with_changes(attr=cst.Name("get_or_set")),
            [each.with_changes(comma=cst.MaybeSentinel.DEFAULT) for each in args],
        )
        self._done(finding, "get, load and set are get_or_set().")
        assign = cst.ensure_type(first.body[0], cst.Assign)
        return first.with_changes(body=[assign.with_changes(value=made)])

    def _deleted(
        self, first: cst.BaseStatement, second: cst.BaseStatement, rest: Sequence[cst.BaseStatement]
    ) -> cst.BaseStatement | None:
        """`keys = cache.keys(pattern)`, then `cache.delete_many(keys)`, and `keys` nowhere else."""
        match first, second:
            case (
                cst.SimpleStatementLine(
                    body=[
                        cst.Assign(
                            targets=[cst.AssignTarget(target=cst.Name(value=name))],
                            value=cst.Call(func=cst.Attribute(value=cache, attr=cst.Name(value="keys"))) as walk,
                        )
                    ]
                ),
                cst.SimpleStatementLine(
                    body=[
                        cst.Expr(
                            value=cst.Call(
                                func=cst.Attribute(value=same, attr=cst.Name(value="delete_many")),
                                args=[cst.Arg(value=cst.Name(value=given))],
                            )
                        )
                    ],
                    leading_lines=[],
                ),
            ) if name == given and self._code(cache) == self._code(same):
                finding = self._finding(walk, "UNS001")
                if finding is None or any(m.findall(each, m.Name(name)) for each in rest):
                    return None
                self._done(finding, "keys() and delete_many() are delete_pattern().")
                return first.with_changes(
                    body=[cst.Expr(walk.with_changes(func=cst.Attribute(cache, cst.Name("delete_pattern"))))]
                )
            case _:
                return None

    def _code(self, node: cst.CSTNode) -> str:
        return self.module.code_for_node(node)


_OTHER_DATABASE: Final = m.Call(
    func=m.OneOf(m.Name("atomic"), m.Attribute(attr=m.Name("atomic"))), args=[m.AtLeastN(n=1)]
)


def _bound(module: cst.Module) -> dict[str, str]:
    """Where names of the module come from: a module's name for what is imported from one, "" for other things."""
    found: dict[str, str] = {}
    for each in m.findall(module, m.ImportFrom()):
        source = cst.ensure_type(each, cst.ImportFrom)
        origin = module.code_for_node(source.module) if source.module is not None else ""
        for alias in source.names if not isinstance(source.names, cst.ImportStar) else ():
            found[alias.evaluated_alias or alias.evaluated_name] = origin
    for each in m.findall(module, m.OneOf(m.FunctionDef(), m.ClassDef())):
        found[cst.ensure_type(each.name, cst.Name).value] = ""  # type: ignore[attr-defined] # both have one
    for each in m.findall(module, m.AssignTarget(target=m.Name())):
        found[cst.ensure_type(cst.ensure_type(each, cst.AssignTarget).target, cst.Name).value] = ""
    return found


def _has_comments(node: cst.CSTNode) -> bool:
    return bool(m.findall(node, m.Comment()))
