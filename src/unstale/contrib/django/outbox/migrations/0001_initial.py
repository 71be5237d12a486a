"""The outbox's table."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """Make it."""

    initial = True
    dependencies: ClassVar[list[Any]] = []
    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="Invalidation",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("cache", models.CharField(help_text="The cache's alias in CACHES.", max_length=100)),
                ("tags", models.JSONField(help_text="Whole names, prefix and version included.")),
                ("soft", models.BooleanField(default=False)),
                (
                    "owner",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Of a strict write: who closed the tags.",
                        max_length=64,
                    ),
                ),
                (
                    "mark",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Tells it from another row, should its number come again.",
                        max_length=32,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=Now(), editable=False, help_text="By the database's clock."),
                ),
                (
                    "attempts",
                    models.PositiveIntegerField(default=0, help_text="How often a relay has tried it in vain."),
                ),
                (
                    "last_error",
                    models.CharField(blank=True, default="", help_text="The kind of the last failure.", max_length=100),
                ),
            ],
            options={"verbose_name": "waiting invalidation"},
        ),
    ]
