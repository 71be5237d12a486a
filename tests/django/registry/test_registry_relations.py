"""Registrations that follow relations, many-to-many relations and inheritance."""

from __future__ import annotations

from typing import Any

from registry_app import recording
from registry_app.models import Club, Gift, Label, Line, Membership, Person, Purchase, Seat, Team
from registry_app.world import World

from unstale.contrib.django.registry import invalidates

PERSON = "person:{person_id}"


def test_a_template_follows_foreign_keys(world: World, recorded: Any) -> None:
    """Dotted or with two underscores, over several relations, and not where one of them leads nowhere."""
    team = world.of(Team).create()
    world.of(Person).filter(pk=world.a.pk).update(team=team)
    with invalidates(Line, "team:{purchase.person.team_id}", "person:{purchase__person_id}"):
        world.of(Line).create(purchase=world.purchase)
        world.of(Line).create(purchase=world.other)
    assert recorded() == sorted([f"team:{team.pk}", *world.tags("ab")])


def test_an_old_relation_is_followed_too(world: World, recorded: Any) -> None:
    """A row that moves to another parent makes both stale."""
    line = world.of(Line).create(purchase=world.purchase)
    with invalidates(Line, "person:{purchase.person_id}"):
        world.of(Line).filter(pk=line.pk).update(purchase=world.other)
    assert recorded() == world.tags("ab")


def test_cascaded_rows_are_seen(world: World, recorded: Any) -> None:
    """Rows that go with the row that they refer to, by a fast delete or one by one."""
    world.of(Line).create(purchase=world.purchase)
    with invalidates(Line, "person:{purchase.person_id}", "purchase:{purchase_id}"):
        key = world.purchase.pk
        world.purchase.delete()
    assert recorded() == sorted([*world.tags("a"), f"purchase:{key}"])


def test_both_sides_of_a_relation_may_be_registered(world: World, recorded: Any) -> None:
    """A row of a many-to-many table is a change of what it joins."""
    with invalidates(Purchase, PERSON), invalidates(Label, "label:{pk}", "named:{name}"):
        world.other.labels.add(world.label)
    assert recorded() == sorted([*world.tags("b"), f"label:{world.label.pk}", "named:red"])


def test_a_relation_with_a_model_of_its_own_counts(world: World, recorded: Any) -> None:
    """Rows of a `through` model, written through the relation or by themselves."""
    club = world.of(Club).create(name="c")
    with invalidates(Club, "club:{pk}"), invalidates(Person, "person:{pk}"):
        club.members.add(world.a, through_defaults={"role": "x"})
        added = recorded()
        recording.calls.clear()
        world.of(Membership).update(person=world.b)
    assert added == sorted([f"club:{club.pk}", *world.tags("a")])
    assert recorded() == sorted([f"club:{club.pk}", *world.tags("ab")])


def test_a_child_sees_its_parents_table(world: World, recorded: Any) -> None:
    """A registered child: a write to its parent's table is a write to its row, where it has one."""
    with invalidates(Gift, "gifts:{person_id}"):
        world.of(Purchase).filter(number="2").update(status="x")
        other = recorded()
        world.of(Purchase).filter(number="3").update(person=world.b)
    assert other == []
    assert recorded() == sorted(f"gifts:{each.pk}" for each in (world.a, world.b))


def test_a_child_sees_its_parents_relations(world: World, recorded: Any) -> None:
    """A many-to-many relation of the parent is the child's."""
    with invalidates(Gift, "gifts:{person_id}:{wrapping}"):
        world.of(Gift).update(wrapping="w")
        recording.calls.clear()
        world.label.purchases.clear()
    assert recorded() == [f"gifts:{world.a.pk}:w"]


def test_a_new_child_is_seen_once_it_is_there(world: World, recorded: Any) -> None:
    """Its row in the parent's table comes first, and is no child's yet."""
    with invalidates(Gift, "gifts:{person_id}"):
        world.of(Purchase).create(person=world.a)
        plain = recorded()
        Gift(person=world.b).save(using=world.db)
    assert (plain, recorded()) == ([], [f"gifts:{world.b.pk}"])


# Keys of several columns


def test_a_composite_key(world: World, recorded: Any) -> None:
    """Each write by it, and a template that names its columns."""
    with invalidates(Seat, PERSON, "hall:{hall}"):
        seat = world.of(Seat).create(hall=1, number=2, person=world.a)
        world.of(Seat).bulk_create([Seat(hall=2, number=1, person=world.a)])
        recording.calls.clear()
        seat.person = world.b
        seat.save()
        moved = recorded()
        recording.calls.clear()
        world.of(Seat).filter(person=world.b).delete()
    assert moved == sorted([*world.tags("ab"), "hall:1"])
    assert recorded() == sorted([*world.tags("b"), "hall:1"])
