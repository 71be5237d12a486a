"""From names to shapes: no user is left in them, and what is the same in all names stays."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale.tools.doctor.names import ID, LONGEST, STAR, shapes, text_of
from unstale.tools.doctor.sampling import Sample, Seen, keyspace_of


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
        ([f"lab-8ab3fcf:1:user:{number}" for number in range(5)], "lab-*:1:user:*"),
        (["lab-8ab3fcf:1:user:5"], "*:*:*:*"),
        (["config"], "*"),
        (["config"] * 3, "config"),
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


def test_words_that_many_names_have_stay() -> None:
    """Kinds of pages are no ids; what only one or two have may be one."""
    often = [f"page:{name}:{number}" for name in ("home", "about", "news") for number in range(3)]
    assert set(shapes(often)) == {"page:home:*", "page:about:*", "page:news:*"}
    assert set(shapes(["page:home", "page:about", "page:news"])) == {"page:*"}


def test_of_many_names_a_word_needs_many() -> None:
    """One in two hundred, and three at the least."""
    orders = [f"shop:user:{number}:orders" for number in range(3960)]
    found = shapes([*orders, *[f"shop:user:{number}:cart" for number in range(20)], *["shop:list:john:x"] * 19])
    assert set(found) == {"shop:user:*:orders", "shop:user:*:cart", "shop:*:*:*"}


MANY_OTHERS = [f"shop:1:user:{number}:orders:{number % 7}" for number in range(1000)]
RARE = {"password-reset-of-john-smith": "john", "profile:alice-smith:avatar": "alice"}
BY_LOOK = {
    "cart:dave@example.com": "dave",
    "cart:%64ave%40example.com": "ave",
    "token:PQJyKmzQkRH*DexD-GuVt": "JyK",
    "shop:s:{user:jane.roe@example.com}": "roe",
    "session:" + "qzkwx" * 5: "qzkwx",
    "session:mfrggzdfmztwq2lk": "mfrgg",
    "session:Ab3dE9fG": "Ab",
    "django.contrib.sessions.cachek1j2h3g4f5d6s7a8p9o0i1u2y3t4r5": "k1j2",
    "file:\\xe4\\xf6name": "name",
}
SECRETS = RARE | BY_LOOK


@pytest.mark.parametrize("others", [[], MANY_OTHERS], ids=["alone", "among many"])
@pytest.mark.parametrize("name", SECRETS)
def test_what_may_be_somebody_s_is_a_star(name: str, others: list[str]) -> None:
    """Among other keys, and alone."""
    assert SECRETS[name] not in shapes([*others, name])[-1]


@pytest.mark.parametrize("name", BY_LOOK)
@pytest.mark.parametrize("times", [1, 3, 50])
def test_addresses_and_tokens_are_stars_however_often(name: str, times: int) -> None:
    """By their look; also in patterns."""
    assert SECRETS[name] not in shapes([name] * times)[0]
    assert SECRETS[name] not in shapes([f"{name}:*"] * times, ID)[0]


@pytest.mark.parametrize(
    "name", ["UserProfile:userID", "getItems", "views.decorators.cache.cache_header", "HTMLParser:Etag"]
)
def test_words_by_their_look(name: str) -> None:
    """Names of code are no tokens, where many names have them."""
    assert shapes([f"{name}:{number}" for number in range(9)])[0].startswith(name)


@pytest.mark.parametrize("name", ["x" * 80_000, "x-" * 40_000, "a b" * 27_000, ":" * 80_000, "word " * 10, "ab:" * 7])
def test_a_shape_is_short(name: str) -> None:
    """Whatever the name."""
    assert all(len(shapes([name] * 9, mark)[0]) <= LONGEST for mark in (STAR, ID))


def test_single_words_of_few_patterns_stay() -> None:
    """They are of the code; among many patterns they may be a user's."""
    assert shapes(["shop:user:41:*", "page:home:*"], ID) == ["shop:user:{id}:*", "page:home:*"]
    many = [f"shop:user:{number}:*" for number in range(40)]
    assert shapes([*many, "shop:user:anna:*"], ID) == ["shop:user:{id}:*"] * 41


def test_ids_by_look_and_by_rareness_are_one_shape() -> None:
    """A number, and a word that is rare, at the same place."""
    words = [f"user:{letter}nna" for letter in "abcdefghijklmnopqrstuvwxyz"]
    assert set(shapes([*[f"user:{number}" for number in range(5)], *words])) == {"user:*"}


def test_a_pattern_keeps_its_star() -> None:
    """What differs is written as TAG_PATTERNS are."""
    assert shapes([f":1:user:{user}:*" for user in (41, 42, 43)], ID) == [":1:user:{id}:*"] * 3


def test_what_cannot_be_shown_is_escaped() -> None:
    """A name is bytes, and a terminal must not obey it."""
    assert text_of(b"a\x1b[31m\xff\n") == "a\\x1b[31m\\xff\\x0a"
    assert text_of("\u2028\u202e".encode()) == "\\u2028\\u202e"
    assert set(shapes([text_of(b"a:\x1b[31m")] * 9, ID)) == {"a:{id}[31m"}


PARTS = st.one_of(
    st.text(max_size=30),
    st.text("abcXYZ019-_*", max_size=24),
    st.sampled_from(
        ["user", "orders", "42", "7", "\0", "\\x1b", "*", "a@b.c", "0" * 32, "anna-maria", "K9fT3hQ2xLm8pR4w"]
    ),
    st.uuids().map(str),
    st.integers(0, 10**9).map(str),
)
NAMES = st.lists(st.tuples(PARTS, st.sampled_from([":", ".", "::", "/", "{", "", "-"]), PARTS, PARTS).map("".join))


@given(
    st.lists(NAMES, max_size=8).map(lambda lists: [name for names in lists for name in names]),
    st.sampled_from([STAR, ID]),
)
def test_any_names(names: list[str], mark: str) -> None:
    """There is a shape for each, in order, equal for equal names, and the same each time."""
    found = shapes(names, mark)
    assert len(found) == len(names)
    assert len(set(zip(names, found, strict=True))) == len(set(names))
    assert found == shapes(list(names), mark)
    assert all(len(shape) <= LONGEST for shape in found)


def test_sessions_of_django() -> None:
    """Twenty thousand names of 32 letters and digits: some look like digests, some like words."""
    random = Random(1)
    signs = "abcdefghijklmnopqrstuvwxyz0123456789"
    names = [f":1:django.contrib.sessions.cache{''.join(random.choices(signs, k=32))}" for _ in range(20_000)]
    assert set(shapes(names)) == {":1:django.contrib.sessions.*"}


@given(st.lists(st.integers(min_value=1000), min_size=1, max_size=40))
def test_no_id_is_left(numbers: list[int]) -> None:
    """Whatever the numbers."""
    assert set(shapes([f"user:{number}:cart" for number in numbers * 3])) == {"user:*:cart"}


def test_no_shape_is_listed_twice() -> None:
    """Of keys of one kind; also where shapes differ only behind their end."""
    long = [f"{'word:' * 10}{'/' * 160}{kind}:{number}" for kind in ("aa", "bb") for number in range(5)]
    mixed = [
        *long,
        *[f"user:{number}" for number in range(9)],
        *[f"user:{letter}nna" for letter in "abcdefghijklmnopqrstuvw"],
    ]
    seen = [Seen(name.encode(), -1, 60, None) for name in mixed]
    listed = [(one.shape, one.kind) for one in keyspace_of(Sample(seen), len(seen)).shapes]
    assert len(listed) == len(set(listed)) == 2
