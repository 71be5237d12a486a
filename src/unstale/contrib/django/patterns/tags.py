"""Tags of patterns: templates, given or derived from a pattern, and how the values of placeholders are quoted in them.

Pure: no Django, no I/O. No two bindings share a tag: `%`, `/` and `:` in a value are escaped as the templates of tags
escape them everywhere, and so are control characters, an asterisk at the beginning, and the character that ends the
placeholder in the template. A value that is too long is replaced by a digest of it, always the same.

A tag that is not given is the pattern without the wildcards and separators at its ends; inside, wildcards become `~`.
A slash becomes a colon, since a derived tag is to name its keys and no others, so it has no ancestors.

    user:{id}:*                 user:{id}
    *user_list*                 user_list
    *.{prefix}.*                {prefix}
    stock:{id}:*:load           stock:{id}:~:load
    page_*/laws/{slug}/*        page_~:laws:{slug}
    *                           ~
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Final

from unstale.contrib.django.patterns.tokens import (
    BAD_TAG,
    SEPARATORS,
    Literal,
    PatternError,
    Placeholder,
    Token,
    decoded,
    encoded,
    pieces,
)
from unstale.core.keys import check_tag
from unstale.errors import InvalidTagError

MAX_VALUE_BYTES: Final = 64
"""Longer ones, quoted, are hashed."""
MAX_TAG_BYTES: Final = 200
"""Of a pattern's tag. The backend puts prefix and version before it, and the core takes 256."""
_DIGEST: Final = "%~"
"""Begins a hashed value; in quoted ones, two hexadecimal digits follow a percent sign."""
_HASHED_BYTES: Final = len(_DIGEST) + 32
_WILD: Final = "~"


def strange(stop: str = "") -> re.Pattern[str]:
    """What is escaped in a value.

    Args:
        stop: the character that follows the placeholder, if another placeholder comes later.
    """
    return re.compile(rf"[%/:\x00-\x1f\x7f-\x9f\ud800-\udfff{re.escape(stop)}]|\A\*")


def quoted(value: str, escape: re.Pattern[str]) -> str:
    """A value as it stands in a tag."""
    return escape.sub(_percent, value)


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in encoded(found.group()))


def _hashed(value: str) -> str:
    return _DIGEST + blake2b(encoded(value), digest_size=16).hexdigest()


class TagTemplate:
    """What a pattern's keys are tagged with.

    Attributes:
        text: as it was given or derived.
        names: the placeholders in it.
    """

    __slots__ = ("_parts", "_size", "_tail", "names", "text")

    def __init__(self, text: str, pattern: str) -> None:
        """Read it.

        Args:
            text: `user:{id}/orders`.
            pattern: what messages name.

        Raises:
            PatternError: it cannot be read, makes no tag, or two bindings could share one.
        """
        given: object = text
        if not isinstance(given, str):
            raise PatternError(
                f"The tag of pattern {pattern!r} must be a str, not {given!r}.", 'Write one: "user:{id}".', BAD_TAG
            )
        found = list(pieces(text))
        self.text = text
        self.names = tuple(name for _, name in found if name is not None)
        self._tail = found[-1][0]
        self._parts = [(literal, name, strange(_stop(text, after))) for (literal, name), after in _with_next(found)]
        self._size = sum(len(encoded(literal)) for literal, _ in found)
        if self._size + _HASHED_BYTES * len(self.names) > MAX_TAG_BYTES:
            raise PatternError(f"The tag {text!r} of pattern {pattern!r} is too long.", "Give a shorter one.", BAD_TAG)
        try:
            check_tag(self.rendered(dict.fromkeys(self.names, "x")))
        except InvalidTagError as error:
            raise PatternError(
                f"The tag {text!r} of pattern {pattern!r} cannot be used: {error}", "Give another one.", BAD_TAG
            ) from error

    def rendered(self, values: Mapping[str, str]) -> str:
        """The tag of a binding.

        Args:
            values: what each placeholder holds, not quoted.
        """
        tag = self._rendered(values, MAX_VALUE_BYTES)
        return tag if len(encoded(tag)) <= MAX_TAG_BYTES else self._rendered(values, _HASHED_BYTES)

    def _rendered(self, values: Mapping[str, str], most: int) -> str:
        tag = ""
        for literal, name, escape in self._parts:
            value = values[name]
            part = quoted(value, escape) if len(value) <= most else ""
            tag += literal + (part if part and len(encoded(part)) <= most else _hashed(value))
        return tag + self._tail


def _with_next(found: Sequence[tuple[str, str | None]]) -> Iterable[tuple[tuple[str, str], str | None]]:
    """Each placeholder with its literal text, and the literal text up to the next placeholder, None for the last."""
    for (literal, name), (after, later) in pairwise(found):
        if name is not None:
            yield (literal, name), (None if later is None else after)


def _stop(text: str, after: str | None) -> str:
    if after is None:
        return ""
    if not after or after[0] == "%":
        raise PatternError(
            f"In the tag {text!r}, nothing tells where one placeholder ends.",
            'Put a separator between two placeholders, not a percent sign: "{a}:{b}".',
            BAD_TAG,
        )
    return after[0]


def derived(tokens: Sequence[Token]) -> str:
    """The tag's template of a pattern that comes without."""
    parts: list[str] = []
    for token in tokens:
        match token:
            case Literal():
                parts.append(decoded(token.raw).replace("/", ":").replace("{", "{{").replace("}", "}}"))
            case Placeholder():
                parts.append(f"{{{token.name}}}")
            case _ if parts[-1:] != [_WILD]:
                parts.append(_WILD)
    text = "".join(parts)
    return text.strip(_WILD + SEPARATORS) or text
