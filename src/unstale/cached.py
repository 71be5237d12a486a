"""`cached`: a function whose results are kept in a cache.

    @cache.cached("orders:{user_id}", tags=["user:{user_id}"], ttl=300)
    def orders(user_id: int) -> list[Order]: ...

    orders(42)              orders.key_for(42)      orders.refresh(42)      orders.invalidate(42)

Templates are checked when the decorator is applied, also that the key names every argument: one that it leaves out, a
user's id for one, would have one user served another's value. What does not change the result is named in `ignore`,
also a method's `self`. A function that calls itself needs a tag: without one each of its results has a tag of its own,
and the outer results inherit them all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial, update_wrapper
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from unstale.core.keys import key_bytes
from unstale.errors import ConfigurationError, InvalidTagError
from unstale.events import Invalidated, Queued
from unstale.templates import Template

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")

KeyOf = str | Callable[..., str]
TagsOf = Iterable[str] | Callable[..., Iterable[str]]


class Recipe:
    """How a call's key and tags are made.

    Attributes:
        tag_kind: the templates of its tags.
    """

    tag_kind: ClassVar[type[Template]] = Template

    def __init__(self, function: Callable[..., Any], key: KeyOf, tags: TagsOf, ignore: Iterable[str]) -> None:
        """Check the templates.

        Raises:
            ConfigurationError: a template names no argument, the key leaves one out, or `ignore` names none.
        """
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        self._key = _maker(key, parameters)
        self._tags = tags if callable(tags) else _tag_makers(tags, parameters, self.tag_kind)
        ignored = {ignore} if isinstance(ignore, str) else set(ignore)
        for name in sorted(ignored - set(parameters)):
            raise ConfigurationError(f"ignore names {name!r}, which is no argument of {_name_of(function)}().")
        if isinstance(self._key, Template):
            left_out = [name for name in parameters if name not in self._key.arguments | ignored]
            if left_out:
                raise ConfigurationError(
                    f"The key {self._key.text!r} leaves out {', '.join(left_out)}: calls that differ in it would share "
                    f"a value. Name it in the key, or, if the result does not depend on it, ignore={left_out}."
                )

    def key_and_tags(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
        """The key and the tags of a call. Raises TypeError as the call itself would."""
        bound = self._signature.bind(*arguments, **named)
        bound.apply_defaults()
        filling = bound.arguments
        key = self._key.filled(filling) if isinstance(self._key, Template) else self._key(*arguments, **named)
        key_bytes(key)  # what is no key is refused before anything is made of it
        if isinstance(self._tags, tuple):
            tags = tuple(tag.filled(filling) for tag in self._tags)
        else:
            made = self._tags(*arguments, **named)
            if isinstance(made, str):
                raise InvalidTagError(f"The tags' function must return a list of tags, not a str: [{made[:60]!r}].")
            tags = tuple(made)
        return key, tags or (_own_tag(key),)


def _maker(key: KeyOf, parameters: Any) -> Template | Callable[..., str]:
    return Template(key, parameters, is_key=True) if isinstance(key, str) or not callable(key) else key


def _tag_makers(tags: Iterable[str], parameters: Any, kind: type[Template]) -> tuple[Template, ...]:
    if isinstance(tags, str):
        raise ConfigurationError(f"tags must be a list of templates, not a str: write tags=[{tags!r}].")
    return tuple(kind(tag, parameters) for tag in tags)


class _Decorated:
    """What both kinds share. The cache is asked by its public verbs only."""

    def __init__(self, function: Callable[..., Any], cache: Any, recipe: Recipe, options: dict[str, Any]) -> None:
        """Wrap a function; `cached` of a cache does it."""
        self._function = function
        self._cache = cache
        self._recipe = recipe
        self._options = options
        update_wrapper(cast("Callable[..., Any]", self), function, updated=())

    def __reduce__(self) -> str:
        """Pickled as a function is, by name; a copy is the function itself."""
        return cast("str", getattr(self, "__qualname__"))  # noqa: B009

    def __repr__(self) -> str:
        return f"<cached {getattr(self._function, '__qualname__', self._function)!s}>"

    def _call(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[str, Callable[[], Any], dict[str, Any]]:
        """What `get_or_set` and `refresh` are given for a call."""
        key, tags = self._recipe.key_and_tags(arguments, named)
        return key, partial(self._function, *arguments, **named), {**self._options, "tags": tags}

    def _tags(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[str, ...]:
        return self._recipe.key_and_tags(arguments, named)[1]


class CachedFunction(_Decorated, Generic[P, R]):
    """A function whose results are cached: called as it was, with more methods. In a class it is a method."""

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        """The cached result, or the function's own."""
        key, load, options = self._call(arguments, named)
        result: R = self._cache.get_or_set(key, load, **options)
        return result

    def key_for(self, *arguments: P.args, **named: P.kwargs) -> str:
        """The key under which this call's result is kept."""
        return self._recipe.key_and_tags(arguments, named)[0]

    def refresh(self, *arguments: P.args, **named: P.kwargs) -> R:
        """Call the function now, whatever is kept, and keep its result; the result."""
        key, load, options = self._call(arguments, named)
        options.pop("into")
        result: R = self._cache.refresh(key, load, **options)
        return result

    def invalidate(self, *arguments: P.args, **named: P.kwargs) -> Invalidated | Queued:
        """Invalidate this call's tags (all of them): its result, and all else that depends on one of them.

        Without any declared a result has a tag of its own, so that this is always an invalidation, with its promise.
        """
        result: Invalidated | Queued = self._cache.invalidate(*self._tags(arguments, named))
        return result

    @overload
    def __get__(self, instance: None, owner: type) -> CachedFunction[P, R]: ...
    @overload
    def __get__(
        self: CachedFunction[Concatenate[S, Q], R], instance: S, owner: type | None = None
    ) -> CachedFunction[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: bound to its object."""
        return self if instance is None else Bound(self, instance)


class AsyncCachedFunction(_Decorated, Generic[P, R]):
    """`CachedFunction` for `async def`: the same, awaited."""

    async def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        """The cached result, or the function's own."""
        key, load, options = self._call(arguments, named)
        result: R = await self._cache.get_or_set(key, load, **options)
        return result

    def key_for(self, *arguments: P.args, **named: P.kwargs) -> str:
        """The key under which this call's result is kept."""
        return self._recipe.key_and_tags(arguments, named)[0]

    async def refresh(self, *arguments: P.args, **named: P.kwargs) -> R:
        """See `CachedFunction.refresh`."""
        key, load, options = self._call(arguments, named)
        options.pop("into")
        result: R = await self._cache.refresh(key, load, **options)
        return result

    async def invalidate(self, *arguments: P.args, **named: P.kwargs) -> Invalidated | Queued:
        """See `CachedFunction.invalidate`."""
        result: Invalidated | Queued = await self._cache.invalidate(*self._tags(arguments, named))
        return result

    @overload
    def __get__(self, instance: None, owner: type) -> AsyncCachedFunction[P, R]: ...
    @overload
    def __get__(
        self: AsyncCachedFunction[Concatenate[S, Q], R], instance: S, owner: type | None = None
    ) -> AsyncCachedFunction[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: bound to its object."""
        return self if instance is None else Bound(self, instance)


class Bound:
    """A decorated method of one object: its calls have the object in front."""

    def __init__(self, function: CachedFunction[..., Any] | AsyncCachedFunction[..., Any], instance: object) -> None:
        """Bind."""
        self.__self__ = instance
        self.__func__ = function
        self.__doc__ = function.__doc__

    def __reduce__(self) -> Any:
        return type(self), (self.__func__, self.__self__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and other.__self__ is self.__self__ and other.__func__ is self.__func__

    def __hash__(self) -> int:
        return hash((id(self.__self__), self.__func__))

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.__func__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def __getattr__(self, name: str) -> Any:
        """The function's own name, docstring and methods; these with the object in front."""
        if name in ("__func__", "__self__"):  # not yet: it is being copied
            raise AttributeError(name)
        found = getattr(self.__func__, name)
        return partial(found, self.__self__) if name in ("invalidate", "key_for", "refresh") else found

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The cached result, or the method's own."""
        return self.__func__(self.__self__, *arguments, **named)


def _name_of(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _own_tag(key: str) -> str:
    """The tag of a result that has no other: a key may be longer than a tag, and hold slashes."""
    from hashlib import blake2b  # noqa: PLC0415 - only functions without tags need it

    return f"call:{blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def recipe_of(
    function: Callable[..., Any], key: KeyOf, tags: TagsOf, ignore: Iterable[str], cache: str, *, is_async: bool
) -> Recipe:
    """Check what a decorator is put on, and its templates. Raises ConfigurationError."""
    check_function(function, cache, is_async=is_async)
    return Recipe(function, key, tags, ignore)


def check_function(function: Callable[..., Any], cache: str, *, is_async: bool) -> None:
    """Check what a decorator is put on.

    Raises:
        ConfigurationError: no function, or not of this cache's kind.
    """
    name = _name_of(function)
    if isinstance(function, staticmethod | classmethod) or inspect.isclass(function):
        raise ConfigurationError(f"Put @cached below @staticmethod or @classmethod, on the function {name} itself.")
    if not callable(function):
        raise ConfigurationError(
            f"cached() decorates functions, not {type(function).__name__}. A decorator without a key? Write "
            '@cache.cached("orders:{user_id}").'
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"{name}() is a generator: its values are gone once they were read. Return a list.")
    if inspect.iscoroutinefunction(function) and not is_async:
        raise ConfigurationError(f"{name}() is async: decorate it with an AsyncCache, not with a {cache}.")
    if not inspect.iscoroutinefunction(function) and is_async:
        raise ConfigurationError(f"{name}() is not async: decorate it with a Cache, not with an {cache}.")
