"""Whether two values are the same, without asking them."""

from __future__ import annotations

import copy
import datetime as dt
import math
import pickle
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale.core.codecs import codec_named
from unstale.core.likeness import MAX_DEPTH, is_alike, is_same_print, plain, print_of


class Color(Enum):
    RED = 1
    BLUE = 2


@dataclass
class Model:
    """As Django's: equal where the ids are."""

    id: int
    fields: dict[str, Any] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b


class Unreducible:
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("no")


VALUES: list[Any] = [
    *(None, True, 0, 1, 1.5, math.nan, "", "text", b"", b"bytes", bytearray(b"x"), 1j),
    *([], [1, [2]], (), (1, "a"), {}, {"a": 1, "b": [2]}, set(), {1, "a"}, frozenset({1})),
    *(dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.date(2026, 1, 2), dt.timedelta(1), Decimal("1.10"), UUID(int=7)),
    *(Color.RED, Color, len, Model(1, {"name": "a"}), Slotted(1, [2]), SimpleNamespace(a=1)),
    *(OrderedDict(a=1, b=2), defaultdict(list, a=[1]), range(3), ValueError("why")),
]
ids = [f"{number}-{type(value).__name__}" for number, value in enumerate(VALUES)]
PAIRS = [(one, other) for i, one in enumerate(VALUES) for j, other in enumerate(VALUES) if i != j]


@pytest.mark.parametrize("value", VALUES, ids=ids)
def test_a_copy_is_alike(value: Any) -> None:
    """Whatever it is."""
    assert is_alike(value, copy.deepcopy(value))


def test_others_are_not() -> None:
    """No two of these are alike, also those that are equal: 1 and True, [] and ()."""
    assert [pair for pair in PAIRS if is_alike(*pair)] == []


DIFFERENT: list[tuple[Any, Any]] = [
    ([1, 2], [2, 1]),
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, {"b": 1}),
    ({1: "a"}, {True: "a"}),
    ({1}, {True}),
    ({1, 2}, {1, 3}),
    ({Model(1, {"n": 1})}, {Model(1, {"n": 2})}),
    (Model(1, {"name": "a"}), Model(1, {"name": "b"})),
    (Slotted(1, 2), Slotted(1, 3)),
    (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    (Color.RED, Color.BLUE),
    (Decimal("1.0"), Decimal("1.00")),
    (0.0, 1.0),
    (ValueError("a"), ValueError("b")),
    (Unreducible(), Unreducible()),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=[str(number) for number in range(len(DIFFERENT))])
def test_parts_count(one: Any, other: Any) -> None:
    """A part that differs makes the whole differ; nobody's own `==` is asked."""
    assert not is_alike(one, other)


def test_order_that_means_nothing() -> None:
    """Of dicts and sets."""
    assert is_alike({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert is_alike({"a", "b", (1, 2)}, {(1, 2), "b", "a"})


def test_what_refers_to_itself() -> None:
    """Ends, and what differs beside it shows."""
    ours: list[Any] = [1]
    theirs: list[Any] = [1]
    ours.append(ours)
    theirs.append(theirs)
    assert is_alike(ours, theirs)
    theirs.append(2)
    ours.append(3)
    assert not is_alike(ours, theirs)


def test_what_is_nested_too_deeply_is_not_alike() -> None:
    """It is not looked into for ever."""
    one: Any = None
    other: Any = None
    for _ in range(MAX_DEPTH + 2):
        one, other = [one], [other]
    one_leaf, other_leaf = [one, "x"], [other, "x"]
    assert not is_alike(one_leaf, other_leaf)


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def written(value: Any) -> str:
    """Plain data, written out with its types; dicts in the order of their keys. Both zeros are one."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key!r}:{written(value[key])}' for key in sorted(value))}}}"
    return repr(0.0 if value == 0 and isinstance(value, float) else value)


@given(value=plain_data, other=plain_data)
def test_plain_data_is_alike_where_it_is_written_alike(value: Any, other: Any) -> None:
    """And only there."""
    assert is_alike(value, copy.deepcopy(value))
    assert is_alike(value, other) == (written(value) == written(other))
    assert is_alike([value, 1], [other, 1]) == (written(value) == written(other))


@pytest.mark.parametrize("name", ["msgpack", "json", "pickle"])
def test_a_print_is_of_what_a_reader_gets(name: str) -> None:
    """A value that came from the cache has the print of the one that went in."""
    codec = codec_named(name)
    value = {"orders": [{"id": 1, "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "who": UUID(int=3)}], "n": 2}
    loaded = print_of(value, codec)
    assert is_same_print(print_of(plain(loaded, codec), codec), loaded, codec)


def test_pickles_that_differ_in_sharing_only() -> None:
    """Two equal strings that are one object, or two: the bytes differ, the values do not."""
    codec = codec_named("pickle")
    one, other = (str(number) for number in (12345, 12345))
    shared, apart = [one, one], [one, other]
    prints = [print_of(value, codec) for value in (shared, apart)]
    assert pickle.dumps(shared) != pickle.dumps(apart)
    assert prints[0] != prints[1]
    assert is_same_print(*prints, codec)


def test_a_print_does_not_change_with_its_value() -> None:
    """Who is served it may change it."""
    codec = codec_named("msgpack")
    value = {"a": [1]}
    taken = print_of(value, codec)
    value["a"].append(2)
    assert is_same_print(taken, print_of({"a": [1]}, codec), codec)
    assert not is_same_print(taken, print_of(value, codec), codec)


def test_prints_of_other_kinds() -> None:
    """Bytes, a number and a list are never the same; nor is what cannot be made again."""
    codec = codec_named("msgpack")
    prints = [print_of(value, codec) for value in (b"1", 1, [1], "1")]
    same = [
        (i, j) for i, one in enumerate(prints) for j, other in enumerate(prints) if is_same_print(one, other, codec)
    ]
    assert same == [(0, 0), (1, 1), (2, 2), (3, 3)]
    broken = prints[2]._replace(body=b"\xc1")
    assert not is_same_print(prints[2], broken, codec)
