"""Each way in which Django's ORM writes: what it bumps, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import serializers
from django.db.models import BigIntegerField, Case, Count, F, Q, Value, When
from registry_app import recording
from registry_app.models import Gift, Person, Purchase, PurchaseProxy, Unregistered
from registry_app.world import World

from unstale.contrib.django.registry import invalidates


def again(w: World, row: Any) -> Any:
    """The row as the database has it."""
    return type(row)._base_manager.using(w.db).get(pk=row.pk)


def changed(row: Any, **values: Any) -> Any:
    """The same instance with other values."""
    for name, value in values.items():
        setattr(row, name, value)
    return row


def outdated(w: World) -> Any:
    """An instance whose row was moved from a to b meanwhile."""
    old = again(w, w.purchase)
    w.of(Purchase).filter(pk=old.pk).update(person=w.b)
    recording.calls.clear()
    return old


def loaded(w: World, **values: Any) -> None:
    """As loaddata does."""
    text = serializers.serialize("json", [changed(again(w, w.purchase), **values)])
    for each in serializers.deserialize("json", text, using=w.db):
        each.save(using=w.db)


def purchases(w: World, *people: Person, **values: Any) -> list[Purchase]:
    """New instances."""
    return [Purchase(person=each, **values) for each in people]


ONE: dict[str, tuple[Callable[[World], Any], str]] = {
    "save, new": (lambda w: Purchase(person=w.b).save(using=w.db), "b"),
    "save, new, keyed by hand": (lambda w: Purchase(pk=10**6, person=w.b).save(using=w.db), "b"),
    "save, of nobody": (lambda w: Purchase().save(using=w.db), ""),
    "save, text for a number": (lambda w: Purchase(person_id=f" {w.b.pk} ".strip()).save(using=w.db), "b"),
    "create": (lambda w: w.of(Purchase).create(person=w.b), "b"),
    "save": (lambda w: changed(w.purchase, status="paid").save(), "a"),
    "save, moves": (lambda w: changed(w.purchase, person=w.b).save(), "ab"),
    "save, moves to nobody": (lambda w: changed(w.purchase, person=None).save(), "a"),
    "save, update_fields": (lambda w: changed(w.purchase, status="paid").save(update_fields=["status"]), "a"),
    "save, by hand": (lambda w: Purchase(pk=w.purchase.pk, person=w.b).save(using=w.db), "ab"),
    "save, deferred": (lambda w: changed(w.of(Purchase).only("pk").get(pk=w.purchase.pk), status="x").save(), "a"),
    "save, expression": (lambda w: changed(w.purchase, status=F("number")).save(), "a"),
    "save, person by expression": (
        lambda w: changed(w.purchase, person_id=F("person_id") + w.b.pk - w.a.pk).save(),
        "ab",
    ),
    "save, outdated": (lambda w: outdated(w).save(), "ab"),
    "save, outdated, update_fields": (lambda w: outdated(w).save(update_fields=["status"]), "b"),
    "delete, outdated": (lambda w: outdated(w).delete(), "b"),
    "loaddata": (lambda w: loaded(w, person=w.b), "ab"),
    "delete": (lambda w: w.purchase.delete(), "a"),
    "get_or_create": (lambda w: w.of(Purchase).get_or_create(number="9", defaults={"person": w.b}), "b"),
    "get_or_create, gets": (lambda w: w.of(Purchase).get_or_create(number="1", defaults={"person": w.b}), ""),
    "update_or_create": (lambda w: w.of(Purchase).update_or_create(number="1", defaults={"person": w.b}), "ab"),
    "bulk_create": (lambda w: w.of(Purchase).bulk_create(purchases(w, w.a, w.b)), "ab"),
    "bulk_create, nothing": (lambda w: w.of(Purchase).bulk_create([]), ""),
    "bulk_create, ignore": (
        lambda w: w.of(Purchase).bulk_create(purchases(w, w.b, number="1"), ignore_conflicts=True),
        "b",
    ),
    "bulk_create, overwrites": (
        lambda w: w.of(Purchase).bulk_create(
            purchases(w, w.b, number="1"), update_conflicts=True, unique_fields=["number"], update_fields=["person"]
        ),
        "ab",
    ),
    "bulk_create, overwrites another column": (
        lambda w: w.of(Purchase).bulk_create(
            purchases(w, w.b, number="1"), update_conflicts=True, unique_fields=["number"], update_fields=["status"]
        ),
        "a",
    ),
    "bulk_create, overwrites by pk": (
        lambda w: w.of(Purchase).bulk_create(
            purchases(w, w.b, pk=w.purchase.pk), update_conflicts=True, unique_fields=["pk"], update_fields=["person"]
        ),
        "ab",
    ),
    "bulk_update": (lambda w: w.of(Purchase).bulk_update([changed(w.purchase, status="x")], ["status"]), "a"),
    "bulk_update, moves": (lambda w: w.of(Purchase).bulk_update([changed(w.purchase, person=w.b)], ["person"]), "ab"),
    "update": (lambda w: w.of(Purchase).filter(number="1").update(status="paid"), "a"),
    "update, nothing": (lambda w: w.of(Purchase).filter(number="none").update(status="paid"), ""),
    "update, none()": (lambda w: w.of(Purchase).none().update(status="paid"), ""),
    "update, its own filter": (lambda w: w.of(Purchase).filter(status="new", number="1").update(status="paid"), "a"),
    "update, all": (lambda w: w.of(Purchase).update(status="paid"), "ab"),
    "update, moves": (lambda w: w.of(Purchase).filter(number="1").update(person=w.b), "ab"),
    "update, moves by key": (lambda w: w.of(Purchase).filter(pk=w.purchase.pk).update(person_id=w.b.pk), "ab"),
    "update, F()": (lambda w: w.of(Purchase).filter(number="1").update(amount=F("amount") + 1), "a"),
    "update, person by Case": (
        lambda w: (
            w.of(Purchase)
            .filter(number="1")
            .update(
                person=Case(
                    When(number="1", then=Value(w.b.pk)), default=F("person_id"), output_field=BigIntegerField()
                )
            )
        ),
        "ab",
    ),
    "update, a join": (lambda w: w.of(Purchase).filter(person__name="a", number="1").update(status="x"), "a"),
    "update, an outer join": (
        lambda w: w.of(Purchase).filter(Q(given_to__name="z") | Q(number="1")).update(status="x"),
        "a",
    ),
    "update, an aggregate": (
        lambda w: w.of(Purchase).annotate(n=Count("labels")).filter(n=0).update(status="x"),
        "b",
    ),
    "update, distinct": (lambda w: w.of(Purchase).filter(labels__name="red").distinct().update(status="x"), "a"),
    "update, ordered": (lambda w: w.of(Purchase).order_by("-number").filter(number="1").update(status="x"), "a"),
    "update, a subquery": (
        lambda w: w.of(Purchase).filter(person__in=w.of(Person).filter(name="a")).update(status="x"),
        "a",
    ),
    "update, a slice's keys": (
        lambda w: (
            w.of(Purchase)
            .filter(pk__in=list(w.of(Purchase).order_by("number").values_list("pk", flat=True)[:1]))
            .update(status="x")
        ),
        "a",
    ),
    "update, select_for_update": (
        lambda w: w.of(Purchase).filter(number="1").select_related("person").update(status="x"),
        "a",
    ),
    "update, exclude": (lambda w: w.of(Purchase).exclude(person=w.a).update(status="x"), "b"),
    "update, another manager": (lambda w: Purchase.open.using(w.db).filter(number="2").update(status="closed"), "b"),
    "update, _base_manager": (lambda w: Purchase._base_manager.using(w.db).filter(number="2").update(status="x"), "b"),
    "queryset.delete": (lambda w: w.of(Purchase).filter(number="1").delete(), "a"),
    "queryset.delete, all": (lambda w: w.of(Purchase).all().delete(), "ab"),
    "_raw_delete": (lambda w: w.of(Purchase.labels.through).filter(purchase=w.purchase)._raw_delete(w.db), "a"),
    "cascade": (lambda w: w.a.delete(), "a"),
    "set null": (lambda w: (w.of(Purchase).filter(number="1").update(given_to=w.b), clear(), w.b.delete()), "ab"),
    "related update": (lambda w: w.a.purchases.update(status="x"), "a"),
    "related create": (lambda w: w.b.purchases.create(), "b"),
    "related add": (lambda w: w.b.purchases.add(w.purchase), "ab"),
    "related add, one by one": (lambda w: w.b.purchases.add(w.purchase, bulk=False), "ab"),
    "related remove": (lambda w: w.a.purchases.remove(w.purchase), "a"),
    "related clear": (lambda w: w.a.purchases.clear(), "a"),
    "related set": (lambda w: w.b.purchases.set([w.purchase]), "ab"),
    "m2m add": (lambda w: w.other.labels.add(w.label), "b"),
    "m2m add, what is there": (
        lambda w: w.purchase.labels.add(w.label),
        "a",
    ),  # Django inserts it, and ignores the conflict
    "m2m create": (lambda w: w.other.labels.create(name="blue"), "b"),
    "m2m remove": (lambda w: w.purchase.labels.remove(w.label), "a"),
    "m2m clear": (lambda w: w.purchase.labels.clear(), "a"),
    "m2m set": (lambda w: w.other.labels.set([w.label]), "b"),
    "m2m add, other side": (lambda w: w.label.purchases.add(w.other), "b"),
    "m2m remove, other side": (lambda w: w.label.purchases.remove(w.purchase), "a"),
    "m2m clear, other side": (lambda w: w.label.purchases.clear(), "a"),
    "m2m set, other side": (lambda w: w.label.purchases.set([w.other]), "ab"),
    "m2m, the other side's delete": (lambda w: w.label.delete(), "a"),
    "m2m, its table": (lambda w: w.of(Purchase.labels.through).all().delete(), "a"),
    "proxy save": (lambda w: PurchaseProxy(person=w.b).save(using=w.db), "b"),
    "proxy update": (lambda w: w.of(PurchaseProxy).filter(number="1").update(person=w.b), "ab"),
    "proxy delete": (lambda w: w.of(PurchaseProxy).filter(number="1").delete(), "a"),
    "child save, new": (lambda w: Gift(person=w.b).save(using=w.db), "b"),
    "child save": (lambda w: changed(w.gift, person=w.b).save(), "ab"),
    "child save, its own column": (lambda w: changed(w.gift, wrapping="x").save(update_fields=["wrapping"]), "a"),
    "child update, its own column": (lambda w: w.of(Gift).update(wrapping="x"), "a"),
    "child update, the parent's column": (lambda w: w.of(Gift).update(person=w.b), "ab"),
    "child update, both": (lambda w: w.of(Gift).filter(number="3").update(person=w.b, wrapping="x"), "ab"),
    "child delete": (lambda w: w.gift.delete(), "a"),
    "child delete, keeps parents": (lambda w: w.gift.delete(keep_parents=True), "a"),
    "child queryset.delete": (lambda w: w.of(Gift).all().delete(), "a"),
    "asave": (lambda w: async_to_sync(changed(w.purchase, person=w.b).asave)(), "ab"),
    "acreate": (lambda w: async_to_sync(w.of(Purchase).acreate)(person=w.b), "b"),
    "adelete": (lambda w: async_to_sync(w.of(Purchase).filter(number="1").adelete)(), "a"),
    "aupdate": (lambda w: async_to_sync(w.of(Purchase).filter(number="1").aupdate)(status="x"), "a"),
    "abulk_create": (lambda w: async_to_sync(w.of(Purchase).abulk_create)(purchases(w, w.b)), "b"),
    "another model": (lambda w: w.of(Unregistered).create(person=w.a), ""),
    "the person": (lambda w: changed(w.a, name="x").save(), ""),
}


def clear() -> None:
    """Forget what was invalidated so far."""
    recording.calls.clear()


@pytest.mark.parametrize("name", ONE)
def test_each_write_bumps_the_rows_that_it_touches(world: World, recorded: Any, name: str) -> None:
    """The tags of the rows as they were and as they are, and no others; each call names the database."""
    write, people = ONE[name]
    expected = world.tags(people)
    with invalidates(Purchase, "person:{person_id}"):
        write(world)
    assert recorded() == expected
    assert {using for _, using in recording.calls} <= {world.db}
    assert recording.clears == []
