"""Registrations: tags as TAG_PATTERNS make them, raw SQL, what is refused."""

from __future__ import annotations

import datetime as dt
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.db import models
from django.test import override_settings
from django.test.utils import isolate_apps
from registry_app import recording
from registry_app.models import Line, Purchase, Unregistered
from registry_app.world import World, statements

from unstale.contrib.django.patterns import Matcher
from unstale.contrib.django.registry import invalidate_for, invalidates
from unstale.contrib.django.registry import templates as row_templates
from unstale.contrib.django.registry.registrations import all_registrations, plan_of
from unstale.errors import ConfigurationError

PERSON = "person:{person_id}"


Row = SimpleNamespace


def test_raw_sql_by_instances(world: World, recorded: Any) -> None:
    """Instances, also of several models; those of unregistered ones are passed over."""
    with invalidates(Purchase, PERSON), invalidates(Line, "line:{purchase.person_id}"):
        line = Line(purchase=world.other)
        invalidate_for([world.purchase, line, world.label], using=world.db)
        invalidate_for(world.of(Purchase).raw("SELECT id, person_id FROM registry_app_purchase"), using=world.db)
    assert recorded() == sorted([*world.tags("ab"), f"line:{world.b.pk}"])


@pytest.mark.parametrize(
    "rows",
    [
        lambda w: ([{"person_id": w.a.pk}], {}),
        lambda w: ([{"person": str(w.a.pk)}], {}),
        lambda w: ([{"person": w.a, "more": 1}], {}),
        lambda w: ([(1, w.a.pk)], {"fields": ["id", "person_id"]}),
        lambda w: (w.of(Purchase).filter(person=w.a).values("person_id"), {}),
        lambda w: (w.of(Purchase).filter(person=w.a).values_list("person_id", named=True), {}),
    ],
)
def test_raw_sql_by_rows(world: World, recorded: Any, rows: Any) -> None:
    """Dicts, tuples with named fields, named tuples."""
    given, options = rows(world)
    with invalidates(Purchase, PERSON):
        invalidate_for(given, Purchase, using=world.db, **options)
    assert recorded() == world.tags("a")


def test_raw_sql_of_many_rows(world: World, recorded: Any) -> None:
    """More than `above` bump the parent, and need no columns."""
    with invalidates(Purchase, PERSON, parent="people", above=1):
        invalidate_for([{}, {}], Purchase, using=world.db)
    assert recorded() == ["people"]


@pytest.mark.parametrize(
    ("rows", "model", "word"),
    [
        ([{"status": "x"}], Purchase, "'person_id'"),
        ([(1, 2)], Purchase, "fields="),
        ([{"person_id": 1}], None, "model="),
    ],
)
def test_raw_sql_that_says_too_little_is_an_error(
    databases: None,
    recorded: Any,
    rows: Any,
    model: Any,
    word: str,
) -> None:
    """The message names what is missing."""
    with invalidates(Purchase, PERSON), pytest.raises(ConfigurationError, match=word):
        invalidate_for(rows, model)


@pytest.mark.parametrize(
    "value",
    [42, "plain", "a:b/c%d", "~", "*star", "é", "x" * 100, uuid.UUID(int=7), True, dt.date(2026, 1, 2), "a b", "{x}"],
)
@pytest.mark.parametrize("template", ["user={name}", "user={name}/orders", "by.{name}.x"])
def test_a_rows_tag_is_that_of_its_keys(template: str, value: Any) -> None:
    """What a write bumps is what a key with the same value carries, whatever the value."""
    made = row_templates.RowTemplate(template, "a test").filled({"name": value})
    assert Matcher({"user={name}": template}).tags_of(f"user={value}") == (made,)


@pytest.mark.parametrize("value", [None, ""])
def test_nothing_makes_no_tag(value: Any) -> None:
    """A None or empty value: no key of a pattern binds it."""
    assert row_templates.RowTemplate("user:{name}", "a test").filled({"name": value}) is None


def test_the_same_registration_twice_is_one(world: World, recorded: Any) -> None:
    """A module that is loaded twice registers twice: no write is doubled, and it stands until both are taken back."""
    first, second = invalidates(Purchase, PERSON), invalidates(Purchase, PERSON)
    world.purchase.save()
    both = len(recording.calls)
    first.unregister()
    world.purchase.save()
    one = len(recording.calls)
    second.unregister()
    world.purchase.save()
    assert (both, one, len(recording.calls)) == (1, 2, 2)
    second.unregister()


def test_several_registrations_of_one_model(world: World, recorded: Any) -> None:
    """Each says its own, and all read the row once."""
    with invalidates(Purchase, PERSON), invalidates(Purchase, "number:{number}", parent="numbers", above=1):
        sent = statements(world.db, lambda: world.of(Purchase).filter(person=world.a).update(status="x"))
    assert sent == ["SELECT", "UPDATE"]
    assert recorded() == sorted([*world.tags("a"), "numbers"])


def test_an_unregistered_model_costs_a_look_into_a_dict(world: World, recorded: Any) -> None:
    """Its plan is made once."""
    with invalidates(Purchase, PERSON):
        first = plan_of(Unregistered)
        from unstale.contrib.django.registry import registrations

        assert first is None
        assert registrations._state.plans[Unregistered] is None


def test_a_dummy_cache_is_left_alone(world: World) -> None:
    """It keeps nothing, so tests and machines without a cache write as ever."""
    dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    with override_settings(CACHES={**settings.CACHES, "default": dummy}), invalidates(Purchase, PERSON):
        assert world.of(Purchase).update(status="x") == 3


def test_another_backend_is_an_error(world: World) -> None:
    """A cache that keeps values and knows no tags would be stale: the write is refused."""
    with invalidates(Purchase, PERSON), pytest.raises(ConfigurationError, match="LocMemCache"):
        world.of(Purchase).update(status="x")
    assert world.of(Purchase).filter(status="x").count() == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((Purchase,), "names no tag"),
        ((str, "x"), "table"),
        ((models.Model, "x"), "table"),
        ((Purchase, "x:{"), "brace"),
        ((Purchase, "x:{a}{b}"), "separator"),
        ((Purchase, 5), "must be a str"),
        ((Purchase, ""), "cannot be used"),
        ((Purchase, "*x:{pk}"), "cannot be used"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: Any, word: str) -> None:
    """At once, with the reason."""
    if arguments[0] is models.Model:
        with isolate_apps("registry_app"):

            class Abstract(models.Model):
                class Meta:
                    abstract = True
                    app_label = "registry_app"

        arguments = (Abstract, *arguments[1:])
    with pytest.raises(ConfigurationError, match=word):
        invalidates(*arguments)
    assert all_registrations() == ()


@pytest.mark.parametrize(
    "template",
    ["x:{nothing}", "x:{labels}", "x:{status.name}", "x:{person_id.name}", "x:{lines}", "x:{person.nothing}"],
)
def test_a_template_that_names_no_column_fails_the_write(databases: None, recorded: Any, template: str) -> None:
    """Where the checks were not run: a clear error and no row, rather than a stale value."""
    with invalidates(Purchase, template), pytest.raises(ConfigurationError, match=r"Purchase|Person"):
        Purchase.objects.create()
    assert Purchase.objects.count() == 0
