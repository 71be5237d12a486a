"""What a write reads, what it bumps of many rows, and of rows whose values the database decides."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Lower
from django.utils.functional import lazystr
from django.utils.safestring import SafeString
from registry_app import recording
from registry_app.models import Line, Person, Purchase, Team, Unregistered
from registry_app.world import World, statements

from unstale.contrib.django.registry import invalidate_for, invalidates
from unstale.contrib.django.registry.rows import settle

PERSON = "person:{person_id}"


def numbered(w: World, count: int, person: Person) -> list[Purchase]:
    """So many new instances."""
    return [Purchase(person=person, number=f"n{at}") for at in range(count)]


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
    "save, follows": ("t:{person.team_id}", lambda w: w.purchase.save(), [*"SSU"]),
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
def test_the_queries_of_a_write(world: World, recorded: Any, name: str) -> None:
    """A write asks the database no more than the documentation says."""
    template, write, expected = QUERIES[name]
    with invalidates(Purchase, template):
        assert statements(world.db, lambda: write(world)) == [WORDS.get(word, word) for word in expected]


def test_a_delete_stays_fast(world: World, recorded: Any) -> None:
    """A fast delete reads the rows' columns in one query, and loads no instances."""
    Line.objects.using(world.db).create(purchase=world.purchase)
    with invalidates(Line, "lines:{purchase_id}"):
        sent = statements(world.db, lambda: world.of(Line).all().delete())
    assert sent == ["SELECT", "DELETE"]
    assert recorded() == [f"lines:{world.purchase.pk}"]


def test_a_write_of_many_rows_bumps_the_parent(world: World, recorded: Any) -> None:
    """Above so many rows, the tag that stands for all is bumped in place of theirs, and the rows are left alone."""
    world.of(Purchase).bulk_create(numbered(world, 5, world.a))
    with invalidates(Purchase, PERSON, parent="people", above=5):
        world.of(Purchase).update(status="x")
    assert recorded() == ["people"]


def test_a_write_of_just_so_many_rows_bumps_their_own(world: World, recorded: Any) -> None:
    """The limit itself is not above it."""
    with invalidates(Purchase, PERSON, parent="people", above=3):
        world.of(Purchase).update(status="x")
    assert recorded() == world.tags("ab")


def test_a_bulk_create_of_many_bumps_the_parent(world: World, recorded: Any) -> None:
    """Batches of one call count together."""
    with invalidates(Purchase, PERSON, parent="people", above=5):
        world.of(Purchase).bulk_create(numbered(world, 9, world.b), batch_size=2)
    assert recorded() == sorted([*world.tags("b"), "people"])


def test_a_bulk_update_of_many_bumps_the_parent(world: World, recorded: Any) -> None:
    """The same, and after the limit nothing is read any more."""
    made = world.of(Purchase).bulk_create(numbered(world, 10, world.b))
    with invalidates(Purchase, PERSON, parent="people", above=3):
        sent = statements(world.db, lambda: world.of(Purchase).bulk_update(made, ["status"], batch_size=2))
    assert sent == ["SELECT", "UPDATE", "SELECT", *["UPDATE"] * 4]
    assert recorded() == sorted([*world.tags("b"), "people"])


def test_a_delete_of_many_bumps_the_parent(world: World, recorded: Any) -> None:
    """Django deletes a hundred rows at a time: the chunks of one delete count together."""
    world.of(Purchase).bulk_create(numbered(world, 250, world.b))
    with invalidates(Purchase, PERSON, parent="people", above=100):
        world.of(Purchase).filter(person=world.b).delete()
    assert recorded() == sorted([*world.tags("b"), "people"])


def test_the_fixed_part_of_a_template_is_its_parent(world: World, recorded: Any) -> None:
    """Without `parent`, a template's literal ancestor stands for its rows; one without placeholders, for itself."""
    with invalidates(Purchase, "people/{person_id}/orders", "catalogue", above=0):
        world.of(Purchase).update(status="x")
    assert recorded() == ["catalogue", "people"]


def test_without_a_parent_each_row_is_bumped(world: World, recorded: Any) -> None:
    """However many they are, in batches of one invalidation."""
    people = world.of(Person).bulk_create(Person(name="many") for _ in range(700))
    with invalidates(Purchase, PERSON, above=10):
        world.of(Purchase).bulk_create(Purchase(person=each) for each in people)
        made = set(recorded())
        recording.calls.clear()
        world.of(Purchase).filter(person__name="many").update(status="x")
    assert made == set(recorded()) == {f"person:{each.pk}" for each in people}
    assert max(len(tags) for tags, _ in recording.calls) == 500


def test_a_value_is_read_as_the_database_keeps_it(world: World, recorded: Any) -> None:
    """A column that may round is read again: the tag holds what the next load will see."""
    with invalidates(Purchase, "amount:{amount}"):
        world.of(Purchase).create(amount=1.5)
        world.of(Purchase).filter(pk=world.purchase.pk).update(amount=2)
    assert recorded() == ["amount:0.00", "amount:1.50", "amount:2.00"]


class Status(str, enum.Enum):  # noqa: UP042 - its text is "Status.PAID", a StrEnum's is its value
    """As many projects have one."""

    PAID = "paid"


class Worded(str):  # noqa: SLOT000 - as a project would write it
    """Shows itself in other words."""

    def __str__(self) -> str:
        return f"in words: {self.upper()}"


class Place(int, enum.Enum):
    """A number with a name."""

    FIRST = 1


VALUES: dict[str, tuple[str, Any, str]] = {
    "an enumeration of texts": ("status", Status.PAID, "paid"),
    "a subclass of str": ("status", Worded("paid"), "paid"),
    "a safe text": ("status", SafeString("paid"), "paid"),
    "a lazy text": ("status", lazystr("paid"), "paid"),
    "a number as a text": ("status", 5, "5"),
    "an enumeration of numbers": ("position", Place.FIRST, "1"),
    "a bool as a number": ("position", True, "1"),
}
WRITES: dict[str, Callable[[World, str, Any], Any]] = {
    "create": lambda w, name, value: w.of(Purchase).create(**{name: value}),
    "bulk_create": lambda w, name, value: w.of(Purchase).bulk_create([Purchase(**{name: value})]),
    "update": lambda w, name, value: w.of(Purchase).filter(pk=w.purchase.pk).update(**{name: value}),
    "invalidate_for": lambda w, name, value: invalidate_for([{name: value}], Purchase, using=w.db),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("value", VALUES)
def test_a_tag_holds_what_the_database_holds(world: World, recorded: Any, value: str, write: str) -> None:
    """However the value that was given words itself: the next load will see the column's own."""
    name, given, held = VALUES[value]
    with invalidates(Purchase, f"x:{{{name}}}"):
        WRITES[write](world, name, given)
    assert f"x:{held}" in recorded()
    assert set(recorded()) <= {f"x:{held}", "x:new", "x:7"}


def test_a_value_in_a_key_is_read_as_the_database_keeps_it(world: World, recorded: Any) -> None:
    """A primary key that is named in a statement, and so not asked for, is worded as the column words it."""
    world.of(Team).create(pk=1)
    with invalidates(Team, "x:{pk}"):
        world.of(Team).filter(pk=Place.FIRST).update(name="x")
        world.of(Team).filter(pk__in=[Place.FIRST]).update(name="x")
    assert recorded() == ["x:1"]


def test_a_value_of_an_unknown_type_is_read_back() -> None:
    """A subclass of UUID words itself as it likes: only the database knows what it has kept."""

    class Short(uuid.UUID):
        def __str__(self) -> str:
            return "short"

    assert settle(models.UUIDField(), Short(int=5)) == (False, None)
    assert settle(models.UUIDField(), uuid.UUID(int=5)) == (True, uuid.UUID(int=5))


def test_a_default_of_the_database_is_read(world: World, recorded: Any) -> None:
    """What the database filled in comes back with the INSERT, or is asked for."""
    with invalidates(Purchase, "position:{position}"):
        world.of(Purchase).create()
        world.of(Purchase).bulk_create([Purchase(), Purchase(position=Value(3) + 1)])
    assert recorded() == ["position:4", "position:7"]


def test_where_nobody_can_say_which_rows_it_was_everything_goes(world: World, recorded: Any) -> None:
    """An expression, and conflicts ignored: without a parent the whole cache is stale, which is never wrong."""
    with invalidates(Purchase, "number:{number}"):
        world.of(Purchase).bulk_create([Purchase(number=Lower(Value("X")))], ignore_conflicts=True)
    assert (recorded(), len(recording.clears)) == ([], 1)


def test_a_changed_key_bumps_what_stands_for_all(world: World, recorded: Any) -> None:
    """Rows whose primary key is overwritten cannot be found again."""
    lone = world.of(Person).create(name="lone")
    with invalidates(Person, "person/{pk}"):
        world.of(Person).filter(pk=lone.pk).update(id=F("id") + 10**6)
    assert recorded() == ["person", f"person/{lone.pk}"]
