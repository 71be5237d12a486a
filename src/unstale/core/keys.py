r"""Keys, tags, and what they are called in Redis.

A key or tag is data: checked here once, never interpreted. A tag's ancestors come with it (`user:42/orders` carries
`user:42`), and every entry carries one of the cache's roots, so one write invalidates a page, a user, or everything.

Names in Redis, for the namespace `shop`:

    shop:e:orders:42              the entry of key orders:42     (shop:h:<digest> for keys of more than 200 bytes)
    shop:l:orders:42              its lease
    shop:l:orders:42\0<token>      a value on its way in
    shop:s:{user:42}/orders       the stamp of tag user:42/orders; the braces keep a root's stamps on one cluster slot
    shop:r:7                      the stamp of root 7 of 16
    shop:k:…, shop:x              locks and a register of `contrib.django`; the core has nothing there

With `clustered=True`, for Redis Cluster, an entry's names begin with its home, the first level of the first tag that
was declared, so that entry, lease and the home's stamps share one slot. Without tags a key has one of 64 homes. The
root of an entry is that of its slot:

    shop:e:{user:42}:orders:42    the entry of key orders:42 with the tag user:42/orders
    shop:e:{~07}:orders:42        without tags
    shop:r:8000{BDKA}             the stamp of root 8000 of 16384, in slot 8000
"""

from __future__ import annotations

import re
import unicodedata
from binascii import crc_hqx
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from unstale.core.layout import STAMPS_AT, shape, size_of_stamps
from unstale.core.slots import SLOTS, slot_of, tag_of_slot
from unstale.errors import ConfigurationError, InvalidKeyError, InvalidTagError

MAX_KEY_BYTES: Final = 4096
MAX_PLAIN_BYTES: Final = 200
"""Longer keys are hashed in their Redis names; the entry holds the whole key, and a read compares it."""
MAX_TAG_BYTES: Final = 256
MAX_NAMESPACE: Final = 64
MAX_TAGS: Final = 32
"""Most tags that one entry carries, ancestors and inherited ones included, roots not."""
MAX_RECORDED: Final = 255
"""Most names that one entry records, inherited roots included: their number is one byte."""
ROOTS: Final = 16
"""How many root stamps a cache has. A key's root is fixed by its hash, so a clear can be spread over time. (On a
cluster there is one for each slot, and a clear is spread in as many steps.)"""
HOMES: Final = 64
"""How many homes the keys without tags have on a cluster: few enough to look at the roots of all of them at once."""
ROOT_MARK: Final = "*"
"""Begins a root's name among recorded tags; no tag of a user's may begin with it."""
ROOT_TAGS: Final = frozenset(f"{ROOT_MARK}{number}" for number in range(ROOTS))
"""The roots' names, where there are 16."""
END: Final = b"\0"
"""Ends every name inside an entry. Keys and tags hold no control characters, so it cannot occur in one."""


OWN_SEGMENTS: Final = frozenset({"e", "h", "k", "l", "l#", "r", "s", "x"})
"""What follows the namespace in a name. A namespace with one of them inside could meet another's names."""
_OWN_SEGMENTS: Final = frozenset(map(str.encode, OWN_SEGMENTS))
_OF_TAG: Final = re.compile(rb"\{[^{}]+\}(?:/.*)?", re.DOTALL)
_OF_ROOT: Final = re.compile(rb"[0-9]{1,5}(?:\{[^{}]+\})?")


def _has_control(text: str) -> bool:
    return any(unicodedata.category(char) == "Cc" for char in text)


def key_bytes(key: str) -> bytes:
    """Check a key and encode it.

    Raises:
        InvalidKeyError: not a str, empty, too long, with control characters, or not encodable in UTF-8.
    """
    if type(key) is str and key.isprintable() and 0 < len(key) <= MAX_PLAIN_BYTES:
        try:
            return key.encode()
        except UnicodeEncodeError:  # a lone surrogate: the path below says so
            pass
    return _checked_key(key)


def _checked_key(key: object) -> bytes:
    if not isinstance(key, str):
        raise InvalidKeyError(
            f"A key must be a str, not {type(key).__name__}. Convert it first, for example with str()."
        )
    try:
        raw = key.encode()
    except UnicodeEncodeError as error:
        raise InvalidKeyError("A key must be text that UTF-8 can encode; this one holds a lone surrogate.") from error
    if not raw or len(raw) > MAX_KEY_BYTES:
        raise InvalidKeyError(
            f"A key must have 1 to {MAX_KEY_BYTES} bytes in UTF-8; this one has {len(raw)}. Hash it first."
        )
    if _has_control(key):
        raise InvalidKeyError(f"A key must not contain control characters: {key[:60]!r}.")
    return raw


def check_tag(tag: object) -> str:
    """Check one tag.

    Raises:
        InvalidTagError: not a str, empty (also between slashes), too long, control characters, or a leading "*".
    """
    if not isinstance(tag, str):
        raise InvalidTagError(f"A tag must be a str, not {type(tag).__name__}.")
    try:
        size = len(tag.encode())
    except UnicodeEncodeError as error:
        raise InvalidTagError("A tag must be text that UTF-8 can encode; this one holds a lone surrogate.") from error
    if not tag or size > MAX_TAG_BYTES:
        raise InvalidTagError(
            f"A tag must have 1 to {MAX_TAG_BYTES} bytes in UTF-8; this one has {size}. Hash the long part."
        )
    if _has_control(tag):
        raise InvalidTagError(f"A tag must not contain control characters: {tag[:60]!r}.")
    if tag.startswith(ROOT_MARK):
        raise InvalidTagError(
            f"A tag must not begin with {ROOT_MARK!r}, which names the cache's own roots: {tag[:60]!r}."
        )
    if "" in tag.split("/"):
        raise InvalidTagError(f"Every level of a tag must have a name; {tag[:60]!r} has an empty one beside a slash.")
    return tag


def ancestry(tag: str) -> list[str]:
    """A tag with all its ancestors, the root first: a/b/c gives a, a/b, a/b/c."""
    parts = tag.split("/")
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def quote_part(part: object) -> str:
    """One part of a scope's name, with the separators in it escaped, so that no two scopes share a name."""
    text = str(part)
    return text.replace("%", "%25").replace("/", "%2F").replace(":", "%3A")


def _hash_tag(root: str) -> str:
    """A root between braces. Braces inside it would end Redis's hash tag early, so they are escaped."""
    return "{" + root.replace("%", "%25").replace("{", "%7B").replace("}", "%7D") + "}"


def bucket(raw_key: bytes) -> int:
    """The number of a key's root: CRC16 as Redis Cluster computes it (its specification, "Key distribution model")."""
    return crc_hqx(raw_key, 0) % ROOTS


def root_tag(raw_key: bytes) -> str:
    """The name of a key's root among tags, on one node. `Names.root_tag` knows both layouts."""
    return f"{ROOT_MARK}{bucket(raw_key)}"


def parts_of(name: bytes) -> tuple[bytes, bytes, bytes] | None:
    """A name in Redis as unstale would have made it: namespace, own segment, and the rest; None if it has not.

    The first of unstale's own segments says what a name is: `a:e:b:s:{c}` is the entry of a key.
    """
    namespace, *segments = name.split(b":")
    for at, segment in enumerate(segments):
        if segment in _OWN_SEGMENTS:
            return b":".join((namespace, *segments[:at])), segment, b":".join(segments[at + 1 :])
    return None


def is_stamp_name(name: bytes) -> bool:
    """Whether a name in Redis is a stamp's, a tag's or a root's, of whatever namespace: nothing else has such names."""
    parts = parts_of(name)
    if parts is None:
        return False
    namespace, segment, rest = parts
    form = _OF_TAG if segment == b"s" else _OF_ROOT if segment == b"r" else None
    return not namespace.startswith(b":") and bool(namespace) and form is not None and form.fullmatch(rest) is not None


def is_root(name: str) -> bool:
    """Whether a recorded name is that of a root, of either layout."""
    number = name[1:]
    if not (name.startswith(ROOT_MARK) and number.isascii() and number.isdecimal() and len(number) <= len(str(SLOTS))):
        return False
    return int(number) < SLOTS and str(int(number)) == number


@dataclass(frozen=True, slots=True, eq=False)
class TagSet:
    """Tags as an entry carries them: checked, with ancestors, each once, sorted.

    Attributes:
        tags: the tags and their ancestors.
        stamp_names: what their stamps are called in Redis, in the same order.
        blob: the tags as an entry records them, each ended by END.
        shape: what every entry with these tags begins with.
        names_at: where the names stand in such an entry.
        home: the root of the first tag that was declared; "" without tags.
    """

    tags: tuple[str, ...]
    stamp_names: tuple[bytes, ...]
    blob: bytes
    shape: bytes
    names_at: int
    home: str


Plan: TypeAlias = "tuple[bytes, TagSet, TagSet, tuple[bytes, ...], bytes]"
"""A read: the key's bytes, the declared tags, those that its entry should record, what to read, and the names of the
tags and the key as such an entry holds them."""

KEPT_PLANS: Final = 4096
"""A few hundred bytes each; a plan that is kept takes a fifth of the time of one that is made."""


class Names:
    """The layout of one namespace in Redis."""

    __slots__ = ("_entry", "_hashed", "clustered", "namespace", "plan", "root_names", "tagset")

    def __init__(self, namespace: str, *, clustered: bool = False) -> None:
        """Lay out a namespace.

        Args:
            namespace: what all names begin with; several caches can share a database by it.
            clustered: for Redis Cluster: put an entry in the slot of its home, with a root for each slot.

        Raises:
            ConfigurationError: empty, over 64 characters, or with control characters, braces or glob characters.
        """
        given: object = namespace
        if (
            not isinstance(given, str)
            or not 0 < len(given) <= MAX_NAMESPACE
            or not given.isprintable()
            or any(char in given for char in "{}*?[]\\")
            or not OWN_SEGMENTS.isdisjoint(given.split(":")[1:])
        ):
            raise ConfigurationError(
                "A namespace must be a str of 1 to 64 printable characters, none of them { } [ ] * ? \\, and without "
                f"e, h, k, l, l#, r, s or x between colons, which are unstale's own: {str(given)[:80]!r}."
            )
        self.namespace = namespace
        self.clustered = clustered
        self.root_names = tuple(f"{namespace}:r:{number}".encode() for number in range(0 if clustered else ROOTS))
        self._entry = f"{namespace}:e:".encode()
        self._hashed = f"{namespace}:h:".encode()
        self.tagset = lru_cache(maxsize=8192)(self.make_tagset)
        self.plan = lru_cache(maxsize=KEPT_PLANS)(self.make_plan)

    def stamp(self, tag: str) -> bytes:
        """The name of a tag's stamp; also of a root's (`*7`)."""
        if tag.startswith(ROOT_MARK):
            return self._root(int(tag[1:]))
        root, slash, rest = tag.partition("/")
        return f"{self.namespace}:s:{_hash_tag(root)}{slash}{rest}".encode()

    def make_tagset(self, prefix: str, tags: tuple[str, ...]) -> TagSet:
        """Check declared tags and make the set that an entry carries.

        Args:
            prefix: "" or a scope's name with its slash; the scope's own tag is then carried too.
            tags: as declared, each relative to the scope.

        Raises:
            InvalidTagError: a bad tag, a str in place of a sequence, or more than MAX_TAGS with ancestors.
        """
        given: object = tags
        if isinstance(given, str):
            raise InvalidTagError(f"tags must be a list or tuple of tags, not a str: write tags=[{given[:60]!r}].")
        if not isinstance(given, Iterable):
            raise InvalidTagError(f"tags must be a list or tuple of tags, not {type(given).__name__}.")
        declared = ([prefix[:-1]] if prefix else []) + [prefix + check_tag(tag) for tag in tags]
        every = sorted({ancestor for tag in declared for ancestor in ancestry(check_tag(tag))})
        return self._assemble(every, _home(declared[0]) if declared else "")

    def recorded_tagset(self, tags: tuple[str, ...]) -> TagSet:
        """The set for tags as an entry recorded them: complete already, roots of other keys among them perhaps."""
        return self._assemble(sorted(tags), "")

    def _assemble(self, tags: list[str], home: str) -> TagSet:
        if sum(not tag.startswith(ROOT_MARK) for tag in tags) > MAX_TAGS:
            raise InvalidTagError(
                f"An entry carries at most {MAX_TAGS} tags, ancestors included; these make {len(tags)}."
            )
        if len(tags) > MAX_RECORDED:
            raise InvalidTagError(f"An entry records at most {MAX_RECORDED} names; these are {len(tags)}.")
        blob = b"".join(tag.encode() + END for tag in tags)
        return TagSet(
            tags=tuple(tags),
            stamp_names=tuple(self.stamp(tag) for tag in tags),
            blob=blob,
            shape=shape(len(tags), len(blob)),
            names_at=STAMPS_AT + size_of_stamps(len(tags)),
            home=home,
        )

    def entry(self, raw_key: bytes, home: str = "") -> bytes:
        """The name of a key's entry."""
        if len(raw_key) > MAX_PLAIN_BYTES or self.clustered:
            return self._distant_entry(raw_key, home)
        return self._entry + raw_key

    def _distant_entry(self, raw_key: bytes, home: str) -> bytes:
        from hashlib import blake2b  # noqa: PLC0415 - only long keys need it

        if len(raw_key) > MAX_KEY_BYTES:
            raise InvalidKeyError(
                f"A key has at most {MAX_KEY_BYTES} bytes with its scope; this one has {len(raw_key)}."
            )
        hashed = len(raw_key) > MAX_PLAIN_BYTES
        place = _hash_tag(home or _untagged_home(raw_key)).encode() + b":" if self.clustered else b""
        tail = blake2b(raw_key, digest_size=16).hexdigest().encode() if hashed else raw_key
        return (self._hashed if hashed else self._entry) + place + tail

    def lease(self, entry: bytes) -> bytes:
        """The name of the lease that belongs to an entry's name."""
        at = len(self._entry) - 2
        return entry[:at] + (b"l" if entry.startswith(self._entry) else b"l#") + entry[at + 1 :]

    def globs(self, glob: bytes, *, leases: bool = False) -> tuple[bytes, ...]:
        """What SCAN is to match for keys that a glob matches: leases (all of them), plain entries, all long ones."""
        start = self.namespace.encode()  # holds no glob characters
        plain = self._entry + (b"*" if self.clustered else glob)
        return (*((start + b":l[:#]*",) if leases else ()), plain, self._hashed + b"*")

    def is_plain(self, name: bytes) -> bool:
        """Whether this is the name of an entry that ends with its whole key."""
        return name.startswith(self._entry) and not self.clustered

    def is_distant(self, name: bytes) -> bool:
        """Whether this is the name of an entry whose key must be read from its head."""
        return name.startswith(self._hashed) or (self.clustered and name.startswith(self._entry))

    def is_entry_of(self, name: bytes, raw_key: bytes) -> bool:
        """Whether this is the name of a key's entry (clustered: wherever its home is)."""
        if not self.clustered:
            return name == self.entry(raw_key)
        own, place = self.entry(raw_key), name.partition(b"{")[2].partition(b"}")[0]
        start, _, rest = own.partition(b"{")
        return name == b"".join((start, b"{", place, b"}", rest.partition(b"}")[2]))

    def leased(self, name: bytes) -> bytes | None:
        """The key of a lease's name: empty where the name does not tell, None for what is no lease."""
        start = len(self._entry) - 2
        if END in name or name[:start] != self._entry[:start]:
            return None
        if name.startswith(b"l#:", start):
            return b""
        if not name.startswith(b"l:", start):
            return None
        return b"" if self.clustered else name[start + 2 :]

    def read_names(self, raw_key: bytes, tagset: TagSet, home: str) -> tuple[bytes, ...]:
        """What one read of a key fetches: its entry, the stamps of the tags that it should have, its root's."""
        if len(raw_key) > MAX_PLAIN_BYTES or self.clustered:
            return (self._distant_entry(raw_key, home), *tagset.stamp_names, self.root_of(raw_key, home))
        return (self._entry + raw_key, *tagset.stamp_names, self.root_names[crc_hqx(raw_key, 0) % ROOTS])

    def make_plan(self, prefix: str, key: str, tags: tuple[str, ...]) -> Plan:
        """What a read of a key takes whose entry should record what is declared, and no more.

        Args:
            prefix: see `make_tagset`.
            key: relative to the scope.
            tags: see `make_tagset`.

        Raises:
            InvalidKeyError, InvalidTagError: the key or a tag is bad.
        """
        raw, declared = prefix.encode() + key_bytes(key), self.tagset(prefix, tags)
        return self.plan_for(raw, declared, declared)

    def plan_for(self, raw_key: bytes, declared: TagSet, expected: TagSet) -> Plan:
        """The same for an entry that should record the expected tags."""
        names = self.read_names(raw_key, expected, declared.home)
        return raw_key, declared, expected, names, expected.blob + raw_key + END

    def root_of(self, raw_key: bytes, home: str = "") -> bytes:
        """The stamp's name of a key's root."""
        return self._root(self._root_number(raw_key, home))

    def root_tag(self, raw_key: bytes, home: str = "") -> str:
        """The name of a key's root among tags."""
        return f"{ROOT_MARK}{self._root_number(raw_key, home)}"

    def root_tag_at(self, entry: bytes, raw_key: bytes) -> str:
        """The same for the key of an entry that was found under its name."""
        return f"{ROOT_MARK}{slot_of(entry)}" if self.clustered else root_tag(raw_key)

    @property
    def roots(self) -> list[str]:
        """The names of all roots."""
        return [root for group in self.root_groups() for root in group]

    @property
    def told_roots(self) -> tuple[str, ...]:
        """What a person is told of all roots: their names, or of the many of a cluster that it is all."""
        return (ROOT_MARK,) if self.clustered else tuple(self.roots)

    def root_groups(self) -> list[list[str]]:
        """All roots in 16 groups, for a clear that is spread over time. On a cluster each is spread over the nodes."""
        count = SLOTS if self.clustered else ROOTS
        return [[f"{ROOT_MARK}{number}" for number in range(first, count, ROOTS)] for first in range(ROOTS)]

    def untagged_home(self, raw_key: bytes) -> str:
        """The home of a key without tags. As a tag's name: what carries it first lies at the same place."""
        return _untagged_home(raw_key)

    def roots_beside(self, declared: TagSet) -> list[str]:
        """Every root that a key may have which is set with some of these tags, or with none."""
        if not self.clustered:
            return [f"{ROOT_MARK}{number}" for number in range(ROOTS)]
        homes = {_home(tag) for tag in declared.tags}.union(map(_numbered_home, range(HOMES)))
        return [f"{ROOT_MARK}{slot}" for slot in sorted({_slot_of_home(home) for home in homes})]

    def _root(self, number: int) -> bytes:
        if number < len(self.root_names):
            return self.root_names[number]
        place = b"{" + tag_of_slot(number) + b"}" if self.clustered else b""  # else: an entry that nobody here has made
        return f"{self.namespace}:r:{number}".encode() + place

    def _root_number(self, raw_key: bytes, home: str) -> int:
        return _slot_of_home(home or _untagged_home(raw_key)) if self.clustered else bucket(raw_key)


def _home(tag: str) -> str:
    """A tag's first level: on a cluster the home of what is cached under it."""
    return tag.partition("/")[0]


def _untagged_home(raw_key: bytes) -> str:
    return _numbered_home(crc_hqx(raw_key, 0) % HOMES)


def _numbered_home(number: int) -> str:
    return f"~{number:02}"


def _slot_of_home(home: str) -> int:
    return slot_of(_hash_tag(home).encode())
