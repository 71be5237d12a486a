"""One model."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """Something that a cached value is computed from."""

    user_id = models.IntegerField()
    total = models.IntegerField(default=0)

    def __str__(self) -> str:
        """Whose it is."""
        return f"order of user {self.user_id}"
