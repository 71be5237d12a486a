"""`manage.py unstale`: what it prints, for people and as JSON, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings
from servers import Server, free_port
from test_relay import child_environment

from unstale import remembering
from unstale.contrib.django.outbox.models import Invalidation

PATTERNS = ["user:{id}:*", ("orders:{id}:*", "user:{id}/orders")]


@pytest.fixture(autouse=True)
def in_a_request(databases: None) -> Iterator[None]:
    """What one test remembers is not the next one's."""
    Invalidation.objects.all().delete()
    with remembering():
        yield
    Invalidation.objects.all().delete()


@pytest.fixture
def backend(configure: Callable[..., Any]) -> Any:
    """The backend, with an outbox."""
    return configure(TAG_PATTERNS=PATTERNS, OUTBOX="default")


@pytest.fixture
def no_table(databases: None) -> Iterator[None]:
    """The default database as it is before `migrate`."""
    with connections["default"].schema_editor() as editor:
        editor.delete_model(Invalidation)
    yield
    with connections["default"].schema_editor() as editor:
        editor.create_model(Invalidation)


def said(*arguments: str) -> str:
    """What the command prints."""
    out = StringIO()
    call_command("unstale", *arguments, stdout=out)
    return out.getvalue()


def told(*arguments: str) -> Any:
    """What the command prints as JSON."""
    return json.loads(said(*arguments, "--json"), parse_constant=pytest.fail)


class TestCheck:
    """`unstale check`."""

    def test_a_server_that_is_there(self, backend: Any, server: Server) -> None:
        """Its version and its memory are told, and nothing waits."""
        report = told("check")
        assert report["reached"] is True
        assert report["problem"] == ""
        assert report["namespace"] == "django"
        assert report["patterns"][1] == {"pattern": "orders:{id}:*", "tag": "user:{id}/orders"}
        assert report["server"]["used_memory"] > 0
        assert report["server"]["maxmemory_policy"] == "noeviction"
        assert report["outbox"]["default"] == {"waiting": 0, "oldest_seconds": 0.0}

    def test_what_waits_in_the_outbox(self, backend: Any) -> None:
        """Is counted."""
        Invalidation.objects.create(cache="default", tags=[":1:user:1"])
        assert told("check")["outbox"]["default"]["waiting"] == 1

    def test_for_people(self, backend: Any) -> None:
        """Lines."""
        lines = said("check").splitlines()
        assert "cache: default" in lines
        assert "reached: True" in lines
        assert "  user:{id}:*  →  user:{id}" in lines
        assert [line for line in lines if line.startswith(("problem", "made_key"))] == []

    def test_for_people_without_an_outbox(self, configure: Callable[..., Any]) -> None:
        """What there is not is not mentioned."""
        configure(TAG_PATTERNS=PATTERNS)
        assert "outbox" not in said("check")

    def test_an_outbox_without_its_table(self, backend: Any, no_table: None) -> None:
        """The report is printed, and the command fails with the remedy."""
        out = StringIO()
        with pytest.raises(CommandError, match=r"no table in the database 'default': run manage\.py migrate"):
            call_command("unstale", "check", stdout=out)
        assert "reached: True" in out.getvalue()

    @pytest.mark.parametrize("options", [["--no-color"], ["-v", "2"], ["--settings", "any"], ["--skip-checks"]])
    def test_options_of_django_behind_it(self, backend: Any, options: list[str]) -> None:
        """They may stand where they stand for every command, and in front of the subcommand."""
        assert "reached: True" in said("check", *options)
        assert "reached: True" in said(*options, "check")

    def test_a_server_that_is_away(self, configure: Callable[..., Any]) -> None:
        """The report is printed, and the command fails."""
        configure(params={"LOCATION": f"redis://user:a-password@127.0.0.1:{free_port()}/0"})
        out = StringIO()
        with pytest.raises(CommandError, match="StoreUnavailableError") as raised:
            call_command("unstale", "check", "--json", stdout=out)
        assert raised.value.returncode == 1
        assert json.loads(out.getvalue())["reached"] is False
        assert "a-password" not in f"{raised.value}{out.getvalue()}"

    def test_a_user_without_rights(self, configure: Callable[..., Any], server: Server) -> None:
        """A user that may not do what the cache needs is told what it is."""
        with server.client as client:
            client.acl_setuser("plain", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-info"])
        try:
            configure(params={"LOCATION": server.url.replace("//", "//plain:secret@")})
            with pytest.raises(CommandError, match="allow \\+info"):
                said("check")
        finally:
            with server.client as client:
                client.acl_deluser("plain")

    def test_memory(self, configure: Callable[..., Any]) -> None:
        """It has no server, and is there."""
        configure(params={"LOCATION": "memory://"})
        report = told("check")
        assert (report["reached"], report["server"]) == (True, {})

    def test_another_backend(self) -> None:
        """It says whose it is."""
        caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        with override_settings(CACHES=caches), pytest.raises(CommandError, match="is a LocMemCache, not UnstaleCache"):
            said("check")

    def test_no_such_alias(self, backend: Any) -> None:
        """Is an error, not a traceback."""
        with pytest.raises(CommandError, match="nowhere"):
            said("check", "--cache", "nowhere")

    def test_its_exit_status(self, tmp_path: Path) -> None:
        """1 where the server is away, with one line on stderr, as a shell sees it."""
        one = {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
        lines = [f"SECRET_KEY = {settings.SECRET_KEY!r}", f"CACHES = {{'default': {one!r}}}"]
        lines += ["INSTALLED_APPS = ['unstale.contrib.django']"]
        (tmp_path / "away_settings.py").write_text("\n".join(lines))
        run = subprocess.run(
            [sys.executable, "-m", "django", "unstale", "check"],
            env={**child_environment(), "DJANGO_SETTINGS_MODULE": "away_settings"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert run.returncode == 1
        assert "reached: False" in run.stdout
        assert run.stderr.startswith("CommandError: StoreUnavailableError: ")
        assert "Traceback" not in run.stderr


class TestTags:
    """`unstale tags`."""

    def test_the_declared_patterns(self, backend: Any) -> None:
        """With the tags that they give."""
        assert told("tags")["patterns"][0] == {"pattern": "user:{id}:*", "tag": "user:{id}"}

    def test_of_a_key(self, backend: Any) -> None:
        """As a project names them, ancestors too."""
        assert told("tags", "orders:42:page") == {"key": "orders:42:page", "tags": ["user:42/orders", "user:42"]}
        assert told("tags", "orders") == {"key": "orders", "tags": []}

    def test_for_people(self, backend: Any) -> None:
        """Lines."""
        assert said("tags", "user:42:page") == "key: user:42:page\ntags:\n  user:42\n"
        assert said("tags", "orders") == "key: orders\ntags: -\n"

    @pytest.mark.filterwarnings("ignore:Keys in which")
    def test_too_many(self, configure: Callable[..., Any]) -> None:
        """A key that is not kept has none."""
        configure(TAG_PATTERNS=["*.{part}.*"])
        assert told("tags", ".".join("abcdefghijklmnop"))["tags"] is None


class TestInspect:
    """`unstale inspect KEY`."""

    def test_a_fresh_entry(self, backend: Any) -> None:
        """Its verdict, its tags, its times; never its value."""
        backend.set("orders:42:page", "a secret value", 60)
        text = said("inspect", "orders:42:page", "--json")
        report = json.loads(text)
        assert report["verdict"] == "fresh"
        assert report["made_key"] == ":1:orders:42:page"
        assert report["tags"] == ["user:42/orders", "user:42"]
        assert 0 < report["ttl"] <= 60
        assert {"tag": "user:42", "stands": True} in report["entry"]["tags"]
        assert report["entry"]["signed"] is True
        assert "a secret value" not in text

    def test_a_stale_one(self, backend: Any) -> None:
        """By which tag."""
        backend.set("user:42:page", "old")
        backend.invalidate("user:42")
        report = told("inspect", "user:42:page")
        assert (report["verdict"], report["changed_tag"], report["ttl"]) == ("stale", "user:42", None)
        assert {"tag": "user:42", "stands": False} in report["entry"]["tags"]

    def test_after_a_clear(self, backend: Any) -> None:
        """Everything is one tag."""
        backend.set("user:42:page", "old")
        backend.clear()
        assert told("inspect", "user:42:page")["changed_tag"] == "*"

    def test_none(self, backend: Any) -> None:
        """Why there is none."""
        report = told("inspect", "user:42:page")
        assert (report["verdict"], report["why"], report["entry"]) == ("miss", "there is no entry", {})

    def test_without_a_limit(self, backend: Any) -> None:
        """JSON has no word for infinite."""
        backend.set("user:42:page", "kept", None)
        report = told("inspect", "user:42:page")
        assert report["ttl"] == report["entry"]["ttl"] == "no limit"

    def test_another_version(self, backend: Any) -> None:
        """Keys have versions."""
        backend.set("user:42:page", "second", version=2)
        assert told("inspect", "user:42:page")["verdict"] == "miss"
        assert told("inspect", "user:42:page", "--key-version", "2")["verdict"] == "fresh"

    def test_for_people(self, backend: Any) -> None:
        """Lines, the entry's parts below it."""
        backend.set("user:42:page", "kept", 60)
        lines = said("inspect", "user:42:page").splitlines()
        assert "verdict: fresh" in lines
        assert "    tag: user:42, stands: True" in lines
        assert "key: user:42:page (:1:user:42:page)" in lines
        assert [line for line in lines if line.startswith(("made_key", "why", "changed_tag"))] == []

    def test_for_people_a_miss(self, backend: Any) -> None:
        """Why, and nothing of an entry."""
        assert said("inspect", "k").splitlines() == [
            "key: k (:1:k)",
            "tags: -",
            "verdict: miss",
            "why: there is no entry",
            "ttl: -",
        ]

    def test_the_server_is_away(self, configure: Callable[..., Any]) -> None:
        """It fails, and says why."""
        configure(params={"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}, IGNORE_EXCEPTIONS=True)
        with pytest.raises(CommandError, match="StoreUnavailableError"):
            said("inspect", "k")


class TestInvalidate:
    """`unstale invalidate TAG…`."""

    def test_it_takes_effect(self, backend: Any) -> None:
        """Entries are stale when it returns; it says how many tags had a stamp."""
        backend.set("user:42:page", "old")
        assert told("invalidate", "user:42", "user:43") == {
            "tags": ["user:42", "user:43"],
            "state": "done",
            "had_a_stamp": 1,
        }
        assert backend.get("user:42:page") is None

    def test_a_whole_name(self, configure: Callable[..., Any]) -> None:
        """It is told apart from what the project calls the tag."""
        configure(params={"KEY_PREFIX": "blog"})
        assert told("invalidate", "blog:1:user:42")["hint"].endswith("what the project calls it: 'user:42'.")
        assert "hint" not in told("invalidate", "user:42")

    def test_for_people(self, backend: Any) -> None:
        """How many tags had a stamp, and what it means that none had."""
        backend.set("user:42:page", "old")
        assert "had_a_stamp: 0 of 1: nothing that is cached carried it" in said("invalidate", "user:1").splitlines()
        assert "had_a_stamp: 1 of 2" in said("invalidate", "user:42", "user:1").splitlines()

    def test_softly(self, backend: Any) -> None:
        """Who may serve it stale still may."""
        backend.core.get_or_set(":1:soft", lambda: "old", tags=[":1:user:42"], stale_ttl=60)
        said("invalidate", "user:42", "--soft")
        assert backend.core.inspect(":1:soft", tags=[":1:user:42"]).verdict == "stale"
        assert backend.core.get_or_set(":1:soft", _fail, tags=[":1:user:42"], stale_ttl=60) == "old"

    def test_another_version(self, backend: Any) -> None:
        """A version's tags are its own."""
        backend.set("user:42:page", "first")
        backend.set("user:42:page", "second", version=2)
        said("invalidate", "user:42", "--key-version", "2")
        assert backend.get("user:42:page") == "first"
        assert backend.get("user:42:page", version=2) is None

    def test_the_server_is_away(self, configure: Callable[..., Any]) -> None:
        """Nothing was done: it fails."""
        configure(params={"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}, IGNORE_EXCEPTIONS=True)
        with pytest.raises(CommandError, match="StoreUnavailableError"):
            said("invalidate", "user:42")

    def test_the_server_is_away_and_there_is_an_outbox(self, configure: Callable[..., Any]) -> None:
        """The outbox has it, and it says so."""
        configure(params={"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}, OUTBOX=True)
        assert told("invalidate", "user:42")["state"].startswith("queued")
        assert [row.tags for row in Invalidation.objects.all()] == [[":1:user:42"]]

    def test_a_bad_tag(self, backend: Any) -> None:
        """Is an error, not a traceback."""
        with pytest.raises(CommandError, match="control"):
            said("invalidate", "a\nb")


def _fail() -> Any:
    raise redis.ConnectionError
