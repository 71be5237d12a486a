"""Templates of a row's tags: `"user:{user_id}/orders"`, which fields they read, and the tag that a row makes of one.

Nothing is read from a database here. What is filled in is escaped as TAG_PATTERNS escape it, so that the tags are the
same to the byte. A None or an empty value makes no tag: no key of a pattern binds it, and an order without a user is on
no user's page.

A placeholder names a column of the model (`user_id`, `pk`), or follows foreign keys: `{user.profile_id}`, or
`{user__profile_id}`. `{user}` and `{user.id}` are `{user_id}`: nothing is followed for them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, Model

from unstale.contrib.django.patterns.tags import TagTemplate
from unstale.contrib.django.patterns.tokens import PatternError
from unstale.errors import ConfigurationError

_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_FOLLOWS: Final = "__"

Path: TypeAlias = "tuple[Field[Any, Any], ...]"
"""What a placeholder reads: the foreign keys to follow, then a column."""
Row: TypeAlias = "dict[Any, Any]"
"""A row's values by their columns' attribute names, "pk" among them; by a foreign key's field: the row it refers to."""


def meta(model: Any) -> Any:
    """What Django knows of a model. Its name begins with an underscore, and is documented nevertheless."""
    return model._meta  # noqa: SLF001


class RowTemplate:
    """One template.

    Attributes:
        text: as it was written.
        names: what its placeholders name, each as its parts: ("user", "profile_id").
        ancestor: the part of it that is the same for all rows, and an ancestor of each tag; "" if there is none.
    """

    __slots__ = ("_tag", "ancestor", "names", "text")

    def __init__(self, text: str, owner: str) -> None:
        """Read it.

        Args:
            text: the template.
            owner: what a message names as the place where it was written.

        Raises:
            ConfigurationError: it is no str, cannot be read, or makes no tag.
        """
        given: object = text
        if not isinstance(given, str):
            raise ConfigurationError(f"A template of {owner} must be a str, not {given!r}.")
        self.text = text
        try:
            self._tag = TagTemplate(_PLACEHOLDER.sub(_plain, text), owner)
        except PatternError as error:
            raise ConfigurationError(f"The template {text!r} of {owner} cannot be used: {error}") from error
        self.names = {name: tuple(name.split(_FOLLOWS)) for name in self._tag.names}
        self.ancestor = "/".join(_fixed_levels(text)) if self.names else ""

    def filled(self, values: Mapping[str, Any]) -> str | None:
        """The tag of a row.

        Args:
            values: by the names of the placeholders.

        Returns:
            None where a value is None or has no text.
        """
        texts = {name: "" if value is None else str(value) for name, value in values.items()}
        return self._tag.rendered(texts) if all(texts.values()) else None


def _plain(found: re.Match[str]) -> str:
    return found.group().replace(".", _FOLLOWS)


def _fixed_levels(text: str) -> Iterator[str]:
    for level in text.split("/"):
        if "{" in level or "}" in level:
            return
        yield level


def path_of(model: type[Model], parts: tuple[str, ...], text: str) -> Path:
    """What a placeholder reads of a model's rows.

    Args:
        model: the model.
        parts: the placeholder's name.
        text: the template, for messages.

    Raises:
        ConfigurationError: it names no column, or something on its way is no foreign key.
    """
    path: Path = ()
    for position, part in enumerate(parts):
        found = _column(model, part, text)
        if position + 1 < len(parts):
            if not found.is_relation or part != found.name:
                raise ConfigurationError(
                    f"The template {text!r} follows {part!r} of {meta(model).label}, which is no foreign key."
                )
            model = found.remote_field.model
        path = (*path, found)
    return simplified(path)


def _column(model: type[Model], name: str, text: str) -> Field[Any, Any]:
    try:
        found = meta(model).pk if name == "pk" else meta(model).get_field(name)
    except FieldDoesNotExist:
        found = None
    if found is None or not getattr(found, "concrete", False) or found.many_to_many or not found.column:
        known = ", ".join(sorted(each.attname for each in meta(model).concrete_fields))
        raise ConfigurationError(
            f"The template {text!r} names {name!r}, which is no column of {meta(model).label}: {known}."
        )
    return found


def simplified(path: Path) -> Path:
    """The same without the last step, where that reads what the foreign key before it holds."""
    while len(path) > 1 and path[-2].target_field == path[-1]:
        path = path[:-1]
    return path


def value_at(row: Row, path: Path) -> Any:
    """What a path reads; None where a row on the way is missing."""
    for key in path[:-1]:
        referred: Row | None = row[key]
        if referred is None:
            return None
        row = referred
    return row[path[-1].attname]


@dataclass(slots=True, eq=False)
class Reading:
    """What is to be read of rows, and of those that they refer to. One equals itself alone.

    Attributes:
        columns: the fields, by their attribute names.
        followed: foreign keys, and what is to be read of the rows that they refer to.
    """

    columns: dict[str, Field[Any, Any]] = field(default_factory=dict)
    followed: dict[Field[Any, Any], Reading] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Reading:
        """All that some paths read."""
        made = cls()
        for path in paths:
            node = made
            for key in path[:-1]:
                node.columns[key.attname] = key
                node = node.followed.setdefault(key, cls())
            node.columns[path[-1].attname] = path[-1]
        return made

    def follows(self, written: Collection[Field[Any, Any]]) -> bool:
        """Whether a row that is followed may be one in which these columns are written: in a tree."""
        models = {column.model for column in written}
        return any(
            any(column in written or (column.generated and column.model in models) for column in each.columns.values())
            or each.follows(written)
            for each in self.followed.values()
        )

    def followed_models(self) -> set[type[Model]]:
        """The models whose rows are followed."""
        own = {meta(key.remote_field.model).concrete_model for key in self.followed}
        return own.union(*(each.followed_models() for each in self.followed.values()))
