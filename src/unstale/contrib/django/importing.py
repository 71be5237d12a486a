"""What settings name by a dotted path."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string


def imported(given: Any, source: str) -> Any:
    """What a dotted path names; anything else is itself.

    Args:
        given: the path, or the object.
        source: the setting that it stands in, for the message.

    Raises:
        ImproperlyConfigured: it cannot be imported.
    """
    if not isinstance(given, str):
        return given
    try:
        return import_string(given)
    except ImportError as error:
        raise ImproperlyConfigured(f"{source} names {given!r}, which cannot be imported: {error}") from error
