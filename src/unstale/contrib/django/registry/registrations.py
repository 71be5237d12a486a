"""Which models' writes make which tags stale: the registrations, and for each model what a write to its table concerns.

No I/O. A model that nobody registered costs one look into a dict. A write to a model's table concerns

- the registrations of the model itself, of its proxies, and of the models that it inherits from: its row is theirs;
- those of models that inherit from it: their rows have columns in its table;
- for the table of a many-to-many relation, those of the models on both sides.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from django.apps import apps
from django.db.models import Field, Model

from unstale.contrib.django.registry.templates import (
    Path,
    Reading,
    Row,
    RowTemplate,
    meta,
    path_of,
    simplified,
    value_at,
)


@dataclass(frozen=True, slots=True)
class Registration:
    """What a model's rows make stale. In a `with` statement, it stands until the end of that.

    Attributes:
        model: the model.
        templates: of the tags.
        cache: the alias of the cache.
        parent: the tag that a write of many rows bumps in their place; "" for the templates' own ancestors.
        above: of how many rows; None for no such limit.
    """

    model: type[Model]
    templates: tuple[str, ...]
    cache: str = "default"
    parent: str = ""
    above: int | None = 100

    def read(self) -> list[RowTemplate]:
        """The templates. Raises ConfigurationError."""
        return [RowTemplate(text, f"invalidates({self.model.__name__})") for text in self.templates]

    def parents(self) -> tuple[str, ...] | None:
        """The tags that stand for those of all rows; None if a template has no such ancestor."""
        templates = self.read()
        fixed = {each.text for each in templates if not each.names}
        varying = {self.parent or each.ancestor for each in templates if each.names}
        return None if "" in varying else tuple(sorted(fixed | varying))

    def unregister(self) -> None:
        """Take it back. What was registered twice stands until it was taken back twice."""
        remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        remove(self)


@dataclass(frozen=True, slots=True)
class Concern:
    """A registration as rows of one table see it.

    Attributes:
        registration: which one.
        templates: its templates, and what each placeholder reads of these rows.
        parents: see `Registration.parents`.
    """

    registration: Registration
    templates: tuple[tuple[RowTemplate, dict[str, Path]], ...]
    parents: tuple[str, ...] | None

    @property
    def reads(self) -> bool:
        """Whether its tags depend on the row."""
        return any(paths for _, paths in self.templates)

    def tags(self, row: Row) -> Iterator[str]:
        """A row's tags."""
        for template, paths in self.templates:
            tag = template.filled({name: value_at(row, path) for name, path in paths.items()})
            if tag is not None:
                yield tag

    def fixed(self) -> list[str]:
        """The tags that depend on no row."""
        return [template.text for template, paths in self.templates if not paths]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one model that a write concerns.

    Attributes:
        model: whose rows they are.
        concerns: the registrations.
        reading: what is to be read of a row.
        key: the attribute of a written row that tells which of these rows belong to it.
        lookup: the column that is compared with it.
    """

    model: type[Model]
    concerns: tuple[Concern, ...]
    reading: Reading
    key: str = "pk"
    lookup: str = "pk"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a write to a model's table concerns.

    Attributes:
        rows: the written rows themselves.
        others: rows of other models.
    """

    rows: Group
    others: tuple[Group, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """All of them."""
        return (self.rows, *self.others)

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """The registrations of all groups."""
        return tuple(concern for group in self.groups for concern in group.concerns)


class _State:
    """The registrations at one time, and the plans made of them. Replaced as a whole."""

    __slots__ = ("plans", "registrations")

    def __init__(self, registrations: tuple[Registration, ...]) -> None:
        self.registrations = registrations
        self.plans: dict[type[Model], Plan | None] = {}


_state = _State(())
_lock: Final = threading.Lock()


def add(registration: Registration) -> None:
    """Let it stand, from the next write on."""
    global _state  # noqa: PLW0603 - replaced as a whole: a write never sees half of a change
    with _lock:
        _state = _State((*_state.registrations, registration))


def remove(registration: Registration) -> None:
    """Take one back; no matter if it is not there."""
    global _state  # noqa: PLW0603 - see add
    with _lock:
        left = list(_state.registrations)
        if registration in left:
            left.remove(registration)
        _state = _State(tuple(left))


def all_registrations() -> tuple[Registration, ...]:
    """Those that stand, as often as they were made."""
    return _state.registrations


def plan_of(model: type[Model]) -> Plan | None:
    """What a write to a model's table concerns; None if nothing.

    Raises:
        ConfigurationError: a template of a registration that it concerns names no column.
    """
    state = _state
    try:
        return state.plans[model]
    except KeyError:
        return _planned(state, model)


def _planned(state: _State, model: type[Model]) -> Plan | None:
    plan = _make_plan(tuple(dict.fromkeys(state.registrations)), meta(model).concrete_model)
    if apps.models_ready and (plan is not None or meta(model).apps is apps):  # a migration's models would pile up
        state.plans[model] = plan
    return plan


def _make_plan(registrations: tuple[Registration, ...], model: type[Model]) -> Plan | None:
    own = [concern_of(each) for each in registrations if issubclass(model, _concrete(each))]
    others = [_below(registrations, heir, "pk", meta(model).pk.attname) for heir in _heirs(registrations, model)]
    for key in _sides(model):
        side = meta(key.remote_field.model).concrete_model
        own += [concern_of(each, (key,)) for each in registrations if issubclass(side, _concrete(each))]
        column = key.target_field.attname
        others += [_below(registrations, heir, key.attname, column) for heir in _heirs(registrations, side)]
    if not own and not others:
        return None
    keys = [(meta(model).get_field(other.key),) for other in others if other.key != "pk"]
    return Plan(Group(model, tuple(own), _reading(own, keys)), tuple(others))


def _concrete(registration: Registration) -> type[Model]:
    found: type[Model] = meta(registration.model).concrete_model
    return found


def concern_of(registration: Registration, through: Path = ()) -> Concern:
    """A registration as rows of its model see it, or rows that refer to it.

    Args:
        registration: which one.
        through: the foreign key of those.

    Raises:
        ConfigurationError: a template names no column.
    """
    templates = []
    for template in registration.read():
        paths = {
            name: simplified((*through, *path_of(registration.model, parts, template.text)))
            for name, parts in template.names.items()
        }
        templates.append((template, paths))
    return Concern(registration, tuple(templates), registration.parents())


def _heirs(registrations: tuple[Registration, ...], model: type[Model]) -> list[type[Model]]:
    """The registered models that inherit from one, with tables of their own."""
    found = dict.fromkeys(map(_concrete, registrations))
    return [each for each in found if each is not model and issubclass(each, model)]


def _below(registrations: tuple[Registration, ...], heir: type[Model], key: str, lookup: str) -> Group:
    """The rows of a model that inherits from the written one, or from one that a written row refers to."""
    concerns = tuple(concern_of(each) for each in registrations if _concrete(each) is heir)
    return Group(heir, concerns, _reading(concerns), key, lookup)


def _reading(concerns: Iterable[Concern], more: Iterable[Path] = ()) -> Reading:
    paths = [path for concern in concerns for _, of_template in concern.templates for path in of_template.values()]
    return Reading.of([*paths, *more])


def _sides(model: type[Model]) -> list[Field[Any, Any]]:
    """The foreign keys of a model that is the table of a many-to-many relation, to the models on its sides."""
    keys = [each for each in meta(model).concrete_fields if each.is_relation and each.remote_field]
    return [key for key in keys if _is_side(model, meta(key.remote_field.model).concrete_model)]


def _is_side(through: type[Model], side: type[Model]) -> bool:
    for each in meta(side).get_fields(include_hidden=True):
        if each.many_to_many:
            relation = each if each.auto_created else each.remote_field
            if getattr(relation, "through", None) is through:
                return True
    return False
