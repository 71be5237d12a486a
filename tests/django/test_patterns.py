"""TAG_PATTERNS: which keys carry which tags, beside a reference that tries everything, and beside real servers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from servers import Server

from unstale.contrib.django.patterns import (
    MAX_KEY_TAGS,
    Matcher,
    Pattern,
    PatternError,
    TooManyBindings,
    parse_pattern,
    parse_patterns,
)
from unstale.contrib.django.patterns.matching import MAX_BINDINGS, Layout, Segment
from unstale.contrib.django.patterns.tags import MAX_TAG_BYTES
from unstale.contrib.django.patterns.tokens import escaped, tokens_of_glob
from unstale.core.keys import check_tag
from unstale.errors import ConfigurationError

HEX = "0123456789abcdef" * 2
PAGE = f"views.decorators.cache.cache_page.books.GET.{HEX}.{HEX}.en-us.UTC"
HEADER = f"views.decorators.cache.cache_header.books.{HEX}.en-us.UTC"
ALPHABET = "ab:*é"
SHORT_KEYS = ["".join(chars) for size in range(1, 5) for chars in product(ALPHABET, repeat=size)]
"""Every key of up to four characters."""

Part = tuple[str, str]
"""What it is ("text", "name", "wild") and how it is written."""


def redis_match(glob: bytes, text: bytes) -> bool:
    """`stringmatchlen` of Redis's util.c, for globs whose brackets are closed."""
    if not glob:
        return not text
    if glob[:1] == b"*":
        return any(redis_match(glob[1:], text[at:]) for at in range(len(text) + 1))
    if not text:
        return False
    if glob[:1] == b"[":
        members, rest = glob[1:].split(b"]", 1)
        is_member = text[:1] in [bytes([each]) for each in members.removeprefix(b"^")]
        return is_member != members.startswith(b"^") and redis_match(rest, text[1:])
    if glob[:1] == b"\\":
        glob = glob[1:]
    elif glob[:1] == b"?":
        return redis_match(glob[1:], text[1:])
    return glob[:1] == text[:1] and redis_match(glob[1:], text[1:])


def matches(glob: str, key: str) -> bool:
    """Whether a key matches a glob, by the reference."""
    return redis_match(glob.encode(), key.encode())


PARTS = st.one_of(
    st.tuples(st.just("text"), st.text("ab:é", min_size=1, max_size=2)),
    st.tuples(st.just("name"), st.just("")),
    st.tuples(st.just("wild"), st.sampled_from(["*", "*", "?", "[ab]", "[^a]"])),
)


@st.composite
def some_parts(draw: st.DrawFn) -> list[Part]:
    """The parts of a pattern with at most two placeholders."""
    drawn = draw(st.lists(PARTS, min_size=1, max_size=7))
    assume(sum(kind == "name" for kind, _ in drawn) <= 2)
    names = iter("xy")
    return [(kind, next(names) if kind == "name" else text) for kind, text in drawn]


@st.composite
def parts_and_keys(draw: st.DrawFn) -> tuple[list[Part], list[str]]:
    """The parts of a pattern, and keys: at random, and made to match."""
    parts = draw(some_parts())
    fills = st.text(ALPHABET, max_size=2)
    made = ["".join(text if kind == "text" else draw(fills) for kind, text in parts) for _ in range(4)]
    keys = draw(st.lists(st.text(ALPHABET, min_size=1, max_size=9), max_size=4))
    return parts, [key for key in [*made, *keys] if 0 < len(key) <= 12]


def text_of(parts: Iterable[Part]) -> str:
    """A pattern as it is written."""
    return "".join(f"{{{text}}}" if kind == "name" else text for kind, text in parts)


def is_ambiguous(parts: list[Part]) -> bool:
    """Whether a placeholder touches what has no fixed text, by the reference."""
    for at, (kind, _) in enumerate(parts):
        if kind != "name":
            continue
        left = [part for part in parts[:at] if part[0] != "wild" or part[1] == "*"]
        if left and (left[-1][0] == "name" or left[-1][1] == "*"):
            return True
        if at + 1 < len(parts) and parts[at + 1][0] != "text":
            return True
        if at + 1 == len(parts) and ("wild", "*") in parts and parts[at - 1][0] != "text":
            return True
    return False


def is_possible(parts: list[Part], values: dict[str, str]) -> bool:
    """Whether placeholders can have these values, by the reference."""
    for at, (kind, name) in enumerate(parts):
        if kind != "name":
            continue
        if at + 1 < len(parts):
            excluded = parts[at + 1][1][0]
        else:
            excluded = parts[at - 1][1][-1] if ("wild", "*") in parts else "\0"
        if not values[name] or excluded in values[name]:
            return False
    return True


def possible_bindings(parts: list[Part], text: str) -> list[dict[str, str]]:
    """All possible bindings with values from a text: each part of it is tried for each placeholder."""
    names = parse_pattern(text_of(parts)).names
    runs = {text[start:end] for start in range(len(text)) for end in range(start + 1, len(text) + 1)}
    tried = (dict(zip(names, values, strict=True)) for values in product(runs, repeat=len(names)))
    return [values for values in tried if is_possible(parts, values)]


def every_binding(parts: list[Part], key: str) -> set[tuple[tuple[str, str], ...]]:
    """All possible bindings in a key."""
    pattern = parse_pattern(text_of(parts))
    possible = possible_bindings(parts, key)
    return {tuple(values.items()) for values in possible if matches(pattern.glob(values), key)}


TWICE: list[Part] = [
    ("wild", "*"),
    ("text", ":"),
    ("name", "x"),
    ("text", ":"),
    ("wild", "*"),
    ("text", ":"),
    ("name", "y"),
    ("text", ":"),
    ("wild", "*"),
]
"""The second value's last place leaves room for more first ones than its first place does."""


@settings(deadline=None)
@given(some_parts())
def test_ambiguous_is_what_touches_no_fixed_text(parts: list[Part]) -> None:
    """A pattern is refused as ambiguous if and only if a placeholder of it touches what has no fixed text."""
    try:
        parse_pattern(text_of(parts))
        refused = False
    except PatternError as error:
        refused = error.code == "E011"
    assert refused == is_ambiguous(parts)


@settings(deadline=None)
@given(parts_and_keys())
@example(([("wild", "*"), ("text", ":"), ("name", "x"), ("text", ":"), ("wild", "*")], ["a:b:b:a:"]))
@example(([("wild", "*"), ("text", ":"), ("name", "x"), ("text", ":"), ("wild", "*"), ("text", "a")], [":b:a:a:b"]))
@example(([("wild", "?"), ("name", "x"), ("text", ":")], ["éa:"]))
@example(([("wild", "*"), ("text", "a"), ("name", "x"), ("text", ":b")], ["aaa:a:b"]))
@example(([("wild", "*"), ("text", ":"), ("name", "x"), ("text", ":"), ("name", "y")], ["a:b:a:b"]))
@example((TWICE, [":a::b::a::b:", ":a::b::c:"]))
@example(([*TWICE[:5], ("text", ":a")], [":b:c:a"]))
@example(([*TWICE[:5], ("text", "b"), ("wild", "?"), *TWICE[4:]], [":a:ba:c:ba*:d:"]))
@example(([("name", "x"), ("text", "é")], ["èé"]))
@example(([("name", "x"), ("text", ":"), ("name", "y"), ("text", ":"), ("name", "z")], ["a:b::é:"]))
@example(([("name", "x"), ("text", ":"), ("wild", "?"), ("name", "y"), ("text", ":")], ["a:éb:"]))
def test_bindings_are_all_that_are_possible(drawn: tuple[list[Part], list[str]]) -> None:
    """A key's bindings are those that a reference finds which tries everything; too many are refused."""
    parts, keys = drawn
    assume(not is_ambiguous(parts))
    pattern = parse_pattern(text_of(parts))
    expected = [every_binding(parts, key) for key in keys]
    assert [found(pattern, key) for key in keys] == [each if len(each) <= MAX_BINDINGS else None for each in expected]


def found(pattern: Pattern, key: str) -> set[tuple[tuple[str, str], ...]] | None:
    """The bindings that the pattern finds, each once; None for too many."""
    try:
        bindings = [tuple(values.items()) for values in pattern.bindings(key)]
    except TooManyBindings:
        return None
    assert len(bindings) == len(set(bindings))
    return set(bindings)


def tags_or_none(matcher: Matcher, key: str) -> tuple[str, ...]:
    """A key's tags; none for a key that is not stored."""
    try:
        return matcher.tags_of(key)
    except TooManyBindings:
        return ()


@settings(deadline=None)
@given(parts_and_keys(), st.text(ALPHABET, max_size=2))
def test_bound_glob_is_one_tag(drawn: tuple[list[Part], list[str]], value: str) -> None:
    """A glob with values filled in has the tag of exactly the keys that match it, if it is a possible binding's."""
    parts, keys = drawn
    assume(not is_ambiguous(parts))
    pattern = parse_pattern(text_of(parts))
    glob = pattern.glob(dict.fromkeys(pattern.names, value))
    tag = Matcher([pattern]).tag_for_delete(glob)
    of_it = [each for each in possible_bindings(parts, glob.replace("\\", "")) if pattern.glob(each) == glob]
    assert (tag or ()) == tuple(pattern.template.rendered(each) for each in of_it)
    stored = [key for key in keys if len(every_binding(parts, key)) <= MAX_BINDINGS]
    carrying = [key for key in stored if tag and tag[0] in tags_or_none(Matcher([pattern]), key)]
    assert carrying == [key for key in stored if tag and matches(glob, key)]


@settings(deadline=None)
@given(parts_and_keys(), st.text("ab:*?é\\", max_size=7))
def test_any_glob_with_a_tag_matches_the_keys_that_carry_it(drawn: tuple[list[Part], list[str]], glob: str) -> None:
    """Whatever glob is given: if it has a tag, that tag's keys are those that match it."""
    parts, keys = drawn
    assume(not is_ambiguous(parts) and not glob.endswith("\\"))
    matcher = Matcher([text_of(parts)])
    tag = matcher.tag_for_delete(glob)
    stored = [key for key in keys if len(every_binding(parts, key)) <= MAX_BINDINGS]
    carrying = [key for key in stored if tag and tag[0] in matcher.tags_of(key)]
    assert carrying == [key for key in stored if tag and matches(glob, key)]


SERVER_PATTERNS = [
    "a{x}b",
    "{x}",
    "{x}:{y}",
    "a:*",
    "*a*",
    "{x}:*",
    "*:{x}:*",
    "*a{x}:*",
    "*:{x}",
    "*:{x}b",
    "?{x}:*",
    "[^a]{x}:*",
    "*[ab]:{x}",
    "*é{x}é*",
    r"a\*{x}:*",
    "*:{x}:?",
    "{x}:*:{y}",
]


@pytest.mark.parametrize("text", SERVER_PATTERNS)
def test_tags_are_what_a_server_finds(server: Server, text: str) -> None:
    """For every binding, a server's SCAN MATCH finds exactly the keys that carry its tag."""
    pattern = parse_pattern(text)
    carrying: dict[str, set[str]] = {}
    globs: dict[str, str] = {}
    for key in SHORT_KEYS:
        for values in pattern.bindings(key):
            tag = pattern.template.rendered(values)
            carrying.setdefault(tag, set()).add(key)
            globs[tag] = pattern.glob(values)
    assert len(carrying) > 0
    with server.client as client:
        client.mset(dict.fromkeys(SHORT_KEYS, "v"))
        some = sorted(carrying)[:: max(len(carrying) // 20, 1)]
        found = {tag: {key.decode() for key in client.scan_iter(globs[tag], 10_000)} for tag in some}
    assert found == {tag: carrying[tag] for tag in some}


ODD_GLOBS = [
    "[a",
    "[",
    "[^",
    "[^]",
    "[]",
    "[]a]",
    "[a-b]",
    "[b-a]",
    "[a-]",
    "[a-]*]",
    "[-a]",
    r"[\]]",
    r"[\^a]",
    r"[a-\]",
    "\\",
    "a\\",
    r"\a",
    r"\*",
    "[^é]",
    "?",
    "??",
    "?*",
    "**",
    "*a**b*",
    "[é]*",
    "[[]",
    "{a}",
    "a]",
    "*[ab]?",
    "[^a-z]",
]


@pytest.mark.parametrize("glob", ODD_GLOBS)
def test_odd_globs_are_read_as_a_server_reads_them(server: Server, glob: str) -> None:
    """A glob's tokens match what SCAN MATCH finds, also where it is malformed."""
    keys = [*SHORT_KEYS, "[", "]", "^", "-", "\\", "a\\", "a]", "[a", "{a}", "z", "^a", "*]", "b]", "-]"]
    with server.client as client:
        client.mset(dict.fromkeys(keys, "v"))
        found = {key.decode() for key in client.scan_iter(glob, 10_000)}
    layout = Layout(tokens_of_glob(glob))
    assert {key for key in keys if layout.bindings(key.encode())} == found


VALUES = st.text(st.sampled_from("ab-._:/%*~2F\x00\x85é\ud800"), min_size=1, max_size=6) | st.text(
    st.sampled_from("a:é"), min_size=30, max_size=140
)


@pytest.mark.parametrize(
    "template", ["{x}", "t:{x}-{y}", "{x}/{y}", "{x}a{y}", "{x}2{y}%", "{y}~{x}.", "é{x}é{y}", "t" * 120 + "{x}:{y}"]
)
@settings(deadline=None)
@given(first=st.tuples(VALUES, VALUES), second=st.tuples(VALUES, VALUES))
@example(first=("a-b", "a"), second=("a", "b-a"))
@example(first=("a%", "b"), second=("a", "%b"))
@example(first=("a2", "F"), second=("a", "2F"))
@example(first=("/", "a"), second=("%2F", "a"))
@example(first=("a" * 50, "a" * 50), second=("a" * 51, "a" * 50))
@example(first=("a" * 65, "a"), second=("a" * 66, "a"))
def test_no_two_bindings_share_a_tag(template: str, first: tuple[str, str], second: tuple[str, str]) -> None:
    """Different values make different tags, each of which the core takes."""
    tag = parse_pattern("{x}|{y}", template).template
    bindings = [dict(zip("xy", values, strict=True)) for values in (first, second)]
    tags = [check_tag(tag.rendered(values)) for values in bindings]
    assert (tags[0] == tags[1]) == all(bindings[0][name] == bindings[1][name] for name in tag.names)
    assert max(len(each.encode()) for each in tags) <= MAX_TAG_BYTES


def test_plain_values_stand_in_tags_as_they_are() -> None:
    """Numbers, slugs, UUIDs and addresses are readable in a tag, as every other template of tags writes them."""
    template = parse_pattern("user:{id}:*").template
    plain = ["42", "a-slug_1", "550e8400-e29b-41d4-a716-446655440000", "a.b+c@example.org", "日本"]
    assert [template.rendered({"id": value}) for value in plain] == [f"user:{value}" for value in plain]


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("user:{id}:*", "user:{id}"),
        ("*user_list*", "user_list"),
        ("*.{prefix}.*", "{prefix}"),
        ("transport_list:*", "transport_list"),
        ("stock:{id}:*:load", "stock:{id}:~:load"),
        ("page_*/laws/{slug}/*", "page_~:laws:{slug}"),
        ("report_*_{term}", "report_~_{term}"),
        ("a[bc]??*d", "a~d"),
        ("{{x}}:{id}", "{{x}}:{id}"),
        ("*", "~"),
        (":*", ":~"),
        ("/api/*", "api"),
    ],
)
def test_derived_tag(text: str, tag: str) -> None:
    """A tag that is not given is the pattern without the wildcards and separators at its ends."""
    assert parse_pattern(text).tag == tag


@pytest.mark.parametrize(
    ("text", "key", "glob", "tags"),
    [
        ("user:{id}:*", "user:42:orders:1", "user:42:*", ("user:42",)),
        ("transport_list:*", "transport_list:page=1", "transport_list:*", ("transport_list",)),
        ("*user_list*", "api:user_list:2", "*user_list*", ("user_list",)),
        ("group_{id}_*", "group_7_members", "group_7_*", ("group_7",)),
        ("metric:{domain}:*:load", "metric:d-1:cpu:load", "metric:d-1:*:load", ("metric:d-1:~:load",)),
        ("page_*/laws/{slug}/*", "page_x/laws/bgb/1", "page_*/laws/bgb/*", ("page_~:laws:bgb",)),
        ("*shop:{prefix}:*", "v1:shop:books:1", "*shop:books:*", ("shop:books",)),
        ("*:stats:{user}", "v1:stats:7", "*:stats:7", ("stats:7",)),
        ("report_*_{term}", "report_a_b_1", "report_*_1", ("report_~_1",)),
        ("costs:*:{domain}:{source}:*", "costs:day:d:s:x", "costs:*:d:s:*", ("costs:~:d:s",)),
        ("products_{slug}", "products_tea_pots", "products_tea_pots", ("products_tea_pots",)),
        ("products_all", "products_all", "products_all", ("products_all",)),
        ("{board}:*", "b1:x", "b1:*", ("b1",)),
    ],
)
def test_as_projects_write_them(text: str, key: str, glob: str, tags: tuple[str, ...]) -> None:
    """The forms that real projects use: a key carries the tag that its delete_pattern invalidates."""
    matcher = Matcher([text])
    assert matcher.tags_of(key) == tags
    assert matcher.tag_for_delete(glob) == tags


def test_pages_of_a_prefix() -> None:
    """`*.{prefix}.*` has one binding for each segment of a page's key: eight, with language and zone."""
    matcher = Matcher(["*.{prefix}.*"])
    assert matcher.tags_of(PAGE) == tuple(sorted({*PAGE.split(".")[1:-1]}))
    assert len(Matcher(["*.{prefix}.*"]).tags_of(PAGE.replace(HEX, "0", 1))) == MAX_BINDINGS
    assert "books" in matcher.tags_of(HEADER)
    assert matcher.tag_for_delete("*.books.*") == ("books",)


def test_too_many_bindings_name_the_pattern() -> None:
    """A key with a ninth binding is refused by an exception that names the pattern and not the key."""
    matcher = Matcher(["a:*", "*.{prefix}.*"])
    assert len(matcher.tags_of(".1.2.3.4.5.6.7.8.")) == MAX_BINDINGS
    with pytest.raises(TooManyBindings, match=r"'\*\.\{prefix\}\.\*' binds in more than 8 ways") as caught:
        matcher.tags_of(".1.2.3.4.5.6.7.8.9.")
    assert caught.value.pattern == "*.{prefix}.*"
    assert "1.2" not in str(caught.value)


def test_the_same_value_twice_is_one_binding() -> None:
    """A value that occurs more often than MAX_BINDINGS times is one binding."""
    assert Matcher(["*.{x}.*"]).tags_of(".a" * 50 + ".") == ("a",)


def test_too_many_tags_in_all() -> None:
    """A key that several patterns give more tags than an entry may carry is refused too."""
    patterns = [("*.{x}.*", f"{name}/{{x}}") for name in "abcd"]
    key = ".1.2.3.4.5.6."
    assert len(Matcher(patterns[:3]).tags_of(key)) == 18
    with pytest.raises(TooManyBindings, match=f"more than {MAX_KEY_TAGS} tags"):
        Matcher(patterns).tags_of(key)


def test_tags_of_all_patterns() -> None:
    """A key carries the tags of all patterns, each once, sorted."""
    matcher = Matcher({"user:{id}:*": "u/{id}", "*:orders:*": None, "user:*": "u/7", "shop:*": None})
    assert matcher.tags_of("user:7:orders:1") == ("orders", "u/7")
    assert matcher.tags_of("nothing") == ()


@pytest.mark.parametrize(
    "glob",
    [
        "user:*",
        "user:4*:*",
        "user:42",
        "user:42:",
        "user:42:o*",
        "user:4?:*",
        "user::*",
        "user:a:b:*",
        "*",
        "",
        "user:[4]:*",
    ],
)
def test_undeclared(glob: str) -> None:
    """A glob that is wider or narrower, or whose value holds a wildcard or the excluded character, has no tag."""
    assert Matcher(["user:{id}:*"]).tag_for_delete(glob) is None


@pytest.mark.parametrize(("glob", "tag"), [("*:stats:7", ("stats:7",)), ("*:stats:a:7", None), ("*:stats:", None)])
def test_last_placeholder_behind_an_asterisk(glob: str, tag: tuple[str, ...] | None) -> None:
    """It does not hold the character before it: a glob whose value does is undeclared."""
    assert Matcher(["*:stats:{user}"]).tag_for_delete(glob) == tag


@pytest.mark.parametrize(
    ("glob", "tag"), [(r"user:\*:*", "user:%2A"), ("user:42:**", "user:42"), (r"user:\4\2:*", "user:42")]
)
def test_another_spelling_of_the_same_glob(glob: str, tag: str) -> None:
    """Escapes and repeated asterisks change nothing in what a glob matches, nor in its tag."""
    assert Matcher(["user:{id}:*"]).tag_for_delete(glob) == (tag,)


def test_exact_tag_before_a_wider_one() -> None:
    """Where two patterns have a glob, the tag of the one is taken that names no other keys."""
    matcher = Matcher([("user:{id}:*", "users"), ("{kind}:{id}:*", None)])
    assert matcher.tag_for_delete("user:42:*") == ("user:42",)
    assert Matcher([("user:{id}:*", "users")]).tag_for_delete("user:42:*") == ("users",)


def test_slash_in_a_derived_tag_makes_no_ancestors() -> None:
    """A derived tag has no levels; a given one may."""
    assert Matcher(["/api/{name}/*"]).tags_of("/api/books/1") == ("api:books",)
    assert Matcher([("user:{id}:o:*", "user:{id}/orders")]).tags_of("user:a/b:o:1") == ("user:a%2Fb/orders",)


def test_a_lone_surrogate_in_a_key_is_a_value() -> None:
    """A key that UTF-8 cannot encode has tags that it can."""
    (tag,) = Matcher(["user:{id}:*"]).tags_of("user:\ud800:1")
    assert check_tag(tag) == "user:%ED%A0%80"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("user:{id}*", '"user:{id}:*"'),
        ("*{name}*", '"*:{name}:*"'),
        ("*user_{id}*", '"*user_{id}_*"'),
        ("{a}{b}", '"{a}:{b}"'),
        ("*?{a}", '"*?:{a}"'),
        ("x.{a}?", '"x.{a}.?"'),
    ],
)
def test_ambiguous_placeholder_proposes_a_separator(text: str, remedy: str) -> None:
    """An ambiguous pattern is an error that names it and proposes one that can be read."""
    with pytest.raises(PatternError) as caught:
        parse_pattern(text)
    assert caught.value.code == "E011"
    assert repr(text) in str(caught.value)
    assert remedy in caught.value.hint
    assert parse_pattern(remedy.strip('"')).names


@pytest.mark.parametrize(
    ("text", "tag", "message"),
    [
        ("{", None, "brace without its other"),
        ("a}", None, "brace without its other"),
        ("{}:*", None, "without a plain name"),
        ("{user.id}:*", None, r"without a plain name: \{user.id\}"),
        ("{a}:{a}", None, r"twice.*\{a2\}"),
        ("a[bc", None, "never closed"),
        ("a[{x}]", None, "between"),
        ("a\\{x}", None, "nothing to escape"),
        ("a\\", None, "nothing to escape"),
        ("a[]b", None, "never match"),
        ("", None, "never match"),
        ("a\x08b", None, "control characters"),
        ("a" * 513, None, "longer than 512"),
        (3, None, "must be a str"),
        (r"\*a{x}", None, "cannot be used.*must not begin"),
        ("a:{x}", "b//{x}", "empty one beside a slash"),
        ("a:{x}", "", "1 to 256"),
        ("a:{x}", "{y}", "names {y}, which the pattern lacks"),
        ("a:{x}", 5, "must be a str"),
        ("a:{x}", "t" * 180 + "{x}", "too long"),
        ("{x}:{y}", "{x}{y}", "separator"),
        ("{x}:{y}", "{x}%{y}", "separator"),
    ],
)
def test_what_cannot_be_used(text: str, tag: str | None, message: str) -> None:
    """A pattern or a tag that makes no sense is a ConfigurationError that says what to do."""
    with pytest.raises(ConfigurationError, match=message):
        parse_pattern(text, tag)


def test_braces_are_doubled() -> None:
    """Doubled braces are literal ones, in the pattern and in its tag."""
    matcher = Matcher([("{{a}}:{id}:*", "{{{id}}}")])
    assert matcher.tags_of("{a}:1:x") == ("{1}",)
    assert matcher.tag_for_delete("{a}:1:*") == ("{1}",)


@pytest.mark.parametrize("declared", ["user:*", b"user:*", 5, None])
def test_neither_list_nor_dict(declared: object) -> None:
    """A str in place of a list would be patterns of one character; it is an error."""
    with pytest.raises(ConfigurationError, match="must be a list of patterns or a dict"):
        parse_patterns(declared)


def test_ways_to_declare() -> None:
    """A dict, a list of patterns, of pairs, and of patterns that were parsed."""
    one = parse_pattern("a:{x}:*", "t:{x}")
    declared = [{"a:{x}:*": "t:{x}"}, [("a:{x}:*", "t:{x}")], [["a:{x}:*", "t:{x}"]], [one], (one,)]
    assert [[(each.text, each.tag) for each in parse_patterns(which)] for which in declared] == [
        [("a:{x}:*", "t:{x}")]
    ] * 5


@pytest.mark.parametrize(
    ("text", "key", "most"),
    [
        ("*.{x}.*", "." * 65_536, 1),
        ("*x{a}:y*", "x" * 65_536, 1),
        ("*x{a}:y*", "x" * 65_535 + ":", 2),
        ("*x{a}:*", "x" * 65_535 + ":", MAX_BINDINGS + 2),
        ("*[ab]z*", "a" * 65_536, 1),
        ("a:{a}:*:{b}:*:{c}", "a:" + ":" * 65_536, 2),
    ],
)
def test_hostile_keys_take_few_steps(monkeypatch: pytest.MonkeyPatch, text: str, key: str, most: int) -> None:
    """In a key of 64 KB made for it, a pattern tries few places: those that share their fate are tried once."""
    steps = []
    placed = Segment._placed
    monkeypatch.setattr(Segment, "_placed", lambda *args: steps.append(args) or placed(*args))
    tags_or_none(Matcher([text]), key)
    assert len(steps) <= most + 2  # head and tail


def test_many_asterisks_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps for a pattern of many asterisks grow with the key's length, not with a power of it."""
    steps = []
    placed = Segment._placed
    monkeypatch.setattr(Segment, "_placed", lambda *args: steps.append(args) or placed(*args))
    assert Matcher(["*a*a*a*a*a*a*a*a*:{x}:b"]).tags_of("a" * 3000) == ()
    assert len(steps) < 20


def test_escaped_text_matches_itself_alone() -> None:
    """What is escaped for a glob is that text and no other."""
    layout = Layout(tokens_of_glob(escaped(r"a*b?[c]\d")))
    assert layout.bindings(rb"a*b?[c]\d") == [()]
    assert layout.bindings(rb"axbx[c]\d") == []
