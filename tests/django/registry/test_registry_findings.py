"""What the checks find in registrations, before any write."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings
from registry_app.models import Purchase
from registry_app.world import RECORDING

from unstale.contrib.django.registry import findings, invalidates, writes
from unstale.errors import ConfigurationError

DUMMY = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
CACHES = {**settings.CACHES, "ours": RECORDING, "dummy": DUMMY, "gone": {"BACKEND": "there.is.None"}}


@pytest.mark.parametrize(
    ("template", "options", "code"),
    [
        ("person:{nobody}", {"cache": "ours"}, "E030"),
        ("person:{person.nothing}", {"cache": "ours"}, "E030"),
        ("person:{person_id}", {"cache": "elsewhere"}, "E032"),
        ("person:{person_id}", {"cache": "default"}, "E033"),
        ("person:{person_id}", {"cache": "ours", "parent": None}, "W034"),
    ],
)
def test_each_finding(template: str, options: dict[str, Any], code: str) -> None:
    """Its code, the registration by name, and a hint."""
    with override_settings(CACHES=CACHES), invalidates(Purchase, template, **{"parent": "all", **options}):
        (found,) = findings()
    assert found.code == code
    assert "registry_app.Purchase" in found.message
    assert found.hint


@pytest.mark.parametrize(
    ("template", "options"),
    [
        ("person:{person_id}", {"parent": "people"}),
        ("person:{person_id}", {"above": None}),
        ("people/{person_id}", {}),
        ("catalogue", {}),
        ("person:{person.team_id}", {"parent": "people", "cache": "dummy"}),
        ("person:{pk}", {"parent": "people", "cache": "gone"}),
    ],
)
def test_nothing_is_found_where_nothing_is_wrong(template: str, options: dict[str, Any]) -> None:
    """A parent, or none meant; a fixed part; no placeholder; a dummy; what Django itself reports."""
    with override_settings(CACHES=CACHES), invalidates(Purchase, template, **{"cache": "ours", **options}):
        assert findings() == []


@pytest.mark.parametrize(
    ("templates", "example"),
    [
        (["person:{person_id}"], "person"),
        (["all", "sold.to.{person_id}/page"], "sold.to"),
        (["people/{person_id}", "{person_id}/page"], "purchase"),
    ],
)
def test_the_hint_has_an_example_of_this_model(templates: list[str], example: str) -> None:
    """Made of the template that lacks a parent, or of the model's name."""
    with override_settings(CACHES=CACHES), invalidates(Purchase, *templates, cache="ours"):
        (found,) = findings()
    assert f"parent={example!r}" in found.hint


def test_the_first_example_of_the_documentation_is_clean() -> None:
    """Who copies it is not warned."""
    text = (Path(__file__).parents[3] / "docs" / "django-models.md").read_text()
    calls = re.findall(r"^        invalidates\((\w+), (.*)\)$", text, re.MULTILINE)
    assert [model for model, _ in calls] == ["Order", "Product"]
    with override_settings(CACHES={**CACHES, "default": RECORDING}), ExitStack() as stack:
        for _, arguments in calls:
            arguments = arguments.replace("user_id", "person_id")  # noqa: PLW2901 - as our model has it
            stack.enter_context(eval(f"invalidates(Purchase, {arguments})"))  # noqa: S307 - our own documentation
        assert findings() == []


def test_a_write_for_a_cache_that_there_is_not_says_which() -> None:
    """Who did not run the checks is told the alias, and those that there are."""
    with (
        override_settings(CACHES=CACHES),
        invalidates(Purchase, "all", cache="nosuch"),
        pytest.raises(ConfigurationError, match=r"model is registered with the cache 'nosuch'.*There are: default"),
    ):
        Purchase.objects.create()


def test_one_template_with_two_settings_is_found() -> None:
    """The same twice is none; a second with another limit is."""
    with (
        override_settings(CACHES=CACHES),
        invalidates(Purchase, "all", cache="ours"),
        invalidates(Purchase, "all", cache="ours"),
    ):
        same = findings()
        with invalidates(Purchase, "all", cache="ours", above=5):
            assert [each.code for each in findings()] == ["W031"]
    assert same == []


def test_a_database_with_compilers_of_its_own_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes there would not be seen."""
    monkeypatch.setattr(writes, "is_hooked", lambda alias, compiler: alias != "other")
    monkeypatch.setattr("unstale.contrib.django.registry.checking.is_hooked", writes.is_hooked)
    with override_settings(CACHES=CACHES), invalidates(Purchase, "all", cache="ours"):
        (found,) = findings()
    assert (found.code, "'other'" in found.message) == ("E035", True)


def test_a_database_without_autocommit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its COMMITs are the project's own; without a registration that is nobody's business."""
    monkeypatch.setitem(connections.settings["other"], "AUTOCOMMIT", False)
    with override_settings(CACHES=CACHES), invalidates(Purchase, "all", cache="ours"):
        (found,) = findings()
    assert (found.code, "'other'" in found.message) == ("E036", True)
    assert findings() == []


def test_the_databases_of_django_are_hooked() -> None:
    """All three kinds of statement."""
    kinds = ["SQLInsertCompiler", "SQLUpdateCompiler", "SQLDeleteCompiler"]
    assert all(writes.is_hooked(alias, kind) for alias in ("default", "postgres") for kind in kinds)
