"""`cached`: functions and methods whose results are kept, and the templates of their keys and tags."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import functools
import inspect
import itertools
import pickle
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from unstale import Cache, remembering
from unstale.core.keys import MAX_KEY_BYTES, MAX_TAG_BYTES
from unstale.errors import ConfigurationError, InvalidKeyError, InvalidTagError
from unstale.events import Event, Invalidated, Stored
from unstale.templates import Template


@pytest.fixture
def cache(events: list[Event]) -> Iterator[Cache]:
    """A cache in memory: what stores do differently is tested elsewhere."""
    with Cache.from_url("memory://", namespace="test", on_event=events.append) as made, remembering():
        yield made


shared = Cache.from_url("memory://", namespace="module")
counter = itertools.count()


@shared.cached("module:{number}")
def module_level(number: int) -> int:
    """At the top of a module, where pickle finds it."""
    return number + 1


class Shop:
    """A class with decorated methods."""

    def __init__(self, number: int) -> None:
        self.id = number

    @shared.cached("shop:{self.id}:price:{item}:{taxed}", tags=["shop:{self.id}"])
    def price(self, item: str, *, taxed: bool = False) -> list[Any]:
        """What an item costs."""
        return [self.id, item, taxed, next(counter)]

    @classmethod
    @shared.cached("shop:kind:{cls.__name__}:{name}")
    def kind(cls, name: str) -> str:
        """A class method."""
        return f"{cls.__name__}:{name}"

    @staticmethod
    @shared.cached("shop:twice:{number}")
    def twice(number: int) -> int:
        """A static method."""
        return 2 * number


class Calls:
    """Counts, and gives the count with what it was called with."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *arguments: Any) -> list[Any]:
        self.count += 1
        return [self.count, *arguments]


@pytest.fixture
def calls() -> Calls:
    """What the decorated functions of a test call."""
    return Calls()


# Functions


def test_result_is_kept(cache: Cache, calls: Calls) -> None:
    """The second call with the same arguments is a hit; with others it is not."""

    @cache.cached("f:{number}")
    def f(number: int) -> list[Any]:
        return calls(number)

    assert [f(1), f(1), f(2)] == [[1, 1], [1, 1], [2, 2]]


def test_however_the_arguments_are_written(cache: Cache, calls: Calls) -> None:
    """Positional, by keyword, and by default are one call."""

    @cache.cached("f:{a}:{b}:{c}")
    def f(a: int, b: int = 2, *, c: int = 3) -> list[Any]:
        return calls(a, b, c)

    for _ in range(2):
        assert [f(1), f(1, 2), f(a=1), f(b=2, a=1), f(1, c=3)] == [[1, 1, 2, 3]] * 5


def test_positional_only_arguments(cache: Cache, calls: Calls) -> None:
    """Arguments that are positional only are named in templates all the same."""

    @cache.cached("f:{a}:{b}")
    def f(a: int, /, b: int) -> list[Any]:
        return calls(a, b)

    assert [f(1, 2), f(1, b=2)] == [[1, 1, 2]] * 2


def test_arguments_with_the_wrappers_own_names(cache: Cache, calls: Calls) -> None:
    """A function's arguments may be called as anything, also as what the decorator itself takes."""

    @cache.cached("f:{key}:{loader}:{tags}:{arguments}:{named}:{ttl}")
    def f(key: int, loader: int, tags: int, arguments: int, named: int, ttl: int) -> list[Any]:
        return calls(key, loader, tags, arguments, named, ttl)

    assert f(key=1, loader=2, tags=3, arguments=4, named=5, ttl=6) == [1, 1, 2, 3, 4, 5, 6]
    assert f.refresh(key=1, loader=2, tags=3, arguments=4, named=5, ttl=6) == [2, 1, 2, 3, 4, 5, 6]


def test_without_arguments(cache: Cache, calls: Calls) -> None:
    """A function without arguments has one key."""

    @cache.cached("f")
    def f() -> list[Any]:
        return calls()

    assert [f(), f(), f.key_for()] == [[1], [1], "f"]


def test_wrong_arguments(cache: Cache) -> None:
    """A call that the function does not take raises TypeError, from each way to call it."""

    @cache.cached("f:{number}")
    def f(number: int) -> int:
        return number

    for call in (f, f.key_for, f.refresh, f.invalidate):
        with pytest.raises(TypeError):
            call()


def test_errors_pass_unchanged(cache: Cache, calls: Calls) -> None:
    """What the function raises is raised, the same object, and nothing is kept."""
    error = LookupError("none such")

    @cache.cached("f:{number}")
    def f(number: int) -> int:
        calls()
        raise error

    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            f(1)
        assert caught.value is error
    assert calls.count == 2


@pytest.mark.parametrize("error", [StopIteration(7), TypeError("own"), KeyError("own"), GeneratorExit()])
def test_strange_errors_pass_unchanged(cache: Cache, error: BaseException) -> None:
    """Also those that mean something to Python's machinery."""

    @cache.cached("f")
    def f() -> int:
        raise error

    with pytest.raises(type(error)) as caught:
        f()
    assert caught.value is error


def test_options_are_passed_on(cache: Cache) -> None:
    """Its ttl and negative_ttl are those of the entry."""

    @cache.cached("f:{number}", ttl=100, negative_ttl=10)
    def f(number: int) -> int | None:
        return number or None

    f(0)
    f(1)
    assert [cache.ttl("f:0"), cache.ttl("f:1")] == [pytest.approx(10, abs=2), pytest.approx(100, abs=2)]


def test_none_is_kept(cache: Cache, calls: Calls) -> None:
    """A result of None is a result."""

    @cache.cached("f")
    def f() -> None:
        calls()

    assert [f(), f(), calls.count] == [None, None, 1]


def test_stale_ttl_is_passed_on(cache: Cache) -> None:
    """A decorated function's result may be served while it is computed anew."""
    answers: list[Any] = [["old"], OSError("down")]

    @cache.cached("f", tags=["a"], stale_ttl=60)
    def f() -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    f()
    cache.invalidate("a", soft=True)
    assert f() == ["old"]


def test_into_is_passed_on(cache: Cache) -> None:
    """A hit is of the type that was asked for, and `refresh` works too."""

    @cache.cached("f", into=uuid.UUID)
    def f() -> uuid.UUID:
        return uuid.UUID(int=5)

    assert [f(), f(), f.refresh(), f()] == [uuid.UUID(int=5)] * 4


def test_bad_duration_shows_at_the_decorator(cache: Cache) -> None:
    """A mistake in an option is found before there is a call."""
    with pytest.raises(ValueError, match="ttl"):
        cache.cached("f", ttl=-1)


def test_recursion(cache: Cache, calls: Calls) -> None:
    """A function that calls itself is computed once for each argument."""

    @cache.cached("fib:{n}")
    def fib(n: int) -> int:
        calls()
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert [fib(25), calls.count] == [75025, 26]


def test_recursion_with_one_tag(cache: Cache, calls: Calls) -> None:
    """A function with a tag of its own, the same for all calls, may call itself as deep as it likes."""

    @cache.cached("fib:{n}", tags=["fib"])
    def fib(n: int) -> int:
        calls()
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert [fib(60), calls.count] == [1548008755920, 61]


# key_for, refresh, invalidate


def test_key_for(cache: Cache) -> None:
    """`key_for` names the entry of a call."""

    @cache.cached("f:{a}:{b}")
    def f(a: int, b: str = "x") -> list[Any]:
        return [a, b]

    f(1)
    assert f.key_for(1) == "f:1:x"
    assert cache.get(f.key_for(1)) == [1, "x"]


def test_refresh(cache: Cache, calls: Calls) -> None:
    """`refresh` computes anew, and what it gives is kept."""

    @cache.cached("f:{number}", tags=["a"])
    def f(number: int) -> list[Any]:
        return calls(number)

    assert [f(1), f.refresh(1), f(1), f.refresh(2), f(2)] == [[1, 1], [2, 1], [2, 1], [3, 2], [3, 2]]


def test_refresh_that_fails(cache: Cache) -> None:
    """A refresh that fails raises, and what was kept stays."""
    answers: list[Any] = [["old"]]

    @cache.cached("f", stale_ttl=60)
    def f() -> list[str]:
        return answers.pop()

    f()
    with pytest.raises(IndexError):
        f.refresh()
    assert f() == ["old"]


def test_invalidate(cache: Cache, calls: Calls) -> None:
    """`invalidate` makes a call's result stale, and no other's."""

    @cache.cached("f:{number}")
    def f(number: int) -> list[Any]:
        return calls(number)

    f(1)
    f(2)
    assert isinstance(f.invalidate(1), Invalidated)
    assert [f(1), f(2)] == [[3, 1], [2, 2]]


def test_invalidate_by_declared_tags(cache: Cache, calls: Calls) -> None:
    """With tags declared, all else that depends on them goes too."""

    @cache.cached("f:{user}:{page}", tags=["user:{user}"])
    def f(user: int, page: int) -> list[Any]:
        return calls(user, page)

    f(1, 1)
    f(1, 2)
    f(2, 1)
    assert f.invalidate(1, 1).tags == ("user:1",)
    assert [cache.has_key(key) for key in ("f:1:1", "f:1:2", "f:2:1")] == [False, False, True]


def test_invalidate_reaches_what_was_computed_from_it(cache: Cache, calls: Calls) -> None:
    """An entry whose loader called the function is stale with its result, though no tag was declared."""

    @cache.cached("inner:{number}")
    def inner(number: int) -> list[Any]:
        return calls(number)

    @cache.cached("outer:{number}")
    def outer(number: int) -> list[Any]:
        return inner(number)

    assert outer(1) == [1, 1]
    inner.invalidate(1)
    assert [outer(1), cache.has_key("outer:1")] == [[2, 1], True]


def test_invalidate_during_a_call(cache: Cache) -> None:
    """A result during whose computation it was invalidated is not kept."""

    @cache.cached("f:{number}")
    def f(number: int) -> str:
        f.invalidate(number)
        return "older"

    f(1)
    assert cache.has_key("f:1") is False


def test_invalidate_with_a_tag_function_that_gives_none(cache: Cache, calls: Calls) -> None:
    """A tag function that gives no tags leaves a result with a tag of its own, as no tags at all do."""

    @cache.cached("f:{number}", tags=lambda number: [])
    def f(number: int) -> list[Any]:
        return calls(number)

    f(1)
    f.invalidate(1)
    assert f(1) == [2, 1]


def test_invalidate_in_a_scope_with_a_tag_function_that_gives_none(cache: Cache) -> None:
    """There it does not invalidate the whole scope."""
    scope = cache.scope("user", 1)

    @scope.cached("f:{number}", tags=lambda number: [])
    def f(number: int) -> int:
        return number

    f(1)
    scope.set("another", 1)
    f.invalidate(1)
    assert scope.has_key("another") is True


def test_scope(cache: Cache, calls: Calls) -> None:
    """On a scope keys and tags are the scope's."""
    one, two = cache.scope("user", 1), cache.scope("user", 2)

    def f(number: int) -> list[Any]:
        return calls(number)

    first, second = one.cached("f:{number}")(f), two.cached("f:{number}")(f)
    assert [first(1), second(1), first(1)] == [[1, 1], [2, 1], [1, 1]]
    one.invalidate()
    assert [first(1), second(1)] == [[3, 1], [2, 1]]


def test_two_caches_on_one_function(cache: Cache, calls: Calls) -> None:
    """A decorated function may be decorated once more, for a near cache before a far one."""
    with Cache.from_url("memory://", namespace="near") as near:

        @near.cached("near:{number}")
        @cache.cached("far:{number}")
        def f(number: int) -> list[Any]:
            return calls(number)

        assert f(1) == [1, 1]
        assert [near.get("near:1"), cache.get("far:1")] == [[1, 1], [1, 1]]


# Methods


def test_method() -> None:
    """A method's calls have its object, and objects with different templates' values do not share."""
    one, two = Shop(1), Shop(2)
    first = one.price("tea")
    assert first[:3] == [1, "tea", False]
    assert one.price(item="tea", taxed=False) == first
    assert two.price("tea")[:3] == [2, "tea", False]
    assert one.price("tea", taxed=True)[:3] == [1, "tea", True]


def test_methods_own_methods() -> None:
    """key_for, refresh and invalidate of a method are called without the object."""
    shop = Shop(3)
    first = shop.price("tea")
    assert shop.price.key_for("tea") == "shop:3:price:tea:~False"
    second = shop.price.refresh("tea")
    assert second != first
    assert shop.price("tea") == second
    assert shop.price.invalidate("tea").tags == ("shop:3",)
    assert shop.price("tea") != second


def test_method_of_the_class() -> None:
    """Asked of the class, a method takes its object first, as any."""
    shop = Shop(4)
    assert Shop.price(shop, "tea") == shop.price("tea")
    assert Shop.price.key_for(shop, "tea") == shop.price.key_for("tea")


def test_method_that_is_handed_around() -> None:
    """A bound method is a function of its own."""
    method = Shop(5).price
    assert [method("tea")[:2], next(map(method, ["milk"]))[:2]] == [[5, "tea"], [5, "milk"]]


def test_method_of_a_subclass() -> None:
    """A subclass inherits the method, and `super()` works."""

    class Outlet(Shop):
        def price(self, item: str, *, taxed: bool = False) -> list[Any]:
            return ["half", *super().price(item, taxed=taxed)]

    assert Outlet(6).price("tea")[:3] == ["half", 6, "tea"]


def test_classmethod() -> None:
    """Below @classmethod the class is passed on."""
    assert [Shop.kind("a"), Shop(1).kind("a"), Shop.kind.key_for("a")] == ["Shop:a", "Shop:a", "shop:kind:Shop:a"]
    assert Shop.kind.refresh("a") == "Shop:a"


def test_staticmethod() -> None:
    """Below @staticmethod nothing is passed on."""
    assert [Shop.twice(2), Shop(1).twice(2), Shop.twice.key_for(2)] == [4, 4, "shop:twice:2"]


@pytest.mark.parametrize("above", [classmethod, staticmethod])
def test_wrong_order_of_decorators(cache: Cache, above: Any) -> None:
    """Above @classmethod or @staticmethod the error says where to put it."""
    with pytest.raises(ConfigurationError, match="below"):
        cache.cached("f:{number}")(above(lambda number: number))


def test_method_that_leaves_its_object_out(cache: Cache) -> None:
    """A method's key must name its object, or `ignore` it: else one tenant's object is served another's values."""

    def prices() -> None:
        class Prices:
            def __init__(self, tenant: str) -> None:
                self.tenant = tenant

            @cache.cached("price:{item}")
            def price(self, item: str) -> list[str]:
                return [self.tenant, item]

        assert [Prices(tenant).price("tea")[0] for tenant in "ab"] == ["a", "b"]

    with pytest.raises(ConfigurationError, match="self"):
        prices()


# What is seen of a decorated function


def test_metadata(cache: Cache) -> None:
    """Name, docstring, module, annotations and signature are the function's own."""

    def f(number: int, *, text: str = "x") -> list[int]:
        """Do something."""
        return [number]

    made = cache.cached("f:{number}:{text}")(f)
    assert [made.__name__, made.__qualname__, made.__module__] == [f.__name__, f.__qualname__, f.__module__]
    assert [made.__doc__, made.__wrapped__] == ["Do something.", f]
    assert inspect.signature(made) == inspect.signature(f)
    assert made.__annotations__ == f.__annotations__
    assert inspect.getdoc(made) == "Do something."
    assert "f" in repr(made)


def test_metadata_of_a_method() -> None:
    """A bound method has its name and its docstring."""
    method = Shop(1).price
    assert [method.__name__, method.__doc__] == ["price", "What an item costs."]


def test_signature_of_a_method() -> None:
    """A bound method's signature is without the object."""
    assert list(inspect.signature(Shop(1).price).parameters) == ["item", "taxed"]


def test_bound_methods_are_equal() -> None:
    """As with any method, asking twice gives equals, of which a set keeps one."""
    shop = Shop(1)
    assert len({shop.price, shop.price}) == 1
    assert shop.price != Shop(1).price


def test_pickle_of_a_function() -> None:
    """A decorated function is pickled as any function: by its name."""
    assert pickle.loads(pickle.dumps(module_level)) is module_level  # noqa: S301 - our own


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_copy_of_a_function(how: Callable[[Any], Any]) -> None:
    """A copy of a decorated function is the function itself, as with any."""
    assert how(module_level) is module_level


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
def test_copy_of_a_bound_method(how: Callable[[Any], Any]) -> None:
    """A bound method can be copied, and does not send copy or pickle into an endless recursion."""
    made = how(Shop(7).price)
    assert made.key_for("tea") == "shop:7:price:tea:~False"


def test_copy_of_an_object_with_decorated_methods() -> None:
    """An object whose class has decorated methods is copied and pickled as any."""
    shop = Shop(8)
    copies = [copy.deepcopy(shop), pickle.loads(pickle.dumps(shop))]  # noqa: S301 - our own
    assert [one.price.key_for("tea") for one in copies] == ["shop:8:price:tea:~False"] * 2


# What cannot be decorated


def generator() -> Iterator[int]:
    """A generator."""
    yield 1


async def async_generator() -> Any:
    """An asynchronous generator."""
    yield 1


async def coroutine() -> int:
    """A coroutine function."""
    return 1


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (generator, "generator"),
        (async_generator, "generator"),
        (coroutine, "AsyncCache"),
        (functools.partial(coroutine), "AsyncCache"),
        (Shop, "Put"),
        (5, "functions"),
        (None, "functions"),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_what_cannot_be_decorated(cache: Cache, function: Any, says: str) -> None:
    """What has no value to keep is refused when it is decorated, with what to do."""
    with pytest.raises(ConfigurationError, match=says):
        cache.cached("f")(function)


def test_partial(cache: Cache, calls: Calls) -> None:
    """A partial may be decorated; what it has filled in already is not named."""
    f = cache.cached("f:{b}", ignore=["a"])(functools.partial(lambda a, b: [*calls(a), b], a=1))
    assert [f(b=2), f(b=2)] == [[1, 1, 2]] * 2


def test_lambda(cache: Cache, calls: Calls) -> None:
    """A lambda is a function."""
    f = cache.cached("f:{a}")(lambda a: [*calls(), a])
    assert [f(1), f(1)] == [[1, 1]] * 2


# Templates


def template(text: Any, *names: str) -> Template:
    """A template for a function with these arguments."""
    parameters = {name: inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names}
    return Template(text, parameters)


def filled(text: str, **arguments: Any) -> str:
    """What a template makes of arguments."""
    return template(text, *arguments).filled(arguments)


class Color(enum.Enum):
    """Colours."""

    RED = 1
    NONE = 2


class Plan(enum.StrEnum):
    """Texts with names, of which one is another's text."""

    FREE = "basic"
    BASIC = "pro"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        ("1", "1"),
        (-5, "-5"),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        (None, "~None"),
        (True, "~True"),
        (False, "~False"),
        ("", "~"),
        ("None", "None"),
        ("~None", "%7ENone"),
        ("a:b/c%d", "a%3Ab%2Fc%25d"),
        ("%7E", "%257E"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (dt.date(2024, 2, 29), "2024-02-29"),
        (dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.UTC), "2024-02-29 01%3A02%3A03+00%3A00"),
        (dt.time(1, 2), "01%3A02%3A00"),
        (dt.timedelta(days=1), "1 day, 0%3A00%3A00"),
        ("héllo wörld", "héllo wörld"),
    ],
    ids=str,
)
def test_filled_in(value: Any, text: str) -> None:
    """How each kind of value is written. 1 and "1", a UUID and its text, and so on, meet by design."""
    assert filled("k:{x}", x=value) == f"k:{text}"


texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8) | st.sampled_from(
    ["None", "~None", "~", "True", "%7E", "%", ":", "/", "%3A", "1", "1.0", "nan", "RED"]
)
plain = (
    texts
    | st.integers(-100, 100)
    | st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
    | st.decimals(allow_nan=False)
    | st.sampled_from([Color.RED, Color.NONE])
)


def by_design(value: Any) -> Any:
    """What calls are told apart by: the kind for None, truth values and "", the text for the rest."""
    if value is None or isinstance(value, bool):
        return (type(value), value)
    return value.name if isinstance(value, enum.Enum) else str(value)


@given(st.tuples(plain, plain, plain), st.tuples(plain, plain, plain))
@example(("a:b", "c", ""), ("a", "b:c", ""))
@example(("", "", "x"), ("", "x", ""))
@example((None, "", ""), ("None", "", ""))
@example(("~None", "", ""), (None, "", ""))
def test_no_two_calls_share_a_key(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """Calls whose arguments' texts differ have different keys."""
    assume([by_design(value) for value in one] != [by_design(value) for value in other])
    names = ("a", "b", "c")
    made = template("{a}:{b}/{c}", *names)
    assert made.filled(dict(zip(names, one, strict=True))) != made.filled(dict(zip(names, other, strict=True)))


@given(st.lists(texts, min_size=2, max_size=2))
def test_tags_have_as_many_levels_as_the_template(values: list[str]) -> None:
    """An argument does not make levels of a tag: nobody else's is invalidated by a slash in it."""
    assert filled("user:{a}/page:{b}", a=values[0], b=values[1]).count("/") == 1


def test_a_text_enum_and_its_text() -> None:
    """A member that is a text, and another's text that is its name, are two values with two keys."""
    assert filled("{x}", x=Plan.BASIC) != filled("{x}", x="BASIC")


def test_two_enums_with_the_same_names() -> None:
    """Members of two Enums with one name have two keys."""
    other = enum.Enum("Other", ["RED"])
    assert filled("{x}", x=Color.RED) != filled("{x}", x=other.RED)


def test_a_flag_without_a_name() -> None:
    """A Flag's empty member has a text too."""
    flags = enum.Flag("flags", ["A", "B"])
    assert filled("{x}", x=flags(0)) != filled("{x}", x=flags.A)


def test_attributes_and_items() -> None:
    """A template may name an attribute or an item of an argument."""
    user = SimpleNamespace(id=42, team=SimpleNamespace(name="a/b"))
    assert filled("{user.id}:{user.team.name}:{row[id]}:{row[0]}", user=user, row={"id": 7, 0: 8}) == "42:a%2Fb:7:8"


def test_format_spec_and_conversion() -> None:
    """A format spec or a conversion is done before escaping."""
    day = dt.datetime(2024, 2, 29, 13, tzinfo=dt.UTC)
    assert filled("{day:%Y-%m}|{n:05d}|{word!r}", day=day, n=42, word="a:b") == "2024-02|00042|'a%3Ab'"


def test_braces() -> None:
    """Doubled braces are braces."""
    assert filled("{{x}}:{x}", x=1) == "{x}:1"


@pytest.mark.parametrize(
    "value",
    [[1], {"a": 1}, {1}, (1, 2), object(), b"bytes", SimpleNamespace(id=1), 1j, Shop, len],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_what_has_no_text(value: Any) -> None:
    """A value whose text does not say which one it is is refused, with what to do."""
    with pytest.raises(InvalidKeyError, match=r"Name an attribute"):
        filled("k:{x}", x=value)


@pytest.mark.parametrize("text", ["{x:>5}", "{x:d}", "{x.id}", "{x[0]}", "{x!s:d}"])
def test_what_cannot_be_filled_in(text: str) -> None:
    """A value that a template's spec, attribute or item does not fit is refused as any other bad value is."""
    with pytest.raises(InvalidKeyError):
        filled(text, x=None)


def test_unhashable_arguments(cache: Cache, calls: Calls) -> None:
    """An argument need not be hashable where the key names an attribute of it, or a function makes the key."""

    @cache.cached(lambda rows: f"rows:{len(rows)}")
    def f(rows: list[int]) -> list[Any]:
        return calls(len(rows))

    assert [f([1, 2]), f([3, 4])] == [[1, 2]] * 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("k:{y}", "no argument"),
        ("k:{}", "names no argument"),
        ("k:{0}", "names no argument"),
        ("k:{x", "cannot be read"),
        ("k:x}", "cannot be read"),
        ("k:{x!}", "cannot be read"),
        ("k:{x!q}", "cannot be read"),
        ("k:{x:{y}}", "y"),
        ("", "non-empty"),
        (5, "non-empty"),
        (None, "non-empty"),
        (b"k:{x}", "non-empty"),
    ],
    ids=str,
)
def test_bad_templates(text: Any, says: str) -> None:
    """A template with a mistake is refused before there is any call."""
    with pytest.raises(ConfigurationError, match=says):
        template(text, "x")


@pytest.mark.parametrize("text", ["k:{args}", "k:{kwargs}", "k:{args[0]}"])
def test_templates_of_many_arguments(cache: Cache, text: str) -> None:
    """*args and **kwargs have no text."""
    with pytest.raises(ConfigurationError, match="many arguments"):
        cache.cached(text)(lambda *args, **kwargs: 1)


@pytest.mark.parametrize(
    "function",
    [lambda a, b: 1, lambda a, *, b: 1, lambda a, b=None: 1, lambda a, *b: 1, lambda a, **b: 1],
    ids=["positional", "keyword", "default", "args", "kwargs"],
)
def test_key_that_leaves_an_argument_out(cache: Cache, function: Any) -> None:
    """A key that leaves out an argument would serve one call's result to another."""
    with pytest.raises(ConfigurationError, match="leaves out b"):
        cache.cached("k:{a}")(function)


def test_ignore(cache: Cache, calls: Calls) -> None:
    """What the result does not depend on is named in `ignore`."""

    @cache.cached("f:{a}", ignore=["session", "more"])
    def f(session: object, a: int, *more: int) -> list[Any]:
        return calls(a)

    assert [f(object(), 1), f(object(), 1, 5, 6)] == [[1, 1]] * 2


def test_ignore_of_what_is_no_argument(cache: Cache) -> None:
    """A slip in `ignore` is told."""
    with pytest.raises(ConfigurationError, match="sesion"):
        cache.cached("f:{a}", ignore=["sesion"])(lambda session, a: 1)


def test_ignore_of_what_is_no_argument_of_a_partial(cache: Cache) -> None:
    """Also for what is callable but has no name."""
    with pytest.raises(ConfigurationError, match="sesion"):
        cache.cached("f:{a}", ignore=["sesion"])(functools.partial(lambda session, a: 1))


def test_key_function(cache: Cache, calls: Calls) -> None:
    """A function in place of the template is given the call's arguments as they were written."""

    @cache.cached(lambda a, b=5: f"f:{a + b}")
    def f(a: int, b: int = 5) -> list[Any]:
        return calls(a, b)

    assert [f(1), f(2, b=4), f.key_for(1)] == [[1, 1, 5], [1, 1, 5], "f:6"]


@pytest.mark.parametrize("made", [5, None, b"k", ""])
def test_key_function_that_makes_no_key(cache: Cache, made: Any) -> None:
    """What is no key is refused as everywhere."""
    f = cache.cached(lambda: made)(lambda: 1)
    with pytest.raises(InvalidKeyError):
        f()


def test_tag_function(cache: Cache) -> None:
    """A function in place of the tags is given the call's arguments."""
    f = cache.cached("f:{a}", tags=lambda a: (f"t:{n}" for n in range(a)))(lambda a: a)
    assert f.invalidate(3).tags == ("t:0", "t:1", "t:2")


def test_tag_function_that_gives_one_text(cache: Cache) -> None:
    """A function that gives a str in place of a list of tags is told so: its letters are no tags."""
    f = cache.cached("f:{a}", tags=lambda a: f"user:{a}")(lambda a: a)
    with pytest.raises(InvalidTagError, match="not a str"):
        f(1)


def test_tags_as_one_text(cache: Cache) -> None:
    """Tags that are a str are refused at once."""
    with pytest.raises(ConfigurationError, match="must be a list"):
        cache.cached("f:{a}", tags="user:{a}")(lambda a: a)


def test_tag_that_names_no_argument(cache: Cache) -> None:
    """A tag without arguments is a tag; one that names what is no argument is a mistake."""
    cache.cached("f:{a}", tags=["users"])(lambda a: a)
    with pytest.raises(ConfigurationError, match="no argument"):
        cache.cached("f:{a}", tags=["user:{b}"])(lambda a: a)


def test_key_that_is_too_long(cache: Cache) -> None:
    """A key of more bytes than a key may have is refused."""
    f = cache.cached("f:{a}")(lambda a: len(a) + 1)
    assert f("x" * (MAX_KEY_BYTES - 2)) == MAX_KEY_BYTES - 1
    with pytest.raises(InvalidKeyError, match="bytes"):
        f("x" * MAX_KEY_BYTES)


def test_tag_that_is_too_long(cache: Cache) -> None:
    """A tag of more bytes than a tag may have is refused."""
    f = cache.cached("f:{a}", tags=["t:{a}"])(lambda a: a)
    with pytest.raises(InvalidTagError):
        f("x" * MAX_TAG_BYTES)


def test_long_key_without_tags(cache: Cache, calls: Calls) -> None:
    """A long key with slashes has a tag of its own all the same."""
    f = cache.cached("f/{a}//")(lambda a: calls())
    assert [f("x" * 1000), f("x" * 1000), f.invalidate("x" * 1000).bumped, f("x" * 1000)] == [[1], [1], 1, [2]]


@pytest.mark.parametrize("text", ["a\nb", "\0", "\ud800"])
def test_argument_that_no_key_may_hold(cache: Cache, text: str) -> None:
    """An argument with control characters or lone surrogates makes no key."""
    f = cache.cached("f:{a}")(lambda a: a)
    with pytest.raises(InvalidKeyError):
        f(text)


def test_stored_once(cache: Cache, events: list[Event]) -> None:
    """A function without tags is stored under its own tag, and nothing else."""
    cache.cached("f:{a}")(lambda a: [a])(1)
    [stored] = [event for event in events if isinstance(event, Stored)]
    assert [stored.key, len(stored.tags), stored.tags[0].startswith("call:")] == ["f:1", 1, True]


@given(
    st.sampled_from(["-", "_", ".", " by ", "::", "/", "G", "g", "x-", "ü"]),
    st.tuples(plain, plain, plain),
    st.tuples(plain, plain, plain),
)
@example("-", ("alice", "a-b", ""), ("alice-a", "b", ""))
@example("-", (None, "", ""), ("~None", "", ""))
@example("G", ("aGb", "", ""), ("a", "b", ""))
def test_no_two_calls_share_a_key_whatever_stands_between(
    between: str, one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    """Also with a separator that values may have in them."""
    assume([by_design(value) for value in one] != [by_design(value) for value in other])
    text = f"k{between}{{a}}{between}{{b}}{between}{{c}}{between}end"
    parameters = inspect.signature(lambda a, b, c: None).parameters
    template = Template(text, parameters, is_key=True)
    keys = [template.filled(dict(zip("abc", values, strict=True))) for values in (one, other)]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("between", ["", "1", "F", "%", "~"])
def test_a_key_whose_fields_run_into_each_other(between: str) -> None:
    """It is refused: f(1, 23) and f(12, 3) would share it. In a tag it is the caller's own affair."""
    parameters = inspect.signature(lambda a, b: None).parameters
    with pytest.raises(ConfigurationError, match="tells where"):
        Template(f"k{{a}}{between}{{b}}", parameters, is_key=True)
    assert Template(f"k{{a}}{between}{{b}}", parameters).filled({"a": "x", "b": "y"}) == f"kx{between}y"
