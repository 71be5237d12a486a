"""CACHES, rewritten: django-redis's backend becomes unstale's, and is told the patterns that the project deletes.

LOCATION and OPTIONS may stay as they are: unstale's backend honours django-redis's, maps them, or says why it ignores
them (docs/django-migration.md).
"""
# ruff: noqa: N802 - the methods have libcst's names

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import libcst as cst
from libcst import matchers as m

from unstale.tools.audit.code.declarations import DJANGO_REDIS, UNSTALE


def with_unstale(old: bytes, aliases: Collection[str], patterns: Sequence[str]) -> tuple[bytes, list[str]]:
    """Settings with unstale's backend.

    Args:
        old: the file.
        aliases: those with django-redis's backend.
        patterns: TAG_PATTERNS to declare.

    Returns:
        The file then, and what was done, a sentence for each alias.
    """
    module = cst.parse_module(old)
    rewriter = _Settings(aliases, patterns)
    return module.visit(rewriter).bytes, rewriter.said


class _Settings(cst.CSTTransformer):
    def __init__(self, aliases: Collection[str], patterns: Sequence[str]) -> None:
        super().__init__()
        self.aliases = aliases
        self.patterns = patterns
        self.said: list[str] = []

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> cst.Assign:
        if not any(m.matches(each.target, m.Name("CACHES")) for each in original_node.targets):
            return updated_node
        if not isinstance(updated_node.value, cst.Dict):
            return updated_node
        return updated_node.with_changes(value=_changed(updated_node.value, self._alias))

    def _alias(self, name: str, value: cst.BaseExpression) -> cst.BaseExpression:
        if (
            name not in self.aliases
            or not isinstance(value, cst.Dict)
            or _text(_value(value, "BACKEND")) != DJANGO_REDIS
        ):
            return value
        self.said.append(f'CACHES["{name}"] has unstale\'s backend, with {len(self.patterns)} TAG_PATTERNS.')
        made = _changed(value, lambda key, old: _as_before(old, UNSTALE) if key == "BACKEND" else old)
        options = _value(made, "OPTIONS")
        if isinstance(options, cst.Dict):
            return _changed(
                made, lambda key, old: self._options(old) if key == "OPTIONS" and isinstance(old, cst.Dict) else old
            )
        if options is not None:
            return made  # not written out: told by the backend's own warnings
        return _with_first(
            made, "OPTIONS", cst.Dict([_element("TAG_PATTERNS", _listed(self.patterns))]), behind="BACKEND"
        )

    def _options(self, options: cst.Dict) -> cst.Dict:
        known = _value(options, "TAG_PATTERNS")
        if known is None:
            return _with_first(options, "TAG_PATTERNS", _listed(self.patterns))
        if not isinstance(known, cst.List):
            return options
        have = {_text(each.value) for each in known.elements}
        new = [cst.Element(cst.SimpleString(_quoted(text))) for text in self.patterns if text not in have]
        return _changed(
            options,
            lambda key, old: known.with_changes(elements=[*known.elements, *new]) if key == "TAG_PATTERNS" else old,
        )


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
    between: cst.BaseParenthesizableWhitespace = cst.SimpleWhitespace(" ")
    if isinstance(before, cst.ParenthesizedWhitespace):
        between = cst.ParenthesizedWhitespace(indent=before.indent, last_line=before.last_line)
    comma = cst.Comma(whitespace_after=between)
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


def _element(name: str, value: cst.BaseExpression) -> cst.DictElement:
    return cst.DictElement(cst.SimpleString(_quoted(name)), value)


def _listed(patterns: Iterable[str]) -> cst.List:
    return cst.List([cst.Element(cst.SimpleString(_quoted(text))) for text in patterns])


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
