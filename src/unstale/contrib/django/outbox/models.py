"""The outbox's one table. A row is there for as long as its invalidation may not have taken effect."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Invalidation(models.Model):
    """Tags that a committed transaction has invalidated."""

    id = models.BigAutoField(primary_key=True)
    cache = models.CharField(max_length=100, help_text="The cache's alias in CACHES.")
    tags = models.JSONField(help_text="Whole names, prefix and version included.")
    soft = models.BooleanField(default=False)
    owner = models.CharField(max_length=64, blank=True, default="", help_text="Of a strict write: who closed the tags.")
    mark = models.CharField(
        max_length=32, blank=True, default="", help_text="Tells it from another row, should its number come again."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False, help_text="By the database's clock.")
    attempts = models.PositiveIntegerField(default=0, help_text="How often a relay has tried it in vain.")
    last_error = models.CharField(max_length=100, blank=True, default="", help_text="The kind of the last failure.")

    class Meta:
        """Its name in the admin."""

        verbose_name = "waiting invalidation"

    def __str__(self) -> str:
        """What waits."""
        return f"{self.cache}: {', '.join(self.tags)}"
