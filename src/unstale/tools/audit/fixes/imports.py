"""Where a new `from … import …` goes: where isort would have put it, if the imports around are plainly sorted.

Plainly sorted means: blocks of one sort each with empty lines in between (__future__, the standard library, third
parties, the project, relative ones), in this order, and within the first block of the sort that is wanted `import`s
before `from`s, or all by their names. Elsewhere libcst's own place is taken.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import libcst as cst
from libcst import matchers as m
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor

from unstale.tools.audit.code.kinds import LIBRARIES

_FUTURE, _STANDARD, _THIRD, _OWN, _RELATIVE = range(5)
_Statement: TypeAlias = cst.SimpleStatementLine | cst.BaseCompoundStatement


class _Line(NamedTuple):
    """An import: where it stands, its sort, and what it is sorted by."""

    at: int
    sort: int
    is_from: bool
    name: str


def with_imports(module: cst.Module, needs: Collection[tuple[str, str]], own: Collection[str]) -> cst.Module:
    """A module with more imports.

    Args:
        module: the file.
        needs: of each the module and the name.
        own: the first names of the project's own modules.
    """
    for source, name in sorted(needs):
        made = None if _has_source(module, source) else _sorted_in(module, source, name, own)
        if made is None:
            context = CodemodContext()
            AddImportsVisitor.add_needed_import(context, source, name)
            made = AddImportsVisitor(context).transform_module(module)
        module = made
    return module


def _has_source(module: cst.Module, source: str) -> bool:
    """Whether something is imported from there already: then it goes into that line."""
    return any(
        isinstance(part, cst.ImportFrom)
        and not part.relative
        and part.module is not None
        and not isinstance(part.names, cst.ImportStar)
        and module.code_for_node(part.module) == source
        for each in module.body
        for part in (each.body if isinstance(each, cst.SimpleStatementLine) else ())
    )


def _sorted_in(module: cst.Module, source: str, name: str, own: Collection[str]) -> cst.Module | None:
    blocks = _blocks(module, own)
    if not blocks or any(one[0].sort > other[0].sort for one, other in pairwise(blocks)):
        return None
    if any(len({each.sort for each in block}) > 1 for block in blocks):
        return None
    sort = _sort(source, 0, own)
    line = cst.SimpleStatementLine([cst.ImportFrom(cst.parse_expression(source), [cst.ImportAlias(cst.Name(name))])])  # type: ignore[arg-type] # a dotted name
    block = next((each for each in blocks if each[0].sort == sort), None)
    if block is not None:
        return _into_block(module, line, block, source)
    after = next((each for each in blocks if each[0].sort > sort), None)
    if after is None:
        return _put(module, blocks[-1][-1].at + 1, line.with_changes(leading_lines=[_empty()]))
    return _put_above(module, after[0].at, line, is_block=True)


def _into_block(
    module: cst.Module, line: cst.SimpleStatementLine, block: Sequence[_Line], source: str
) -> cst.Module | None:
    by_kind, by_name = [(each.is_from, each.name) for each in block], [each.name for each in block]
    if by_kind == sorted(by_kind):
        later = [each for each in block if (each.is_from, each.name) > (True, source)]
    elif by_name == sorted(by_name):
        later = [each for each in block if each.name > source]
    else:
        return None
    if not later:
        return _put(module, block[-1].at + 1, line)
    if later[0] is block[0]:
        return _put_above(module, later[0].at, line, is_block=False)
    return _put(module, later[0].at, line)


def _blocks(module: cst.Module, own: Collection[str]) -> list[list[_Line]]:
    """The first imports that stand together, by the empty lines between them; none if one is written otherwise."""
    found: list[list[_Line]] = []
    for at, statement in enumerate(module.body):
        if m.matches(statement, m.SimpleStatementLine(body=[m.Expr(m.SimpleString() | m.ConcatenatedString())])):
            continue
        line = _line(module, at, statement, own)
        if line is None:
            return found
        if not found or any(each.comment is None for each in _leading(statement)):
            found.append([])
        found[-1].append(line)
    return found


def _line(module: cst.Module, at: int, statement: _Statement, own: Collection[str]) -> _Line | None:
    match statement:
        case cst.SimpleStatementLine(body=[cst.Import(names=[alias])]):
            name = module.code_for_node(alias.name)
            return _Line(at, _sort(name, 0, own), is_from=False, name=name.lower())
        case cst.SimpleStatementLine(body=[cst.ImportFrom(module=source, relative=dots)]):
            name = module.code_for_node(source) if source is not None else ""
            return _Line(at, _sort(name, len(dots), own), is_from=True, name=name.lower())
        case _:
            return None


def _sort(name: str, dots: int, own: Collection[str]) -> int:
    root = name.partition(".")[0]
    if dots:
        return _RELATIVE
    if root == "__future__":
        return _FUTURE
    if root in sys.stdlib_module_names:
        return _STANDARD
    return _OWN if root in own and root not in LIBRARIES else _THIRD


def _leading(statement: _Statement) -> Sequence[cst.EmptyLine]:
    lines: Sequence[cst.EmptyLine] = getattr(statement, "leading_lines", ())
    return lines


def _put(module: cst.Module, at: int, line: cst.SimpleStatementLine) -> cst.Module:
    return module.with_changes(body=[*module.body[:at], line, *module.body[at:]])


def _put_above(module: cst.Module, at: int, line: cst.SimpleStatementLine, *, is_block: bool) -> cst.Module:
    """A statement in front of the first one of a block, which keeps its comments; or as a block of its own."""
    following = module.body[at]
    blank = [each for each in _leading(following) if each.comment is None]
    comments = [each for each in _leading(following) if each.comment is not None]
    between = [_empty()] if is_block else []
    changed = following.with_changes(leading_lines=[*between, *comments])
    made = module.with_changes(body=[*module.body[:at], changed, *module.body[at + 1 :]])
    return _put(made, at, line.with_changes(leading_lines=blank))


def _empty() -> cst.EmptyLine:
    return cst.EmptyLine(indent=False)
