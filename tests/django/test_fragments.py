"""`{% cache %}` on the backend, unchanged."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache.utils import make_template_fragment_key
from django.template import Context, engines
from servers import Server

from unstale import remembering

TEXT = "{% load cache %}{% cache 600 orders user.id %}{{ user.orders }}{% endcache %}"


class User:
    """What a template shows."""

    def __init__(self, number: int) -> None:
        self.id = number
        self.stock = "old"
        self.runs = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def orders(self) -> str:
        """Read, let time go by, and give what was read."""
        self.runs += 1
        read = self.stock
        self.meanwhile()
        return f"{read} orders of {self.id}"


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture
def cache(configure: Callable[..., Any]) -> Any:
    """A backend with a pattern for the fragments."""
    patterns = {"template.cache.{name}.*": "{name}"}
    return configure(TAG_PATTERNS=patterns, NAMESPACE=secrets.token_hex(4), SOCKET_TIMEOUT=5)


@pytest.fixture(params=["in a request", "outside"], autouse=True)
def context(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fragments are rendered in requests, and in jobs that nobody bounds."""
    if request.param == "outside":
        yield
        return
    with remembering():
        yield


def show(user: User, text: str = TEXT) -> str:
    """Render."""
    made: str = engines["django"].from_string(text).template.render(Context({"user": user}))
    return made


def elsewhere(what: Callable[[], Any]) -> None:
    """Do it as another process would."""
    other = threading.Thread(target=what)
    other.start()
    other.join()


def test_a_fragment_is_cached(cache: Any) -> None:
    """For each value that it varies on."""
    one, two = User(1), User(2)
    assert [show(one), show(one), show(two)] == ["old orders of 1"] * 2 + ["old orders of 2"]
    assert [one.runs, two.runs] == [1, 1]


def test_an_invalidated_fragment(cache: Any) -> None:
    """By its name, all of that name."""
    users = [User(1), User(2)]
    for user in users:
        show(user)
        user.stock = "new"
    elsewhere(lambda: cache.invalidate("orders"))
    assert [show(user) for user in users] == ["new orders of 1", "new orders of 2"]


def test_a_fragment_is_deleted(cache: Any) -> None:
    """As Django's documentation says."""
    user = User(1)
    show(user)
    assert cache.delete(make_template_fragment_key("orders", [1])) is True
    show(user)
    assert user.runs == 2


def test_a_fill_is_overtaken(cache: Any) -> None:
    """A fragment that was read before an invalidation is not kept after it."""
    user = User(1)

    def change() -> None:
        user.stock, user.meanwhile = "new", lambda: None
        elsewhere(lambda: cache.invalidate("orders"))

    user.meanwhile = change
    assert show(user) == "old orders of 1"
    with remembering():
        assert [show(user), show(user), user.runs] == ["new orders of 1", "new orders of 1", 2]


def test_a_fill_without_a_look_leaks(cache: Any) -> None:
    """What `get` remembers is what keeps it out: set in a context of its own, the old text is stored."""
    user = User(1)
    key = make_template_fragment_key("orders", [1])
    cache.get(key)
    read = user.orders()
    elsewhere(lambda: cache.invalidate("orders"))
    elsewhere(lambda: cache.set(key, read))
    assert show(user) == "old orders of 1"


def test_a_fragment_without_a_timeout(cache: Any) -> None:
    """None is no limit."""
    user = User(1)
    show(user, TEXT.replace("600", "None"))
    assert cache.ttl(make_template_fragment_key("orders", [1])) is None


def test_an_alias_for_fragments(configure: Callable[..., Any], cache: Any) -> None:
    """The alias `template_fragments` is taken where there is one."""
    fragments = configure("template_fragments", {"KEY_PREFIX": "fragments"})
    show(User(1))
    key = make_template_fragment_key("orders", [1])
    assert [cache.has_key(key), fragments.has_key(key)] == [False, True]
