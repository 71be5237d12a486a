"""Arguments that travel to another process come back as they were, or do not travel."""

from __future__ import annotations

import datetime as dt
import enum
import json
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale.contrib.django.travelling import CannotTravelError, packed, unpacked

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.datetimes(timezones=st.just(dt.UTC))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class Colour(enum.StrEnum):
    """Equal to a str, and more."""

    RED = "red"


class Whole(int):
    """A number with something of its own."""


def types_of(value: Any) -> Any:
    """The types in a value, at any depth."""
    if isinstance(value, list | tuple):
        return type(value), [types_of(each) for each in value]
    if isinstance(value, dict):
        return dict, {name: types_of(each) for name, each in value.items()}
    return type(value)


@given(VALUES)
def test_it_comes_back(value: Any) -> None:
    """Equal, and of the same types."""
    back = unpacked(json.loads(json.dumps(packed(value))))
    assert back == value
    assert types_of(back) == types_of(value)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Colour.RED,
        Whole(1),
        b"bytes",
        {1: "a number for a name"},
        {"set"},
        object(),
        dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        [("deep", {"in": [b"it"]})],
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_it_does_not_travel(value: Any) -> None:
    """What JSON, or a mere equal value, would make something else of."""
    with pytest.raises(CannotTravelError):
        packed(value)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"~": []},
        {"~": ["tuple", 5]},
        {"~": ["uuid", "not one"]},
        {"~": ["decimal", "x"]},
        {"~": ["os.system", "ls"]},
        {"a": 1},
        {"~": ["dict", [["a"]]]},
        {"~": [["tuple"], []]},
        {"~": ["date", 5]},
    ],
    ids=repr,
)
def test_what_was_not_packed(data: Any) -> None:
    """Is refused."""
    with pytest.raises(CannotTravelError):
        unpacked(data)


def test_a_value_that_looks_packed() -> None:
    """A dict with our mark is a dict."""
    value = {"~": ["uuid", str(UUID(int=1))], "d": Decimal(1)}
    assert unpacked(packed(value)) == value
