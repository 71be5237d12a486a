"""Templates of keys and tags: `"orders:{user_id}"`, filled from a call's arguments, checked before there is any call.

What is filled in is escaped: `%`, `/` and `:` as in a URL. None, True, False and "" are written `~None` and so on, as
no text is. Only values whose text says what they are may be filled in; anything else (a model, a request) needs an
attribute named: `{user.id}`.

In a key, so that no two calls' keys meet, also what the text between two fields begins with: a value cannot go on where
the next one begins. A tag is written as you would write it by hand: where two meet, too much is invalidated.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import inspect
import uuid
from collections.abc import Iterator, Mapping, Sequence
from string import Formatter
from typing import Any, Final

from unstale.core.keys import quote_part
from unstale.errors import ConfigurationError, InvalidKeyError

_PLAIN: Final = (str, int, float, decimal.Decimal, uuid.UUID, dt.date, dt.time, dt.timedelta)
"""Types whose text names the value, and nothing else. datetime is a date."""
_MARK: Final = "~"
_OF_ESCAPES: Final = frozenset("%~0123456789ABCDEF")


class Template:
    """One template.

    Attributes:
        text: as it was written.
        arguments: the arguments that it names.
    """

    __slots__ = ("_ends", "_parts", "arguments", "text")

    def __init__(self, text: str, parameters: Mapping[str, inspect.Parameter], *, is_key: bool = False) -> None:
        """Check it against a function's parameters.

        Args:
            text: the template.
            parameters: the function's.
            is_key: no two calls may meet.

        Raises:
            ConfigurationError: it is no str, cannot be read, or names what is no argument; two fields of a key follow
                each other with nothing between them.
        """
        given: object = text
        if not isinstance(given, str) or not given:
            raise ConfigurationError(f"A template must be a non-empty str, not {given!r}.")
        self.text = text
        try:
            parts = [(literal, field, spec or "", conversion) for literal, field, spec, conversion in _parse(text)]
        except ValueError as error:
            raise ConfigurationError(f"The template {text!r} cannot be read: {error}.") from error
        for _, field, spec, conversion in parts:
            if "{" in spec or conversion not in (None, "", "r", "s", "a"):
                raise ConfigurationError(f"The template {text!r} cannot be read: the format of {{{field}}}.")
        self._parts = parts
        self._ends = _ends_of(text, parts) if is_key else [""] * len(parts)
        self.arguments = frozenset(_argument(text, field) for _, field, _, _ in parts if field is not None)
        for name in sorted(self.arguments):
            if name not in parameters:
                known = ", ".join(parameters) or "none"
                raise ConfigurationError(
                    f"The template {text!r} names {name!r}, which is no argument. There are: {known}."
                )
            if parameters[name].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                raise ConfigurationError(
                    f"The template {text!r} names {name!r}, which is many arguments: name one each."
                )

    def filled(self, arguments: Mapping[str, Any]) -> str:
        """The text for a call.

        Raises:
            InvalidKeyError: an argument has no text that says what it is.
        """
        return "".join(
            literal if field is None else literal + _ended(self._shown(field, value), end)
            for (literal, field, value), end in zip(self._bound(arguments), self._ends, strict=True)
        )

    def _bound(self, arguments: Mapping[str, Any]) -> Iterator[tuple[str, str | None, Any]]:
        """Literal text, the field behind it, None at the end, and what a call has for it."""
        formatter = Formatter()
        for literal, field, spec, conversion in self._parts:
            value: Any = None
            if field is not None:
                try:
                    value, _ = formatter.get_field(field, (), arguments)
                    if conversion:
                        value = formatter.convert_field(value, conversion)
                    if spec:
                        value = format(value, spec)
                except (AttributeError, LookupError, TypeError, ValueError) as error:
                    raise InvalidKeyError(
                        f"{{{field}}} in {self.text!r} does not fit this argument: {type(error).__name__}."
                    ) from error
            yield literal, field, value

    def _shown(self, field: str, value: Any) -> str:
        if value is None or value is True or value is False or value == "":
            return f"{_MARK}{value}"
        if isinstance(value, enum.Enum) and not isinstance(value, str | int):
            return f"{_MARK}{quote_part(type(value).__qualname__)}.{quote_part(value.name)}"
        return quote_part(self._said(field, value)).replace(_MARK, "%7E")

    def _said(self, field: str, value: Any) -> str:
        """The text of a value, not quoted."""
        if isinstance(value, enum.Enum) and isinstance(value, str | int):
            value = value.value
        if not isinstance(value, _PLAIN):
            raise InvalidKeyError(
                f"{{{field}}} in {self.text!r} is a {type(value).__name__}, whose text does not say which one it is. "
                f"Name an attribute of it, such as {{{field}.id}}, or give a function in place of the template."
            )
        return str(value)


def _ends_of(text: str, parts: Sequence[tuple[str, str | None, str, str | None]]) -> list[str]:
    """For each part what its value must not have: the beginning of the text before the next field.

    Raises:
        ConfigurationError: there is no such text, or it could be one of an escape.
    """
    ends = []
    for at, (_, field, _, _) in enumerate(parts):
        following = parts[at + 1] if at + 1 < len(parts) else ("", None, "", None)
        end = "" if field is None or following[1] is None else following[0][:1]
        if field is not None and following[1] is not None and (not end or end in _OF_ESCAPES):
            raise ConfigurationError(
                f"The template {text!r} needs something between {{{field}}} and {{{following[1]}}} that tells where "
                "the one ends: a colon, say, and no digit, letter from A to F, % or ~."
            )
        ends.append(end)
    return ends


def _ended(shown: str, end: str) -> str:
    """A value's text without the character that ends it."""
    if not end or end not in shown:
        return shown
    return shown.replace(end, "".join(f"%{byte:02X}" for byte in end.encode()))


def _parse(text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    return list(Formatter().parse(text))


def _argument(text: str, field: str) -> str:
    name = field.partition(".")[0].partition("[")[0]
    if not name.isidentifier():
        raise ConfigurationError(f"The template {text!r} has {{{field}}}, which names no argument.")
    return name
