"""Registrations with the real backend on a real server: what a write makes stale, and when; no page stays stale."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.db import transaction
from django.db.models import Case, F, Value, When
from django.test import override_settings
from registry_app.models import Gift, Label, Line, Person, Purchase
from registry_app.world import World
from servers import Server

from unstale.contrib.django.registry import invalidates


@pytest.fixture
def cache(session_servers: Callable[[str], Server]) -> Iterator[Any]:
    """The backend on Valkey, with a declared pattern."""
    server = session_servers("valkey")
    one = {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": server.url,
        "OPTIONS": {"TAG_PATTERNS": ["person:{id}:*"]},
    }
    with server.client as client:
        client.flushall()
    with override_settings(CACHES={**settings.CACHES, "default": one}):
        yield caches["default"]


def fill(cache: Any, w: World) -> None:
    """Cache a page of each person."""
    for letter, person in (("a", w.a), ("b", w.b)):
        cache.set(f"person:{person.pk}:page", letter)


def kept(cache: Any, w: World) -> str:
    """The letters of those whose page is still fresh."""
    return "".join(cache.get(f"person:{person.pk}:page", "") for person in (w.a, w.b))


@pytest.fixture
def pages(cache: Any, world: World) -> Iterator[Callable[[], str]]:
    """A registration, and a page of each person; which are fresh."""
    with invalidates(Purchase, "person:{person_id}"):
        fill(cache, world)
        yield lambda: kept(cache, world)


def test_a_write_makes_its_keys_stale(world: World, pages: Any) -> None:
    """The tag of a template is the tag of the pattern's keys: of those that it concerns, and no others."""
    world.purchase.save()
    assert pages() == "b"


def test_a_move_makes_both_stale(world: World, pages: Any) -> None:
    """Old and new."""
    world.of(Purchase).filter(pk=world.purchase.pk).update(person=world.b)
    assert pages() == ""


def test_a_rollback_leaves_all_fresh(world: World, pages: Any) -> None:
    """What was never committed changed nothing."""
    with transaction.atomic(using=world.db):
        world.purchase.delete()
        transaction.set_rollback(True, using=world.db)
    assert pages() == "ab"


def test_a_savepoint_rolled_back_leaves_its_own_fresh(world: World, pages: Any) -> None:
    """The rest takes effect with the COMMIT, and not before for others."""
    with transaction.atomic(using=world.db):
        with transaction.atomic(using=world.db):
            world.purchase.save()
            transaction.set_rollback(True, using=world.db)
        world.other.save()
        within = pages()
    assert (within, pages()) == ("a", "a")


def test_what_a_transaction_wrote_it_does_not_read_from_the_cache(world: World, pages: Any) -> None:
    """Nor does it fill: the value is not committed."""
    with transaction.atomic(using=world.db):
        world.purchase.save()
        caches["default"].set(f"person:{world.a.pk}:page", "uncommitted")
        within = pages()
    assert (within, pages()) == ("b", "b")


def test_a_manual_commit_makes_stale_what_was_filled_before_it(world: World, pages: Any, cache: Any) -> None:
    """Under `set_autocommit(False)` others may load the old row after the write, and before its `commit()`."""
    transaction.set_autocommit(False, using=world.db)
    try:
        world.of(Purchase).filter(pk=world.purchase.pk).update(status="x")
        other = threading.Thread(target=fill, args=(cache, world))
        other.start()
        other.join()
        transaction.commit(using=world.db)
        assert pages() == "b"
    finally:
        transaction.rollback(using=world.db)
        transaction.set_autocommit(True, using=world.db)


# Random writes, against an oracle


def seen(w: World, person: Person) -> list[Any]:
    """What a person's page shows, from the database."""
    rows = w.of(Purchase).filter(person_id=person.pk).order_by("pk")
    return [
        (
            row.pk,
            row.status,
            row.number,
            sorted(row.labels.values_list("name", flat=True)),
            sorted(row.lines.values_list("text", flat=True)),
            [gift.wrapping for gift in w.of(Gift).filter(pk=row.pk)],
        )
        for row in rows
    ]


class Writer:
    """Random writes, of every kind, to a few rows of three people."""

    def __init__(self, w: World, seed: int) -> None:
        self.w = w
        self.draw = random.Random(seed)
        self.people = [w.a, w.b, w.of(Person).create(name="c")]
        self.labels = [w.label, w.of(Label).create(name="blue")]
        self.held = list(w.of(Purchase).all())
        self.count = 0

    def person(self) -> Person | None:
        return self.draw.choice([*self.people, None])

    def some(self) -> Any:
        keys = list(self.w.of(Purchase).values_list("pk", flat=True))
        return self.w.of(Purchase).filter(pk__in=self.draw.sample(keys, min(len(keys), self.draw.randint(0, 4))))

    def one(self) -> Purchase:
        """A row as it is, or as it once was."""
        rows = list(self.some()) or [self.w.of(Purchase).create(person=self.person())]
        self.held = [*self.held[-9:], *rows]
        held = self.draw.choice(self.held)
        return held if self.w.of(Purchase).filter(pk=held.pk).exists() else rows[0]

    def text(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def new(self) -> list[Purchase]:
        return [Purchase(person=self.person(), number=self.draw.choice("12345")) for _ in range(1)]

    def writes(self) -> list[Callable[[], Any]]:
        w, draw = self.w, self.draw
        one, two, person, text = self.one(), self.one(), self.person(), self.text()
        label, some = draw.choice(self.labels), self.some()
        return [
            lambda: Purchase(person=person, status=text).save(using=w.db),
            lambda: Gift(person=person, wrapping=text).save(using=w.db),
            lambda: (setattr(one, "status", text), one.save(using=w.db)),
            lambda: (setattr(one, "person", person), one.save(using=w.db)),
            lambda: (setattr(one, "status", text), one.save(using=w.db, update_fields=["status"])),
            lambda: Purchase(pk=one.pk, person=person, status=text).save(using=w.db),
            lambda: w.of(Purchase).filter(pk=one.pk).delete(),
            some.delete,
            lambda: some.update(status=text),
            lambda: some.update(person=person),
            lambda: some.update(person=Case(When(pk=one.pk, then=Value(w.a.pk)), default=Value(w.b.pk))),
            lambda: w.of(Purchase).filter(person=person).update(given_to=F("person_id"), status=text),
            lambda: w.of(Gift).update(wrapping=text),
            lambda: w.of(Gift).filter(status__startswith="t").update(person=person, wrapping=text),
            lambda: w.of(Purchase).bulk_create(Purchase(person=self.person()) for _ in range(3)),
            lambda: w.of(Purchase).bulk_create(self.new(), ignore_conflicts=True),
            lambda: w.of(Purchase).bulk_create(
                self.new(), update_conflicts=True, unique_fields=["number"], update_fields=["person", "status"]
            ),
            lambda: (
                setattr(one, "person", person),
                setattr(two, "status", text),
                w.of(Purchase).bulk_update({one.pk: one, two.pk: two}.values(), ["person", "status"]),
            ),
            lambda: w.of(Purchase).update_or_create(number=draw.choice("12345"), defaults={"person": person}),
            lambda: w.of(Purchase).get(pk=one.pk).labels.add(label),
            lambda: w.of(Purchase).get(pk=one.pk).labels.set([label]),
            lambda: label.purchases.set(some),
            label.purchases.clear,
            lambda: (setattr(label, "name", text), label.save(using=w.db)),
            lambda: w.of(Line).create(purchase=w.of(Purchase).get(pk=one.pk), text=text),
            lambda: w.of(Line).update(text=text),
            lambda: w.of(Line).filter(purchase__in=some).delete(),
            lambda: w.a.purchases.set(some),
            w.b.purchases.clear,
        ]

    def write(self) -> None:
        """One write, in autocommit or in a transaction that may be rolled back, with savepoints."""
        mode = self.draw.choice(["autocommit", "atomic", "rolled back", "savepoint"])
        if mode == "autocommit":
            self.draw.choice(self.writes())()
            return
        with transaction.atomic(using=self.w.db):
            self.draw.choice(self.writes())()
            if mode == "savepoint":
                with transaction.atomic(using=self.w.db):
                    self.draw.choice(self.writes())()
                    transaction.set_rollback(True, using=self.w.db)
                self.draw.choice(self.writes())()
            if mode == "rolled back":
                transaction.set_rollback(True, using=self.w.db)


@pytest.mark.parametrize("above", [0, 2, 100])
@pytest.mark.parametrize("seed", range(2))
def test_no_page_is_ever_stale(world: World, cache: Any, seed: int, above: int) -> None:
    """After each of many random writes, whatever a page shows is what the database holds, and some pages were kept."""
    hits = loads = 0
    with (
        invalidates(Purchase, "people/{person_id}", above=above),
        invalidates(Line, "people/{purchase.person_id}", above=above),
        invalidates(Label, "labels", above=above),
    ):
        writer = Writer(world, seed)
        for number in range(30):
            writer.write()
            for person in writer.people:
                expected = seen(world, person)
                found = cache.get(f"page:{person.pk}", tags=[f"people/{person.pk}", "labels"])
                assert found in (None, expected), (number, person.name)
                hits += found is not None
                loads += found is None
                cache.get_or_set(
                    f"page:{person.pk}", lambda rows=expected: rows, tags=[f"people/{person.pk}", "labels"]
                )
    assert loads > 0
    assert hits > 0
