"""What is wrong with TAG_PATTERNS, and which line makes a `delete_pattern` one write."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unstale.contrib.django.patterns import Matcher, TooManyBindings, findings, parse_pattern, suggestion
from unstale.contrib.django.patterns.checking import REPRESENTATIVE_KEYS


@pytest.mark.parametrize(
    ("declared", "codes"),
    [
        (["user:{id}:*", "*.{prefix}.*", "*user_list*", "transport_list:*"], []),
        ("user:{id}:*", ["E010"]),
        (["{"], ["E010"]),
        ([3], ["E010"]),
        (["user:{id}*"], ["E011"]),
        (["*.{a}.*.{b}.*"], ["E012"]),
        ([""], ["E013"]),
        (["a\x08"], ["E013"]),
        (["a[]"], ["E013"]),
        ([("a:{x}", "{y}")], ["E014"]),
        ([("a:{x}", "a//{x}")], ["E014"]),
        (["user:{id}:*", "user:{pk}"], ["W015"]),
        ([("user:{id}:*", "user:{id}"), "user:{pk}"], ["W015"]),
        ([("user:{id}:*", "user:{id}"), ("user:{pk}", "user:{pk}")], []),
        (["*"], ["W016"]),
        (["?*"], ["W016"]),
        ([("user:{id}:*", "users")], ["W017"]),
        (["user:{id}orders:*"], ["W018"]),
        (["*user{id}"], ["W018"]),
        (["{id}"], ["W019"]),
        (["user:{id}*", "*", "ok:*"], ["E011", "W016"]),
    ],
)
def test_findings(declared: object, codes: list[str]) -> None:
    """Each mistake has its level and number, and all are found."""
    assert [one.level + one.number for one in findings(declared)] == codes


def test_findings_name_pattern_and_remedy() -> None:
    """A finding's message names the pattern, its hint says what to do."""
    (one,) = findings(["user:{id}*"])
    assert "'user:{id}*'" in one.message
    assert '"user:{id}:*"' in one.hint


@pytest.mark.parametrize("text", ["*.{a}.*.{b}.*", "*.{a}.*.{b}.*.{c}.*"])
def test_too_many_bindings_propose_an_anchored_pattern(text: str) -> None:
    """What is proposed for a pattern with too many bindings in Django's keys has few enough in all of them."""
    (one,) = findings([text])
    proposed = one.hint.split('"')[1]
    assert "{b}" in proposed
    assert parse_pattern(proposed).bindings(REPRESENTATIVE_KEYS[0])
    assert findings([proposed]) == []


@pytest.mark.parametrize("key", REPRESENTATIVE_KEYS)
def test_prefix_pattern_binds_in_every_representative_key(key: str) -> None:
    """`*.{prefix}.*` is within the limit on the keys that Django makes, language and time zone included."""
    try:
        found = len(parse_pattern("*.{prefix}.*").bindings(key))
    except TooManyBindings:
        found = 9
    assert found <= 8


@pytest.mark.parametrize(
    ("glob", "line"),
    [
        ("user:42:orders:*", '"user:{id}:orders:*"'),
        ("group_7_*", '"group_{id}_*"'),
        ("*.books.*", '"*.books.*"'),
        ("*:org:7:*", '"*:org:{id}:*"'),
        ("u:550e8400-e29b-41d4-a716-446655440000:*", '"u:{id}:*"'),
        ("session:deadbeef01:*", '"session:{id}:*"'),
        ("x:a.b@example.org:1:*", '"x:{email}:{id}:*"'),
        ("costs:*:3:4:*", '"costs:*:{id}:{id2}:*"'),
        ("report_*_2024_1", '"report_*_{id}_{id2}"'),
        ("{x}:1:*", '"{{x}}:{id}:*"'),
        ("user:42*", '"user:{id}:*", with delete_pattern("user:42:*")'),
        ("*42*", '"*:{id}:*", with delete_pattern("*:42:*")'),
        ("products_all", '"products_all"'),
        ("api.v1.*", '"api.v1.*"'),
        ("cafe:*", '"cafe:*"'),
        ("42", '"42"'),
        ('a"b:1:*', "'a\"b:{id}:*'"),
        ("a[bc", ""),
        ("", ""),
    ],
)
def test_suggestion(glob: str, line: str) -> None:
    """Numbers, UUIDs, digests and addresses become placeholders; the rest stays."""
    assert suggestion(glob) == line


@settings(deadline=None)
@given(st.text(st.sampled_from("ab1:._*?@-{}é"), min_size=1, max_size=12))
def test_suggestion_makes_it_one_write(glob: str) -> None:
    """With the line that is suggested, the glob is declared, or the one that is named beside it."""
    line = suggestion(glob)
    pattern, _, call = line.partition(", with delete_pattern(")
    declared = glob if not call else call.removesuffix(")")[1:-1]
    assert Matcher([pattern[1:-1]]).tag_for_delete(declared) is not None
