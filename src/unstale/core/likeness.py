"""Whether two values are the same, without asking them.

The bytes that the codec makes of them say yes, but not always no: pickle's bytes tell whether two equal strings are one
object, and a dict or a set has an order that means nothing. An `==` of the user's own may say yes too easily: Django's
models are equal where their ids are. So what differs in bytes is taken apart: two values are alike if they have the
same types and alike parts, down to what has none.

A part is what `__reduce_ex__` gives, which is what pickle and copy take an object apart with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from unstale.core import codecs
from unstale.core.codecs import PICKLE_PROTOCOL, Codec
from unstale.errors import DecodeError

_LEAVES: Final = (bool, bytes, bytearray, complex, int, str, type(None), type, type(len), type(lambda: 0))
"""What has no parts and whose own `==` is to be trusted. Functions and classes are pickled by name."""
MAX_DEPTH: Final = 100
"""Beyond it nothing is taken apart: what is nested so deeply counts as different."""


class Print(NamedTuple):
    """A value as the codec carries it.

    Attributes:
        codec: the number of the codec.
        body: its bytes.
    """

    codec: int
    body: bytes


GONE: Final = Print(-1, b"")
"""In place of a value: there is none any more."""


def print_of(value: Any, codec: Codec) -> Print:
    """Take a value's print. What happens to the value afterwards does not change it.

    Raises:
        EncodeError: the codec cannot carry the value.
    """
    return Print(*codecs.encode(value, codec))


def plain(taken: Print, codec: Codec) -> Any:
    """The value again, as a reader would get it.

    Raises:
        DecodeError: it cannot be made again.
    """
    return codecs.decode(taken.codec, memoryview(taken.body), codec)


def is_same_print(one: Print, other: Print, codec: Codec) -> bool:
    """Whether two prints are of values that are the same: to the byte, or alike when they are decoded."""
    if one == other:
        return True
    if one.codec != other.codec:
        return False
    try:
        return is_alike(plain(one, codec), plain(other, codec))
    except DecodeError:
        return False


def is_alike(one: Any, other: Any) -> bool:
    """Whether two values have the same types and alike parts. Nothing of the user's is asked for its `==`."""
    return _is_alike(one, other, set(), 0)


def _is_alike(one: Any, other: Any, under_way: set[tuple[int, int]], depth: int) -> bool:
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other) or depth > MAX_DEPTH:
        return False
    if kind in _LEAVES:
        return bool(one == other)
    if kind is float:
        return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - nan is like nan
    pair = (id(one), id(other))
    if pair in under_way:  # they refer to themselves: what is different shows elsewhere
        return True
    under_way.add(pair)
    try:
        return _parts_alike(one, other, under_way, depth + 1)
    finally:
        under_way.discard(pair)


def _parts_alike(one: Any, other: Any, under_way: set[tuple[int, int]], depth: int) -> bool:
    kind = type(one)
    if kind is list or kind is tuple:
        return _all_alike(one, other, under_way, depth)
    if kind is dict:
        return _dicts_alike(one, other, under_way, depth)
    if kind is set or kind is frozenset:
        return len(one) == len(other) and _sets_alike(one, other, under_way, depth)
    try:
        ours, theirs = one.__reduce_ex__(PICKLE_PROTOCOL), other.__reduce_ex__(PICKLE_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever a class of the user's raises: it cannot be taken apart
        return False
    if isinstance(ours, str) or isinstance(theirs, str):  # a global, by its name
        return bool(ours == theirs)
    return len(ours) == len(theirs) and all(
        _is_alike(_part(mine), _part(its), under_way, depth) for mine, its in zip(ours, theirs, strict=True)
    )


def _part(part: Any) -> Any:
    """A part of a reduced object; of the items of a list or a dict, which come as an iterator, a list."""
    return list(part) if hasattr(part, "__next__") else part


def _all_alike(ours: Sequence[Any], theirs: Sequence[Any], under_way: set[tuple[int, int]], depth: int) -> bool:
    return len(ours) == len(theirs) and all(
        _is_alike(mine, its, under_way, depth) for mine, its in zip(ours, theirs, strict=True)
    )


def _dicts_alike(
    ours: Mapping[Any, Any], theirs: Mapping[Any, Any], under_way: set[tuple[int, int]], depth: int
) -> bool:
    """In any order. Keys are found as a dict finds them, by their own hash and `==`."""
    if len(ours) != len(theirs):
        return False
    kinds = {key: type(key) for key in theirs}
    return all(
        key in theirs and kinds[key] is type(key) and _is_alike(value, theirs[key], under_way, depth)
        for key, value in ours.items()
    )


def _sets_alike(ours: AbstractSet[Any], theirs: AbstractSet[Any], under_way: set[tuple[int, int]], depth: int) -> bool:
    """In any order; those without parts are looked up, so that a large set of these takes no time."""
    leaves, others = [{(type(part), part) for part in each if type(part) in _LEAVES} for each in (ours, theirs)]
    rest = [part for part in theirs if type(part) not in _LEAVES]
    return leaves == others and all(
        any(_is_alike(part, other, under_way, depth) for other in rest) for part in ours if type(part) not in _LEAVES
    )
