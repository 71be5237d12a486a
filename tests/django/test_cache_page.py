"""`cache_page` and the cache middleware on the backend, unchanged: also where the first fill of a page is overtaken.

Django reads the key of the headers that a page varies on, runs the view, and sets a key that it has never read. So the
backend looks at the page's tags before the view, under a stand-in; a page whose tags were not looked at is not stored.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import cache_page
from servers import Server

from unstale.contrib.django.backend import keyed
from unstale.contrib.django.notices import UnstaleWarning

PREFIX = "orders"
PAGES = ["*.{prefix}.*"]
ONLY_PAGES = {"views.decorators.cache.cache_page.{prefix}.*": "{prefix}"}
BY_HEADERS = {"views.decorators.cache.cache_page.{prefix}.GET.{url}.{headers}.*": "p:{prefix}:{headers}"}


class Shop:
    """What the views read, and what happens while they run."""

    def __init__(self) -> None:
        self.stock = "old"
        self.runs = 0
        self.meanwhile: Callable[[], Any] = lambda: None
        self.vary: tuple[str, ...] = ()
        self.language = ""

    def answer(self) -> HttpResponse:
        """Read, let time go by, answer what was read."""
        self.runs += 1
        read = self.stock
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        if self.language:
            translation.activate(self.language)
        response = HttpResponse(read)
        if self.vary:
            patch_vary_headers(response, self.vary)
        return response


shop = Shop()


def plain(request: HttpRequest) -> HttpResponse:
    """A view."""
    del request
    return shop.answer()


async def plain_async(request: HttpRequest) -> HttpResponse:
    """An asynchronous view."""
    del request
    return shop.answer()


def rendered(request: HttpRequest) -> TemplateResponse:
    """A view whose response is rendered, and stored, later."""
    shop.runs += 1
    read = shop.stock
    shop.meanwhile()
    template = engines["django"].from_string("{{ stock }}")
    return TemplateResponse(request, template, {"stock": read})


urlpatterns = [
    path("plain", plain),
    path("plain-async", plain_async),
    path("cached", cache_page(600, key_prefix=PREFIX)(plain)),
    path("cached-async", cache_page(600, key_prefix=PREFIX)(plain_async)),
    path("rendered", cache_page(600, key_prefix=PREFIX)(rendered)),
]
MIDDLEWARE = ["django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware"]
WITH_LOCALE = [MIDDLEWARE[0], "django.middleware.locale.LocaleMiddleware", MIDDLEWARE[1]]


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture
def configure(configure: Callable[..., Any]) -> Callable[..., Any]:
    """Each test's backend is its own, with an engine that has learnt nothing."""
    return lambda **options: configure(NAMESPACE=secrets.token_hex(4), **options)


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    """These views, with nothing read yet. Each request is one as a server makes it: nothing remembers around it."""
    shop.__init__()  # type: ignore[misc]
    language = translation.get_language()
    with override_settings(ROOT_URLCONF=__name__):
        yield
    translation.activate(language or settings.LANGUAGE_CODE)


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Asks for a page, by WSGI's handler or by ASGI's."""
    if request.param == "sync":
        return lambda path, **headers: Client().get(path, headers=headers).content.decode()

    def ask_async(path: str, **headers: str) -> str:
        async def one() -> str:
            return (await AsyncClient().get(path, headers=headers)).content.decode()

        return async_to_sync(one)()

    return ask_async


PATHS = pytest.mark.parametrize("path", ["/cached", "/cached-async", "/rendered"])


@pytest.fixture
def pages(configure: Callable[..., Any]) -> Any:
    """The backend with a pattern for pages and their headers' keys."""
    return configure(TAG_PATTERNS=PAGES, SOCKET_TIMEOUT=5)


def change(cache: Any, tag: str = PREFIX) -> None:
    """Another process changes what the views read, and invalidates it: in a thread, which has none of our memory."""

    def write() -> None:
        shop.stock = "new"
        cache.invalidate(tag)

    writer = threading.Thread(target=write)
    writer.start()
    writer.join()


@PATHS
def test_a_page_is_cached(pages: Any, ask: Callable[..., str], path: str) -> None:
    """The view runs once; each query is a page of its own."""
    assert [ask(path), ask(path), shop.runs] == ["old", "old", 1]
    assert [ask(path + "?x=1"), ask(path + "?x=1"), shop.runs] == ["old", "old", 2]


@PATHS
def test_an_invalidated_page_is_not_served(pages: Any, ask: Callable[..., str], path: str) -> None:
    """By its pattern's tag; and it is cached again then."""
    ask(path)
    change(pages)
    assert [ask(path), ask(path), shop.runs] == ["new", "new", 2]


@PATHS
def test_delete_pattern(pages: Any, ask: Callable[..., str], path: str) -> None:
    """As projects on django-redis write it."""
    ask(path)
    shop.stock = "new"
    assert pages.delete_pattern(f"*.{PREFIX}.*") == 1
    assert ask(path) == "new"


@PATHS
def test_clear(pages: Any, ask: Callable[..., str], path: str) -> None:
    """And by clear."""
    ask(path)
    shop.stock = "new"
    pages.clear()
    assert ask(path) == "new"


@pytest.mark.parametrize("patterns", [PAGES, ONLY_PAGES], ids=["both keys", "only pages"])
@PATHS
def test_the_first_fill_is_overtaken(
    configure: Callable[..., Any], ask: Callable[..., str], path: str, patterns: Any
) -> None:
    """The view has read what was before, then its tag is invalidated: that page is not kept for anybody."""
    cache = configure(TAG_PATTERNS=patterns, SOCKET_TIMEOUT=5)
    shop.meanwhile = once(lambda: change(cache))
    assert ask(path) == "old"
    assert [ask(path), ask(path), shop.runs] == ["new", "new", 2]


@PATHS
def test_the_first_fill_is_overtaken_by_clear(pages: Any, ask: Callable[..., str], path: str) -> None:
    """The same by a clear, which page keys without any tag are held to as well."""

    def clear() -> None:
        shop.stock = "new"
        other = threading.Thread(target=pages.clear)
        other.start()
        other.join()

    shop.meanwhile = once(clear)
    assert ask(path) == "old"
    assert [ask(path), ask(path), shop.runs] == ["new", "new", 2]


@PATHS
def test_without_the_look_the_page_leaks(
    configure: Callable[..., Any], ask: Callable[..., str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same interleaving without what is tested above: the old page is served for ten minutes."""
    without_a_look(monkeypatch)
    cache = configure(TAG_PATTERNS=ONLY_PAGES, SOCKET_TIMEOUT=5)
    shop.meanwhile = once(lambda: change(cache))
    ask(path)
    assert [ask(path), ask(path), shop.runs] == ["old", "old", 1]


def without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the mechanism out: Django's page keys are keys like any others."""
    never = re.compile(r"(?!)")
    monkeypatch.setattr(keyed, "_HEADERS_KEY", never)
    monkeypatch.setattr(keyed, "_PAGE_KEY", never)


def once(what: Callable[[], Any]) -> Callable[[], None]:
    """Something that happens while the view runs for the first time."""

    def happen() -> None:
        shop.meanwhile = lambda: None
        what()

    return happen


@PATHS
def test_a_later_fill_is_overtaken(pages: Any, ask: Callable[..., str], path: str) -> None:
    """Where the headers' key is there and the page's own is read before the view, it is held to that."""
    ask(path)
    without_the_page(pages)
    shop.meanwhile = once(lambda: change(pages))
    ask(path)
    assert [ask(path), ask(path)] == ["new", "new"]


def without_the_page(cache: Any) -> None:
    """Remove the page, but not what is known of its headers."""
    with cache.get_client() as client:
        assert client.delete(*client.keys("*:e:*cache_page*")) == 1


def test_a_fill_by_another_header_is_overtaken(pages: Any, ask: Callable[..., str]) -> None:
    """A page varies: for the second visitor the headers' key is there, and his page is not."""
    shop.vary = ("X-User",)
    assert [ask("/cached", **{"x-user": "a"}), shop.runs] == ["old", 1]
    shop.meanwhile = lambda: change(pages)
    ask("/cached", **{"x-user": "b"})
    assert [ask("/cached", **{"x-user": name}) for name in "ab"] == ["new", "new"]


def test_a_page_that_begins_to_vary(pages: Any, ask: Callable[..., str]) -> None:
    """Its key was not read, since nobody knew it: it is kept from the next time on, and never an old one."""
    ask("/cached")
    without_the_page(pages)
    shop.vary = ("X-User",)
    shop.meanwhile = lambda: change(pages)
    assert [ask("/cached"), ask("/cached"), ask("/cached")] == ["old", "new", "new"]
    runs = shop.runs
    assert [ask("/cached"), shop.runs] == ["new", runs]


def test_tags_that_nobody_could_foresee(configure: Callable[..., Any], ask: Callable[..., str]) -> None:
    """A tag that binds what is known only after the view: the first page is not kept, from the second on they are."""
    cache = configure(TAG_PATTERNS=BY_HEADERS, SOCKET_TIMEOUT=5)
    shop.vary = ("X-User",)
    assert [ask("/cached"), shop.runs, page_keys(cache)] == ["old", 1, 0]
    assert [ask("/cached"), shop.runs, page_keys(cache)] == ["old", 2, 1]
    assert [ask("/cached"), shop.runs] == ["old", 2]


@pytest.mark.parametrize(("patterns", "stored"), [(PAGES, 0), (ONLY_PAGES, 1)], ids=["unanchored", "anchored"])
def test_a_page_that_varies_is_stored_at_once_by_an_anchored_pattern(
    configure: Callable[..., Any], ask: Callable[..., str], patterns: Any, stored: int
) -> None:
    """An unanchored one binds the headers' digest too, which nobody can foresee: it stores from the second on."""
    cache = configure(TAG_PATTERNS=patterns, SOCKET_TIMEOUT=5)
    shop.vary = ("Cookie",)
    ask("/cached", cookie="a=1")
    assert page_keys(cache) == stored
    ask("/cached", cookie="a=1")
    assert page_keys(cache) == 1


def test_a_prefix_with_dots(configure: Callable[..., Any], ask: Callable[..., str]) -> None:
    """`*.{prefix}.*` does not cache its pages, and one warning names the lines that do."""
    site = {"CACHE_MIDDLEWARE_KEY_PREFIX": "www.example.com", "CACHE_MIDDLEWARE_SECONDS": 600}
    with override_settings(MIDDLEWARE=WITH_LOCALE, **site):
        cache = configure(TAG_PATTERNS=PAGES, SOCKET_TIMEOUT=5)
        with pytest.warns(UnstaleWarning) as caught:
            assert [ask("/plain"), ask("/plain"), ask("/plain?x=1"), page_keys(cache)] == ["old", "old", "old", 0]
        (text,) = [str(one.message) for one in caught]
        lines = [text.split('"')[1], text.split('"')[5]]
        assert lines == [*ONLY_PAGES, "*.www.example.com.*"]
        cache = configure(TAG_PATTERNS=lines, SOCKET_TIMEOUT=5)
        assert [ask("/plain"), page_keys(cache)] == ["old", 1]
        shop.stock = "new"
        assert [ask("/plain"), cache.delete_pattern("*.www.example.com.*"), ask("/plain")] == ["old", 1, "new"]


def page_keys(cache: Any) -> int:
    """How many pages are stored."""
    with cache.get_client() as client:
        return len(client.keys("*:e:*cache_page*"))


def test_a_learnt_tag_is_looked_at(configure: Callable[..., Any], ask: Callable[..., str]) -> None:
    """What the first page has taught is held to in the second fill."""
    cache = configure(TAG_PATTERNS=BY_HEADERS, SOCKET_TIMEOUT=5)
    shop.vary = ("X-User",)
    ask("/cached?a")
    ask("/cached?a")
    with cache.get_client() as client:
        [page] = client.keys("*:e:*cache_page*")
        client.flushall()
    headers = page.decode().split(f"{PREFIX}.GET.")[1].split(".")[1]
    shop.meanwhile = lambda: change(cache, f"p:{PREFIX}:{headers}")
    assert ask("/cached?a") == "old"
    assert [ask("/cached?a"), ask("/cached?a"), shop.runs] == ["new", "new", 4]


@pytest.mark.parametrize("path", ["/plain", "/plain-async"])
def test_the_middleware(pages: Any, ask: Callable[..., str], path: str) -> None:
    """UpdateCacheMiddleware and FetchFromCacheMiddleware, with the race."""
    with override_settings(MIDDLEWARE=MIDDLEWARE, CACHE_MIDDLEWARE_KEY_PREFIX=PREFIX, CACHE_MIDDLEWARE_SECONDS=600):
        shop.meanwhile = lambda: change(pages)
        assert [ask(path), ask(path), ask(path), shop.runs] == ["old", "new", "new", 2]


@pytest.mark.parametrize("path", ["/plain", "/plain-async"])
def test_the_middleware_leaks_without_the_look(
    configure: Callable[..., Any], ask: Callable[..., str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without it."""
    without_a_look(monkeypatch)
    cache = configure(TAG_PATTERNS=ONLY_PAGES, SOCKET_TIMEOUT=5)
    with override_settings(MIDDLEWARE=MIDDLEWARE, CACHE_MIDDLEWARE_KEY_PREFIX=PREFIX, CACHE_MIDDLEWARE_SECONDS=600):
        shop.meanwhile = lambda: change(cache)
        assert [ask(path), ask(path), shop.runs] == ["old", "old", 1]


@pytest.mark.parametrize("patterns", [PAGES, ONLY_PAGES], ids=["both keys", "only pages"])
def test_languages(configure: Callable[..., Any], ask: Callable[..., str], patterns: Any) -> None:
    """With the locale in its key, each language is a page of its own, and each fill is held to its look."""
    cache = configure(TAG_PATTERNS=patterns, SOCKET_TIMEOUT=5)
    with override_settings(MIDDLEWARE=WITH_LOCALE, CACHE_MIDDLEWARE_KEY_PREFIX=PREFIX, CACHE_MIDDLEWARE_SECONDS=600):
        for language in ("en", "de"):
            shop.stock = "old"
            shop.meanwhile = lambda: change(cache)
            assert ask("/plain", **{"accept-language": language}) == "old"
            assert [ask("/plain", **{"accept-language": language}) for _ in range(2)] == ["new", "new"]
        assert shop.runs == 4
        with cache.get_client() as client:
            assert len({name.rsplit(b".", 2)[-2] for name in client.keys("*:e:*cache_page*")}) == 2


def test_a_view_that_changes_the_language(pages: Any) -> None:
    """The page's key has another suffix than what was looked at: it is not stored under tags that nobody saw."""
    shop.language = "de"
    shop.meanwhile = lambda: change(pages)
    assert Client().get("/cached").content == b"old"
    assert Client().get("/cached").content == b"new"


def test_head_and_other_methods(pages: Any) -> None:
    """HEAD is answered from the page; POST goes through."""
    Client().get("/cached")
    assert [Client().head("/cached").status_code, shop.runs] == [200, 1]
    assert [Client().post("/cached").content, shop.runs] == [b"old", 2]


def test_a_request_ends(pages: Any) -> None:
    """What one request saw and did not set does not keep the next one's page from being stored."""
    shop.vary = ("*",)
    Client().get("/cached")
    change(pages)
    shop.vary = ()
    assert [Client().get("/cached").content, Client().get("/cached").content, shop.runs] == [b"new", b"new", 2]


def test_hostile_requests(pages: Any) -> None:
    """A query of 64 KB, and headers to vary on of all kinds: each visitor gets his own."""
    shop.vary = ("X-User",)
    long = "/cached?" + "x" * 65536
    for user in ("a", "b", "*", "ü", "a\tb", "{prefix}", "x" * 5000):
        shop.stock = f"{user}'s"
        assert [Client().get(long, headers={"x-user": user}).content.decode() for _ in range(2)] == [shop.stock] * 2
    shop.stock = "nobody's"
    assert Client().get(long, headers={"x-user": "a"}).content == b"a's"
