"""Keys and tags: what is refused and why, the hierarchy, and what they are called in Redis."""

from __future__ import annotations

from binascii import crc_hqx

import pytest
from redis.crc import key_slot

from unstale import Cache
from unstale.core.keys import (
    MAX_KEY_BYTES,
    MAX_NAMESPACE,
    MAX_PLAIN_BYTES,
    MAX_RECORDED,
    MAX_TAG_BYTES,
    MAX_TAGS,
    ROOTS,
    Names,
    TagSet,
    ancestry,
    bucket,
    check_tag,
    is_root,
    key_bytes,
    quote_part,
    root_tag,
)
from unstale.core.layout import STAMPS_AT
from unstale.core.slots import SLOTS, slot_of, tag_of_slot
from unstale.errors import ConfigurationError, InvalidKeyError, InvalidTagError

NAMES = Names("shop")
CLUSTERED = Names("shop", clustered=True)
NO_TAGS = NAMES.make_tagset("", ())


@pytest.mark.parametrize(
    "key",
    ["k", "orders:42", " ", "a b", "日本語", "é", "{x}", "*", "a/b", "%", "\u200b", "\u2028", "😀" * 50, "\ufeff"],
    ids=ascii,
)
def test_key_is_its_utf8(key: str) -> None:
    """A key's bytes are its UTF-8, whatever printable or unprintable text it is."""
    assert key_bytes(key) == key.encode()


@pytest.mark.parametrize("size", [1, MAX_PLAIN_BYTES, MAX_PLAIN_BYTES + 1, MAX_KEY_BYTES])
def test_longest_keys(size: int) -> None:
    """Keys of up to 4,096 bytes are accepted."""
    assert len(key_bytes("k" * size)) == size


def test_key_of_a_str_subclass() -> None:
    """A subclass of str is a str."""

    class Text(str):
        __slots__ = ()

    assert key_bytes(Text("orders")) == b"orders"


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        (None, "must be a str, not NoneType. Convert it first"),
        (42, "must be a str, not int. Convert it first"),
        (b"k", "must be a str, not bytes. Convert it first"),
        ("", "1 to 4096 bytes in UTF-8; this one has 0"),
        ("k" * (MAX_KEY_BYTES + 1), "1 to 4096 bytes in UTF-8; this one has 4097. Hash it first"),
        ("é" * (MAX_KEY_BYTES // 2 + 1), "1 to 4096 bytes in UTF-8; this one has 4098. Hash it first"),
        ("a\nb", "must not contain control characters: 'a\\nb'"),
        ("a\0b", "must not contain control characters"),
        ("a\x7fb", "must not contain control characters"),
        ("a\x85b", "must not contain control characters"),
        ("a\ud800b", "lone surrogate"),
    ],
    ids=lambda given: ascii(given)[:30],
)
def test_bad_keys(key: object, remedy: str) -> None:
    """A bad key is refused with what to do about it."""
    with pytest.raises(InvalidKeyError) as caught:
        key_bytes(key)
    assert remedy in str(caught.value)


def test_error_shows_the_beginning_of_a_long_key() -> None:
    """A long key is cut in the message."""
    with pytest.raises(InvalidKeyError) as caught:
        key_bytes("k" * 3000 + "\n")
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    "tag", ["user", "user:42/orders", "a b", "日本語", "{x}", "a*", "%2F", "t" * MAX_TAG_BYTES], ids=ascii
)
def test_good_tags(tag: str) -> None:
    """A tag is given back as it is."""
    assert check_tag(tag) == tag


@pytest.mark.parametrize(
    ("tag", "remedy"),
    [
        (None, "must be a str, not NoneType"),
        (7, "must be a str, not int"),
        (b"t", "must be a str, not bytes"),
        ("", "1 to 256 bytes in UTF-8; this one has 0"),
        ("t" * (MAX_TAG_BYTES + 1), "1 to 256 bytes in UTF-8; this one has 257. Hash the long part"),
        ("é" * 129, "1 to 256 bytes in UTF-8; this one has 258. Hash the long part"),
        ("a\tb", "must not contain control characters: 'a\\tb'"),
        ("a\0", "must not contain control characters"),
        ("\ud800", "lone surrogate"),
        ("*", "must not begin with '*'"),
        ("*7", "must not begin with '*', which names the cache's own roots: '*7'"),
        ("/a", "Every level of a tag must have a name; '/a' has an empty one"),
        ("a/", "Every level of a tag must have a name; 'a/' has an empty one"),
        ("a//b", "Every level of a tag must have a name; 'a//b' has an empty one"),
        ("/", "Every level of a tag must have a name"),
    ],
    ids=lambda given: ascii(given)[:30],
)
def test_bad_tags(tag: object, remedy: str) -> None:
    """A bad tag is refused with what to do about it."""
    with pytest.raises(InvalidTagError) as caught:
        check_tag(tag)
    assert remedy in str(caught.value)


def test_ancestry() -> None:
    """A tag comes with all its ancestors, the root first."""
    assert ancestry("user:42/orders/7") == ["user:42", "user:42/orders", "user:42/orders/7"]
    assert ancestry("user:42") == ["user:42"]


def test_tagset_carries_ancestors_once_and_sorted() -> None:
    """A set of tags holds every ancestor, each tag once, in one order whatever the order of declaring."""
    one = NAMES.make_tagset("", ("user:42/orders", "user:42/cart", "product:9"))
    other = NAMES.make_tagset("", ("product:9", "user:42/cart", "user:42/orders", "user:42"))
    assert one.tags == other.tags == ("product:9", "user:42", "user:42/cart", "user:42/orders")
    assert one.blob == other.blob


def test_tagset_is_laid_out_as_an_entry_holds_it() -> None:
    """A set knows its stamps' names, its names' bytes, and where they stand in an entry."""
    tagset = NAMES.make_tagset("", ("b", "a"))
    assert tagset.stamp_names == (b"shop:s:{a}", b"shop:s:{b}")
    assert tagset.blob == b"a\0b\0"
    assert tagset.shape == b"\xf5\x01" + b"\x02" + b"\x00\x04"
    assert tagset.names_at == STAMPS_AT + 16 * 3


def test_tagset_home_is_the_root_of_the_first_tag() -> None:
    """Home is the root of the tag declared first, not of the one sorted first; without tags there is none."""
    assert NAMES.make_tagset("", ("user:42/orders", "product:9")).home == "user:42"
    assert NAMES.make_tagset("", ()).home == ""


def test_tagset_in_a_scope() -> None:
    """In a scope the tags are relative to it, and its own tag is carried too."""
    tagset = NAMES.make_tagset("user:42/", ("orders",))
    assert tagset.tags == ("user:42", "user:42/orders")
    assert NAMES.make_tagset("user:42/", ()).tags == ("user:42",)
    assert NAMES.make_tagset("user:42/", ()).home == "user:42"


def test_tag_too_long_with_its_scope() -> None:
    """The limit counts the scope's name."""
    with pytest.raises(InvalidTagError, match="this one has 258"):
        NAMES.make_tagset("s/", ("t" * MAX_TAG_BYTES,))


@pytest.mark.parametrize(
    ("tags", "remedy"),
    [
        ("user:42", r"not a str: write tags=\['user:42'\]"),
        (None, "must be a list or tuple of tags, not NoneType"),
        (42, "must be a list or tuple of tags, not int"),
        ((1,), "A tag must be a str, not int"),
        (b"ab", "A tag must be a str, not int"),
        (("a", ""), "this one has 0"),
    ],
    ids=repr,
)
def test_bad_sequences_of_tags(tags: object, remedy: str) -> None:
    """What is no sequence of tags is refused, a lone str above all."""
    with pytest.raises(InvalidTagError, match=remedy):
        NAMES.make_tagset("", tags)


def test_most_tags() -> None:
    """Up to 32 tags are accepted, ancestors included."""
    assert len(NAMES.make_tagset("", tuple(f"t{n}" for n in range(MAX_TAGS))).tags) == MAX_TAGS
    assert len(NAMES.make_tagset("", tuple(f"a/{n}" for n in range(MAX_TAGS - 1))).tags) == MAX_TAGS


@pytest.mark.parametrize(
    "tags",
    [tuple(f"t{n}" for n in range(MAX_TAGS + 1)), tuple(f"a/{n}" for n in range(MAX_TAGS)), ("/".join("t" * 33),)],
    ids=["flat", "with an ancestor", "deep"],
)
def test_too_many_tags(tags: tuple[str, ...]) -> None:
    """33 tags are refused, ancestors counted."""
    with pytest.raises(InvalidTagError, match="at most 32 tags, ancestors included; these make 33"):
        NAMES.make_tagset("", tags)


def test_roots_do_not_count_as_tags() -> None:
    """Roots of other keys among recorded tags do not count towards the limit."""
    tags = (*(f"t{n}" for n in range(MAX_TAGS)), *(f"*{n}" for n in range(ROOTS)))
    assert len(NAMES.recorded_tagset(tags).tags) == MAX_TAGS + ROOTS


def test_a_set_has_as_many_names_as_a_byte_counts() -> None:
    """What is computed from many entries of a cluster may bring more roots than an entry can record: too many tags."""
    roots = tuple(f"*{n}" for n in range(MAX_RECORDED - 1))
    assert len(CLUSTERED.recorded_tagset((*roots, "a")).tags) == MAX_RECORDED
    with pytest.raises(InvalidTagError, match="at most 255 names; these are 256"):
        CLUSTERED.recorded_tagset((*roots, "a", "b"))


def test_recorded_tagset_equals_the_declared_one() -> None:
    """What an entry recorded makes the same set as what was declared, but for its home."""
    declared = NAMES.make_tagset("", ("user:42/orders", "product:9"))
    recorded = NAMES.recorded_tagset(declared.tags)
    assert (recorded.tags, recorded.blob, recorded.shape) == (declared.tags, declared.blob, declared.shape)
    assert recorded.stamp_names == declared.stamp_names


def test_names_in_redis() -> None:
    """Entries, leases, stamps and roots are called what the module's picture says."""
    entry = NAMES.entry(b"orders:42")
    assert entry == b"shop:e:orders:42"
    assert NAMES.lease(entry) == b"shop:l:orders:42"
    assert NAMES.stamp("user:42/orders") == b"shop:s:{user:42}/orders"
    assert NAMES.stamp("user:42") == b"shop:s:{user:42}"
    assert NAMES.stamp("*7") == b"shop:r:7"
    assert NAMES.root_of(b"orders:42") == b"shop:r:%d" % bucket(b"orders:42")


def test_read_names_are_entry_stamps_root() -> None:
    """A read fetches the entry, the stamps of its tags in order, and its root's."""
    tagset = NAMES.make_tagset("", ("b", "a"))
    assert NAMES.read_names(b"k", tagset, tagset.home) == (
        b"shop:e:k",
        b"shop:s:{a}",
        b"shop:s:{b}",
        NAMES.root_of(b"k"),
    )


@pytest.mark.parametrize("names", [NAMES, CLUSTERED], ids=["plain", "clustered"])
@pytest.mark.parametrize("raw", [b"k", b"k" * MAX_PLAIN_BYTES, b"k" * (MAX_PLAIN_BYTES + 1)], ids=len)
def test_read_names_agree_with_entry_and_root(names: Names, raw: bytes) -> None:
    """The name that a read uses is the one that `entry` gives, in either layout, for short and long keys."""
    entry, *_, root = names.read_names(raw, NO_TAGS, "user:42")
    assert (entry, root) == (names.entry(raw, "user:42"), names.root_of(raw, "user:42"))


def test_long_keys_are_hashed() -> None:
    """The Redis name of a long key is short; two long keys have two names."""
    one, other = NAMES.entry(b"k" * 201), NAMES.entry(b"k" * 202)
    assert len(one) == len(other) == len("shop:h:") + 32
    assert one.startswith(b"shop:h:")
    assert one != other


def test_hash_of_a_long_key_is_fixed() -> None:
    """The hash is the same in every process and release: blake2b of 16 bytes."""
    assert NAMES.entry(b"k" * 201) == b"shop:h:c2c4ee7457fd81a3ee9bd43e678a500a"


def test_no_short_key_takes_the_name_of_a_long_one() -> None:
    """A key that spells a long key's hashed name is still another entry with another lease."""
    long = NAMES.entry(b"k" * 201)
    spelt = NAMES.entry(long.removeprefix(b"shop:h:"))
    assert spelt != long
    assert NAMES.lease(spelt) != NAMES.lease(long)


def test_leases_differ_from_all_other_names() -> None:
    """No lease has the name of an entry, of a stamp, or of another key's lease."""
    entries = [NAMES.entry(raw) for raw in (b"k", b"#:k", b"l", b"#", b"k" * 201, b"k" * 202)]
    leases = [NAMES.lease(entry) for entry in entries]
    assert len({*entries, *leases, NAMES.stamp("k"), NAMES.stamp("l"), *NAMES.root_names}) == 2 * 6 + 2 + ROOTS


def test_namespaces_do_not_meet() -> None:
    """The same key has another name in another namespace."""
    assert Names("a").entry(b"k") != Names("b").entry(b"k")


@pytest.mark.parametrize("inner", ["shop:e", "shop:h", "shop:l", "shop:l#", "shop:s", "shop:r", "shop:e:deep", "a:b:s"])
def test_namespaces_that_could_meet(inner: str) -> None:
    """A namespace that reads like a name of another namespace's is refused: `shop:e:r:7` would be a key's entry."""
    with pytest.raises(ConfigurationError):
        Names(inner)


@pytest.mark.parametrize("namespace", ["shop", "e", "shop:prod", "a b", "é", "n" * MAX_NAMESPACE], ids=ascii)
def test_good_namespaces(namespace: str) -> None:
    """Other namespaces are free, colons included."""
    assert Names(namespace).entry(b"k") == f"{namespace}:e:k".encode()


@pytest.mark.parametrize(
    "namespace",
    ["", "n" * (MAX_NAMESPACE + 1), "a\n", "a\ud800", "{a", "a}", "a*", "a?", "a[", "a]", "a\\"],
    ids=lambda given: ascii(given)[:20],
)
def test_bad_namespaces(namespace: str) -> None:
    """A namespace that would break a pattern, a hash tag or a log is refused, with what is allowed."""
    with pytest.raises(ConfigurationError, match="1 to 64 printable characters"):
        Names(namespace)


@pytest.mark.parametrize("namespace", [None, 5, b"shop"], ids=repr)
def test_namespace_of_another_type(namespace: object) -> None:
    """A namespace that is no str is refused as every bad option is."""
    with pytest.raises(ConfigurationError):
        Names(namespace)


def test_bucket_is_the_cluster_hash() -> None:
    """A key's root follows from the CRC that Redis Cluster computes."""
    keys = [f"key:{n}".encode() for n in range(200)]
    assert [bucket(raw) for raw in keys] == [key_slot(raw) % ROOTS for raw in keys]
    assert crc_hqx(b"123456789", 0) == 0x31C3  # the check value in Redis Cluster's specification
    assert {bucket(raw) for raw in keys} == set(range(ROOTS))


def test_root_tag() -> None:
    """A key's root is called by its number among recorded tags."""
    assert root_tag(b"k") == f"*{bucket(b'k')}"


ROOT_NAMES = ["user:42", "a{b", "a}b", "{a}", "}{", "{}", "%7B", "a%", "日本語"]


@pytest.mark.parametrize("root", ROOT_NAMES)
@pytest.mark.parametrize("raw", [b"k", b"{other}", b"}{", b"k" * 201, "日本".encode()], ids=lambda raw: raw[:10])
def test_cluster_slot(root: str, raw: bytes) -> None:
    """Clustered, an entry, its lease, its staged value and the stamps of its home share one slot, braces or not."""
    tagset = CLUSTERED.make_tagset("", (f"{root}/a/b", f"{root}/c"))
    entry = CLUSTERED.entry(raw, tagset.home)
    lease = CLUSTERED.lease(entry)
    names = [entry, lease, lease + b"\0token", *tagset.stamp_names, CLUSTERED.root_of(raw, tagset.home)]
    assert len({key_slot(name) for name in names}) == 1


def test_cluster_stamps_share_their_slot_in_both_layouts() -> None:
    """A root's stamps stand on one slot, and have the same names, whether entries are clustered or not."""
    assert NAMES.make_tagset("", ("a/b", "a")).stamp_names == CLUSTERED.make_tagset("", ("a/b", "a")).stamp_names


def test_clustered_names_without_tags_share_a_slot() -> None:
    """Clustered, an entry without tags shares its slot with its lease and its root: one script reads and writes all."""
    entry = CLUSTERED.entry(b"orders:42")
    assert entry.startswith(b"shop:e:{~")
    assert len({key_slot(name) for name in (entry, CLUSTERED.lease(entry), CLUSTERED.root_of(b"orders:42"))}) == 1


def test_clustered_key_that_spells_anothers_home() -> None:
    """Clustered, a key without tags never has the entry of another key with a home."""
    assert CLUSTERED.entry(b"{user:42}:orders") != CLUSTERED.entry(b"orders", "user:42")


def test_clustered_entries_spread() -> None:
    """Clustered, the entries of many homes spread over many slots; those of many keys without one over 64."""
    assert len({key_slot(CLUSTERED.entry(b"k", f"user:{n}")) for n in range(100)}) > 90
    assert len({key_slot(CLUSTERED.entry(b"%d" % n)) for n in range(1000)}) == 64


def test_slots() -> None:
    """A slot is what redis-py computes, with and without a hash tag, and each has a hash tag of its own."""
    names = [b"k", b"{k}", b"a{k}b}", b"{}k", b"}{k", b"{", b"a{}{k}", b"{k", "日本{é}".encode()]
    assert [slot_of(name) for name in names] == [key_slot(name) for name in names]
    assert [key_slot(b"{%s}" % tag_of_slot(slot)) for slot in range(SLOTS)] == list(range(SLOTS))


def test_clustered_roots() -> None:
    """Clustered, there is a root for each slot, which lies in it; what is no root's number is none."""
    roots = [tag for group in CLUSTERED.root_groups() for tag in group]
    assert sorted(roots) == sorted(f"*{slot}" for slot in range(SLOTS))
    assert [key_slot(CLUSTERED.stamp(tag)) for tag in roots[:100]] == [int(tag[1:]) for tag in roots[:100]]
    assert all(map(is_root, roots))
    assert CLUSTERED.stamp("*0") == b"shop:r:0{%s}" % tag_of_slot(0)
    assert not any(map(is_root, ["*16384", "*01", "*", "*x", "7", "*-1", "*٣", "*999999999", "a*1"]))


def test_root_groups_of_one_node() -> None:
    """On one node each group is one root."""
    assert NAMES.root_groups() == [[f"*{number}"] for number in range(ROOTS)]


@pytest.mark.parametrize("names", [NAMES, CLUSTERED], ids=["plain", "clustered"])
def test_roots_beside(names: Names) -> None:
    """The roots to look at are those of every home that a key with some of the tags, or with none, may have."""
    declared = names.make_tagset("", ("b/c", "a"))
    roots = names.roots_beside(declared)
    keys = [f"k{number}".encode() for number in range(500)]
    homes = ["", "a", "b"]
    assert {names.root_tag(key, home) for key in keys for home in homes} == set(roots)
    assert len(roots) == (66 if names.clustered else ROOTS)


@pytest.mark.parametrize("names", [NAMES, CLUSTERED], ids=["plain", "clustered"])
@pytest.mark.parametrize("key", [b"k", b"{x}", b"k" * 201], ids=len)
def test_entry_found_by_its_name(names: Names, key: bytes) -> None:
    """Whoever finds an entry by a scan knows from its name which root it has, and whose name it is."""
    for home in ("", "user:42", "a{b}c"):
        name = names.entry(key, home)
        assert names.root_tag_at(name, key) == names.root_tag(key, home)
        assert names.is_entry_of(name, key)
        assert not names.is_entry_of(name, b"other")
        assert not names.is_entry_of(names.lease(name), key)


def test_a_root_of_the_other_layout() -> None:
    """On one node a root that only a cluster has is the name of nothing: what records it is stale."""
    assert NAMES.stamp("*16") == b"shop:r:16"
    assert NAMES.stamp("*15") in NAMES.root_names


@pytest.mark.parametrize("names", [NAMES, CLUSTERED], ids=["plain", "clustered"])
def test_stamps_of_braced_roots_differ(names: Names) -> None:
    """Escaping braces makes no two roots one."""
    stamps = [names.stamp(root) for root in (*ROOT_NAMES, "%257B", "a%257D", "a%7Bb", "%25")]
    assert len(set(stamps)) == len(stamps)


@pytest.mark.parametrize(
    ("part", "quoted"),
    [(42, "42"), ("a:b", "a%3Ab"), ("a/b", "a%2Fb"), ("a%3Ab", "a%253Ab"), (None, "None"), ("é", "é")],
    ids=repr,
)
def test_quote_part(part: object, quoted: str) -> None:
    """The separators in a part of a scope's name are escaped, and so is the escape."""
    assert quote_part(part) == quoted


@pytest.fixture
def memory() -> Cache:
    """A cache in memory."""
    return Cache.from_url("memory://", namespace="shop")


def test_scopes_that_look_alike_are_apart(memory: Cache) -> None:
    """No two scopes share a name, whatever separators are in their parts."""
    given = [("a", "b", "c"), ("a:b", "c"), ("a", "b:c"), ("a:b:c",), ("a/b", "c"), ("a%3Ab", "c"), ("a", "b", ":")]
    for number, parts in enumerate(given):
        memory.scope(*parts).set("k", number)
    assert [memory.scope(*parts).get("k") for parts in given] == list(range(len(given)))


def test_scope_carries_its_tag(memory: Cache) -> None:
    """What a scope stores is under its name, and its tag makes it stale."""
    mine = memory.scope("user", 42)
    mine.set("orders", "mine", tags=["orders"])
    assert memory.get("user:42/orders", tags=["user:42", "user:42/orders"]) == "mine"
    memory.invalidate("user:42")
    assert mine.get("orders") is None


def test_scope_in_a_scope(memory: Cache) -> None:
    """A scope of a scope is below it: the outer one's invalidation reaches it, its own reaches no further."""
    outer = memory.scope("shop", 1)
    inner = outer.scope("user", 42)
    outer.set("k", "outer")
    inner.set("k", "inner")
    inner.invalidate()
    assert (outer.get("k"), inner.get("k")) == ("outer", None)
    inner.set("k", "inner")
    outer.invalidate()
    assert (outer.get("k"), inner.get("k")) == (None, None)


@pytest.mark.parametrize("parts", [("",), ("*",), ("*7", 1), ("a\n",), ("user", "x" * 300)], ids=ascii)
def test_bad_scopes(memory: Cache, parts: tuple[object, ...]) -> None:
    """A scope whose name could be no tag is refused at once."""
    with pytest.raises(InvalidTagError):
        memory.scope(*parts)


@pytest.mark.parametrize("key", [None, 5, b"k"], ids=repr)
@pytest.mark.parametrize("verb", ["get", "delete"])
def test_key_of_another_type_in_a_scope(memory: Cache, verb: str, key: object) -> None:
    """In a scope, too, a key that is no str is refused as a bad key."""
    with pytest.raises(InvalidKeyError):
        getattr(memory.scope("user", 42), verb)(key)


def test_empty_key_in_a_scope(memory: Cache) -> None:
    """In a scope, too, an empty key is refused."""
    with pytest.raises(InvalidKeyError):
        memory.scope("user", 42).get("")


def test_key_too_long_with_its_scope(memory: Cache) -> None:
    """The limit of a key counts the scope's name."""
    with pytest.raises(InvalidKeyError, match="this one has 4104"):
        memory.scope("user", 42).get("k" * MAX_KEY_BYTES)


@pytest.mark.parametrize("tags", ["user:42", ["a", 1], [["a"]], None, 7, ["a//b"], [b"a"]], ids=repr)
def test_bad_tags_of_a_verb(memory: Cache, tags: object) -> None:
    """Every verb refuses bad tags in the same way."""
    for verb in (memory.get, memory.has_key, memory.delete, memory.ttl):
        with pytest.raises(InvalidTagError):
            verb("k", tags=tags)


def test_tags_are_taken_as_they_are_at_the_call(memory: Cache) -> None:
    """An iterable that is hashable but changes gives other tags at each call."""
    tags = {1: "a"}
    view = tags.values()
    memory.get_or_set("one", lambda: 1, tags=view)
    tags[2] = "b"
    memory.get_or_set("two", lambda: 2, tags=view)
    memory.invalidate("b")
    assert memory.get("two") is None


def test_tagset_is_made_once() -> None:
    """The same declared tags give the very same set, so that a hit does not check them again."""
    names = Names("cached")
    made: list[TagSet] = [names.tagset("", ("a/b",)) for _ in range(2)]
    assert made[0] is made[1]
