r"""Globs and patterns as tokens: `*`, `?`, `[a-c]`, `[^a]` and `\x` as Redis reads them, and `{name}`, a placeholder.

Pure: no Django, no I/O. Everything is bytes, since a server compares bytes: `?` is one byte of a key's UTF-8. What
Redis accepts without a word, but nobody means (a bracket that is never closed), is refused in a pattern and read as
Redis reads it in a glob. Its rules are `stringmatchlen` in its util.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from unstale.errors import ConfigurationError

MAX_PATTERN_BYTES: Final = 512
"""Longer ones are mistakes, and Redis gives up at a depth of 1,000 asterisks."""

UNREADABLE: Final = "E010"
AMBIGUOUS: Final = "E011"
TOO_MANY: Final = "E012"
NEVER: Final = "E013"
BAD_TAG: Final = "E014"
SAME_TAG: Final = "W015"
EVERY_KEY: Final = "W016"
WIDER_TAG: Final = "W017"
LETTER_ENDS: Final = "W018"
TAG_PER_KEY: Final = "W019"
MANY_PARTS: Final = "W020"
"""What is found: a level and a number, the last part of a check's id."""

SEPARATORS: Final = ":./-_|"
"""What projects put between the parts of a key."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACES: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ALL: Final = frozenset(range(256))
_BACKSLASH, _STAR, _ONE, _OPEN, _CLOSE, _NOT, _DASH = (ord(char) for char in "\\*?[]^-")


class PatternError(ConfigurationError):
    """A pattern in TAG_PATTERNS, or its tag, makes no sense."""

    def __init__(self, message: str, hint: str, code: str = UNREADABLE) -> None:
        """Say what is wrong and what to do.

        Args:
            message: names the pattern.
            hint: the remedy.
            code: the last part of the check's id.
        """
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint
        self.code = code


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes that stand for themselves."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class OneOf:
    """One byte out of several: `?` is one out of all.

    Attributes:
        members: the bytes that it takes.
        source: as it was written.
    """

    members: frozenset[int]
    source: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A run of at least one character of a key.

    Attributes:
        name: between its braces.
        until: the character that follows it and ends it; b"" where it runs to the key's end.
        without: the character that it cannot hold; b"" for none.
    """

    name: str
    until: bytes = b""
    without: bytes = b""


class Asterisk(Enum):
    """`*`: any run of bytes, also an empty one."""

    ANY = "*"


ANY: Final = Asterisk.ANY
Token: TypeAlias = "Literal | OneOf | Placeholder | Asterisk"  # noqa: S105 - no password
Symbol: TypeAlias = "int | str"
"""A byte, or the name of a placeholder."""


def encoded(text: str) -> bytes:
    """A key's or a glob's bytes. Lone surrogates pass, so that no text is refused here."""
    return text.encode("utf-8", "surrogatepass")


def decoded(raw: bytes) -> str:
    """The text of what was encoded."""
    return raw.decode("utf-8", "surrogatepass")


def pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """Split at the placeholders.

    Yields:
        Literal text with `{{` and `}}` made single, and the name of the placeholder behind it, None at the end.

    Raises:
        PatternError: a brace without its other, or a bad name.
    """
    literal, at = "", 0
    for found in _BRACES.finditer(text):
        literal, at = literal + text[at : found.start()], found.end()
        if found.group() in ("{{", "}}"):
            literal += found.group()[0]
            continue
        name = found.group(1)
        if name is None:
            raise PatternError(f"{text!r} holds a brace without its other.", "Write {{ or }} for the character itself.")
        if not _NAME.fullmatch(name):
            raise PatternError(
                f"{text!r} has a placeholder without a plain name: {{{name}}}.",
                "A name has ASCII letters, digits and underscores: {id}, {user_id}.",
            )
        yield literal, name
        literal = ""
    yield literal + text[at:], None


def tokens_of_glob(glob: str) -> list[Token]:
    """The tokens of a glob, as Redis reads it: braces are themselves, and nothing is refused."""
    return _merged(_tokens(list(encoded(glob))))


def tokens_of_pattern(text: str) -> list[Token]:
    """The tokens of a pattern; its placeholders do not know yet what ends them.

    Raises:
        PatternError: it cannot be read, or no key could match it.
    """
    symbols: list[Symbol] = []
    names: list[str] = []
    for literal, name in pieces(text):
        symbols += encoded(literal)
        if name is not None:
            symbols.append(name)
            names.append(name)
    for name in names:
        if names.count(name) > 1:
            raise PatternError(
                f"Pattern {text!r} names {{{name}}} twice.", f"Call the second one {{{name}2}}; both may hold the same."
            )
    _refuse_unmeant(text, symbols)
    return _merged(_tokens(symbols))


def _refuse_unmeant(text: str, symbols: Sequence[Symbol]) -> None:
    at = 0
    while at < len(symbols):
        if symbols[at] == _BACKSLASH:
            at += 1
            if at == len(symbols) or isinstance(symbols[at], str):
                raise PatternError(f"Pattern {text!r} has a backslash with nothing to escape.", r"Write \\ for one.")
        elif symbols[at] == _OPEN:
            members, end, is_closed = _members(symbols, at + 1)
            if not is_closed:
                raise PatternError(f"Pattern {text!r} has a [ that is never closed.", r"Close it, or write \[ for one.")
            if any(isinstance(symbol, str) for symbol in symbols[at:end]):
                raise PatternError(f"Pattern {text!r} has a placeholder between [ and ].", "Put it outside.")
            if not members:
                raise PatternError(
                    f"Pattern {text!r} can never match: its [] takes no character.", r"Write \[\] for both.", NEVER
                )
            at = end - 1
        at += 1


def _tokens(symbols: Sequence[Symbol]) -> Iterator[Token]:
    at = 0
    while at < len(symbols):
        symbol = symbols[at]
        at += 1
        if isinstance(symbol, str):
            yield Placeholder(symbol)
        elif symbol == _STAR:
            yield ANY
        elif symbol == _ONE:
            yield OneOf(_ALL, "?")
        elif symbol == _OPEN:
            start, (members, at, _) = at - 1, _members(symbols, at)
            yield OneOf(
                members, bytes(each for each in symbols[start:at] if isinstance(each, int)).decode(errors="replace")
            )
        else:
            if symbol == _BACKSLASH and at < len(symbols) and isinstance(escaped := symbols[at], int):
                symbol, at = escaped, at + 1
            yield Literal(bytes([symbol]))


def _members(symbols: Sequence[Symbol], at: int) -> tuple[frozenset[int], int, bool]:
    """What brackets take: the bytes, where the glob goes on, and whether they were closed."""
    is_negated = symbols[at : at + 1] == [_NOT]
    at += is_negated
    found: set[int] = set()
    while (left := len(symbols) - at) and symbols[at] != _CLOSE:
        first = last = symbols[at]
        if first == _BACKSLASH and left > 1:
            at += 1
            first = last = symbols[at]
        elif left > 2 and symbols[at + 1] == _DASH:  # noqa: PLR2004 - "a-c" has three
            at += 2
            last = symbols[at]
        if isinstance(first, int) and isinstance(last, int):
            found.update(range(min(first, last), max(first, last) + 1))
        at += 1
    return (_ALL - found if is_negated else frozenset(found)), at + 1, bool(left)


def _merged(tokens: Iterable[Token]) -> list[Token]:
    """Literals that touch are one, and so are asterisks."""
    merged: list[Token] = []
    for token in tokens:
        if merged and isinstance(token, Literal) and isinstance(last := merged[-1], Literal):
            merged[-1] = Literal(last.raw + token.raw)
        elif token is not ANY or merged[-1:] != [ANY]:
            merged.append(token)
    return merged


def anchored(text: str, tokens: Sequence[Token]) -> list[Token]:
    """Tell each placeholder what ends it.

    Raises:
        PatternError: one is ambiguous: it touches what has no fixed text.
    """
    done: list[Token] = []
    for at, token in enumerate(tokens):
        if not isinstance(token, Placeholder):
            done.append(token)
            continue
        before = _before(tokens[:at])
        after = tokens[at + 1] if at + 1 < len(tokens) else None
        if isinstance(before, (Asterisk, Placeholder)) or not isinstance(after, (Literal, type(None))):
            raise PatternError(
                f"Placeholder {{{token.name}}} of pattern {text!r} is ambiguous: it touches a wildcard or another one.",
                f'Put a separator between them, in the keys too: "{written(separated(tokens))}".',
                AMBIGUOUS,
            )
        if after is not None:
            until = encoded(decoded(after.raw)[0])
            done.append(Placeholder(token.name, until, until))
        elif ANY in tokens[:at]:
            done.append(_last(text, tokens[:-1], token))
        else:
            done.append(token)
    return done


def _last(text: str, before: Sequence[Token], token: Placeholder) -> Placeholder:
    """A placeholder at a pattern's end, somewhere behind an asterisk: it begins behind the last separator."""
    if not isinstance(last := before[-1], Literal):
        raise PatternError(
            f"Placeholder {{{token.name}}} of pattern {text!r} is ambiguous: no fixed character precedes it.",
            f'Put a separator before it, in the keys too: "{written(separated([*before, token]))}".',
            AMBIGUOUS,
        )
    return Placeholder(token.name, b"", encoded(decoded(last.raw)[-1]))


def _before(tokens: Sequence[Token]) -> Token | None:
    """What stands before, but for what takes one byte exactly."""
    return next((token for token in reversed(tokens) if not isinstance(token, OneOf)), None)


def separated(tokens: Sequence[Token]) -> list[Token]:
    """The same with a separator wherever a placeholder touches what has no fixed text."""
    used = b"".join(token.raw for token in tokens if isinstance(token, Literal)).decode(errors="replace")
    separator = Literal(max(SEPARATORS, key=used.count).encode())
    done: list[Token] = []
    for token in tokens:
        last = done[-1] if done else None
        is_behind = isinstance(last, Placeholder) and not isinstance(token, Literal)
        if is_behind or (isinstance(token, Placeholder) and isinstance(last, (Asterisk, OneOf))):
            done.append(separator)
        done.append(token)
    return done


def written(tokens: Iterable[Token]) -> str:
    """Tokens as a pattern is written."""
    return "".join(_written(token) for token in tokens)


def _written(token: Token) -> str:
    match token:
        case Literal():
            return escaped(decoded(token.raw)).replace("{", "{{").replace("}", "}}")
        case OneOf():
            return token.source.replace("{", "{{").replace("}", "}}")
        case Placeholder():
            return f"{{{token.name}}}"
        case Asterisk():
            return "*"


def escaped(text: str) -> str:
    """Text as a glob that matches it alone."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
