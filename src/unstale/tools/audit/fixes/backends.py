"""CACHES, rewritten: django-redis's backend becomes unstale's, and each alias is told the patterns that it deletes.

LOCATION and OPTIONS may stay as they are: unstale's backend honours django-redis's, maps them, or says why it ignores
them (docs/django-migration.md). What is not written out is left, with the reason.
"""
# ruff: noqa: N802 - the methods have libcst's names

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import libcst as cst
from libcst import matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider

from unstale.tools.audit.code.declarations import DJANGO_REDIS, NOT_SHARED, UNSTALE, has_declared

LONGEST: Final = 88
"""Columns. A list that makes a line longer goes one item a line."""


class Settings(NamedTuple):
    """Settings, rewritten.

    Attributes:
        new: the file.
        done: what was done, a sentence each.
        left: for each alias that is left, why.
        told: the aliases whose backend knows all patterns now.
    """

    new: bytes
    done: list[str]
    left: dict[str, str]
    told: list[str]


def with_unstale(old: bytes, patterns: Mapping[str, Sequence[str]]) -> Settings:
    """Settings with unstale's backend.

    Args:
        old: the file.
        patterns: for each alias the TAG_PATTERNS to declare.
    """
    rewriter = _Settings(patterns)
    made = cst.parse_module(old).visit(rewriter)
    if rewriter.lists:
        made = MetadataWrapper(made, unsafe_skip_copy=True).visit(_Splitter(rewriter.lists))
    return Settings(made.bytes, rewriter.done, rewriter.left, rewriter.told)


class _Settings(cst.CSTTransformer):
    def __init__(self, patterns: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.patterns = patterns
        self.done: list[str] = []
        self.left: dict[str, str] = {}
        self.told: list[str] = []
        self.lists: list[cst.List] = []

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> cst.Assign:
        match original_node.targets:
            case [cst.AssignTarget(target=target)]:
                return updated_node.with_changes(value=self._assigned(target, updated_node.value))
            case _:
                return updated_node

    def leave_AnnAssign(self, original_node: cst.AnnAssign, updated_node: cst.AnnAssign) -> cst.AnnAssign:
        if updated_node.value is None:
            return updated_node
        return updated_node.with_changes(value=self._assigned(original_node.target, updated_node.value))

    def _assigned(self, target: cst.BaseExpression, value: cst.BaseExpression) -> cst.BaseExpression:
        if m.matches(target, m.Name("CACHES")):
            return _changed(value, self._alias) if isinstance(value, cst.Dict) else value
        match target:
            case cst.Subscript(
                value=cst.Name(value="CACHES"),
                slice=[cst.SubscriptElement(slice=cst.Index(value=cst.SimpleString() as alias))],
            ):
                return self._alias(_text(alias) or "", value)
            case _:
                return value

    def _alias(self, name: str, value: cst.BaseExpression) -> cst.BaseExpression:
        if name not in self.patterns:
            return value
        if not isinstance(value, cst.Dict):
            self.left[name] = "it is not written out as {…}."
            return value
        backend = _text(_value(value, "BACKEND"))
        if backend in NOT_SHARED:
            return value
        why = _why_left(value, backend)
        if why:
            self.left[name] = why
            return value
        return self._told(name, value, is_new=backend == DJANGO_REDIS)

    def _told(self, name: str, value: cst.Dict, *, is_new: bool) -> cst.Dict:
        """An alias with unstale's backend and the patterns that it lacks."""
        known = _declared(value)
        patterns = [text for text in self.patterns[name] if not has_declared(known, text)]
        self.told.append(name)
        if is_new:
            self.done.append(f'CACHES["{name}"] has unstale\'s backend, with {len(patterns)} more TAG_PATTERNS.')
            value = _changed(value, lambda key, old: _as_before(old, UNSTALE) if key == "BACKEND" else old)
        elif patterns:
            self.done.append(f'CACHES["{name}"] has {len(patterns)} more TAG_PATTERNS.')
        if not patterns:
            return value
        if _value(value, "OPTIONS") is None:
            options = cst.Dict([_element("TAG_PATTERNS", self._listed(patterns))])
            return _with_first(value, "OPTIONS", options, behind="BACKEND")
        return _changed(
            value, lambda key, old: self._options(cst.ensure_type(old, cst.Dict), patterns) if key == "OPTIONS" else old
        )

    def _options(self, options: cst.Dict, patterns: Sequence[str]) -> cst.Dict:
        if _value(options, "TAG_PATTERNS") is None:
            return _with_first(options, "TAG_PATTERNS", self._listed(patterns))
        return _changed(
            options,
            lambda key, old: self._longer(cst.ensure_type(old, cst.List), patterns) if key == "TAG_PATTERNS" else old,
        )

    def _longer(self, known: cst.List, patterns: Sequence[str]) -> cst.List:
        """A list with more items, each on a line of its own where the others are."""
        before = known.lbracket.whitespace_after
        is_split = isinstance(before, cst.ParenthesizedWhitespace)
        comma = cst.Comma(whitespace_after=_between(before))
        items = [*known.elements, *map(_item, patterns)]
        last = known.elements[-1].comma if known.elements else cst.MaybeSentinel.DEFAULT
        made = [each.with_changes(comma=comma) for each in items[len(known.elements) - 1 if known.elements else 0 : -1]]
        kept = list(known.elements[:-1])
        longer = known.with_changes(elements=[*kept, *made, items[-1].with_changes(comma=last)])
        if not is_split:
            self.lists.append(longer)
        return longer

    def _listed(self, patterns: Iterable[str]) -> cst.List:
        made = cst.List([_item(text) for text in patterns])
        self.lists.append(made)
        return made


class _Splitter(cst.CSTTransformer):
    """Writes lists one item a line where their lines are too long."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, lists: Collection[cst.List]) -> None:
        super().__init__()
        self.lists = lists
        self.lines: list[str] = []
        self.indent = ""

    def visit_Module(self, node: cst.Module) -> None:
        self.lines = node.code.splitlines()
        self.indent = node.default_indent

    def leave_List(self, original_node: cst.List, updated_node: cst.List) -> cst.List:
        if not any(each is original_node for each in self.lists):
            return updated_node
        line = self.lines[self.get_metadata(PositionProvider, original_node).end.line - 1]
        if len(line) <= LONGEST:
            return updated_node
        margin = line[: len(line) - len(line.lstrip())]
        comma = cst.Comma(whitespace_after=_line_end(margin + self.indent))
        inner = [each.with_changes(comma=comma) for each in updated_node.elements[:-1]]
        return updated_node.with_changes(
            lbracket=cst.LeftSquareBracket(whitespace_after=_line_end(margin + self.indent)),
            elements=[*inner, updated_node.elements[-1].with_changes(comma=cst.Comma())],
            rbracket=cst.RightSquareBracket(whitespace_before=_line_end(margin)),
        )


def _line_end(margin: str) -> cst.ParenthesizedWhitespace:
    return cst.ParenthesizedWhitespace(indent=False, last_line=cst.SimpleWhitespace(margin))


def _why_left(value: cst.Dict, backend: str | None) -> str:
    """Why an alias cannot be rewritten; "" if it can."""
    if backend is None:
        return "its BACKEND is not written out."
    if backend not in {DJANGO_REDIS, UNSTALE}:
        return f"its BACKEND is {backend}."
    options = _value(value, "OPTIONS")
    has_others = any(isinstance(each, cst.StarredDictElement) for each in value.elements)
    if (options is None and has_others) or not isinstance(options, cst.Dict | None):
        return "its OPTIONS are not written out."
    known = _value(options, "TAG_PATTERNS") if options is not None else None
    if not isinstance(known, cst.List | None):
        return "its TAG_PATTERNS are not written out as a list."
    return ""


def _declared(value: cst.Dict) -> tuple[str, ...]:
    """The patterns that are written in an alias."""
    options = _value(value, "OPTIONS")
    known = _value(options, "TAG_PATTERNS") if isinstance(options, cst.Dict) else None
    texts: list[str | None] = []
    for each in known.elements if isinstance(known, cst.List) else ():
        is_pair = isinstance(each.value, cst.Tuple) and each.value.elements
        texts.append(_text(cst.ensure_type(each.value, cst.Tuple).elements[0].value if is_pair else each.value))
    return tuple(text for text in texts if text is not None)


def _changed(node: cst.Dict, change: Callable[[str, cst.BaseExpression], cst.BaseExpression]) -> cst.Dict:
    """A dict with the values of its named items changed."""
    elements: list[cst.BaseDictElement] = []
    for each in node.elements:
        name = _text(each.key) if isinstance(each, cst.DictElement) else None
        elements.append(each.with_changes(value=change(name, each.value)) if name is not None else each)
    return node.with_changes(elements=elements)


def _with_first(node: cst.Dict, name: str, value: cst.BaseExpression, behind: str = "") -> cst.Dict:
    """A dict with one more item, at its beginning or behind another one, on a line of its own where the others are."""
    elements = list(node.elements)
    at = next(
        (
            number + 1
            for number, each in enumerate(elements)
            if isinstance(each, cst.DictElement) and _text(each.key) == behind
        ),
        0,
    )
    before = node.lbrace.whitespace_after
    comma = cst.Comma(whitespace_after=_between(before))
    made = _element(name, value)
    if at and at == len(elements):
        last = elements[-1]
        trailing = last.comma
        elements[-1] = last.with_changes(comma=comma)
        return node.with_changes(elements=[*elements, made.with_changes(comma=trailing)])
    is_last = not elements
    return node.with_changes(
        elements=[*elements[:at], made if is_last else made.with_changes(comma=comma), *elements[at:]]
    )


def _between(before: cst.BaseParenthesizableWhitespace) -> cst.BaseParenthesizableWhitespace:
    """What stands between two items, if that stands before the first one."""
    if isinstance(before, cst.ParenthesizedWhitespace):
        return cst.ParenthesizedWhitespace(indent=before.indent, last_line=before.last_line)
    return cst.SimpleWhitespace(" ")


def _element(name: str, value: cst.BaseExpression) -> cst.DictElement:
    return cst.DictElement(cst.SimpleString(_quoted(name)), value)


def _item(text: str) -> cst.Element:
    return cst.Element(cst.SimpleString(_quoted(text)))


def _quoted(text: str) -> str:
    return repr(text) if '"' in text or "\\" in text else f'"{text}"'


def _as_before(old: cst.BaseExpression, text: str) -> cst.BaseExpression:
    quote = old.quote if isinstance(old, cst.SimpleString) else '"'
    return cst.SimpleString(f"{quote}{text}{quote}")


def _value(node: cst.Dict, name: str) -> cst.BaseExpression | None:
    return next(
        (each.value for each in node.elements if isinstance(each, cst.DictElement) and _text(each.key) == name), None
    )


def _text(node: cst.BaseExpression | None) -> str | None:
    if not isinstance(node, cst.SimpleString):
        return None
    said = node.evaluated_value
    return said if isinstance(said, str) else None
