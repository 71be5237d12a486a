"""What is wrong with TAG_PATTERNS, for Django's system checks. Pure: no Django, no I/O; the checks say it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from unstale.contrib.django.patterns.anchoring import (
    REPRESENTATIVE_KEYS,
    anchored_for_pages,
    is_too_many,
    key_of_many_parts,
    remedy,
)
from unstale.contrib.django.patterns.matching import MAX_BINDINGS
from unstale.contrib.django.patterns.parsing import Pattern, declared_pairs, parse_pattern
from unstale.contrib.django.patterns.tokens import (
    EVERY_KEY,
    LETTER_ENDS,
    MANY_PARTS,
    SAME_TAG,
    TAG_PER_KEY,
    TOO_MANY,
    UNREADABLE,
    WIDER_TAG,
    Literal,
    PatternError,
    Placeholder,
    decoded,
    pieces,
)
from unstale.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: level and number, the last part of a check's id, such as E011.
        message: names the pattern.
        hint: the remedy.
    """

    code: str
    message: str
    hint: str

    @property
    def level(self) -> str:
        """Either "E" for an error or "W" for a warning. All errors but E012 keep the patterns from being used."""
        return self.code[0]

    @property
    def number(self) -> str:
        """Three digits."""
        return self.code[1:]


def findings(declared: object) -> list[Finding]:
    """Everything that is wrong with TAG_PATTERNS as it was written, in its order."""
    try:
        pairs = declared_pairs(declared)
    except ConfigurationError as error:
        return [Finding(UNREADABLE, str(error), "")]
    found: list[Finding] = []
    patterns: list[Pattern] = []
    for text, tag in pairs:
        try:
            pattern = parse_pattern(text, tag)
        except PatternError as error:
            found.append(Finding(error.code, error.message, error.hint))
            continue
        patterns.append(pattern)
        found += _of_one(pattern)
    return [*found, *_same_tags(patterns)]


def _of_one(pattern: Pattern) -> Iterator[Finding]:
    yield from _too_many(pattern)
    yield from _no_literal(pattern)
    if not pattern.is_exact:
        missing = next(name for name in pattern.names if name not in pattern.template.names)
        yield Finding(
            WIDER_TAG,
            f"The tag {pattern.tag!r} of pattern {pattern.text!r} lacks {{{missing}}}: "
            "a delete_pattern invalidates the keys of all its values.",
            f"Put {{{missing}}} into the tag, or an asterisk for it into the pattern.",
        )
    for token in pattern.tokens:
        if isinstance(token, Placeholder) and decoded(token.without).isalnum():
            yield Finding(
                LETTER_ENDS,
                f"Placeholder {{{token.name}}} of pattern {pattern.text!r} holds no {decoded(token.without)!r}, "
                "which stands beside it: values with that character have no tag.",
                "Let it stand beside a separator, in the keys too.",
            )


def _too_many(pattern: Pattern) -> Iterator[Finding]:
    for key in REPRESENTATIVE_KEYS:
        if is_too_many(pattern, [key]):
            yield Finding(
                TOO_MANY,
                f"Pattern {pattern.text!r} can be read in more than {MAX_BINDINGS} ways in one key, such as {key!r}: "
                "such keys are not cached.",
                f'Anchor it, with the text that its keys begin with: "{anchored_for_pages(pattern)}".',
            )
            return
    if key := key_of_many_parts(pattern):
        yield Finding(
            MANY_PARTS,
            f"Pattern {pattern.text!r} can be read in one way for each part of a key, and keys in which these are more "
            f"than {MAX_BINDINGS} are not cached, such as {key!r}.",
            f"{remedy(pattern, key)} If you have no such keys: SILENCED_SYSTEM_CHECKS = ['unstale.{MANY_PARTS}'].",
        )


def _no_literal(pattern: Pattern) -> Iterator[Finding]:
    if any(isinstance(token, Literal) for token in pattern.tokens):
        return
    if pattern.names:
        yield Finding(
            TAG_PER_KEY,
            f"Pattern {pattern.text!r} gives every key a tag of its own, so each read fetches one more stamp.",
            "Remove it: delete(key) does that.",
        )
    else:
        yield Finding(
            EVERY_KEY,
            f"Pattern {pattern.text!r} matches every key, or nearly.",
            "Remove it: clear() invalidates all keys with one write, and costs a read nothing.",
        )


def _same_tags(patterns: Sequence[Pattern]) -> Iterator[Finding]:
    for first, second in combinations(patterns, 2):
        same = _literals(first) == _literals(second)
        if same and not (first.is_given and second.is_given):
            yield Finding(
                SAME_TAG,
                f"Patterns {first.text!r} and {second.text!r} have the same tag {second.tag!r}: "
                "a delete_pattern of one invalidates the keys of both.",
                f'If that is meant, write the tag with each of them: ("{second.text}", "{second.tag}"); '
                "else give one of them another.",
            )


def _literals(pattern: Pattern) -> list[str]:
    return [literal for literal, _ in pieces(pattern.tag)]
