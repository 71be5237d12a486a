"""A rolling deploy from django-redis, and back: both versions live, on one server and one database."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import override_settings
from servers import Server

from unstale.contrib.django import moving, notices
from unstale.contrib.django.migration.old_side import globs_of
from unstale.contrib.django.patterns import parse_pattern

OURS = "unstale.contrib.django.UnstaleCache"
THEIRS = "django_redis.cache.RedisCache"
PATTERNS = ["user:{id}:*", ("orders:{user}:*", "user:{user}/orders"), "*list_*"]
STEPS = [("old", "sharing"), ("sharing", "leaving"), ("leaving", "off")]
BOTH_WAYS = [pair for step in STEPS for pair in (step, step[::-1])]
KNOWING = [pair for pair in BOTH_WAYS if pair[0] != "old"]
"""Pairs whose first pod knows of tags."""
SESSIONS = "django.contrib.sessions.backends.cache"

pytestmark = pytest.mark.filterwarnings("ignore::unstale.contrib.django.notices.UnstaleWarning")


@pytest.fixture
def pods(server: Server, databases: None) -> Iterator[Callable[[str], Any]]:
    """A pod of each version, by its name: an alias of its own, on the same server, database, prefix and version."""
    common: dict[str, Any] = {"LOCATION": server.url, "KEY_PREFIX": "shop"}

    def of(stage: object) -> dict[str, Any]:
        return {**common, "BACKEND": OURS, "OPTIONS": {"TAG_PATTERNS": PATTERNS, "MIGRATING": stage}}

    every = {
        "old": {**common, "BACKEND": THEIRS},
        "sharing": of(True),
        "leaving": of("leaving"),
        "off": of(False),
    }
    with override_settings(CACHES={**settings.CACHES, **every}):
        yield caches.__getitem__
    notices.forget()


def session_of(alias: str, key: str | None = None) -> Any:
    """A session as a pod of this version sees it."""
    with override_settings(SESSION_CACHE_ALIAS=alias):
        return import_module(SESSIONS).SessionStore(key)


each_step = pytest.mark.parametrize(("first", "second"), BOTH_WAYS)


# Within each step, what one pod does is seen by the other


@each_step
def test_a_deleted_key_is_absent_for_the_other(pods: Callable[[str], Any], first: str, second: str) -> None:
    """Also an old pod's exact delete: the values that a new pod has then are in the same place."""
    pods(second).set("user:42:orders", "before")
    assert pods(second).get("user:42:orders") == "before"
    pods(first).delete("user:42:orders")
    assert pods(second).get("user:42:orders") is None


@each_step
def test_many_deleted_keys_are_absent_for_the_other(pods: Callable[[str], Any], first: str, second: str) -> None:
    """delete_many."""
    pods(second).set_many({"a": 1, "b": 2, "c": 3})
    pods(first).delete_many(["a", "b"])
    assert pods(second).get_many(["a", "b", "c"]) == {"c": 3}


@each_step
@pytest.mark.parametrize("pattern", ["user:42:*", "user:4?:orders", "*:orders"])
def test_a_deleted_pattern_is_absent_for_the_other(
    pods: Callable[[str], Any], first: str, second: str, pattern: str
) -> None:
    """Declared or not."""
    pods(second).set("user:42:orders", "before")
    pods(second).set("page", "other")
    assert pods(first).delete_pattern(pattern) == 1
    assert pods(second).get("user:42:orders") is None
    assert pods(second).get("page") == "other"


@each_step
def test_a_value_that_is_set_is_no_older_for_the_other(pods: Callable[[str], Any], first: str, second: str) -> None:
    """It sees the new one, or none."""
    pods(second).set("k", "before")
    pods(first).set("k", "after")
    assert pods(second).get("k") in ("after", None)
    assert pods(first).get("k") == "after"


@each_step
def test_values_that_are_set_are_no_older_for_the_other(pods: Callable[[str], Any], first: str, second: str) -> None:
    """set_many."""
    pods(second).set_many({"a": "before", "b": "before"})
    pods(first).set_many({"a": "after", "b": "after"})
    assert set(pods(second).get_many(["a", "b"]).values()) <= {"after"}


@each_step
def test_what_is_cleared_is_absent_for_the_other(
    pods: Callable[[str], Any], first: str, second: str, server: Server
) -> None:
    """And what belongs to others in the database stays, but where an old pod flushes it."""
    pods(second).set("k", "before")
    with server.client as client:
        client.set("jobs", 1)
        pods(first).clear()
        assert client.exists("jobs") == (first != "old")
    assert pods(second).get("k") is None


@pytest.mark.parametrize(("first", "second"), KNOWING)
@pytest.mark.parametrize("key", ["user:42:orders", "orders:42:page:1"])
def test_an_invalidated_tag_is_absent_for_the_other(
    pods: Callable[[str], Any], first: str, second: str, key: str
) -> None:
    """Also tags below it; other users' keys stay."""
    pods(second).set(key, "before")
    pods(second).set("user:43:orders", "other")
    pods(first).invalidate("user:42")
    assert pods(second).get(key) is None
    assert pods(second).get("user:43:orders") == "other"


@pytest.mark.parametrize(("first", "second"), KNOWING)
def test_an_invalidation_waits_for_commit_on_both_sides(pods: Callable[[str], Any], first: str, second: str) -> None:
    """A rollback leaves both."""
    pods(second).set("user:42:orders", "before")
    with transaction.atomic():
        pods(first).invalidate("user:42")
        transaction.set_rollback(True)
    assert pods(second).get("user:42:orders") == "before"
    with transaction.atomic():
        pods(first).invalidate("user:42")
    assert pods(second).get("user:42:orders") is None


@each_step
def test_what_is_loaded_while_the_other_deletes(pods: Callable[[str], Any], first: str, second: str) -> None:
    """As long as the other knows of leases the fill is refused; else it is what django-redis has always done."""

    def loader() -> str:
        pods(first).delete("user:42:orders")
        return "before"

    assert pods(second).get_or_set("user:42:orders", loader) == "before"
    is_as_before = {first, second} & {"old"} or second == "sharing"
    assert pods(second).get("user:42:orders") in ((None, "before") if is_as_before else (None,))


@pytest.mark.parametrize(("first", "second"), [pair for pair in KNOWING if pair[0] != "off"])
def test_asynchronous_verbs_reach_the_other_side(pods: Callable[[str], Any], first: str, second: str) -> None:
    """They hop to a thread for it, as django-redis's own do."""
    keys = {"user:1:a": 1, "user:2:a": 1, "b": 1, "c": 1, "d": 1, "list_x": 1}
    pods(second).set_many(keys)

    async def work() -> None:
        pod = pods(first)
        await pod.ainvalidate("user:1")
        await pod.adelete_pattern("user:2:*")
        await pod.adelete("b")
        await pod.adelete_many(["c"])
        await pod.aset("d", "after")
        await pod.adelete_pattern("list*")

    async_to_sync(work)()
    found = pods(second).get_many(list(keys))
    assert set(found) <= {"d"}
    assert found.get("d", "after") == "after"


@pytest.mark.parametrize("stage", ["sharing", "leaving"])
def test_asynchronous_verbs_of_one_pod(pods: Callable[[str], Any], stage: str) -> None:
    """Set, read, count, load: the same answers as everywhere."""

    async def work() -> list[Any]:
        pod = pods(stage)
        done = [await pod.aset("a", 1), await pod.aget("a"), await pod.aincr("a"), await pod.aget_many(["a", "b"])]
        done += [
            await pod.aadd("a", 5),
            await pod.aget_or_set("b", lambda: "b"),
            await pod.aget("b"),
            await pod.ahas_key("b"),
        ]
        return [*done, await pod.attl("b"), await pod.atouch("b", 50), sorted(await pod.akeys("*"))]

    assert async_to_sync(work)() == [True, 1, 2, {"a": 2}, False, "b", "b", True, 300, True, ["a", "b"]]


@pytest.mark.parametrize("stage", ["sharing", "leaving"])
def test_verbs_of_one_pod(pods: Callable[[str], Any], stage: str) -> None:
    """The rest of them."""
    pod = pods(stage)
    assert [pod.add("a", 1), pod.add("a", 2), pod.incr("a"), pod.decr("a", 2), pod.get("a")] == [True, False, 2, 0, 0]
    assert [pod.set("b", 1, xx=True), pod.set("b", 1, nx=True), pod.set("b", 2, xx=True), pod.get("b")] == [
        *(False, True, True),
        2,
    ]
    assert [pod.ttl("b"), pod.touch("b", 50), pod.ttl("b"), pod.ttl("no"), pod.touch("no")] == [300, True, 50, 0, False]
    assert [pod.get_or_set("c", lambda: "c"), pod.get("c"), "c" in pod, pod.has_key("no")] == ["c", "c", True, False]
    assert [pod.incr("d", ignore_key_check=True), sorted(pod.keys("*"))] == [1, ["a", "b", "c", "d"]]
    with pytest.raises(ValueError, match="not found"):
        pod.incr("no")
    assert pod.persist("b")
    assert pod.ttl("b") is None
    assert [pod.delete("a"), pod.delete("a"), pod.delete_many(["b", "c", "no"])] == [True, False, 2]


def test_counters_and_locks_are_shared_with_old_pods(pods: Callable[[str], Any]) -> None:
    """In the first step: values are in one place."""
    old, new = pods("old"), pods("sharing")
    old.set("visits", 1)
    assert (new.incr("visits"), old.incr("visits")) == (2, 3)
    assert new.add("import", 1)
    assert not old.add("import", 1)


def test_structures_and_locks_are_shared_with_old_pods(pods: Callable[[str], Any]) -> None:
    """In the first step, too."""
    old, new = pods("old"), pods("sharing")
    old.sadd("seen", 1, "a", (1, 2))
    new.sadd("seen", "b")
    assert new.smembers("seen") == old.smembers("seen") == {1, "a", (1, 2), "b"}
    new.zadd("rank", {7: 1, "x": 2})
    assert [old.zscore("rank", 7), new.zrange("rank", 0, -1)] == [1, [7, "x"]]
    new.hset("h", "f", 1)
    assert old.hkeys("h") == ["f"]
    with old.lock("import", timeout=10):
        assert not new.lock("import", timeout=10).acquire(blocking=False)
    new.clear()
    assert [old.scard("seen"), old.zcard("rank"), old.hlen("h")] == [0, 0, 0]


@pytest.mark.parametrize("stage", ["leaving", "off"])
def test_structures_do_not_move(pods: Callable[[str], Any], stage: str) -> None:
    """From the second step on they begin anew; while "leaving", a delete removes them on both sides."""
    pods("sharing").sadd("seen", 1)
    assert pods(stage).scard("seen") == 0
    pods("leaving").delete("seen")
    assert pods("sharing").scard("seen") == 0


# Names


@pytest.mark.parametrize("stage", ["leaving", "off"])
def test_our_entries_never_use_its_keys(pods: Callable[[str], Any], server: Server, stage: str) -> None:
    """Every name begins with our namespace."""
    pods(stage).set("user:42:orders", 1)
    with server.client as client:
        assert {name.split(b":")[0] for name in client.scan_iter()} == {b"django"}


def test_our_entries_are_no_keys_of_its(server: Server, databases: None) -> None:
    """Also where a glob of KEY_FUNCTION's keys matches the names of ours."""
    common = {"BACKEND": OURS, "LOCATION": server.url, "KEY_FUNCTION": f"{__name__}.ending"}
    every = {name: {**common, "OPTIONS": {"MIGRATING": stage}} for name, stage in (("a", True), ("b", "leaving"))}
    with override_settings(CACHES={**settings.CACHES, **every}):
        caches["b"].set("page", 1)
        assert caches["a"].keys("*") == []
        caches["a"].set("other", 1)
        assert [key.split(":")[0] for key in caches["a"].core.iter_keys("*")] == ["other"]


def ending(key: str, prefix: str, version: int) -> str:
    """A KEY_FUNCTION that puts the key in front."""
    return f"{key}:{prefix}:{version}"


def test_its_keys_are_its_own(pods: Callable[[str], Any], server: Server) -> None:
    """In the first step a new pod writes what an old pod would."""
    pods("sharing").set("user:42:orders", {"a": 1})
    with server.client as client:
        assert client.keys() == [b"shop:1:user:42:orders"]
    assert pods("old").get("user:42:orders") == {"a": 1}


def test_what_no_pattern_tells_of_is_not_kept_there(pods: Callable[[str], Any]) -> None:
    """An invalidation would not find it, so it is loaded each time, until the values are ours."""
    new = pods("sharing")
    assert new.set("k", 1, tags=["colour:red"]) is False
    assert new.get("k", tags=["colour:red"]) is None
    assert [new.get_or_set("k", lambda: 1, tags=["colour:red"]), new.get("k")] == [1, None]
    assert pods("leaving").set("k", 1, tags=["colour:red"])


@pytest.mark.parametrize(
    ("pattern", "tag", "globs"),
    [
        ("user:{id}:*", "user:42", ["user:42:*"]),
        ("user:{id}:*", "user:4*%2F[", [r"user:4\*/\[:*"]),
        ("user:{id}:*", "user:%~0123", ["user:*:*"]),
        ("user:{id}:*", "order:42", []),
        ("user:{id}:*", "user:42/orders", []),
        (("orders:{user}:{page}", "user:{user}/orders"), "user:42", ["orders:42:*"]),
        (("orders:{user}:{page}", "user:{user}/orders"), "user:42/orders", ["orders:42:*"]),
        ("{a}.{b}.*", "x.y%2Ez", ["x.y.z.*"]),
        ("*user_list*", "user_list", ["*user_list*"]),
    ],
)
def test_globs_of_a_tag(pattern: Any, tag: str, globs: list[str]) -> None:
    """The keys that carry it, or one below it; what the tag does not tell is any text."""
    parsed = parse_pattern(*pattern) if isinstance(pattern, tuple) else parse_pattern(pattern)
    assert list(globs_of(parsed, tag)) == globs


@pytest.mark.parametrize("stage", ["sharing", "leaving"])
def test_clear_does_not_flush_where_keys_have_no_prefix(server: Server, databases: None, stage: str) -> None:
    """A KEY_FUNCTION that puts nothing into keys: it says so, once ours are cleared."""
    options = {"MIGRATING": {"sharing": True}.get(stage, stage)}
    one = {"BACKEND": OURS, "LOCATION": server.url, "KEY_FUNCTION": f"{__name__}.bare", "OPTIONS": options}
    with override_settings(CACHES={"default": one}), server.client as client:
        client.set("jobs", 1)
        with pytest.raises(ImproperlyConfigured, match="KEY_FUNCTION"):
            caches["default"].clear()
        assert client.exists("jobs")


def bare(key: str, prefix: str, version: int) -> str:
    """A KEY_FUNCTION."""
    return key


# Sessions


@each_step
def test_sessions_are_seen_by_the_other(pods: Callable[[str], Any], first: str, second: str) -> None:
    """Made on one, read and changed on the other, read again: after `move_sessions` before the last step."""
    if "off" in (first, second):
        moving.move_sessions("leaving")
    made = session_of(first)
    made["user"] = 42
    made.save()
    seen = session_of(second, made.session_key)
    assert seen.get("user") == 42
    seen["cart"] = [1]
    seen.save()
    assert session_of(first, made.session_key).get("cart") == [1]


@each_step
def test_who_logs_out_on_one_is_out_on_the_other(pods: Callable[[str], Any], first: str, second: str) -> None:
    """Also after both have written the session."""
    made = session_of(second)
    made["user"] = 42
    made.save()
    session_of(first, made.session_key)["seen"] = True
    again = session_of(first, made.session_key)
    again["user"] = 43
    again.save()
    session_of(first, made.session_key).delete()
    assert not session_of(second).exists(made.session_key)
    assert session_of(second, made.session_key).get("user") is None


def test_sessions_survive_the_switch(pods: Callable[[str], Any]) -> None:
    """From an old pod to one without MIGRATING, with its time to live."""
    made = session_of("old")
    made["user"] = 42
    made.save()
    left = pods("old").ttl(made.cache_key)
    assert moving.move_sessions("leaving") == 1
    assert session_of("off", made.session_key).get("user") == 42
    assert left - 5 <= pods("off").ttl(made.cache_key) <= left
    assert moving.move_sessions("leaving") == 0
    assert not session_of("old").exists(made.session_key)


def test_a_session_that_ends_while_it_is_moved(pods: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who logs out between its read and its store is out."""
    made = session_of("old")
    made["user"] = 42
    made.save()
    kind = type(pods("leaving").core.old)
    read = kind.get

    def slow(self: Any, key: str) -> Any:
        value = read(self, key)
        pods("leaving").delete(made.cache_key)
        return value

    monkeypatch.setattr(pods("leaving").core.old, "get", slow.__get__(pods("leaving").core.old))
    moving.move_sessions("leaving")
    monkeypatch.undo()
    assert not session_of("leaving").exists(made.session_key)
    assert not session_of("off").exists(made.session_key)


def test_a_moved_session_is_not_made_again_on_the_other_side(pods: Callable[[str], Any]) -> None:
    """So a pod that still looks there never revives one that ended on a pod that does not."""
    made = session_of("leaving")
    made["user"] = 42
    made.save()
    moving.move_sessions("leaving")
    again = session_of("leaving", made.session_key)
    again["cart"] = 1
    again.save()
    session_of("off", made.session_key).delete()
    assert session_of("leaving", made.session_key).get("user") is None


def test_sessions_survive_the_way_back(pods: Callable[[str], Any]) -> None:
    """From a pod whose values are ours to an old one."""
    made = session_of("leaving")
    made["user"] = 42
    made.save()
    assert moving.return_sessions("sharing") == 1
    assert session_of("old", made.session_key).get("user") == 42
    session_of("old", made.session_key).delete()
    assert session_of("sharing", made.session_key).get("user") is None


# Back and forth, and the end


def test_rolled_forth_and_back_and_forth(pods: Callable[[str], Any]) -> None:
    """In each mixture of two versions, each write of one and then of the other: nobody sees the value before."""
    way = [*STEPS, *[step[::-1] for step in reversed(STEPS)], *STEPS]
    number = 0
    for pair in way:
        if pair == ("off", "leaving"):
            moving.remove_old("leaving")  # what pods without MIGRATING did not delete there
        for writer in (*pair, *pair):
            number += 1
            for reader in pair:
                seen = pods(reader).get_or_set("user:42:orders", lambda now=number - 1: now)
                assert seen == number - 1, (pair, writer, reader)
            pods(writer).delete_pattern("user:42:*")


def test_what_is_left_can_be_removed(pods: Callable[[str], Any], server: Server) -> None:
    """And nothing else."""
    pods("old").set_many({"a": 1, "b": 2}, version=7)
    pods("off").set("a", 3)
    with server.client as client:
        client.set("jobs", 1)
        moving.remove_old("leaving")
        assert client.keys("shop:*") == []
        assert client.exists("jobs")
    assert pods("off").get("a") == 3


@pytest.mark.parametrize(
    ("call", "alias"),
    [
        (moving.move_sessions, "sharing"),
        (moving.move_sessions, "off"),
        (moving.return_sessions, "leaving"),
        (moving.remove_old, "sharing"),
        (moving.remove_old, "old"),
    ],
)
def test_what_is_done_by_hand_needs_its_stage(
    pods: Callable[[str], Any], call: Callable[[str], Any], alias: str
) -> None:
    """It says which."""
    with pytest.raises(ImproperlyConfigured, match="MIGRATING"):
        call(alias)


@pytest.mark.parametrize("stage", ["yes", 1.5, None])
def test_an_unknown_stage_is_an_error(server: Server, stage: object) -> None:
    """With the ones that there are."""
    one = {"BACKEND": OURS, "LOCATION": server.url, "OPTIONS": {"MIGRATING": stage}}
    with (
        override_settings(CACHES={"default": one}),
        pytest.raises(ImproperlyConfigured, match='True, "leaving" or False'),
    ):
        caches["default"].get("k")


def test_without_django_redis(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it is needed until the end."""
    monkeypatch.setitem(sys.modules, "django_redis.cache", None)
    one = {"BACKEND": OURS, "LOCATION": server.url, "KEY_PREFIX": "none", "OPTIONS": {"MIGRATING": True}}
    with override_settings(CACHES={"default": one}), pytest.raises(ImproperlyConfigured, match="leave it installed"):
        caches["default"].get("k")
