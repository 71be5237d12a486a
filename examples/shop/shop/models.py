"""What the shop sells, and who has ordered it."""

from django.conf import settings
from django.db import models


class Product(models.Model):
    """One thing in the catalogue, the same for everybody."""

    name = models.CharField(max_length=100)
    cents = models.PositiveIntegerField()

    def __str__(self) -> str:
        """Its name."""
        return self.name


class Order(models.Model):
    """One order, of one user."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.PositiveSmallIntegerField(default=1)
    ordered_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The newest first: a history."""

        ordering = ("-id",)

    def __str__(self) -> str:
        """Its number."""
        return f"order {self.pk}"
