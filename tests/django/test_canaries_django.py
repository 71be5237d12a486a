"""The same for Django's backend: no secret and no value in its errors, warnings, checks, logs, commands and reprs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from canaries import CANARY, PASSWORD, SIGNING_KEY, TOKEN, VALUE, Listener
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import override_settings
from servers import Server, free_port

from unstale import remembering
from unstale.contrib.django import UnstaleCache
from unstale.contrib.django.backend.options import read_options
from unstale.contrib.django.checks import check_alias
from unstale.contrib.django.compat.location import read_location
from unstale.contrib.django.transactions import waiting
from unstale.errors import EncodeError, StoreError, UnstaleError

SECRET_KEY = f"{SIGNING_KEY}-of-django"
WRONG = f"{CANARY}-wrong"


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Hears all, and must not have heard a canary. The first fixture of a test: others override settings within it."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    with Listener() as made, remembering(), override_settings(SECRET_KEY=SECRET_KEY):
        yield made
    assert made.told == []


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """The URL of a server with the canary in it."""
    with server.client as client:
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", f">{PASSWORD}", f">{TOKEN}", "~*", "+@all")
        yield server.url.replace("//", f"//app:{PASSWORD}@")
        client.execute_command("ACL", "DELUSER", "app")


class Secretive:
    """A value whose text is the canary, which cannot be pickled."""

    def __repr__(self) -> str:
        return VALUE

    def __reduce__(self) -> Any:
        raise ValueError(VALUE)


def sync(cache: Any, verb: str, *arguments: Any) -> Any:
    """Call a verb."""
    return getattr(cache, verb)(*arguments)


def awaited(cache: Any, verb: str, *arguments: Any) -> Any:
    """Call a verb's async twin."""
    return async_to_sync(getattr(cache, f"a{verb}"))(*arguments)


both = pytest.mark.parametrize("call", [sync, awaited], ids=["sync", "async"])

VERBS: dict[str, tuple[Any, ...]] = {
    "get": ("k",),
    "set": ("k", VALUE),
    "add": ("k", VALUE),
    "get_or_set": ("k", VALUE),
    "get_many": (["k"],),
    "set_many": ({"k": VALUE},),
    "incr": ("k",),
    "delete": ("k",),
    "delete_pattern": ("user:1:*",),
    "invalidate": ("t",),
    "clear": (),
}

AWAY: dict[str, Callable[[Server], tuple[str, dict[str, Any]]]] = {
    "a wrong password": lambda server: (server.url.replace("//", f"//app:{WRONG}@"), {}),
    "a wrong one in OPTIONS": lambda server: (server.url, {"PASSWORD": WRONG}),
    "nobody there": lambda _: (f"redis://app:{PASSWORD}@127.0.0.1:{free_port()}/0", {}),
}


@both
@pytest.mark.parametrize("ignored", [True, False], ids=["ignored", "raised"])
@pytest.mark.parametrize("away", AWAY.values(), ids=AWAY)
def test_a_server_that_is_away(
    listener: Listener, server: Server, call: Callable[..., Any], ignored: bool, away: Callable[..., Any]
) -> None:
    """Whatever a verb raises or logs, exceptions that are ignored included, shows neither password nor value."""
    location, options = away(server)
    settings: dict[str, Any] = {"DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS": True, "DJANGO_REDIS_LOGGER": "of.the.project"}
    with override_settings(**settings):
        cache = UnstaleCache(location, {"OPTIONS": {"IGNORE_EXCEPTIONS": ignored, "SOCKET_TIMEOUT": 2, **options}})
        for verb, arguments in VERBS.items():
            try:
                call(cache, verb, *arguments)
            except (StoreError, ValueError) as error:
                listener.hear(error)
    assert any("Error" in said for said in listener.said) or ignored
    assert listener.look_at(cache._engine) > 10
    listener.hear(cache, cache._engine.options)


@both
@pytest.mark.parametrize("codec", ["pickle", "msgpack", "json"])
def test_values_that_cannot_be_kept(listener: Listener, url: str, call: Callable[..., Any], codec: str) -> None:
    """What cannot be pickled or encoded is refused, and not shown."""
    cache = UnstaleCache(url, {"OPTIONS": {"CODEC": codec}})
    for verb, arguments in {"set": ("k", Secretive()), "set_many": ({"k": [VALUE, Secretive()]},)}.items():
        with pytest.raises(EncodeError) as raised:
            call(cache, verb, *arguments)
        listener.hear(raised.value)
    assert listener.look_at(cache._engine) > 10


MISTAKES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a password with a hash": (f"redis://:{PASSWORD}#x@localhost/1", {}),
    "a password with a slash": (f"redis://:{PASSWORD}/x@localhost/1", {}),
    "an option that nobody knows": (f"redis://:{PASSWORD}@localhost", {"PASSWRD": PASSWORD}),
    "a password that is a list": ("redis://localhost", {"PASSWORD": [PASSWORD]}),
    "a keyword that nobody knows": ("redis://localhost", {"CONNECTION_POOL_KWARGS": {"pasword": PASSWORD}}),
    "an argument of the wrong type": (
        "redis://localhost",
        {"CONNECTION_POOL_KWARGS": {"password": PASSWORD, "db": "x"}},
    ),
    "a short signing key": ("redis://localhost", {"SIGNING_KEYS": CANARY}),
    "signing keys of another type": ("redis://localhost", {"SIGNING_KEYS": {SIGNING_KEY: 1}}),
    "several servers": ([f"redis://:{PASSWORD}@a", f"redis://:{PASSWORD}@b"], {"FENCE": "none"}),
    "a scheme that nobody knows": (f"reddis://:{PASSWORD}@localhost", {}),
    "sentinels": (f"redis+sentinel://:{PASSWORD}@a:x/service", {}),
    "sentinels' own password": ("redis://a", {"SENTINEL_KWARGS": {"password": PASSWORD}, "SENTINELS": [("a", 1)]}),
    "a wait that is none": (f"redis://:{PASSWORD}@localhost", {"WAIT": -1}),
    "a pattern that is none": (f"redis://:{PASSWORD}@localhost", {"TAG_PATTERNS": ["{"]}),
}


@pytest.mark.parametrize(("location", "options"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_settings(listener: Listener, location: Any, options: dict[str, Any]) -> None:
    """What is said of a wrong setting, at once or by `manage.py check`, shows no secret."""
    params = {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": location, "OPTIONS": options}
    messages = check_alias("default", params)
    listener.hear(*messages)
    with pytest.raises((ImproperlyConfigured, UnstaleError)) as raised:
        UnstaleCache(location, params).get("k")
    listener.hear(raised.value)


def test_settings_that_are_right(listener: Listener) -> None:
    """Nor do the reprs of what is read from them."""
    location = f"redis://app:{PASSWORD}@127.0.0.1:6379/1?max_connections=5"
    given = {"SIGNING_KEYS": [SIGNING_KEY], "CONNECTION_POOL_KWARGS": {"password": TOKEN}}
    listener.hear(read_options(location, {"OPTIONS": given}), read_options(location, {}))
    listener.hear(read_location(location, ("max_connections",)))


def test_the_command(listener: Listener, configure: Callable[..., Any], url: str) -> None:
    """`manage.py unstale` shows keys, tags and times."""
    cache = configure(params={"LOCATION": url}, TAG_PATTERNS=["user:{id}:*"], NAMESPACE="test")
    key = "user:1:page"
    cache.set(key, {"of": VALUE})
    for arguments in (["check"], ["tags"], ["tags", key], ["inspect", key], ["invalidate", "user:1"]):
        out = io.StringIO()
        for how in ([], ["--json"]):
            call_command("unstale", *arguments, *how, stdout=out)
        assert len(out.getvalue()) > 10
        listener.hear(out.getvalue())


def test_the_command_of_a_server_that_refuses(
    listener: Listener, configure: Callable[..., Any], server: Server
) -> None:
    """Nor does it where the password is wrong."""
    configure(params={"LOCATION": server.url.replace("//", f"//app:{WRONG}@")}, NAMESPACE="test")
    for arguments in (["check"], ["check", "--json"], ["inspect", "k"], ["invalidate", "t"]):
        out = io.StringIO()
        with pytest.raises((CommandError, StoreError)) as raised:
            call_command("unstale", *arguments, stdout=out)
        listener.hear(raised.value, out.getvalue())


@pytest.mark.parametrize("options", [{}, {"STRICT": True}, {"OUTBOX": True}, {"OUTBOX": True, "STRICT": True}], ids=str)
@pytest.mark.usefixtures("databases")
def test_transactions(listener: Listener, configure: Callable[..., Any], url: str, options: Any) -> None:
    """What is written to the outbox, and what is logged of an invalidation that fails at COMMIT, are tags."""
    cache = configure(params={"LOCATION": url}, TAG_PATTERNS=["user:{id}:*"], NAMESPACE="test", **options)
    cache.set("user:1:page", VALUE)
    with transaction.atomic():
        cache.delete_pattern("user:1:*")
        cache.set("user:1:page", VALUE)
    away = configure(
        params={"LOCATION": f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0"}, TAG_PATTERNS=["user:{id}:*"], **options
    )
    try:
        with transaction.atomic():
            away.delete_pattern("user:1:*")
    except UnstaleError as error:
        listener.hear(error)
    finally:
        waiting._drop_over(*waiting._local.waiting)  # what this thread owes to no server would be the next test's
    assert listener.look_at(caches["default"]._engine) > 10
