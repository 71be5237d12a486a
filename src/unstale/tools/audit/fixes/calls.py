"""Calls of Django's cache, rewritten where their shape is exact.

    cache.delete(key)  # inside atomic()      → transaction.on_commit(partial(cache.delete, key))
    cache.delete_many(cache.keys(pattern))    → cache.delete_pattern(pattern); `walks` has the other shapes
    found = cache.get(key)                    → found = cache.get_or_set(key, lambda: load(), 60)
    if found is None:
        found = load()
        cache.set(key, found, 60)

`partial` and not a lambda: what the call is given is computed where it stands, as before; after a delete an object
has no primary key any more.
"""
# ruff: noqa: N802 - the methods have libcst's names

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import libcst as cst
from libcst import matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider

from unstale.tools.audit.fixes.imports import with_imports
from unstale.tools.audit.fixes.walks import WalkedDelete, of_expression, of_loop, of_two
from unstale.tools.audit.results import Finding

Place: TypeAlias = tuple[int, int, str]
"""Line, column, rule."""
_NO_LAMBDA: Final = m.OneOf(m.Await(), m.Yield(), m.NamedExpr(), m.From())


class Rewritten(NamedTuple):
    """A file, rewritten.

    Attributes:
        new: its bytes.
        done: what was done, a sentence each.
        left: findings that are left, and why.
        to_declare: pattern deletes whose patterns unstale's backend is to be told.
    """

    new: bytes
    done: list[str]
    left: list[tuple[Finding, str]]
    to_declare: list[Finding]


def rewritten(old: bytes, findings: Sequence[Finding], own: Collection[str] = ()) -> Rewritten:
    """A file with some of its findings taken away.

    Args:
        old: the file.
        findings: of it.
        own: the first names of the project's own modules.
    """
    wanted = {(each.line, each.column, each.rule): each for each in findings}
    if not wanted:
        return Rewritten(old, [], [], [])
    wrapper = MetadataWrapper(cst.parse_module(old))
    rewriter = _Rewriter(wrapper.module, _in_characters(old, wanted))
    new = with_imports(wrapper.visit(rewriter), rewriter.needs, own)
    patterned = [each for each in findings if each in rewriter.done or each in rewriter.patterned]
    to_declare = [
        each for each in patterned if each.rule == "UNS001" and each.patterns and each not in rewriter.prefixed
    ]
    left = [
        (each, _why(each, is_pattern=each in patterned))
        for each in findings
        if each not in to_declare and (each not in rewriter.done or each.rule == "UNS001")
    ]
    return Rewritten(new.bytes, [said for _, said in sorted(rewriter.said)], left, to_declare)


def _why(finding: Finding, *, is_pattern: bool) -> str:
    if finding.by_name or finding.family != "django":
        return "it is no call of Django's cache itself."
    if is_pattern:
        return "no pattern can be declared for it."
    return {
        "UNS001": "its keys are walked in another shape than those that can be rewritten (docs/audit.md), or used "
        "otherwise.",
        "UNS004": "its result is used, or the transaction is of another database than the default one.",
        "UNS005": "it is not of the shape: get, is None, one expression, set.",
    }[finding.rule]


def _in_characters(old: bytes, wanted: Mapping[Place, Finding]) -> dict[Place, Finding]:
    """Columns from 0 in characters: the findings count bytes from 1."""
    lines = old.splitlines()
    found: dict[Place, Finding] = {}
    for (line, column, rule), each in wanted.items():
        raw = lines[line - 1][: column - 1] if line <= len(lines) else b""
        found[line, len(raw.decode("utf-8", "replace")), rule] = each
    return found


class _Rewriter(cst.CSTTransformer):
    """Rewrites what it was given the places of."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, module: cst.Module, wanted: Mapping[Place, Finding]) -> None:
        super().__init__()
        self.module = module
        self.wanted = wanted
        self.done: list[Finding] = []
        self.patterned: list[Finding] = []
        self.prefixed: list[Finding] = []
        self.said: list[tuple[int, str]] = []
        self.needs: set[tuple[str, str]] = set()
        self.around: list[list[cst.BaseExpression]] = []
        self.taken = _bound(module)

    def visit_With(self, node: cst.With) -> None:
        self.around.append([each.item for each in node.items])

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self.around.append([each.decorator for each in node.decorators])

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        del original_node
        self.around.pop()
        return updated_node

    def leave_With(self, original_node: cst.With, updated_node: cst.With) -> cst.With:
        del original_node
        self.around.pop()
        return updated_node

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine:
        match original_node.body:
            case [cst.Expr(value=(cst.Call() | cst.ListComp()) as value)]:
                found = of_expression(value)
                made = self._as_pattern(found) if found is not None else None
                if made is None and isinstance(value, cst.Call) and self._is_put_off(value):
                    made = self._later(value)
                return updated_node.with_changes(body=[cst.Expr(made)]) if made is not None else updated_node
            case _:
                return updated_node

    def leave_For(self, original_node: cst.For, updated_node: cst.For) -> cst.For | cst.SimpleStatementLine:
        found = of_loop(original_node)
        made = self._as_pattern(found) if found is not None else None
        if made is None:
            return updated_node
        return cst.SimpleStatementLine([cst.Expr(made)], original_node.leading_lines)

    def visit_Call(self, node: cst.Call) -> None:
        finding = self._finding(node, "UNS001")
        if finding is not None and m.matches(node, _PATTERN_DELETE):
            self.patterned.append(finding)
            if any(m.matches(each, _PREFIX) for each in node.args):
                self.prefixed.append(finding)

    def _finding(self, node: cst.CSTNode, rule: str) -> Finding | None:
        start = self.get_metadata(PositionProvider, node).start
        found = self.wanted.get((start.line, start.column, rule))
        if found is None or found.by_name or found.family != "django":
            return None
        return found

    def _done(self, finding: Finding, said: str) -> None:
        self.done.append(finding)
        self.said.append((finding.line, f"{finding.path}:{finding.line}: {said}"))

    def _is_put_off(self, call: cst.Call) -> bool:
        """Whether a call is to wait for COMMIT, and can; it counts as done then."""
        finding = self._finding(call, "UNS004")
        free = (
            self.taken.get("partial", "functools") == "functools"
            and self.taken.get("transaction", "django.db") == "django.db"
        )
        if (
            finding is None
            or not free
            or any(m.matches(item, _OTHER_DATABASE) for each in self.around for item in each)
        ):
            return False
        if finding not in self.done:
            self._done(finding, "put off until COMMIT.")
        return True

    def _later(self, call: cst.Call) -> cst.Call:
        given = [cst.Arg(call.func), *[arg.with_changes(comma=cst.MaybeSentinel.DEFAULT) for arg in call.args]]
        self.needs |= {("functools", "partial"), ("django.db", "transaction")}
        return cst.Call(
            cst.Attribute(cst.Name("transaction"), cst.Name("on_commit")),
            [cst.Arg(cst.Call(cst.Name("partial"), given))],
        )

    def _as_pattern(self, found: WalkedDelete) -> cst.Call | None:
        """A walk and its delete as one call, put off where the delete is to be."""
        finding = self._finding(found.walk, "UNS001")
        if finding is None:
            return None
        self._done(finding, "its walk and delete are delete_pattern().")
        made = found.pattern_delete
        return self._later(made) if self._is_put_off(found.delete) else made

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
        shape = of_two(first, second)
        if shape is None or any(m.findall(each, m.Name(shape[1])) for each in rest):
            return None
        made = self._as_pattern(shape[0])
        return first.with_changes(body=[cst.Expr(made)]) if made is not None else None

    def _code(self, node: cst.CSTNode) -> str:
        return self.module.code_for_node(node)


_METHOD: Final = m.Attribute(attr=m.Name("delete_pattern") | m.Name("adelete_pattern"))
_PATTERN_DELETE: Final = m.Call(func=_METHOD) | m.Call(args=[m.Arg(_METHOD), m.ZeroOrMore()])
_PREFIX: Final = m.Arg(keyword=m.Name("prefix"))
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
