"""Models for the tests of the registry: each kind of relation, inheritance, and a manager that hides rows."""

# ruff: noqa: DJ008 - nobody looks at these rows

from __future__ import annotations

from typing import Any

from django.db import models


class Team(models.Model):
    name = models.CharField(max_length=40, default="")


class Person(models.Model):
    team = models.ForeignKey(Team, null=True, on_delete=models.SET_NULL)
    name = models.CharField(max_length=40, default="")


class Label(models.Model):
    name = models.CharField(max_length=40, default="")


class Open(models.Manager[Any]):
    """Hides what is closed."""

    def get_queryset(self) -> Any:
        return super().get_queryset().exclude(status="closed")


class Purchase(models.Model):
    person = models.ForeignKey(Person, null=True, on_delete=models.CASCADE, related_name="purchases")
    given_to = models.ForeignKey(Person, null=True, on_delete=models.SET_NULL, related_name="gifts")
    status = models.CharField(max_length=20, default="new")
    number = models.CharField(max_length=20, null=True, unique=True)  # noqa: DJ001 - many have none
    amount = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    position = models.IntegerField(db_default=7)
    labels = models.ManyToManyField(Label, related_name="purchases")

    objects = models.Manager()
    open = Open()


class PurchaseProxy(Purchase):
    class Meta:  # noqa: D106 - Django's
        proxy = True


class Gift(Purchase):
    wrapping = models.CharField(max_length=20, default="")


class Line(models.Model):
    purchase = models.ForeignKey(Purchase, on_delete=models.CASCADE, related_name="lines")
    text = models.CharField(max_length=20, default="")


class Club(models.Model):
    name = models.CharField(max_length=40, default="")
    members = models.ManyToManyField(Person, through="Membership", related_name="clubs")


class Membership(models.Model):
    club = models.ForeignKey(Club, on_delete=models.CASCADE)
    person = models.ForeignKey(Person, on_delete=models.CASCADE)
    role = models.CharField(max_length=20, default="")


class Reply(models.Model):
    author = models.IntegerField(default=0)
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="replies", db_constraint=False)


class House(models.Model):
    color = models.CharField(max_length=20, default="red")
    owner = models.ForeignKey("Owner", null=True, on_delete=models.CASCADE)


class Owner(models.Model):
    house = models.ForeignKey(House, on_delete=models.CASCADE)
    name = models.CharField(max_length=20, default="")


class Unregistered(models.Model):
    person = models.ForeignKey(Person, null=True, on_delete=models.CASCADE)


class Seat(models.Model):
    pk = models.CompositePrimaryKey("hall", "number")
    hall = models.IntegerField()
    number = models.IntegerField()
    person = models.ForeignKey(Person, null=True, on_delete=models.CASCADE)
