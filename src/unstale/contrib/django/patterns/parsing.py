"""A pattern, read: its bindings in a key, its glob, its tags; and TAG_PATTERNS as a project writes it.

Pure: no Django, no I/O. What a pattern means stands in `patterns`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unstale.contrib.django.patterns.matching import MAX_BINDINGS, Layout, TooMany
from unstale.contrib.django.patterns.tags import TagTemplate, derived
from unstale.contrib.django.patterns.tokens import (
    BAD_TAG,
    MAX_PATTERN_BYTES,
    NEVER,
    Asterisk,
    Literal,
    OneOf,
    PatternError,
    Placeholder,
    Token,
    anchored,
    decoded,
    encoded,
    escaped,
    pieces,
    tokens_of_glob,
    tokens_of_pattern,
)
from unstale.errors import ConfigurationError, UnstaleError


class TooManyBindings(UnstaleError):  # noqa: N818 - says what there is too much of
    """A pattern can be read in too many ways in one key, so that key is not stored.

    Attributes:
        pattern: the pattern's text.
        problem: the first sentence: what is the matter, without a remedy.
    """

    def __init__(self, pattern: str, reason: str) -> None:
        """Say which pattern and why. The key is not named, so that the text is the same each time."""
        self.problem = f"Keys in which TAG_PATTERNS' {pattern!r} {reason} are not cached."
        super().__init__(f"{self.problem} Anchor the pattern: begin it with the text that those keys begin with.")
        self.pattern = pattern


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern; see `parse_pattern`.

    Attributes:
        text: as it was written.
        tag: the template of its tags.
        is_given: whether the tag was given, not derived.
        tokens: its parts.
        template: the tag's.
        layout: what finds its bindings.
    """

    text: str
    tag: str
    is_given: bool
    tokens: tuple[Token, ...]
    template: TagTemplate
    layout: Layout

    @property
    def names(self) -> tuple[str, ...]:
        """The placeholders, in their order."""
        return tuple(token.name for token in self.tokens if isinstance(token, Placeholder))

    @property
    def is_exact(self) -> bool:
        """Whether each binding has a tag of its own; else the tag names more keys than its glob matches."""
        return set(self.names) == set(self.template.names)

    def bindings(self, key: str) -> list[dict[str, str]]:
        """Every possible binding in a key: none if it does not match.

        Raises:
            TooManyBindings: more than MAX_BINDINGS.
        """
        return self._bindings(encoded(key))

    def tags(self, raw_key: bytes) -> list[str]:
        """The tags of a key, in bytes.

        Raises:
            TooManyBindings: more than MAX_BINDINGS.
        """
        return [self.template.rendered(values) for values in self._bindings(raw_key)]

    def _bindings(self, raw_key: bytes) -> list[dict[str, str]]:
        try:
            found = self.layout.bindings(raw_key)
        except TooMany:
            raise TooManyBindings(self.text, f"binds in more than {MAX_BINDINGS} ways") from None
        names = self.names if found else ()
        return [dict(zip(names, map(decoded, values), strict=True)) for values in found]

    def glob(self, values: Mapping[str, str]) -> str:
        """The glob with the placeholders filled in, escaped."""
        return "".join(literal + ("" if name is None else escaped(values[name])) for literal, name in pieces(self.text))

    def bound(self, glob: str) -> dict[str, str] | None:
        """The binding of which a glob is this pattern; None if it is another glob, or the binding is not possible."""
        given: list[int | OneOf | Placeholder | Asterisk] = []
        for token in tokens_of_glob(glob):
            given += token.raw if isinstance(token, Literal) else [token]
        values: dict[str, str] = {}
        for token in self.tokens:
            if isinstance(token, Placeholder):
                run = _literal_run(given)
                value = run[: run.find(token.until)] if token.until in run and token.until else run
                if not value or (token.without and token.without in value):
                    return None
                values[token.name] = decoded(value)
                del given[: len(value)]
                continue
            expected = list(token.raw) if isinstance(token, Literal) else [token]
            if given[: len(expected)] != expected:
                return None
            del given[: len(expected)]
        return None if given else values


def _literal_run(given: list[int | OneOf | Placeholder | Asterisk]) -> bytes:
    run = bytearray()
    for unit in given:
        if not isinstance(unit, int):
            break
        run.append(unit)
    return bytes(run)


def parse_pattern(text: str, tag: str | None = None) -> Pattern:
    """Read a pattern.

    Args:
        text: a Redis glob with placeholders; `{{` and `}}` are braces.
        tag: the template of its tags, with the pattern's placeholders; derived from the pattern by default.

    Raises:
        PatternError: it cannot be read, is ambiguous, can match no key, or its tag makes no sense. The text names the
            pattern and the remedy. It is a ConfigurationError.
    """
    given: object = text
    if not isinstance(given, str):
        raise PatternError(f"A pattern must be a str, not {given!r}.", 'Write it as "user:{id}:*".')
    _refuse_unmatchable(text)
    tokens = anchored(text, tokens_of_pattern(text))
    template = TagTemplate(derived(tokens) if tag is None else tag, text)
    names = [token.name for token in tokens if isinstance(token, Placeholder)]
    if unknown := [name for name in template.names if name not in names]:
        raise PatternError(
            f"The tag {template.text!r} of pattern {text!r} names {{{unknown[0]}}}, which the pattern lacks.",
            "Use the pattern's placeholders, and {{ }} for braces.",
            BAD_TAG,
        )
    return Pattern(text, template.text, tag is not None, tuple(tokens), template, Layout(tokens))


def _refuse_unmatchable(text: str) -> None:
    if not text:
        raise PatternError("An empty pattern can never match.", "Remove it.", NEVER)
    if any(char < " " or char == "\x7f" for char in text):
        raise PatternError(
            f"Pattern {text!r} can never match: no key holds control characters.",
            r'A backslash was not meant for Python? Write it raw: r"a\*b".',
            NEVER,
        )
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PATTERN_BYTES:
        raise PatternError(
            f"Pattern {text[:40]!r}… is longer than {MAX_PATTERN_BYTES} bytes.", "Put an asterisk for a part of it."
        )


def declared_pairs(declared: object) -> list[tuple[Any, Any]]:
    """TAG_PATTERNS as pairs of a pattern and its tag, None for one to derive.

    Raises:
        ConfigurationError: it is neither a mapping nor a list of patterns or pairs.
    """
    if isinstance(declared, Mapping):
        return list(declared.items())
    if isinstance(declared, (str, bytes)) or not isinstance(declared, Iterable):
        raise ConfigurationError(
            f"TAG_PATTERNS must be a list of patterns or a dict of pattern and tag, not {declared!r}: "
            'write ["user:{id}:*"] or {"user:{id}:*": "user:{id}"}.'
        )
    pairs = []
    for each in declared:
        if isinstance(each, (tuple, list)) and len(each) == 2:  # noqa: PLR2004 - a pair
            pairs.append((each[0], each[1]))
        elif isinstance(each, Pattern):
            pairs.append((each.text, each.tag if each.is_given else None))
        else:
            pairs.append((each, None))
    return pairs


def parse_patterns(declared: object) -> tuple[Pattern, ...]:
    """Read TAG_PATTERNS.

    Args:
        declared: `{"user:{id}:*": "user:{id}"}`, where None derives the tag, or a list of patterns and such pairs.

    Raises:
        ConfigurationError: it is neither.
        PatternError: see `parse_pattern`.
    """
    return tuple(parse_pattern(text, tag) for text, tag in declared_pairs(declared))
