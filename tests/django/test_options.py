"""OPTIONS, LOCATION and settings of django-redis and of Django's RedisCache: each is honoured, mapped, or named."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_redis
import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django_redis.client import DefaultClient, HerdClient
from django_redis.serializers.json import JSONSerializer
from servers import Server

from unstale.contrib.django import compat, notices
from unstale.contrib.django.backend.engine import engine_of
from unstale.contrib.django.backend.options import OWN, read_options
from unstale.contrib.django.compat import mapped
from unstale.contrib.django.notices import UnstaleWarning
from unstale.errors import ConfigurationError, InvalidDurationError, StoreUnavailableError
from unstale.events import Hit

URL = "redis://127.0.0.1:6379/1"
HEARD: list[Any] = []
listen = HEARD.append
"""A hook with a path."""


@pytest.fixture(autouse=True)
def said() -> Iterator[None]:
    """Nothing has been said yet, and what these tests provoke is forgotten."""
    notices.forget()
    yield
    notices.forget()


def quiet(options: dict[str, Any], location: Any = URL) -> compat.Mapped:
    """Map without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return mapped(location, options)


def loud(options: dict[str, Any], location: Any = URL) -> tuple[compat.Mapped, list[str]]:
    """Map; also the texts of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = mapped(location, options)
    assert {one.category for one in caught} <= {UnstaleWarning}
    return done, [str(one.message) for one in caught]


class PipelinedClient(DefaultClient):
    """A client of a project's own, as the article's."""

    def delete_pattern(self, *arguments: Any, **options: Any) -> int:
        return 0

    def _batched(self) -> None: ...


class MyHerd(HerdClient):
    """One made of HerdClient."""


class Reversing:
    """A serializer of a project's own."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def dumps(self, value: Any) -> bytes:
        return str(value)[::-1].encode()

    def loads(self, payload: bytes) -> Any:
        return payload.decode()[::-1]


class OwnFactory:
    """A connection factory of a project's own."""


# Nothing is missing


def source_of(name: str) -> str:
    """The whole source of a package."""
    return "\n".join(path.read_text() for path in Path(name).parent.rglob("*.py"))


def test_each_option_of_django_redis_is_known() -> None:
    """Every name that django-redis's source takes out of OPTIONS has a rule."""
    found = set(
        re.findall(r"""options(?:\.get|\.setdefault)?[\[(]\s*["']([A-Z_]+)["']""", source_of(django_redis.__file__))
    )
    assert {"SERIALIZER", "SENTINELS", "PICKLE_VERSION", "CLOSE_CONNECTION", "REPLICA_READ_ONLY"} <= found
    assert found - compat.known_names() - OWN == set()


def test_each_setting_of_django_redis_is_read() -> None:
    """Every setting that django-redis's source reads is part of a configuration's identity."""
    found = set(re.findall(r"""settings,\s*["']([A-Z_]+)["']""", source_of(django_redis.__file__)))
    assert {"DJANGO_REDIS_SCAN_ITERSIZE", "CACHE_HERD_TIMEOUT"} <= found
    assert found - {name for name, _ in compat.settings_read()} == set()


def test_a_name_that_nobody_knows_is_an_error() -> None:
    """It is named, with the names that there are."""
    with pytest.raises(ImproperlyConfigured, match=r"'TAG_PATERNS'.*TAG_PATTERNS"):
        read_options(URL, {"OPTIONS": {"TAG_PATERNS": []}})


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("TAG_PATERNS", "TAG_PATTERNS"),
        ("SOCKET_TIME_OUT", "SOCKET_TIMEOUT"),
        ("stale_ttl", "STALE_TTL"),
        ("PASWORD", "PASSWORD"),
    ],
)
def test_a_mistyped_name_is_told_what_was_meant(wrong: str, meant: str) -> None:
    """Of ours, and of what django-redis knows."""
    with pytest.raises(ImproperlyConfigured, match=f"OPTIONS has '{wrong}'.*Did you mean '{meant}'"):
        read_options(URL, {"OPTIONS": {wrong: 1}})


def test_every_name_that_there_is_is_listed() -> None:
    """Ours, django-redis's and Django's."""
    with pytest.raises(ImproperlyConfigured) as raised:
        read_options(URL, {"OPTIONS": {"QQQQ": 1}})
    listed = set(re.findall(r"\w+", str(raised.value)))
    assert OWN | compat.known_names() | {"MAX_ENTRIES"} <= listed
    assert "Did you mean" not in str(raised.value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"OPTIONS": {"NO_SUCH": 1}}, "OPTIONS has 'NO_SUCH'"),
        ({"OPTIONS": {"CODEC": "yaml"}}, "yaml"),
        ({"OPTIONS": {"TAG_PATTERNS": ["user:{id}*"]}}, "user:"),
        ({"OPTIONS": {"STAMP_TTL": -1}}, "stamp_ttl"),
        ({"LOCATION": "http://127.0.0.1"}, "must begin with"),
        ({"LOCATION": ""}, "names no server"),
    ],
    ids=str,
)
def test_an_error_names_the_alias(params: dict[str, Any], message: str) -> None:
    """Of several caches, the one that is meant: Django builds them all before it checks anything."""
    one = {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": URL}
    with (
        override_settings(CACHES={"default": one, "pages": {**one, **params}}),
        pytest.raises((ImproperlyConfigured, ConfigurationError, InvalidDurationError), match=message) as raised,
    ):
        caches["pages"]
    assert str(raised.value).startswith("CACHES['pages']: ")


@pytest.mark.parametrize("option", ["ON_EVENT", "RUNNER"])
def test_a_path_that_cannot_be_imported(option: str) -> None:
    """The option is named, not only the module."""
    with pytest.raises(ImproperlyConfigured, match=rf"OPTIONS\['{option}'\] names 'no.such.thing'.*'no'"):
        read_options(URL, {"OPTIONS": {option: "no.such.thing"}})


def test_a_hook_that_is_no_function() -> None:
    """It would fail with the first event."""
    with pytest.raises(ImproperlyConfigured, match="ON_EVENT"):
        read_options(URL, {"OPTIONS": {"ON_EVENT": 5}})


def test_several_hooks() -> None:
    """A list of functions and paths is one hook; one that is no function is named."""
    heard: list[Any] = []
    hook = read_options(URL, {"OPTIONS": {"ON_EVENT": [heard.append, "test_options.listen", heard.append]}}).cache[
        "on_event"
    ]
    assert hook is not None
    hook(Hit("k"))
    assert heard == [Hit("k")] * 2
    assert HEARD.pop() == Hit("k")
    with pytest.raises(ImproperlyConfigured, match=r"ON_EVENT.*not 5"):
        read_options(URL, {"OPTIONS": {"ON_EVENT": [heard.append, 5]}})


@pytest.mark.parametrize("limit", [0, -1, None, "soon"])
def test_a_strict_limit_that_makes_no_sense(limit: Any) -> None:
    """A tag that is closed for no time is not closed."""
    with pytest.raises(ImproperlyConfigured, match="STRICT_LIMIT"):
        read_options(URL, {"OPTIONS": {"STRICT_LIMIT": limit}})


def test_what_is_no_argument_of_redis_py_is_an_error() -> None:
    """As it is with redis-py itself."""
    with pytest.raises(ImproperlyConfigured, match="CONNECTION_POOL_KWARGS has 'socket_keep'"):
        mapped(URL, {"CONNECTION_POOL_KWARGS": {"socket_keep": True}})


@pytest.mark.parametrize("name", ["SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT"])
@pytest.mark.parametrize("value", [0, 0.0, -1, "5", "", True, float("inf"), float("nan"), timedelta(seconds=1)])
def test_time_limits_that_are_none(name: str, value: Any) -> None:
    """A number of seconds above zero, or an error: 0 is no limit in one place, and no time in another."""
    with pytest.raises(ImproperlyConfigured, match=f"{name} must be a number of seconds above zero"):
        mapped(URL, {name: value})
    with pytest.raises(ImproperlyConfigured, match=r"socket_timeout must be"):
        mapped(URL, {"CONNECTION_POOL_KWARGS": {"socket_timeout": value}})


@pytest.mark.parametrize("text", ["0", "soon", "-1", "nan"])
def test_a_time_limit_in_a_url_that_is_none(text: str) -> None:
    """There a number is text, and is held to the same."""
    with pytest.raises(ImproperlyConfigured, match="socket_timeout must be"):
        mapped(f"{URL}?socket_timeout={text}", {})


@pytest.mark.parametrize("value", ["False", "True", 0, 1, None])
def test_a_flag_is_true_or_false(value: Any) -> None:
    """`"False"`, as an environment variable has it, would be true."""
    with pytest.raises(ImproperlyConfigured, match="IGNORE_EXCEPTIONS"):
        read_options(URL, {"OPTIONS": {"IGNORE_EXCEPTIONS": value}})
    with (
        override_settings(DJANGO_REDIS_IGNORE_EXCEPTIONS=value),
        pytest.raises(ImproperlyConfigured, match="DJANGO_REDIS_IGNORE_EXCEPTIONS"),
    ):
        read_options(URL, {})


# LOCATION


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (URL, URL),
        ([URL], URL),
        ("unix:///tmp/redis.sock?db=2", "unix:///tmp/redis.sock?db=2"),
        ("rediss://user:p%2Cw@cache.example:6380/3", "rediss://user:p%2Cw@cache.example:6380/3"),
        ("redis://:a,b;c@127.0.0.1/1", "redis://:a,b;c@127.0.0.1/1"),
        ("valkey://127.0.0.1:6379/1", URL),
        ("valkeys://127.0.0.1:6379/1", "rediss://127.0.0.1:6379/1"),
        ("redis+sentinel://a:1,b:2/shop/0", "redis+sentinel://a:1,b:2/shop/0"),
        ("redis://127.0.0.1:6379/1?max_connections=7&timeout=20", URL),
        ("memory://", "memory://"),
    ],
)
def test_location_forms(location: Any, url: str) -> None:
    """One server, in each form that django-redis, django-valkey and Django take."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert mapped(location, {}).url == url


@pytest.mark.parametrize(
    "location", ["redis://a/1,redis://b/1", "redis://a/1;redis://b/1", ["redis://a/1", "redis://b/1"]]
)
def test_of_several_servers_the_first_is_used(location: Any) -> None:
    """The others, the replicas, are not read, and a warning says so."""
    done, said = loud({}, location)
    assert done.url == "redis://a/1"
    assert len(said) == 1
    assert "LOCATION names 2 servers" in said[0]


@pytest.mark.parametrize("location", ["", [], None])
def test_no_location_is_an_error(location: Any) -> None:
    """As in django-redis."""
    with pytest.raises(ImproperlyConfigured, match="LOCATION names no server"):
        mapped(location, {})


def test_a_pool_option_in_the_url_is_an_option_of_the_cache() -> None:
    """redis-py takes it out of the URL, too."""
    assert quiet({}, URL + "?max_connections=7&socket_timeout=3").cache == {"max_connections": 7, "timeout": 3.0}


# How to reach the server


def test_credentials_go_to_the_connection() -> None:
    """USERNAME and PASSWORD; no quoting is needed."""
    assert quiet({"USERNAME": "shop", "PASSWORD": "a/b@c"}).cache["connection"] == {
        "username": "shop",
        "password": "a/b@c",
    }


def test_the_credentials_of_the_url_count_more() -> None:
    """As in redis-py."""
    assert "connection" not in quiet({"PASSWORD": "other"}, "redis://:secret@127.0.0.1/1").cache


def test_the_database_of_the_url_counts_more() -> None:
    """Django's `db` is for URLs without one."""
    assert quiet({"db": "3"}, "redis://127.0.0.1").cache["connection"] == {"db": 3}
    assert "connection" not in quiet({"db": 3}, URL).cache


def test_one_time_limit_out_of_two() -> None:
    """The longer of both, for connecting and for each answer."""
    assert quiet({"SOCKET_TIMEOUT": 2, "SOCKET_CONNECT_TIMEOUT": 5}).cache["timeout"] == 5


def test_a_time_limit_must_be_a_number() -> None:
    """The option is named."""
    with pytest.raises(ImproperlyConfigured, match="SOCKET_TIMEOUT"):
        mapped(URL, {"SOCKET_TIMEOUT": "soon"})


def test_pool_arguments() -> None:
    """The size goes to the pool, the rest to the connections."""
    done = quiet({"CONNECTION_POOL_KWARGS": {"max_connections": 50, "socket_keepalive": True, "ssl_cert_reqs": None}})
    assert done.cache == {"max_connections": 50, "connection": {"socket_keepalive": True, "ssl_cert_reqs": None}}


def test_pool_arguments_of_djangos_own_backend() -> None:
    """Its OPTIONS are redis-py's arguments, in lower case."""
    done = quiet({"socket_timeout": 2, "password": "x", "ssl_ca_certs": "/ca", "pool_class": "redis.ConnectionPool"})
    assert done.cache == {"timeout": 2.0, "connection": {"password": "x", "ssl_ca_certs": "/ca"}}


def test_sentinels() -> None:
    """The service's name is LOCATION's host; hosts and ports come from SENTINELS."""
    options = {
        "CLIENT_CLASS": "django_redis.client.SentinelClient",
        "CONNECTION_POOL_CLASS": "redis.sentinel.SentinelConnectionPool",
        "SENTINELS": [("10.0.0.1", 26379), ("fd00::2", 26380)],
        "SENTINEL_KWARGS": {"password": "s"},
        "PASSWORD": "p",
    }
    done = quiet(options, "redis://shop/2?is_master=1")
    assert done.url == "redis+sentinel://10.0.0.1:26379,[fd00::2]:26380/shop/2"
    assert done.cache == {"sentinel": {"password": "s"}, "connection": {"password": "p"}}


def test_sentinels_with_tls() -> None:
    """`ssl` is how redis-py's sentinel pools are told."""
    options = {"SENTINELS": [("a", 1)], "CONNECTION_POOL_KWARGS": {"ssl": True}}
    assert quiet(options, "redis://shop/0").url == "rediss+sentinel://a:1/shop/0"


def test_sentinels_must_be_pairs() -> None:
    """The form is shown."""
    with pytest.raises(ImproperlyConfigured, match="pairs of host and port"):
        mapped("redis://shop/0", {"SENTINELS": ["a:1"]})


# Values


@pytest.mark.parametrize(
    ("serializer", "codec"),
    [
        ("django_redis.serializers.pickle.PickleSerializer", "pickle"),
        ("django_redis.serializers.msgpack.MSGPackSerializer", "msgpack"),
        ("django.core.cache.backends.redis.RedisSerializer", "pickle"),
    ],
)
def test_serializers_with_a_codec(serializer: str, codec: str) -> None:
    """They are codecs of ours."""
    assert quiet({"SERIALIZER": serializer}).cache["codec"] == codec


@pytest.mark.parametrize("serializer", ["django_redis.serializers.json.JSONSerializer", JSONSerializer, Reversing])
def test_serializers_as_codecs_of_their_own(serializer: Any) -> None:
    """Django's JSON, and a project's own class, as a path or as the class."""
    codec = quiet({"SERIALIZER": serializer}).cache["codec"]
    assert codec.decode(memoryview(codec.encode("olleh"))) == "olleh"


def test_json_carries_what_djangos_encoder_does(configure: Any) -> None:
    """Decimals become text, as with django-redis."""
    from decimal import Decimal

    backend = configure(SERIALIZER="django_redis.serializers.json.JSONSerializer")
    backend.set("k", {"price": Decimal("1.50"), "n": [1, None]})
    assert backend.get("k") == {"price": "1.50", "n": [1, None]}


def test_what_a_serializer_raises_is_raised_by_set(configure: Any) -> None:
    """And stored is nothing."""
    backend = configure(SERIALIZER="django_redis.serializers.json.JSONSerializer")
    with pytest.raises(TypeError, match="not JSON serializable"):
        backend.set("k", object())
    assert backend.get("k") is None


def test_what_a_serializer_cannot_read_is_a_miss(configure: Any) -> None:
    """Another codec's value never reaches the caller."""
    configure(SERIALIZER=f"{__name__}.Reversing").set("k", "not json")
    assert configure(SERIALIZER="django_redis.serializers.json.JSONSerializer").get("k") is None


def test_a_serializer_without_its_methods_is_an_error() -> None:
    """It is named."""
    with pytest.raises(ImproperlyConfigured, match="no dumps and loads"):
        mapped(URL, {"SERIALIZER": OwnFactory})


def test_a_serializer_that_cannot_be_imported_is_an_error() -> None:
    """At start-up, not at the first value."""
    with pytest.raises(ImproperlyConfigured, match=r"SERIALIZER names 'nowhere\.X', which cannot be imported"):
        mapped(URL, {"SERIALIZER": "nowhere.X"})


@pytest.mark.parametrize(
    ("name", "compression"),
    [("identity.IdentityCompressor", None), ("zlib.ZlibCompressor", "zlib"), ("lz4.Lz4Compressor", "lz4")],
)
def test_compressors(name: str, compression: str | None) -> None:
    """The same compression."""
    assert quiet({"COMPRESSOR": f"django_redis.compressors.{name}"}).cache.get("compression") == compression


@pytest.mark.parametrize(("name", "nearest"), [("gzip.GzipCompressor", "zlib"), ("lzma.LzmaCompressor", "zstd")])
def test_compressors_without_their_like(name: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest one, and a warning that says so."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    done, said = loud({"COMPRESSOR": f"django_redis.compressors.{name}"})
    assert done.cache["compression"] == nearest
    assert name in said[0]


def test_a_compressor_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another takes its place, and the warning says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    done, said = loud({"COMPRESSOR": "django_redis.compressors.zstd.ZStdCompressor"})
    assert done.cache["compression"] == "auto"
    assert "unstale[zstd]" in said[0]


def test_pickle_version() -> None:
    """5 and -1 are what happens anyway; another is named."""
    assert quiet({"PICKLE_VERSION": 5}) == quiet({"PICKLE_VERSION": -1})
    assert loud({"PICKLE_VERSION": 2})[1][0].startswith("PICKLE_VERSION is ignored")


# Clients and connections that are classes


def test_known_clients_pass_without_a_word() -> None:
    """DefaultClient by both its paths."""
    assert quiet({"CLIENT_CLASS": "django_redis.client.DefaultClient"}).cache == {}
    assert quiet({"CLIENT_CLASS": "django_redis.client.default.DefaultClient"}).cache == {}


@pytest.mark.parametrize("client", ["django_redis.client.HerdClient", "django_redis.client.herd.HerdClient"])
def test_herd_client_is_a_stale_ttl(client: str) -> None:
    """Our leases do its work, and CACHE_HERD_TIMEOUT says how long an old value may be served meanwhile."""
    assert quiet({"CLIENT_CLASS": client}).cache == {"stale_ttl": 60}
    with override_settings(CACHE_HERD_TIMEOUT=15):
        assert quiet({"CLIENT_CLASS": client}).cache == {"stale_ttl": 15}


def test_shard_client_is_an_error() -> None:
    """With the remedy."""
    with pytest.raises(ImproperlyConfigured, match="Name one server"):
        mapped(URL, {"CLIENT_CLASS": "django_redis.client.ShardClient"})


def test_a_client_of_the_projects_own_is_ignored() -> None:
    """The warning lists what it overrides."""
    _, said = loud({"CLIENT_CLASS": f"{__name__}.PipelinedClient"})
    assert len(said) == 1
    assert "_batched, delete_pattern" in said[0]


def test_a_client_made_of_herd_client_is_one() -> None:
    """What it inherits counts."""
    assert loud({"CLIENT_CLASS": f"{__name__}.MyHerd"})[0].cache == {"stale_ttl": 60}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTION_FACTORY", f"{__name__}.OwnFactory"),
        ("CONNECTION_POOL_CLASS", f"{__name__}.OwnFactory"),
        ("REDIS_CLIENT_CLASS", f"{__name__}.OwnFactory"),
        ("REDIS_CLIENT_KWARGS", {"single_connection_client": True}),
        ("PARSER_CLASS", f"{__name__}.OwnFactory"),
        ("CLOSE_CONNECTION", True),
        ("REPLICA_READ_ONLY", False),
        ("pool_class", f"{__name__}.OwnFactory"),
        ("parser_class", OwnFactory),
        ("retry_on_timeout", True),
        ("health_check_interval", 30),
        ("decode_responses", True),
        ("protocol", 3),
        ("retry", object()),
        ("timeout", 20),
        ("host", "elsewhere"),
    ],
)
def test_what_is_ignored_is_named_once(name: str, value: Any) -> None:
    """One warning in this process, that names the option and says why."""
    _, said = loud({name: value})
    assert len(said) == 1
    assert said[0].startswith(name)
    assert loud({name: value})[1] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTION_FACTORY", "django_redis.pool.ConnectionFactory"),
        ("CONNECTION_FACTORY", "django_redis.pool.SentinelConnectionFactory"),
        ("CONNECTION_POOL_CLASS", "redis.BlockingConnectionPool"),
        ("REDIS_CLIENT_CLASS", "redis.client.StrictRedis"),
        ("REDIS_CLIENT_KWARGS", {}),
        ("PARSER_CLASS", "redis.connection._HiredisParser"),
        ("CLOSE_CONNECTION", False),
        ("REPLICA_READ_ONLY", True),
        ("decode_responses", False),
        ("PASSWORD", ""),
        ("SOCKET_TIMEOUT", None),
    ],
)
def test_what_we_do_anyway_passes_without_a_word(name: str, value: Any) -> None:
    """Nobody needs to change it."""
    assert quiet({name: value}).cache == {}


# Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("DJANGO_REDIS_CLOSE_CONNECTION", True), ("DJANGO_REDIS_CONNECTION_FACTORY", f"{__name__}.OwnFactory")],
)
def test_settings_that_are_ignored_are_named(name: str, value: Any) -> None:
    """By the setting's name."""
    with override_settings(**{name: value}):
        assert loud({})[1][0].startswith(name)


def test_scan_itersize() -> None:
    """django-redis's default of 10 is not taken over; what is set is."""
    assert quiet({}).scan_count == 1000
    with override_settings(DJANGO_REDIS_SCAN_ITERSIZE=250):
        assert quiet({}).scan_count == 250


def test_scan_itersize_must_be_a_number() -> None:
    """The setting is named."""
    with override_settings(DJANGO_REDIS_SCAN_ITERSIZE=0), pytest.raises(ImproperlyConfigured, match="SCAN_ITERSIZE"):
        mapped(URL, {})


@pytest.mark.parametrize(
    ("setting", "option", "ignored"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_ignore_exceptions(setting: bool, option: bool | None, ignored: bool) -> None:
    """The option counts more than the setting."""
    given = {} if option is None else {"IGNORE_EXCEPTIONS": option}
    with override_settings(DJANGO_REDIS_IGNORE_EXCEPTIONS=setting):
        assert read_options(URL, {"OPTIONS": given}).ignore_exceptions is ignored


def test_a_changed_setting_is_another_configuration() -> None:
    """override_settings works: an engine is made of what the settings said then."""
    params: dict[str, Any] = {"OPTIONS": {}}
    before = engine_of("memory://", params)
    with override_settings(DJANGO_REDIS_IGNORE_EXCEPTIONS=True):
        assert engine_of("memory://", params).options.ignore_exceptions is True
    assert engine_of("memory://", params) is before


def test_ignored_exceptions_are_logged(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """With DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS, each, by DJANGO_REDIS_LOGGER's name."""
    one = {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": own_server.url}
    with override_settings(
        CACHES={"default": one},
        DJANGO_REDIS_IGNORE_EXCEPTIONS=True,
        DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS=True,
        DJANGO_REDIS_LOGGER="shop.cache",
    ):
        own_server.kill()
        assert caches["default"].get("k", "default") == "default"
    [record] = [record for record in caplog.records if record.name == "shop.cache"]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], StoreUnavailableError)


@pytest.mark.parametrize(("ignored", "goes_on"), [(True, True), (False, False)])
def test_the_log_says_whether_it_went_on(
    own_server: Server, caplog: pytest.LogCaptureFixture, ignored: bool, goes_on: bool
) -> None:
    """A read that raises has not gone on without the cache."""
    one = {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": own_server.url,
        "OPTIONS": {"IGNORE_EXCEPTIONS": ignored},
    }
    own_server.kill()
    with override_settings(CACHES={"default": one}), suppress(StoreUnavailableError):
        caches["default"].get("k")
    [record] = [record for record in caplog.records if record.name == "unstale"]
    assert record.getMessage().startswith("get failed")
    assert ("gone on without the cache" in record.getMessage()) is goes_on


def test_what_raises_is_not_logged_as_ignored(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS is for what was ignored."""
    one = {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": own_server.url}
    own_server.kill()
    with (
        override_settings(CACHES={"default": one}, DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS=True),
        pytest.raises(StoreUnavailableError),
    ):
        caches["default"].get("k")
    assert [record for record in caplog.records if "ignored" in record.message] == []


def test_the_log_and_a_hook_are_both_told() -> None:
    """ON_EVENT does not silence the log."""
    heard: list[Any] = []
    with override_settings(DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS=True):
        hook = read_options(URL, {"OPTIONS": {"ON_EVENT": heard.append}}).cache["on_event"]
    assert hook is not None
    hook("event")  # type: ignore[arg-type]
    assert heard == ["event"]
