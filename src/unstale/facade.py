"""What `Cache` and `AsyncCache` share: everything but the waiting.

The hit path is split-phase. `_plan` says what to read, the façade's store reads it, `_judge` serves it if it is plainly
fresh; what is out of the ordinary goes to the core.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

from unstale.core import capture, codecs
from unstale.core.closing import Closing
from unstale.core.freshness import fresh_body, fresh_payload
from unstale.core.keys import MAX_KEY_BYTES, Plan, TagSet, check_tag, key_bytes, quote_part
from unstale.core.keyspace import NOTHING, Keyspace, Snapshot, Target
from unstale.core.layout import FENCED, FLAGS_AT, PLAIN_FORMS, TIMED, TIMES_AT, signed_forms
from unstale.core.payloads import OF_BYTES
from unstale.core.policy import DEFAULT, Duration, Ttl, earliest, seconds
from unstale.core.refresh import Life
from unstale.core.stamps import CLOSED
from unstale.core.verbs import COMPUTED, UNCOMPUTED, Basis
from unstale.errors import (
    BreakerOpenError,
    ConfigurationError,
    DecodeError,
    InvalidKeyError,
    InvalidTagError,
    NotACounterError,
    NotReplicatedError,
    StoreClosedError,
    StoreError,
)
from unstale.events import Failed, Hit, Invalidated, Queued

if TYPE_CHECKING:
    from unstale.core.browse import Walk

Tags: TypeAlias = Sequence[str]
TagsOfKey: TypeAlias = "Tags | Callable[[str], Tags]"

_OWNER: Final = re.compile("[0-9a-f]{32}")
MAX_GLOB_BYTES: Final = 2 * MAX_KEY_BYTES
"""Longest glob: the longest key with each character escaped."""

_ALL_TIMES: Final = Struct(">dfff")
"""Created at, ttl, stale ttl, load seconds: from TIMES_AT on."""


class Cold:
    """What the hit path leaves to the core: everything it has read so far."""

    __slots__ = ("expected", "snapshot", "target")

    def __init__(self, target: Target, expected: TagSet, snapshot: Snapshot) -> None:
        """Keep it."""
        self.target = target
        self.expected = expected
        self.snapshot = snapshot


class PlannedTags(tuple[str, ...]):  # noqa: SLOT001 - a tuple subclass can have none
    """The tags of one key, with what a read of it takes: for a caller who keeps something for each key anyhow.

    Attributes:
        key: the key; with another one these are tags like any others.
        plan: what a read takes.
    """

    key: str
    plan: Plan


class Facade:
    """A cache's fixed parts, and what needs no waiting."""

    __slots__ = (
        "_beta",
        "_decode",
        "_emit",
        "_has_hinted",
        "_hints",
        "_inline",
        "_io",
        "_names",
        "_payloads",
        "_planned",
        "_prefix",
        "_raw_prefix",
        "_signed_forms",
        "_signer",
        "_space",
        "_store",
        "_tagset",
        "_undecodable",
    )

    _make_io: Callable[[Any, Any], Any]

    def _settle(self, seconds: float) -> Any:
        """Drain the queue, before reads ask a server that is back: what a read can in this time.

        Raises:
            BreakerOpenError: there is more; the next read goes on with it at once.
            StoreUnavailableError: it cannot be done.
        """
        raise NotImplementedError

    def __init__(self, store: Any, space: Keyspace, *, prefix: str = "", io: Any = None) -> None:
        """Put the parts together; `from_url` is the usual way."""
        self._store = store
        self._io = io or self._make_io(store, None)
        self._inline: Self | None = None
        self._space = space
        self._has_hinted = False
        self._prefix = prefix
        self._raw_prefix = prefix.encode()
        self._names = space.names
        self._tagset = space.names.tagset
        self._planned = space.names.plan
        self._hints = space.hints
        self._emit = space.emit
        self._payloads = space.payloads
        signer, codec = space.payloads.signer, space.payloads.codec
        self._signer: Any = signer
        self._decode, self._undecodable = codecs.quick_of(codec)
        self._signed_forms = signed_forms(codec.number) if signer is not None and codec.number in OF_BYTES else ()
        self._beta = space.policy.beta
        queue = space.queue
        if queue is not None and queue.join(store.hold):
            store.owe(self._settle)
            if queue.has_any():
                store.hold()

    @classmethod
    def from_parts(cls, store: Any, space: Keyspace, *, runner: Any = None) -> Self:
        """A cache over a store that is there already, with a keyspace that several caches may share.

        A `Cache` and an `AsyncCache` over one keyspace are one cache for both kinds of code: what the one remembers of
        a miss the other's `set` is held to, in the same context, and a loader of the one inherits what it reads by the
        other. (Two caches from the same URL are two: each is held to its own looks.)

        Args:
            store: of the façade's kind, such as `unstale.stores.urls.open_store` or `open_async_store` gives.
            space: what `unstale.options.make_keyspace` makes of a cache's options.
            runner: see `CacheOptions`: of the façade's kind, too.
        """
        return cls(store, space, io=cls._make_io(store, runner))

    def __repr__(self) -> str:
        """Name the namespace and the scope, never the URL."""
        scope = f" scope={self._prefix[:-1]!r}" if self._prefix else ""
        return f"<{type(self).__name__} namespace={self._names.namespace!r}{scope}>"

    def inline(self) -> Self:
        """The same cache without its runner: for loaders that are bound to their caller, such as a request's view."""
        if not self._io.runs:
            return self
        if self._inline is None:
            self._inline = type(self)(
                self._store, self._space, prefix=self._prefix, io=self._make_io(self._store, None)
            )
        return self._inline

    def scope(self, kind: str, *ids: object) -> Self:
        """A bound cache: its keys and tags are this thing's alone.

        `cache.scope("user", 42)` keeps its entries under the tag `user:42`, its key `orders` as `user:42/orders`, its
        tag `orders` as `user:42/orders`; its `invalidate()` makes all of them stale.

        Args:
            kind: what it is.
            ids: which one: names, numbers, UUIDs; separators in them are escaped.

        Raises:
            InvalidTagError: an id is None, empty, or a collection: all who have none would share what is there.
        """
        for part in ids:
            if part is None or part == "" or (isinstance(part, Collection) and not isinstance(part, str)):
                raise InvalidTagError(
                    f"A scope's id says which one, and {part!r} does not: all who have none would share what is there. "
                    "If they are to, name a scope for it."
                )
        name = self._prefix + ":".join(quote_part(part) for part in (kind, *ids))
        check_tag(name)
        return type(self)(self._store, self._space, prefix=f"{name}/", io=self._io)

    def planned(self, key: str, tags: Tags) -> PlannedTags:
        """Tags to give to this cache's verbs for this very key, a `str` that is kept with them; reads are then cheaper.

        Raises:
            InvalidKeyError, InvalidTagError: the key or a tag is bad.
        """
        planned = PlannedTags(tags)
        planned.key, planned.plan = key, self._names.make_plan(self._prefix, key, tuple(planned))
        return planned

    def _plan(self, key: str, tags: Tags) -> Plan:
        if type(tags) is PlannedTags and tags.key is key and not self._hints:
            return tags.plan
        try:
            plan = self._planned(self._prefix, key, tags if type(tags) is str else tuple(tags))
        except TypeError:  # no iterable, or what cannot be hashed: the checks say so
            raw, declared = self._raw_prefix + key_bytes(key), self._tagset_of(tags)
            plan = self._names.plan_for(raw, declared, declared)
        if self._hints:  # its entry may be known to record more tags than are declared
            expected = self._hints.get((plan[0], plan[1]))
            if expected is not None:
                return self._names.plan_for(plan[0], plan[1], expected)
        return plan

    def _judge(self, key: str, plan: Plan, values: list[bytes | None], identity: bytes, into: Any = None) -> Any:
        """The value of a fresh entry, or a `Cold`."""
        raw, declared, expected, _, names = plan
        data = values.pop(0)
        if type(data) is bytes:
            value: Any = NOTHING
            form = data[FLAGS_AT:TIMES_AT]
            if form in self._signed_forms and into is None:
                body = fresh_body(data, expected, names, values, identity, self._signer)
                if body is not None:
                    try:
                        value = self._decode(body)
                    except self._undecodable:
                        value = NOTHING
            else:
                payload = fresh_payload(data, expected, names, values, identity)
                if payload is not None:
                    is_plain = form in PLAIN_FORMS and into is None and self._signer is None
                    value = payload if is_plain else self._value(data, payload, into)
            if value is not NOTHING:
                if capture.running() is not None:
                    fenced = data[FLAGS_AT] & FENCED
                    self._bequeath(plan, cast("list[bytes]", values), identity if fenced else None)
                if self._emit is not None:
                    self._emit(Hit(key))
                return value
        return Cold(Target(key, raw, declared, into), expected, Snapshot(data, values, identity))

    def _plans_of(self, keys: Iterable[str], tags: TagsOfKey) -> dict[str, Plan]:
        """A plan for each key, each once."""
        keys = self._each(keys)
        if callable(tags):
            return {key: self._plan(key, tags(key)) for key in keys}
        if not isinstance(tags, str) and isinstance(tags, Iterable):
            tags = tuple(tags)  # once: an iterator would run out after the first key
        return {key: self._plan(key, tags) for key in keys}

    def _judge_many(
        self, plans: dict[str, Plan], found: dict[bytes, bytes | None], identity: bytes, into: Any
    ) -> tuple[dict[str, Any], list[tuple[Target, TagSet, Snapshot]]]:
        """What one read of many keys brought: the values of fresh entries, and what the core must look at."""
        served: dict[str, Any] = {}
        cold: list[tuple[Target, TagSet, Snapshot]] = []
        for key, plan in plans.items():
            value = self._judge(key, plan, [found[name] for name in plan[3]], identity, into)
            if type(value) is Cold:
                cold.append((value.target, value.expected, value.snapshot))
            else:
                served[key] = value
        return served, cold

    def _value(self, data: bytes, payload: bytes, into: Any) -> Any:
        """The value of a payload with something to undo; NOTHING where the core must look closer."""
        if data[FLAGS_AT] & TIMED and not self._in_time(data):
            return NOTHING
        try:
            return self._payloads.value(data, payload, into)
        except DecodeError:
            return NOTHING

    def _in_time(self, data: bytes) -> bool:
        """Whether an entry's ttl is not over, nor so nearly that a reader might load it anew. The core looks closer."""
        created_at, ttl, _, load_seconds = _ALL_TIMES.unpack_from(data, TIMES_AT)
        return bool(self._io.now() < created_at + ttl - earliest(load_seconds, self._beta))

    def _bequeath(self, plan: Plan, stamps: list[bytes], identity: bytes | None) -> None:
        """A hit inside a loader: the loader's result depends on it."""
        heir = capture.heir(self._space)
        if heir is not None:
            raw, declared, expected, _, _ = plan
            tags = (*expected.tags, self._names.root_tag(raw, declared.home))
            heir.add(zip(tags, stamps, strict=True), identity)

    def _tagset_of(self, tags: Tags) -> TagSet:
        """The set of declared tags. Only tuples are looked up as they are: other iterables may change or run out."""
        try:
            return self._tagset(self._prefix, tags if isinstance(tags, str) else tuple(tags))
        except TypeError as error:
            raise InvalidTagError(f"tags must be a list or tuple of str: {error}.") from error

    def _target(self, key: str, tags: Tags, into: Any = None) -> Target:
        declared = self._tagset_of(tags)
        return Target(key, self._raw_prefix + key_bytes(key), declared, into)

    def _each(self, keys: Iterable[str]) -> Iterable[str]:
        """The keys of a verb for many, each once."""
        if isinstance(keys, str):
            raise InvalidKeyError(f"keys must be a list of keys, not a str: write [{keys[:60]!r}].")
        return dict.fromkeys(keys)

    def _targets(self, keys: Iterable[str], tags: TagsOfKey, into: Any = None) -> list[Target]:
        """A target for each key, each once."""
        keys = self._each(keys)
        if not callable(tags) and not isinstance(tags, str) and isinstance(tags, Iterable):
            tags = tuple(tags)  # once: an iterator would run out after the first key
        return [self._target(key, tags(key) if callable(tags) else tags, into) for key in keys]

    def _life(self, ttl: Ttl, stale_ttl: Ttl, negative_ttl: Duration | None) -> Life:
        policy = self._space.policy
        negative = None if negative_ttl is None else seconds(negative_ttl, "negative_ttl")
        return Life(policy.ttl_of(ttl), policy.stale_ttl_of(stale_ttl), negative)

    def _walk(self, match: str, count: int, *, leases: bool = False) -> Walk:
        """A walk through the keys of this cache, or scope, that match a glob."""
        from unstale.core.browse import Walk  # noqa: PLC0415 - who goes through keys imports it

        given: object = match
        try:
            size = len(given.encode()) if isinstance(given, str) else 0
        except UnicodeEncodeError:
            size = 0
        if not 0 < size <= MAX_GLOB_BYTES:
            raise InvalidKeyError(
                f"match must be a glob such as 'user:*': a str of 1 to {MAX_GLOB_BYTES} bytes in UTF-8."
            )
        if type(count) is not int or count < 1:
            raise ConfigurationError("count must be an int of at least 1.")
        return Walk(self._names, self._prefix, match, count, leases=leases)

    def _basis(self, computed: bool, looked_under: str | None) -> Basis:  # noqa: FBT001 - as the caller named it
        """What a set is held to."""
        if looked_under is None:
            return COMPUTED if computed else UNCOMPUTED
        if not computed:
            raise ConfigurationError("looked_under says before which look a value was computed: leave computed=False.")
        return Basis(under=self._raw_prefix + key_bytes(looked_under))

    def _tag_names(self, tags: tuple[str, ...]) -> list[str]:
        """The whole names of tags to invalidate; without any, a scope's own."""
        if not tags and not self._prefix:
            raise InvalidTagError("Say which tags to invalidate, or call clear() for everything.")
        if any(isinstance(tag, list | tuple | set | frozenset) for tag in tags):
            raise InvalidTagError("Tags are given one by one: write invalidate(*tags).")
        return [self._prefix + check_tag(tag) for tag in tags] or [self._prefix[:-1]]

    def _clear_seconds(self, over: Duration) -> float:
        """Over how many seconds to spread a clear; 0 for at once."""
        if over == 0 and not isinstance(over, bool):
            return 0.0
        if over is None or self._prefix:
            raise ConfigurationError("over needs a limit, and a whole cache: a scope is one tag, cleared at once.")
        return seconds(over, "over")

    def _limit_seconds(self, limit: Duration) -> float:
        """How long a strict write's tags stay closed at the most."""
        if limit is None:
            raise ConfigurationError("limit needs seconds: after them the tags of a writer that died are open again.")
        return seconds(limit, "limit")

    def _hinted(self, done: Invalidated | Queued) -> Invalidated | Queued:
        """What was done. Where a tag met nothing, and looks like a pattern, the log says once that it is none."""
        is_nothing = isinstance(done, Invalidated) and not done.bumped
        if is_nothing and not self._has_hinted and any("*" in tag for tag in done.tags):
            self._has_hinted = True
            import logging  # noqa: PLC0415 - rarely needed

            text = "invalidate(%r) met nothing. A tag is a name, no pattern; patterns of keys are for delete_matching"
            logging.getLogger("unstale").warning(text, ", ".join(done.tags))
        return done

    def _closing(self, closing: Closing) -> Closing:
        """A closing as it was begun, also if it was made again from plain data in another process."""
        given: object = closing
        if not isinstance(given, tuple | list) or len(given) != len(Closing._fields):
            raise ConfigurationError("complete takes the Closing that begin_strict returned.")
        tags, owner = given
        if not isinstance(tags, tuple | list) or not tags or not isinstance(owner, str) or not _OWNER.fullmatch(owner):
            raise ConfigurationError("A Closing has the tags and the owner that begin_strict returned, unchanged.")
        return Closing(tuple(check_tag(tag) for tag in tags), owner)

    def _is_kept(self, error: StoreError) -> bool:
        """Whether an invalidation that failed so is to be queued.

        A cache that was closed is a mistake; what too few replicas know of has taken effect.
        """
        return self._space.queue is not None and not isinstance(error, StoreClosedError | NotReplicatedError)

    def _settled(self, error: NotReplicatedError) -> None:
        """What was queued has taken effect, though too few replicas know of it: reads go on."""
        self._space.fail(Failed("drain", "", error))

    def _check_drained(self, is_left: bool) -> None:  # noqa: FBT001 - as it is told
        """Raise BreakerOpenError where something is left in the queue: of the server nothing bad was learned."""
        if is_left:
            raise BreakerOpenError

    def _queued(self, tags: Sequence[str], error: StoreError) -> Queued:
        """It is in the queue: say so; no cache of it serves anything from here on until it has taken effect."""
        if self._space.queue is not None:
            self._space.queue.hold()
        event = Queued(tuple(tags), error)
        self._space.fail(event)
        return event

    def _not_completed(self, error: BaseException, failed: StoreError) -> None:
        """A strict block has failed, and so has its completion: its own error counts, and says so."""
        error.add_note(f"Its tags stay closed until their deadline: {type(failed).__name__}.")
        self._space.fail(Failed("complete", "", failed))

    def _check_step(self, delta: int, initial: int | None) -> None:
        if type(delta) is not int or abs(delta) > codecs.MAX_COUNTER:
            raise NotACounterError("A counter's delta must be an int of at most 2**53 - 1.")
        if initial is not None and (type(initial) is not int or abs(initial) > codecs.MAX_COUNTER):
            raise NotACounterError("A counter begins from an int from -(2**53 - 1) to 2**53 - 1.")

    def shun(self, key: str, *, tags: Tags = ()) -> None:
        """Say that this key is being computed from what nobody may see yet, past the cache. No trip.

        For what depends on tags that an open database transaction has written: neither a `set` of the key that follows
        in this request or task (outside `remembering()`: before its next read) nor a loader around this is stored.

        Args:
            key: the key.
            tags: the tags that the set would declare.

        Raises:
            InvalidKeyError, InvalidTagError: the key or a tag is bad.
        """
        target = self._target(key, tags)
        heir = capture.heir(self._space)
        if heir is not None:
            heir.broken = True
        names = (*target.declared.stamp_names, self._names.root_of(target.raw, target.declared.home))
        capture.shun(self._space.serial, target.raw, names)

    def _without(self, verb: str, error: StoreError, targets: Sequence[Target], *, is_raised: bool = False) -> None:
        """Go on without the cache. A cache that was closed is a mistake of the caller's, though.

        What could not be looked up is computed under stamps that nobody saw: neither a set that follows nor a loader
        around this may store it.
        """
        if isinstance(error, StoreClosedError):
            raise error
        heir = capture.heir(self._space)
        if heir is not None:
            heir.broken = True
        for target in targets:
            names = (*target.declared.stamp_names, self._names.root_of(target.raw, target.declared.home))
            capture.remember(self._space.serial, target.raw, [(name, CLOSED) for name in names], b"")
        self._space.fail(Failed(verb, targets[0].key if len(targets) == 1 else "", error, is_raised))


__all__ = ["DEFAULT", "Cold", "Facade", "Tags", "TagsOfKey"]
