"""Templates of tags over a call's arguments, filled as TAG_PATTERNS and registered models fill theirs: to the byte.

Views, viewsets and `cached` of Django use these. A response is kept under the tag that a model's write invalidates, so
two ways to escape a value would leave it stale. Keys stay `unstale.templates`: nobody but their own reader makes them.

No Django, no I/O. True, False and None are their names, as in a key that is written f"product:{x}". No row has the tag
of a None or of "", but here these have one: a view's writes may name it.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Mapping
from typing import Any

from unstale.contrib.django.patterns.tags import TagTemplate
from unstale.contrib.django.patterns.tokens import PatternError
from unstale.contrib.http import TagRules, TagsOfRequest
from unstale.errors import ConfigurationError
from unstale.templates import Template


class SharedTag(Template):
    """One template; see `Template`."""

    __slots__ = ("_tag",)

    def __init__(self, text: str, parameters: Mapping[str, inspect.Parameter]) -> None:
        """Check it against a function's parameters.

        Raises:
            ConfigurationError: it cannot be read, names what is no argument, makes no tag, or is too long; or two
                placeholders stand side by side.
        """
        super().__init__(text, parameters)
        numbered = "".join(
            literal.replace("{", "{{").replace("}", "}}") + ("" if field is None else f"{{{_name(number)}}}")
            for number, (literal, field, _, _) in enumerate(self._parts)
        )
        try:
            self._tag = TagTemplate(numbered, text)
        except PatternError as error:
            raise ConfigurationError(f"The template {text!r} cannot be used: {error}") from error

    def filled(self, arguments: Mapping[str, Any]) -> str:
        """The tag for a call.

        Raises:
            InvalidKeyError: an argument has no text that says what it is.
        """
        bound = enumerate(self._bound(arguments))
        return self._tag.rendered(
            {_name(number): self._said(field, value) for number, (_, field, value) in bound if field is not None}
        )

    def _said(self, field: str, value: Any) -> str:
        if value is None:
            return "None"
        if isinstance(value, enum.Enum) and not isinstance(value, str | int):
            return f"{type(value).__qualname__}.{value.name}"
        return super()._said(field, value)


def _name(number: int) -> str:
    """A placeholder's name in the tag: what it stands for may be an attribute, or formatted."""
    return f"p{number}"


def tag_rules(tags: TagsOfRequest) -> TagRules:
    """How the tags of a request are made. Raises ConfigurationError."""
    return TagRules(tags, kind=SharedTag)


__all__ = ["SharedTag", "tag_rules"]
