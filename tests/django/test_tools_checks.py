"""System checks: each fires where it should, by its id and with a hint, and is silent for a sane project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from unstale.contrib.django import checks
from unstale.contrib.django.checks import check_alias, check_caches

ROOT = Path(__file__).parent.parent.parent
SANE: dict[str, Any] = {
    "BACKEND": "unstale.contrib.django.UnstaleCache",
    "LOCATION": "redis://127.0.0.1:6379/0",
    "TIMEOUT": 300,
    "OPTIONS": {"TAG_PATTERNS": ["user:{id}:*", ("orders:{id}:*", "user:{id}/orders")], "OUTBOX": True, "STRICT": True},
}
REDIS = "redis://127.0.0.1:6379/0"


def found(location: str = REDIS, timeout: Any = 300, **options: Any) -> dict[str, str]:
    """The ids of what is found for an alias, each with its hint."""
    params = {**SANE, "LOCATION": location, "TIMEOUT": timeout, "OPTIONS": options}
    return {message.id: message.hint for message in check_alias("default", params)}


def test_a_sane_project_is_clean() -> None:
    """Nothing is said, by none of our checks."""
    with override_settings(CACHES={"default": SANE}):
        assert check_caches(None) == []
        assert [one for one in run_checks() if str(one.id).startswith("unstale.")] == []


def test_the_shop_is_clean(tmp_path: Path) -> None:
    """`manage.py check` of the example, with its registrations, as a user runs it."""
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "shop" / "manage.py"), "check", "--fail-level", "WARNING"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "SHOP_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "System check identified no issues (0 silenced).\n"), run.stderr


@pytest.mark.parametrize(
    ("given", "id_"),
    [
        ({"NO_SUCH_OPTION": 1}, "unstale.E001"),
        ({"CODEC": "yaml"}, "unstale.E001"),
        ({"STAMP_TTL": -1}, "unstale.E001"),
        ({"MAX_CONNECTIONS": 0}, "unstale.E001"),
        ({"ON_EVENT": "no.such.module"}, "unstale.E001"),
        ({"RUNNER": "rq"}, "unstale.E001"),
        ({"RUNNER": 5}, "unstale.E001"),
        ({"RUNNER": "no.such.runner"}, "unstale.E001"),
        ({"STRICT_LIMIT": 0}, "unstale.E001"),
        ({"STRICT_LIMIT": None}, "unstale.E001"),
        ({"MIGRATING": "soon"}, "unstale.E001"),
        ({"location": ""}, "unstale.E001"),
        ({"location": "http://127.0.0.1"}, "unstale.E001"),
        ({"location": "memory://something"}, "unstale.E001"),
        ({"timeout": 100_000, "TAG_PATTERNS": ["user:{id}:*"]}, "unstale.W002"),
        ({"STAMP_TTL": 200, "TAG_PATTERNS": ["user:{id}:*"]}, "unstale.W002"),
        ({"location": "embedded://"}, "unstale.W003"),
        ({"location": "memory://"}, "unstale.W003"),
        ({"OUTBOX": "nowhere"}, "unstale.E004"),
        ({"STRICT": True}, "unstale.W005"),
        ({"MIGRATING": True}, "unstale.W006"),
        ({"MIGRATING": "leaving"}, "unstale.W006"),
        ({"TAG_PATTERNS": 5}, "unstale.E010"),
        ({"TAG_PATTERNS": ["user:{id}*"]}, "unstale.E011"),
        ({"TAG_PATTERNS": ["a[]b:*"]}, "unstale.E013"),
        ({"TAG_PATTERNS": [("user:{id}:*", "user:{name}")]}, "unstale.E014"),
        ({"TAG_PATTERNS": ["*"]}, "unstale.W016"),
    ],
    ids=str,
)
def test_it_fires(given: dict[str, Any], id_: str) -> None:
    """By its id. What is wrong with patterns has more tests of its own."""
    assert id_ in found(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"timeout": None, "TAG_PATTERNS": ["user:{id}:*"]},
        {"timeout": 100_000},
        {"timeout": 100_000, "STAMP_TTL": 200_000, "TAG_PATTERNS": ["user:{id}:*"]},
        {"location": "embedded:///tmp/a-directory"},
        {"OUTBOX": "default"},
        {"OUTBOX": True, "STRICT": True},
        {"RUNNER": "celery"},
        {"RUNNER": "threads"},
        {"CONNECTION_POOL_KWARGS": {"max_connections": 50}},
    ],
    ids=str,
)
def test_it_does_not_fire(given: dict[str, Any]) -> None:
    """For what is close to it, and right."""
    assert found(**given) == {}


def test_each_has_a_hint() -> None:
    """It says what to do."""
    every = {
        **found(location="memory://", timeout=100_000, TAG_PATTERNS=["*"], STRICT=True, MIGRATING=True),
        **found(OUTBOX="nowhere"),
        **found(NO_SUCH_OPTION=1),
    }
    assert len(every) == 7
    assert all(every.values())


def test_a_cache_of_this_process_alone_while_developing() -> None:
    """With DEBUG there is one process."""
    with override_settings(DEBUG=True):
        assert found(location="memory://") == {}


def test_the_outbox_without_its_app() -> None:
    """Its rows would have no table."""
    with override_settings(INSTALLED_APPS=["unstale.contrib.django"]):
        assert "unstale.E004" in found(OUTBOX=True)
    assert found(OUTBOX=True) == {}


def test_workers_that_find_no_task() -> None:
    """Celery looks for tasks in installed apps."""
    with override_settings(INSTALLED_APPS=["unstale.contrib.django.outbox"]):
        assert "unstale.W007" in found(RUNNER="celery")
        assert found(RUNNER="threads") == {}


def test_no_secret_is_shown() -> None:
    """Neither the URL's password nor a key."""
    params = {**SANE, "LOCATION": "http://user:password-1@127.0.0.1", "OPTIONS": {"SIGNING_KEYS": "key-2"}}
    [message] = check_alias("default", params)
    assert "password-1" not in f"{message}{message.hint}"
    assert "key-2" not in f"{message}{message.hint}"


def test_other_backends_are_none_of_ours() -> None:
    """Django's are not looked at, and neither is what cannot be imported, of which Django tells."""
    caches = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"NO_SUCH_OPTION": 1}},
        "gone": {"BACKEND": "no.such.Backend"},
        "ours": {**SANE, "OPTIONS": {"NO_SUCH_OPTION": 1}},
    }
    with override_settings(CACHES=caches):
        [message] = check_caches(None)
    assert "'ours'" in message.msg


def test_registrations_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found of them is said by its id."""
    from unstale.contrib.django import registry
    from unstale.contrib.django.patterns.checking import Finding

    monkeypatch.setattr(registry, "findings", lambda: [Finding("W034", "a message", "a hint")])
    [message] = checks.check_registrations(None)
    assert (message.id, message.msg, message.hint) == ("unstale.W034", "a message", "a hint")
    assert message in run_checks()
