"""Registrations of models: what is read for a write, many rows, relations, inheritance, raw SQL, what is refused."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connections, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Lower
from django.test import override_settings
from django.test.utils import isolate_apps
from registry_app import recording
from registry_app.models import Club, Gift, Label, Line, Membership, Person, Purchase, Team, Unregistered
from registry_fixtures import World, db, recorded, statements, world  # noqa: F401 - fixtures

from unstale.contrib.django import row_templates
from unstale.contrib.django.patterns import Matcher
from unstale.contrib.django.registrations import all_registrations, plan_of
from unstale.contrib.django.registry import invalidate_for, invalidates
from unstale.errors import ConfigurationError

PERSON = "person:{person_id}"


def numbered(w: World, count: int, person: Person) -> list[Purchase]:
    """So many new instances."""
    return [Purchase(person=person, number=f"n{at}") for at in range(count)]


# What is asked of the database

QUERIES: dict[str, tuple[str, Callable[[World], Any], list[str]]] = {
    "save, new": (PERSON, lambda w: Purchase(person=w.a).save(using=w.db), ["INSERT"]),
    "save": (PERSON, lambda w: w.purchase.save(), ["SELECT", "UPDATE"]),
    "save, moves": (PERSON, lambda w: (setattr(w.purchase, "person", w.b), w.purchase.save()), [*"SUS"]),
    "save, by key": ("purchase:{pk}", lambda w: w.purchase.save(), ["UPDATE"]),
    "save, literal": ("catalogue", lambda w: w.purchase.save(), ["UPDATE"]),
    "save, new, a column that may be rounded": ("p:{amount}", lambda w: w.of(Purchase).create(), ["INSERT", "SELECT"]),
    "save, new, follows": ("t:{person.team_id}", lambda w: w.of(Purchase).create(person=w.a), ["INSERT", "SELECT"]),
    "save, new, follows nobody": ("t:{person.team_id}", lambda w: w.of(Purchase).create(), ["INSERT"]),
    "save, new, follows to the key": ("t:{person.id}", lambda w: w.of(Purchase).create(person=w.a), ["INSERT"]),
    "save, follows": ("t:{person.team_id}", lambda w: w.purchase.save(), [*"SUS"]),
    "delete": (PERSON, lambda w: w.of(Purchase).filter(pk=w.other.pk)._raw_delete(w.db), ["SELECT", "DELETE"]),
    "update": (PERSON, lambda w: w.of(Purchase).update(status="x"), ["SELECT", "UPDATE"]),
    "update, to what it is": (PERSON, lambda w: w.of(Purchase).filter(person=w.a).update(person=w.a), [*"SU"]),
    "bulk_create": (PERSON, lambda w: w.of(Purchase).bulk_create(numbered(w, 9, w.a)), ["INSERT"]),
    "bulk_update": (PERSON, lambda w: w.of(Purchase).bulk_update([w.purchase, w.other], ["status"]), [*"SU"]),
    "bulk_update, moves": (PERSON, lambda w: w.of(Purchase).bulk_update([w.purchase, w.other], ["person"]), [*"SUS"]),
    "unregistered": (PERSON, lambda w: w.of(Unregistered).create(person=w.a), ["INSERT"]),
}
WORDS = {"S": "SELECT", "U": "UPDATE"}


@pytest.mark.parametrize("name", QUERIES)
def test_the_queries_of_a_write(world: World, recorded: Any, name: str) -> None:  # noqa: F811
    """A write asks the database no more than the documentation says."""
    template, write, expected = QUERIES[name]
    with invalidates(Purchase, template):
        assert statements(world.db, lambda: write(world)) == [WORDS.get(word, word) for word in expected]


def test_a_delete_stays_fast(world: World, recorded: Any) -> None:  # noqa: F811
    """A fast delete reads the rows' columns in one query, and loads no instances."""
    Line.objects.using(world.db).create(purchase=world.purchase)
    with invalidates(Line, "lines:{purchase_id}"):
        sent = statements(world.db, lambda: world.of(Line).all().delete())
    assert sent == ["SELECT", "DELETE"]
    assert recorded() == [f"lines:{world.purchase.pk}"]


# Many rows


def test_a_write_of_many_rows_bumps_the_parent(world: World, recorded: Any) -> None:  # noqa: F811
    """Above so many rows, the tag that stands for all is bumped in place of theirs, and the rows are left alone."""
    world.of(Purchase).bulk_create(numbered(world, 5, world.a))
    with invalidates(Purchase, PERSON, parent="people", above=5):
        world.of(Purchase).update(status="x")
    assert recorded() == ["people"]


def test_a_write_of_just_so_many_rows_bumps_their_own(world: World, recorded: Any) -> None:  # noqa: F811
    """The limit itself is not above it."""
    with invalidates(Purchase, PERSON, parent="people", above=3):
        world.of(Purchase).update(status="x")
    assert recorded() == world.tags("ab")


def test_a_bulk_create_of_many_bumps_the_parent(world: World, recorded: Any) -> None:  # noqa: F811
    """Batches of one call count together."""
    with invalidates(Purchase, PERSON, parent="people", above=5):
        world.of(Purchase).bulk_create(numbered(world, 9, world.b), batch_size=2)
    assert recorded() == sorted([*world.tags("b"), "people"])


def test_a_bulk_update_of_many_bumps_the_parent(world: World, recorded: Any) -> None:  # noqa: F811
    """The same, and after the limit nothing is read any more."""
    made = world.of(Purchase).bulk_create(numbered(world, 10, world.b))
    with invalidates(Purchase, PERSON, parent="people", above=3):
        sent = statements(world.db, lambda: world.of(Purchase).bulk_update(made, ["status"], batch_size=2))
    assert sent == ["SELECT", "UPDATE", "SELECT", *["UPDATE"] * 4]
    assert recorded() == sorted([*world.tags("b"), "people"])


def test_a_delete_of_many_bumps_the_parent(world: World, recorded: Any) -> None:  # noqa: F811
    """Django deletes a hundred rows at a time: the chunks of one delete count together."""
    world.of(Purchase).bulk_create(numbered(world, 250, world.b))
    with invalidates(Purchase, PERSON, parent="people", above=100):
        world.of(Purchase).filter(person=world.b).delete()
    assert recorded() == sorted([*world.tags("b"), "people"])


def test_the_fixed_part_of_a_template_is_its_parent(world: World, recorded: Any) -> None:  # noqa: F811
    """Without `parent`, a template's literal ancestor stands for its rows; a template without placeholders, for itself."""
    with invalidates(Purchase, "people/{person_id}/orders", "catalogue", above=0):
        world.of(Purchase).update(status="x")
    assert recorded() == ["catalogue", "people"]


def test_without_a_parent_each_row_is_bumped(world: World, recorded: Any) -> None:  # noqa: F811
    """However many they are, in batches of one invalidation."""
    people = world.of(Person).bulk_create(Person(name="many") for _ in range(700))
    with invalidates(Purchase, PERSON, above=10):
        world.of(Purchase).bulk_create(Purchase(person=each) for each in people)
        made = set(recorded())
        recording.calls.clear()
        world.of(Purchase).filter(person__name="many").update(status="x")
    assert made == set(recorded()) == {f"person:{each.pk}" for each in people}
    assert max(len(tags) for tags, _ in recording.calls) == 500


# New rows whose values the database decides


def test_a_value_is_read_as_the_database_keeps_it(world: World, recorded: Any) -> None:  # noqa: F811
    """A column that may round is read again: the tag holds what the next load will see."""
    with invalidates(Purchase, "amount:{amount}"):
        world.of(Purchase).create(amount=1.5)
        world.of(Purchase).filter(pk=world.purchase.pk).update(amount=2)
    assert recorded() == ["amount:0.00", "amount:1.50", "amount:2.00"]


def test_a_default_of_the_database_is_read(world: World, recorded: Any) -> None:  # noqa: F811
    """What the database filled in comes back with the INSERT, or is asked for."""
    with invalidates(Purchase, "position:{position}"):
        world.of(Purchase).create()
        world.of(Purchase).bulk_create([Purchase(), Purchase(position=Value(3) + 1)])
    assert recorded() == ["position:4", "position:7"]


def test_where_nobody_can_say_which_rows_it_was_everything_goes(world: World, recorded: Any) -> None:  # noqa: F811
    """An expression, and conflicts ignored: without a parent the whole cache is stale, which is never wrong."""
    with invalidates(Purchase, "number:{number}"):
        world.of(Purchase).bulk_create([Purchase(number=Lower(Value("X")))], ignore_conflicts=True)
    assert (recorded(), len(recording.clears)) == ([], 1)


def test_a_changed_key_bumps_what_stands_for_all(world: World, recorded: Any) -> None:  # noqa: F811
    """Rows whose primary key is overwritten cannot be found again."""
    lone = world.of(Person).create(name="lone")
    with invalidates(Person, "person/{pk}"):
        world.of(Person).filter(pk=lone.pk).update(id=F("id") + 10**6)
    assert recorded() == ["person", f"person/{lone.pk}"]


# Relations


def test_a_template_follows_foreign_keys(world: World, recorded: Any) -> None:  # noqa: F811
    """Dotted or with two underscores, over several relations, and not where one of them leads nowhere."""
    team = world.of(Team).create()
    world.of(Person).filter(pk=world.a.pk).update(team=team)
    with invalidates(Line, "team:{purchase.person.team_id}", "person:{purchase__person_id}"):
        world.of(Line).create(purchase=world.purchase)
        world.of(Line).create(purchase=world.other)
    assert recorded() == sorted([f"team:{team.pk}", *world.tags("ab")])


def test_an_old_relation_is_followed_too(world: World, recorded: Any) -> None:  # noqa: F811
    """A row that moves to another parent makes both stale."""
    line = world.of(Line).create(purchase=world.purchase)
    with invalidates(Line, "person:{purchase.person_id}"):
        world.of(Line).filter(pk=line.pk).update(purchase=world.other)
    assert recorded() == world.tags("ab")


def test_cascaded_rows_are_seen(world: World, recorded: Any) -> None:  # noqa: F811
    """Rows that go with the row that they refer to, by a fast delete or one by one."""
    world.of(Line).create(purchase=world.purchase)
    with invalidates(Line, "person:{purchase.person_id}", "purchase:{purchase_id}"):
        key = world.purchase.pk
        world.purchase.delete()
    assert recorded() == sorted([*world.tags("a"), f"purchase:{key}"])


def test_both_sides_of_a_relation_may_be_registered(world: World, recorded: Any) -> None:  # noqa: F811
    """A row of a many-to-many table is a change of what it joins."""
    with invalidates(Purchase, PERSON), invalidates(Label, "label:{pk}", "named:{name}"):
        world.other.labels.add(world.label)
    assert recorded() == sorted([*world.tags("b"), f"label:{world.label.pk}", "named:red"])


def test_a_relation_with_a_model_of_its_own_counts(world: World, recorded: Any) -> None:  # noqa: F811
    """Rows of a `through` model, written through the relation or by themselves."""
    club = world.of(Club).create(name="c")
    with invalidates(Club, "club:{pk}"), invalidates(Person, "person:{pk}"):
        club.members.add(world.a, through_defaults={"role": "x"})
        added = recorded()
        recording.calls.clear()
        world.of(Membership).update(person=world.b)
    assert added == sorted([f"club:{club.pk}", *world.tags("a")])
    assert recorded() == sorted([f"club:{club.pk}", *world.tags("ab")])


# Inheritance


def test_a_child_sees_its_parents_table(world: World, recorded: Any) -> None:  # noqa: F811
    """A registered child: a write to its parent's table is a write to its row, where it has one."""
    with invalidates(Gift, "gifts:{person_id}"):
        world.of(Purchase).filter(number="2").update(status="x")
        other = recorded()
        world.of(Purchase).filter(number="3").update(person=world.b)
    assert other == []
    assert recorded() == sorted(f"gifts:{each.pk}" for each in (world.a, world.b))


def test_a_child_sees_its_parents_relations(world: World, recorded: Any) -> None:  # noqa: F811
    """A many-to-many relation of the parent is the child's."""
    with invalidates(Gift, "gifts:{person_id}:{wrapping}"):
        world.of(Gift).update(wrapping="w")
        recording.calls.clear()
        world.label.purchases.clear()
    assert recorded() == [f"gifts:{world.a.pk}:w"]


def test_a_new_child_is_seen_once_it_is_there(world: World, recorded: Any) -> None:  # noqa: F811
    """Its row in the parent's table comes first, and is no child's yet."""
    with invalidates(Gift, "gifts:{person_id}"):
        world.of(Purchase).create(person=world.a)
        plain = recorded()
        Gift(person=world.b).save(using=world.db)
    assert (plain, recorded()) == ([], [f"gifts:{world.b.pk}"])


# Transactions


def test_a_write_in_autocommit_opens_a_transaction(world: World, recorded: Any) -> None:  # noqa: F811
    """The row and what the invalidation leaves in the database commit together; a failing invalidation undoes it."""
    with invalidates(Purchase, PERSON), override_settings(CACHES={**settings.CACHES, "default": BROKEN}):
        with pytest.raises(RuntimeError):
            world.of(Purchase).filter(number="1").update(status="x")
        assert Broken.inside == [True]
    assert world.of(Purchase).get(number="1").status == "new"


BROKEN = {"BACKEND": "test_registry.Broken", "LOCATION": "memory://"}


class Broken(recording.RecordingCache):
    inside: list[bool] = []  # noqa: RUF012 - the test looks at it

    def invalidate(self, *tags: str, using: str | None = None, **options: Any) -> Any:
        self.inside[:] = [connections[using].in_atomic_block]
        raise RuntimeError("no")


def test_a_failed_write_bumps_nothing(world: World, recorded: Any) -> None:  # noqa: F811
    """An error of the database goes to the caller as it is, and a savepoint around it is enough to go on."""
    with invalidates(Purchase, PERSON), transaction.atomic(using=world.db):
        with pytest.raises(IntegrityError), transaction.atomic(using=world.db):
            world.of(Purchase).create(person=world.b, number="1")
        world.of(Purchase).filter(number="1").update(status="x")
    assert recorded() == world.tags("a")


def test_sqlite_takes_the_write_lock_before_it_looks(databases: None, recorded: Any) -> None:  # noqa: F811
    """A look before the write must not make the write fail because another wrote meanwhile."""
    connection = connections["default"]
    connection.ensure_connection()
    mode, connection.transaction_mode = connection.transaction_mode, None
    try:
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as context, invalidates(Purchase, PERSON):
            Purchase.objects.filter(number="none").update(status="x")
        assert context.captured_queries[0]["sql"] == "BEGIN IMMEDIATE"
        assert connection.transaction_mode is None
    finally:
        connection.transaction_mode = mode


# Interleavings on PostgreSQL


@pytest.fixture
def pg(postgres_database: str, recorded: Any) -> Any:  # noqa: F811
    """A world on PostgreSQL, and what runs in another connection just before a statement begins."""
    from registry_fixtures import make_world

    made = make_world(postgres_database)
    yield made
    for model in (Line, Gift, Purchase, Label, Person):
        model._base_manager.using(postgres_database).all().delete()


def before(word: str, meanwhile: Callable[[], None], db: str) -> Any:
    """Let another connection do something just before the first statement that begins with a word."""
    done: list[None] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(word) and not done:
            done.append(None)
            thread = threading.Thread(target=in_thread, args=(meanwhile,))
            thread.start()
            thread.join()
        return execute(sql, params, many, context)

    return connections[db].execute_wrapper(wrapper)


def in_thread(work: Callable[[], None]) -> None:
    """Run in this thread with connections of its own."""
    try:
        work()
    finally:
        connections.close_all()


def test_a_row_that_appears_after_the_look_is_not_written(pg: World) -> None:
    """A row that another transaction commits between look and write keeps its value: its tag was not looked up."""

    def meanwhile() -> None:
        pg.of(Purchase).create(person=pg.b, number="late", status="open")

    pg.of(Purchase).filter(person=pg.a).update(status="open")
    with invalidates(Purchase, PERSON), before("UPDATE", meanwhile, pg.db):
        recording.calls.clear()
        pg.of(Purchase).filter(status="open").update(status="paid")
    assert pg.of(Purchase).get(number="late").status == "open"
    assert pg.of(Purchase).filter(person=pg.a, status="paid").count() == 2


def test_no_row_may_appear_where_there_was_none(pg: World) -> None:
    """The same where the look found nothing at all."""
    with (
        invalidates(Purchase, PERSON),
        before("UPDATE", lambda: pg.of(Purchase).create(person=pg.b, number="late"), pg.db),
    ):
        touched = pg.of(Purchase).filter(number="late").update(status="paid")
    assert touched == 0


def test_a_row_that_was_looked_at_cannot_move(pg: World) -> None:
    """It is locked until COMMIT: another transaction's move waits, and so bumps what it finds then."""
    refused: list[str] = []

    def meanwhile() -> None:
        with connections[pg.db].cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
            try:
                cursor.execute("UPDATE registry_app_purchase SET person_id = %s WHERE number = '1'", [pg.b.pk])
            except Exception as error:  # noqa: BLE001 - whichever the driver raises
                refused.append(type(error.__cause__).__name__)

    with invalidates(Purchase, PERSON), before("UPDATE", meanwhile, pg.db):
        pg.of(Purchase).filter(number="1").update(status="x")
    assert refused == ["LockNotAvailable"]


def test_a_row_that_is_followed_cannot_move(pg: World) -> None:
    """The purchase of a new line is locked: a move of it waits until the line is there for everybody."""
    refused: list[str] = []

    def meanwhile() -> None:
        with connections[pg.db].cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
            try:
                cursor.execute("UPDATE registry_app_purchase SET person_id = %s WHERE number = '1'", [pg.b.pk])
            except Exception as error:  # noqa: BLE001 - whichever the driver raises
                refused.append(type(error.__cause__).__name__)

    with invalidates(Line, "person:{purchase.person_id}"), transaction.atomic(using=pg.db):
        pg.of(Line).create(purchase=pg.purchase)
        thread = threading.Thread(target=in_thread, args=(meanwhile,))
        thread.start()
        thread.join()
    assert refused == ["LockNotAvailable"]


def test_an_upsert_that_may_have_met_a_new_row_bumps_the_parent(pg: World) -> None:
    """A row that appears just before an INSERT that overwrites it was not seen as it was."""
    with (
        invalidates(Purchase, PERSON, parent="people"),
        before("INSERT", lambda: pg.of(Purchase).bulk_create([Purchase(person=pg.a, number="late")]), pg.db),
    ):
        pg.of(Purchase).bulk_create(
            [Purchase(person=pg.b, number="late")],
            update_conflicts=True,
            unique_fields=["number"],
            update_fields=["person"],
        )
    assert "people" in recording.tags()


# Raw SQL

Row = SimpleNamespace


def test_raw_sql_by_instances(world: World, recorded: Any) -> None:  # noqa: F811
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
def test_raw_sql_by_rows(world: World, recorded: Any, rows: Any) -> None:  # noqa: F811
    """Dicts, tuples with named fields, named tuples."""
    given, options = rows(world)
    with invalidates(Purchase, PERSON):
        invalidate_for(given, Purchase, using=world.db, **options)
    assert recorded() == world.tags("a")


def test_raw_sql_of_many_rows(world: World, recorded: Any) -> None:  # noqa: F811
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


# Tags as TAG_PATTERNS make them


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


# Registering


def test_the_same_registration_twice_is_one(world: World, recorded: Any) -> None:  # noqa: F811
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


def test_several_registrations_of_one_model(world: World, recorded: Any) -> None:  # noqa: F811
    """Each says its own, and all read the row once."""
    with invalidates(Purchase, PERSON), invalidates(Purchase, "number:{number}", parent="numbers", above=1):
        sent = statements(world.db, lambda: world.of(Purchase).filter(person=world.a).update(status="x"))
    assert sent == ["SELECT", "UPDATE"]
    assert recorded() == sorted([*world.tags("a"), "numbers"])


def test_an_unregistered_model_costs_a_look_into_a_dict(world: World, recorded: Any) -> None:  # noqa: F811
    """Its plan is made once."""
    with invalidates(Purchase, PERSON):
        first = plan_of(Unregistered)
        from unstale.contrib.django import registrations

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
def test_a_template_that_names_no_column_fails_the_write(databases: None, recorded: Any, template: str) -> None:  # noqa: F811
    """Where the checks were not run: a clear error and no row, rather than a stale value."""
    with invalidates(Purchase, template), pytest.raises(ConfigurationError, match="Purchase|Person"):
        Purchase.objects.create()
    assert Purchase.objects.count() == 0
