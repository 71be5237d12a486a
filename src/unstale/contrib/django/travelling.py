"""Arguments as data for another process: plain JSON, and back exactly what went in. What would not is refused. Pure.

JSON knows scalars and lists; all else that a key's template takes is marked: {"~": [kind, what JSON knows]}.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from unstale.errors import UnstaleError

MARK: Final = "~"
_AS_TEXT: Final[dict[type, tuple[str, Callable[[Any], str]]]] = {
    UUID: ("uuid", str),
    Decimal: ("decimal", str),
    dt.datetime: ("datetime", dt.datetime.isoformat),
    dt.date: ("date", dt.date.isoformat),
    dt.time: ("time", dt.time.isoformat),
}
_OF_TEXT: Final[dict[str, Callable[[str], Any]]] = {
    "uuid": UUID,
    "decimal": Decimal,
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
}
_ZONES: Final = (None, dt.UTC)
"""Others come back as a mere offset."""


class CannotTravelError(UnstaleError, TypeError):
    """Another process cannot be told of this loader. Decorate a function of a module with `cached`; see its page."""


def packed(value: Any) -> Any:
    """A value for JSON.

    Raises:
        CannotTravelError: it is of no type that comes back as it was: None, bool, int, float, str, list, tuple, dict
            with str keys, UUID, Decimal, date, time, datetime (without a zone, or in UTC).
    """
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    if kind is list:
        return [packed(each) for each in value]
    if kind is tuple:
        return {MARK: ["tuple", [packed(each) for each in value]]}
    if kind is dict and all(type(name) is str for name in value):
        return {MARK: ["dict", [[name, packed(each)] for name, each in value.items()]]}
    if kind in _AS_TEXT and getattr(value, "tzinfo", None) in _ZONES:
        name, text = _AS_TEXT[kind]
        return {MARK: [name, text(value)]}
    raise CannotTravelError(f"An argument of type {kind.__name__} cannot travel to another process as it is.")


def unpacked(data: Any) -> Any:
    """The value again.

    Raises:
        CannotTravelError: this is nothing that `packed` made.
    """
    if isinstance(data, list):
        return [unpacked(each) for each in data]
    if not isinstance(data, dict):
        return data
    try:
        [name, inner] = data[MARK]
        if name == "tuple":
            return tuple(unpacked(inner))
        if name == "dict":
            return {each: unpacked(value) for each, value in inner}
        return _OF_TEXT[name](inner)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise CannotTravelError("These arguments are none that unstale has packed.") from error
