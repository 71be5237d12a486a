"""What is wrong with TAG_PATTERNS, for Django's system checks, and which line would make a `delete_pattern` one write.

Pure: no Django, no I/O. It returns data; the checks and the backend say it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from unstale.contrib.django.patterns.matching import MAX_BINDINGS
from unstale.contrib.django.patterns.parsing import Pattern, TooManyBindings, declared_pairs, parse_pattern
from unstale.contrib.django.patterns.tokens import (
    ANY,
    EVERY_KEY,
    LETTER_ENDS,
    SAME_TAG,
    SEPARATORS,
    TAG_PER_KEY,
    TOO_MANY,
    UNREADABLE,
    WIDER_TAG,
    Literal,
    PatternError,
    Placeholder,
    Token,
    decoded,
    encoded,
    pieces,
    separated,
    tokens_of_glob,
    written,
)
from unstale.errors import ConfigurationError

_DIGEST: Final = "0123456789abcdef" * 2
_PAGES: Final = "views.decorators.cache.cache_page"
REPRESENTATIVE_KEYS: Final = (
    f"{_PAGES}.books.GET.{_DIGEST}.{_DIGEST}.en-us.UTC",
    f"{_PAGES}..HEAD.{_DIGEST}.{_DIGEST}.pt-br.America/Argentina/Buenos_Aires",
    f"views.decorators.cache.cache_header.books.{_DIGEST}.en-us.UTC",
    f"template.cache.sidebar.{_DIGEST}",
    f"django.contrib.sessions.cache{_DIGEST}",
    *(separator.join(("shop", "user", "42", "orders", "page", "1", "en")) for separator in SEPARATORS),
)
"""Keys that Django makes (`django.utils.cache`, `django.core.cache.utils`), and some that projects make."""

_VALUE: Final = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        (?P<email>[A-Za-z0-9.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)
        | [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}
        | (?=[0-9]*[a-f]+[0-9])[0-9a-f]{8,} | (?=[a-f]*[0-9])[0-9a-f]{8,}
        | [0-9]+
    )(?![A-Za-z0-9])""",
    re.VERBOSE,
)
"""Parts of a key that look like a value: an address, a UUID, a digest, a number."""


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
        if _is_too_many(pattern, [key]):
            yield Finding(
                TOO_MANY,
                f"Pattern {pattern.text!r} can be read in more than {MAX_BINDINGS} ways in one key, such as {key!r}: "
                "such keys are not cached.",
                f'Anchor it, with the text that its keys begin with: "{_anchored(pattern)}".',
            )
            return


def _is_too_many(pattern: Pattern, keys: Iterable[str]) -> bool:
    try:
        for key in keys:
            pattern.bindings(key)
    except TooManyBindings:
        return True
    return False


def _anchored(pattern: Pattern) -> str:
    """A pattern of the same placeholders, for pages, which does not have too many bindings."""
    behind = pattern.tokens[1:] if pattern.tokens[0] is ANY else pattern.tokens
    start = Literal(encoded(_PAGES))
    dot = Literal(b".")
    every = [part for name in pattern.names for part in (dot, Placeholder(name))]
    for tokens in ([start, *behind], [start, *every, dot, ANY]):
        try:
            proposed = parse_pattern(written(tokens))
        except PatternError:
            continue
        if proposed.bindings(REPRESENTATIVE_KEYS[0]) and not _is_too_many(proposed, REPRESENTATIVE_KEYS):
            return proposed.text
    return f"{_PAGES}.{{prefix}}.*"


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


def suggestion(glob: str) -> str:
    """The line for TAG_PATTERNS that makes a `delete_pattern` one write, as Python.

    Parts that look like values (numbers, UUIDs, digests, addresses) become placeholders. Where one touches an asterisk,
    the call has to change with it, so it is named too: '"user:{id}:*", with delete_pattern("user:42:*")'.

    Args:
        glob: as it was given to `delete_pattern`.

    Returns:
        "" if no pattern can be declared for it.
    """
    plain = tokens_of_glob(glob)
    tokens, values = _with_placeholders(plain)
    apart = separated(tokens)
    for candidate in (tokens, apart, plain):
        if values and not any(isinstance(token, Literal) for token in candidate):
            continue  # a tag for each key is no help
        try:
            pattern = parse_pattern(written(candidate))
        except PatternError:
            continue
        if pattern.bound(glob) is not None:
            return _as_python(pattern.text)
        if candidate is apart and pattern.bound(call := pattern.glob(values)) is not None:
            return f"{_as_python(pattern.text)}, with delete_pattern({_as_python(call)})"
    return ""


def _with_placeholders(tokens: Sequence[Token]) -> tuple[list[Token], dict[str, str]]:
    """The same with placeholders for what looks like a value, and what each stands for."""
    done: list[Token] = []
    values: dict[str, str] = {}
    for token in tokens:
        if not isinstance(token, Literal):
            done.append(token)
            continue
        text, at = decoded(token.raw), 0
        for found in _VALUE.finditer(text):
            name = "email" if found["email"] else "id"
            name += str(count + 1) if (count := sum(each.startswith(name) for each in values)) else ""
            values[name] = found.group()
            done += _literal(text[at : found.start()])
            done.append(Placeholder(name))
            at = found.end()
        done += _literal(text[at:])
    return done, values


def _literal(text: str) -> list[Token]:
    return [Literal(encoded(text))] if text else []


def _as_python(text: str) -> str:
    return repr(text) if '"' in text or "\\" in text else f'"{text}"'
