"""What is wrong with TAG_PATTERNS, and what to write in place of a pattern that is read in too many ways."""

from __future__ import annotations

import pytest

from unstale.contrib.django.patterns import Matcher, TooManyBindings, findings, parse_pattern, remedy
from unstale.contrib.django.patterns.anchoring import DOTTED_PAGE, REPRESENTATIVE_KEYS


@pytest.mark.parametrize(
    ("declared", "codes"),
    [
        (["user:{id}:*", "*.{prefix}.*", "*user_list*", "transport_list:*"], ["W020"]),
        (["user:{id}:*", "views.decorators.cache.cache_page.{prefix}.*", "*user_list*", "transport_list:*"], []),
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
    ("text", "proposed"),
    [
        ("*:{y}:*", "shop:{y}:*"),
        ("shop:*:{y}:*", "shop:{y}:*"),
        ("*.{prefix}.*", "views.decorators.cache.cache_page.{prefix}.*"),
    ],
)
def test_a_pattern_that_reads_each_part_is_found(text: str, proposed: str) -> None:
    """The number of its bindings grows with the key's parts, so some are not cached: an anchored one is proposed."""
    (one,) = findings([text])
    assert one.code == "W020"
    assert f'"{proposed}"' in one.hint
    assert findings([proposed]) == []


@pytest.mark.parametrize("text", ["*:org:{id}:*", "*:{last}", "user:{id}:*", "*.www.example.com.*", "{first}.*"])
def test_a_pattern_that_reads_one_part_is_not_found(text: str) -> None:
    """A key has one binding however many parts it has."""
    assert findings([text]) == []


def test_what_is_proposed_for_a_dotted_prefix_serves_its_pages() -> None:
    """The line of literal text gives such a page its tag, and the call that projects have stays one write."""
    (one,) = findings(["*.{prefix}.*"])
    quoted = one.hint.split('"')
    lines = [quoted[1], quoted[5]]
    assert lines[1] == "*.www.example.com.*"
    with pytest.raises(TooManyBindings):
        Matcher(["*.{prefix}.*"]).tags_of(DOTTED_PAGE)
    assert "www.example.com" in Matcher(lines).tags_of(DOTTED_PAGE)
    assert Matcher(lines).tag_for_delete("*.www.example.com.*") == ("www.example.com",)
    assert Matcher(lines).tag_for_delete(quoted[3]) is not None


@pytest.mark.parametrize(
    ("text", "key", "part"),
    [
        ("*.{prefix}.*", DOTTED_PAGE.replace("www", "shop"), 'text, "*.shop.example.com.*"'),
        ("*.{p}.*", DOTTED_PAGE, '"views.decorators.cache.cache_page.{p}.*"'),
        ("*:{y}:*", "org:1:2:3:4:5:6:7:8:9:10:x", '"org:{y}:*"'),
        ("*:{y}:*", ":1:2:3:4:5:6:7:8:9:10:x", '":{y}:*"'),
        ("*-{x}_*", "a-1-2-3-4-5-6-7-8-9_x", "begin with."),
    ],
)
def test_the_remedy_is_made_for_the_key(text: str, key: str, part: str) -> None:
    """An anchored pattern begins as the key does that was not cached."""
    assert part in remedy(parse_pattern(text), key)
