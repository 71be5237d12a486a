"""What is said of an undeclared `delete_pattern`: lines that match what it matches, once for each shape."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from string import ascii_letters

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unstale.contrib.django.patterns import Advisor, Matcher

LINE = re.compile(r'(?:TAG_PATTERNS|value): ("[^"]*")')


def said(*globs: str) -> str:
    """What is said of the last of these globs."""
    advisor = Advisor()
    return [advisor.advice(glob).text for glob in globs][-1]


def news(*globs: str) -> list[bool]:
    """Of which of these globs something is said."""
    advisor = Advisor()
    return [advisor.advice(glob).is_news for glob in globs]


@pytest.mark.parametrize(
    ("glob", "line"),
    [
        ("user:42:orders:*", '"user:{id}:orders:*".'),
        ("group_7_*", '"group_{id}_*".'),
        ("*.books.*", '"*.books.*".'),
        ("*.www.example.com.*", '"*.www.example.com.*".'),
        ("*:org:7:*", '"*:org:{id}:*".'),
        ("u:550e8400-e29b-41d4-a716-446655440000:*", '"u:{id}:*".'),
        ("session:deadbeef01:*", '"session:{id}:*".'),
        ("x:a.b@example.org:1:*", '"x:{email}:{id}:*".'),
        ("costs:*:3:4:*", '"costs:*:{id}:{id2}:*".'),
        ("report_*_2024_1", '"report_*_{id}_{id2}".'),
        ("report:2026-11-25:*", '"report:{date}:*".'),
        ("report-2026-11-25-*", '"report-{id}-{id2}-{id3}-*".'),
        ("{x}:1:*", '"{{x}}:{id}:*".'),
        ("cafe:*", '"cafe:*".'),
        ('a"b:1:*', "'a\"b:{id}:*'."),
        ("article:slug-a:*", '"article:slug-a:*", with a placeholder'),
        ("user42*", '"user42*"; each other number needs a line of its own'),
        ("u-550e8400-e29b-41d4-a716-446655440000-*", '"u-550e8400-e29b-41d4-a716-446655440000-*"; each other value'),
    ],
)
def test_the_line(glob: str, line: str) -> None:
    """Numbers, dates, UUIDs, digests and addresses become placeholders where they can be; the rest stays."""
    assert f"Add to TAG_PATTERNS: {line}" in said(glob)


@pytest.mark.parametrize(
    ("glob", "pattern", "call", "lost"),
    [
        ("user_42*", "user_{id}_*", "user_42_*", "user_42"),
        ("user:3*:*", "user:{id}:*:*", "user:3:*:*", "user:3:"),
        ("*42*", "*:{id}:*", "*:42:*", "42"),
        ("a:42?", "a:{id}:?", "a:42:?", "a:420"),
    ],
)
def test_another_call_is_named_with_what_it_loses(glob: str, pattern: str, call: str, lost: str) -> None:
    """First the line that matches the same; then the one with a separator, and a key that its call does not match."""
    text = said(glob)
    assert f'TAG_PATTERNS: "{glob}"; each other value needs a line of its own.' in text
    assert f'"{pattern}", with delete_pattern("{call}"), which does not match a key such as "{lost}".' in text
    assert Matcher([pattern]).tag_for_delete(call) is not None
    assert fnmatchcase(lost, glob)
    assert not fnmatchcase(lost, call)


@pytest.mark.parametrize(
    ("glob", "call"),
    [
        ("*", "Call clear()"),
        ("**", "Call clear()"),
        ("products_all", 'call delete("products_all").'),
        (r"a\*b", 'call delete("a*b").'),
        ("42", 'call delete("42").'),
    ],
)
def test_another_verb(glob: str, call: str) -> None:
    """Every key is for `clear`, one key for `delete`; no line is proposed."""
    assert call in said(glob)
    assert "TAG_PATTERNS" not in said(glob)


@pytest.mark.parametrize("glob", ["a[bc", "", "a\x00*"])
def test_no_pattern_can_be_declared(glob: str) -> None:
    """What cannot be read as a pattern."""
    assert said(glob) == "No pattern can be declared for it."


def test_keys_of_many_parts_are_named() -> None:
    """A line with which keys of many parts are not cached says so."""
    assert "many parts" in said("*:42:*")
    assert "many parts" not in said("a:42:*")


def test_a_second_text_at_the_same_place_is_a_value() -> None:
    """A placeholder is proposed, and the text itself for the case that it is none."""
    text = said("article:slug-a:*", "article:b:*")
    assert LINE.findall(text) == ['"article:{slug}:*"', '"article:b:*"']
    assert LINE.findall(said("article:my-2:*", "article:b:*"))[0] == '"article:{slug}:*"'
    assert LINE.findall(said("user:bob:*", "user:42:*")) == ['"user:{id}:*"']
    assert LINE.findall(said("a:x:b:y:*", "a:z:b:y:*", "a:z:b:w:*"))[0] == '"a:{slug}:b:{slug2}:*"'


def test_a_second_value_beside_a_wildcard() -> None:
    """No placeholder can stand there: the line stays, and the changed call is named."""
    text = said("article:a*", "article:b*")
    assert 'TAG_PATTERNS: "article:b*"; each other value needs a line of its own.' in text
    assert 'delete_pattern("article:b:*"), which does not match a key such as "article:b".' in text


def test_the_first_text_of_a_glob_is_no_value() -> None:
    """Two kinds of keys are two lines."""
    assert LINE.findall(said("orders:*", "users:*")) == ['"users:*"']
    assert LINE.findall(said("*.books.*", "*.orders.*")) == ['"*.orders.*"']


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        ([f"user:{number}:*" for number in range(20)], [True] + [False] * 19),
        ([f"user_{number}*" for number in range(20)], [True] + [False] * 19),
        ([f"user{number}*" for number in range(20)], [True] + [False] * 19),
        ([f"product_{number}" for number in range(20)], [True] + [False] * 19),
        ([f"article:slug-{letter}:*" for letter in "abcdefgh"], [True, True] + [False] * 6),
        ([f"article:{letter}*" for letter in "abcdefgh"], [True, True] + [False] * 6),
        (["user:42:*", "user:bob:*"], [True, False]),
        (["orders:*", "users:*", "carts:*", "orders:*"], [True, True, True, False]),
        (["*", "*"], [True, False]),
    ],
)
def test_each_shape_is_said_once(globs: list[str], expected: list[bool]) -> None:
    """Numbers once; texts twice, since only the second one shows that there is a value."""
    assert news(*globs) == expected


def test_shapes_are_bounded() -> None:
    """After so many nothing is news, and advice is given still."""
    globs = [f"{first}{second}:*" for first in ascii_letters for second in "abcdef"]
    assert sum(news(*globs)) == 200
    assert LINE.findall(said(*globs)) == [f'"{globs[-1]}"']


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("ab1:._*?@-{}é"), min_size=1, max_size=12), min_size=1, max_size=4))
def test_every_line_is_exact(globs: list[str]) -> None:
    """With any line that is proposed, that glob is declared, whatever was asked before."""
    for line in LINE.findall(said(*globs)):
        assert Matcher([line[1:-1]]).tag_for_delete(globs[-1]) is not None


@settings(deadline=None)
@given(st.text(st.sampled_from("ab1:._*-"), min_size=1, max_size=12))
def test_what_is_said_to_be_lost_is_lost(glob: str) -> None:
    """The key that is named is matched by the glob, and not by the call that would take its place."""
    for call, key in re.findall(r'delete_pattern\("(.*?)"\), which does not match a key such as "(.*?)"', said(glob)):
        assert fnmatchcase(key, glob)
        assert not fnmatchcase(key, call)
