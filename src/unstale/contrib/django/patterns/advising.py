"""What to declare, or call, in place of a `delete_pattern` that is not declared; said once for each shape of glob.

Pure: no Django, no I/O; the backend says it. A line that is proposed matches the keys of the glob that was given, they
and no others; where only another call could be declared, it is named with a key that it no longer matches.

A glob's shape is its parts, cut at its main separator, with numbers, dates, UUIDs, digests and addresses as
placeholders. A part that has another text in a second glob is taken for a value, too: `article:a:*`, `article:b:*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Final, NamedTuple, TypeAlias

from unstale.contrib.django.patterns.anchoring import key_of_many_parts
from unstale.contrib.django.patterns.parsing import Pattern, parse_pattern
from unstale.contrib.django.patterns.tokens import (
    ANY,
    Literal,
    OneOf,
    PatternError,
    Placeholder,
    Token,
    decoded,
    encoded,
    separated,
    tokens_of_glob,
    written,
)

MAX_SHAPES: Final = 200
"""Most shapes that are kept: after them nothing is news."""
_MAIN: Final = ":|/._-"
"""Separators: the first one that a glob has is its main one."""
_VALUE: Final = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        (?P<email>[A-Za-z0-9.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)
        | [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}
        | (?P<date>(?<!-)[0-9]{4}-[0-9]{2}-[0-9]{2}(?!-))
        | (?=[0-9]*[a-f]+[0-9])[0-9a-f]{8,} | (?=[a-f]*[0-9])[0-9a-f]{8,}
        | [0-9]+
    )(?![A-Za-z0-9])""",
    re.VERBOSE,
)
"""Parts of a key that look like a value. A date beside a hyphen is three: a placeholder cannot hold that."""
_SEPARATORS: Final = tuple(Literal(each.encode()) for each in _MAIN)
_DIGITS: Final = re.compile(rb"[0-9]+")

Part: TypeAlias = tuple[Token, ...]
"""A separator, a wildcard, or the text and the values between two of them."""
Shape: TypeAlias = tuple[Part, ...]


class Advice(NamedTuple):
    """What to do about one undeclared glob.

    Attributes:
        text: sentences.
        is_news: whether it was not said before of a glob of this shape.
    """

    text: str
    is_news: bool


class Advisor:
    """Knows the undeclared globs that a cache was given: their shapes."""

    __slots__ = ("_shapes",)

    def __init__(self) -> None:
        """Know none."""
        self._shapes: list[Shape] = []

    def advice(self, glob: str) -> Advice:
        """What to do about an undeclared glob.

        Args:
            glob: as it was given to `delete_pattern`.
        """
        values: dict[str, str] = {}
        shape = _shape(glob, values)
        known = next((each for each in reversed(self._shapes) if _fits(shape, each)), None)
        wide = known or next(_widened(shape, self._shapes), shape)
        is_news = known is None and (wide != shape or not any(_is_alike(shape, each) for each in self._shapes))
        is_news = is_news and len(self._shapes) < MAX_SHAPES
        if is_news:
            self._shapes.append(wide)
        return Advice(_text(glob, shape, wide, values), is_news)


def _shape(glob: str, values: dict[str, str]) -> Shape:
    """A glob's shape; what its placeholders stand for is put into values."""
    tokens = _with_placeholders(tokens_of_glob(glob), values)
    text = "".join(decoded(token.raw) for token in tokens if isinstance(token, Literal))
    main = next((each for each in _MAIN if each in text), "")
    parts: list[Part] = [()]
    for token in _cut(tokens, main):
        if isinstance(token, Placeholder) or (isinstance(token, Literal) and decoded(token.raw) != main):
            parts[-1] = (*parts[-1], token)
        else:
            parts += [(token,), ()]
    return tuple(part for part in parts if part)


def _with_placeholders(tokens: Sequence[Token], values: dict[str, str]) -> list[Token]:
    """The same with placeholders for what looks like a value."""
    done: list[Token] = []
    for token in tokens:
        if not isinstance(token, Literal):
            done.append(token)
            continue
        text, at = decoded(token.raw), 0
        for found in _VALUE.finditer(text):
            name = _free(found.lastgroup or "id", values)
            values[name] = found.group()
            done += [*_literals(text[at : found.start()]), Placeholder(name)]
            at = found.end()
        done += _literals(text[at:])
    return done


def _free(name: str, taken: Mapping[str, str]) -> str:
    """This name, or the first one with a number that is free."""
    return name if name not in taken else next(free for n in count(2) if (free := f"{name}{n}") not in taken)


def _cut(tokens: Iterable[Token], main: str) -> Iterator[Token]:
    for token in tokens:
        if isinstance(token, Literal) and main:
            yield from _literals(*re.split(f"({re.escape(main)})", decoded(token.raw)))
        else:
            yield token


def _literals(*texts: str) -> list[Token]:
    return [Literal(encoded(text)) for text in texts if text]


def _is_text(part: Part) -> bool:
    """Whether a part may be a value, that is neither a separator nor a wildcard."""
    return not (len(part) == 1 and (part[0] is ANY or isinstance(part[0], OneOf) or part[0] in _SEPARATORS))


def _is_value(part: Part) -> bool:
    return len(part) == 1 and isinstance(part[0], Placeholder)


def _fits(shape: Shape, known: Shape) -> bool:
    """Whether a glob of a shape has another one as well, whose placeholders take whole parts."""
    return len(shape) == len(known) and not _differing(shape, known)


def _differing(shape: Shape, known: Shape) -> list[int]:
    pairs = enumerate(zip(shape, known, strict=True))
    return [at for at, (own, other) in pairs if own != other and not (_is_value(other) and _is_text(own))]


def _is_alike(shape: Shape, known: Shape) -> bool:
    """Whether they differ in digits only: those of `user42*` are beside a letter, and no placeholder can be there."""
    return _without_digits(shape) == _without_digits(known)


def _without_digits(shape: Shape) -> list[Token]:
    tokens = chain.from_iterable(shape)
    return [Literal(_DIGITS.sub(b"0", token.raw)) if isinstance(token, Literal) else token for token in tokens]


def _widened(shape: Shape, known: Iterable[Shape]) -> Iterator[Shape]:
    """Known shapes that differ in one part, with a placeholder there.

    The first text of a glob is no value: `users:*` and `orders:*` have nothing in common.
    """
    for other in known:
        places = _differing(shape, other) if len(other) == len(shape) else []
        if len(places) != 1 or not _is_text(own := shape[at := places[0]]) or not _is_text(other[at]):
            continue
        names = {token.name: "" for token in chain.from_iterable(other) if isinstance(token, Placeholder)}
        if any(_is_text(part) and isinstance(part[0], Literal) for part in shape[:at]):
            yield (*other[:at], own if _is_value(own) else (Placeholder(_free("slug", names)),), *other[at + 1 :])


def _text(glob: str, shape: Shape, wide: Shape, values: Mapping[str, str]) -> str:
    plain = tokens_of_glob(glob)
    if plain == [ANY]:
        return "Call clear(): it invalidates all keys with one write, those of other versions too."
    if _exact(plain, glob) is None:
        return "No pattern can be declared for it."
    if all(isinstance(token, Literal) for token in plain):
        return f"It has no wildcard: call delete({_as_python(_shortest(plain))})."
    own, put = _exact(chain.from_iterable(shape), glob), _exact(chain.from_iterable(wide), glob)
    if put and own and put.text != own.text:
        return (
            f"Put a placeholder where the value stands, and add to TAG_PATTERNS: {_as_python(put.text)}; "
            f"or, if that is no value: {_as_python(own.text)}.{_note(put)}"
        )
    if own and own.names:
        return f"Add to TAG_PATTERNS: {_as_python(own.text)}.{_note(own)}"
    line = f"Add to TAG_PATTERNS: {_as_python(written(plain))}"
    apart = _apart(plain, shape, wide, values) if wide != shape or values else ""
    return f"{line}{_of_other_values(shape, wide)}{apart}"


def _of_other_values(shape: Shape, wide: Shape) -> str:
    """How a line of literal text goes on."""
    if any(isinstance(token, Placeholder) for token in chain.from_iterable(wide)):
        return "; each other value needs a line of its own."
    if any(isinstance(token, Literal) and _DIGITS.search(token.raw) for token in chain.from_iterable(shape)):
        return "; each other number needs a line of its own, or a separator on both sides, in the keys too."
    if _is_text(shape[0]) and sum(map(_is_text, shape)) > 1:
        return ", with a placeholder such as {id} in place of a part that is a value."
    return "."


def _exact(tokens: Iterable[Token], glob: str) -> Pattern | None:
    """The pattern of these tokens, if the glob is declared by it."""
    tokens = list(tokens)
    if not any(isinstance(token, Literal) for token in tokens):
        return None  # a tag for each key is no help
    try:
        pattern = parse_pattern(written(tokens))
    except PatternError:
        return None
    return None if pattern.bound(glob) is None else pattern


def _apart(plain: Sequence[Token], shape: Shape, wide: Shape, values: Mapping[str, str]) -> str:
    """The pattern with separators round the values, and the call that goes with it, which matches fewer keys."""
    given = dict(values)
    for own, put in zip(shape, wide, strict=True):
        if own != put and isinstance(put[0], Placeholder):
            given[put[0].name] = "".join(
                values[token.name] if isinstance(token, Placeholder) else written([token]) for token in own
            )
    tokens = separated(list(chain.from_iterable(wide)))
    try:
        pattern = parse_pattern(written(tokens))
    except PatternError:
        return ""
    call = pattern.glob(given)
    if pattern.bound(call) is None:
        return ""
    return (
        f" Or put a separator beside the value, in keys and calls: {_as_python(pattern.text)}, with "
        f"delete_pattern({_as_python(call)}), which does not match a key such as {_as_python(_shortest(plain))}."
        f"{_note(pattern)}"
    )


def _shortest(plain: Iterable[Token]) -> str:
    """The shortest key that a glob matches: its asterisks take nothing."""
    raw = b""
    for token in plain:
        if isinstance(token, Literal):
            raw += token.raw
        elif isinstance(token, OneOf):
            raw += bytes([min(token.members, key=lambda each: (not chr(each).isalnum(), each))])
    return raw.decode("utf-8", "replace")


def _note(pattern: Pattern) -> str:
    if not key_of_many_parts(pattern):
        return ""
    return (
        " Keys of many parts are not cached then: better begin pattern and call with the text that the keys begin with."
    )


def _as_python(text: str) -> str:
    return repr(text) if '"' in text or "\\" in text else f'"{text}"'
