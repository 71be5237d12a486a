"""From names to shapes: no user is left in them, and what is the same in all names stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale.tools.doctor.names import ID, shapes, text_of


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (
            [f"shop:1:user:{user}:orders:{page}" for user in range(100, 120) for page in range(5)],
            "shop:1:user:*:orders:*",
        ),
        ([f"user{number}" for number in range(9)], "user*"),
        ([f"s:{number:08x}-0a0b-4c0d-8e0f-{number:012x}" for number in range(9)], "s:*"),
        (
            [f"views.cache_page..GET.{number:032x}.en-us.UTC" for number in range(9)],
            "views.cache_page..GET.*.en-us.UTC",
        ),
        ([f"session:{number}f3Gh7Jk9LmN2pQrStUv{number}" for number in range(9)], "session:*"),
        ([f"{{user:{number}}}/orders" for number in range(1000, 1009)], "{user:*}/orders"),
        (["lab-8ab3fcf:1:user:5"], "lab-*:*:user:*"),
        (["config"], "config"),
        (["a:1"], "a:*"),
        ([""], ""),
        (["a:2024"] * 5, "a:*"),
    ],
)
def test_a_shape(names: list[str], shape: str) -> None:
    """Numbers, UUIDs, digests and tokens are replaced; a version that all have in common is not."""
    assert set(shapes(names)) == {shape}


def test_words_where_there_are_very_many() -> None:
    """People's names become ids, and the few words that stand beside them stay."""
    people = [f"u:{first}{second}:inbox" for first in "abcdefgh" for second in "klmnopqr"]
    assert set(shapes([*people, *["u:all:inbox"] * 40])) == {"u:*:inbox", "u:all:inbox"}


def test_few_words_stay() -> None:
    """Kinds of pages are no ids."""
    assert shapes(["page:home", "page:about", "page:news"]) == ["page:home", "page:about", "page:news"]


def test_a_pattern_keeps_its_star() -> None:
    """What differs is written as TAG_PATTERNS are."""
    assert shapes([f":1:user:{user}:*" for user in (41, 42, 43)], ID) == [":1:user:{id}:*"] * 3


def test_what_cannot_be_shown_is_escaped() -> None:
    """A name is bytes, and a terminal must not obey it."""
    assert text_of(b"a\x1b[31m\xff\n") == "a\\x1b[31m\\xff\\x0a"


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), max_size=40), max_size=40))
def test_any_names(names: list[str]) -> None:
    """There is a shape for each, in order, equal for equal names, and without ids of three digits or more."""
    found = shapes(names)
    assert len(found) == len(names)
    assert len(dict(zip(names, found, strict=True))) == len(set(names))
    assert all(a == b for a, b in zip(found, shapes(names), strict=True))


@given(st.lists(st.integers(min_value=1000), min_size=1, max_size=40))
def test_no_id_is_left(numbers: list[int]) -> None:
    """Whatever the numbers."""
    assert set(shapes([f"user:{number}:cart" for number in numbers])) == {"user:*:cart"}
