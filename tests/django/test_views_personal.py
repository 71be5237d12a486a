"""One client's response never reaches another: users, sessions, cookies, tokens, messages, who takes on an identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.utils.functional import SimpleLazyObject
from servers import Server
from view_site import MIDDLEWARE, RUNS, UNKEPT, answering, body, browser_of, kept, serving, with_vary, words

from unstale.contrib.django.noted_session import noting, peek
from unstale.contrib.django.personal import Keeping, Watch


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here: whose a response is, is decided here."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture
def site(configure: Callable[..., Any]) -> Iterator[Any]:
    """The site on the test's server; the backend."""
    backend = configure()
    with serving():
        yield backend


@pytest.fixture
def client(site: Any) -> Client:
    """Somebody without a cookie."""
    return Client()


@pytest.mark.parametrize("name", sorted(UNKEPT))
def test_never_kept_for_everybody(client: Client, name: str) -> None:
    """What is one client's, or says that it is not to be kept, runs the view each time."""
    User.objects.create(username="alice")
    answers = [Client().get(f"/all/{name}/") for _ in range(2)]
    assert RUNS[f"/all/{name}/"] == 2
    assert "hit" not in [each.get("X-Cache") for each in answers]


OF_SESSION = ("session-age", "session-empty", "session-key", "session-vars")
OWN = ("cookie", "messages", "session", *OF_SESSION, "signed-cookie", "user")
"""What a view may look at if its response is one user's, or one cookie's."""
ALWAYS_UNKEPT = {*UNKEPT} - {*OWN, "another-user", "vary-cookie"}


@pytest.mark.parametrize("name", sorted(ALWAYS_UNKEPT))
@pytest.mark.parametrize("mode", ["users", "cookie"])
def test_never_kept_for_one_either(site: Any, mode: str, name: str) -> None:
    """What is not to be kept is not kept for one user or one cookie either."""
    alice = browser_of("alice")
    answers = [alice.get(f"/{mode}/{name}/") for _ in range(2)]
    assert RUNS[f"/{mode}/{name}/"] == 2
    assert "hit" not in [each.get("X-Cache") for each in answers]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("mode", ["users", "cookie"])
def test_what_is_one_s_own_is_kept_for_him(site: Any, mode: str, name: str) -> None:
    """A view that is kept for one may look at what is his."""
    alice = browser_of("alice")
    assert words(alice, f"/{mode}/{name}/") == ["miss", "hit"]


@pytest.mark.parametrize("name", ["cookie", "signed-cookie", "session-set", "another-user", "csrf"])
def test_nobody_s_responses_hold_no_cookie(client: Client, name: str) -> None:
    """Who is not logged in shares a response with others, so it depends on no cookie."""
    answers = [words(client, f"/users/{name}/", 1) for client in (Client(), Client())]
    assert "hit" not in [word for each in answers for word in each]


def test_two_users_get_their_own(site: Any) -> None:
    """Each user gets his own response, and it again."""
    alice, bob = browser_of("alice"), browser_of("bob")
    seen = [body(each.get("/users/who/")) for each in (alice, bob, alice, bob)]
    assert seen == ["alice /users/who/ 1", "bob /users/who/ 2", "alice /users/who/ 1", "bob /users/who/ 2"]


def test_who_is_not_logged_in_gets_no_user_s(site: Any) -> None:
    """A visitor gets what is kept for visitors, and no user gets that."""
    alice, visitor = browser_of("alice"), Client()
    seen = [body(each.get("/users/who/")) for each in (alice, visitor, Client(), alice)]
    assert seen == ["alice /users/who/ 1", " /users/who/ 2", " /users/who/ 2", "alice /users/who/ 1"]


def test_a_visitor_with_a_session_is_not_kept(site: Any) -> None:
    """What a visitor has in his session is nobody else's."""
    visitor = Client()
    visitor.get("/all/session-set/")
    assert words(visitor, "/users/session/") == ["bypass", "bypass"]
    assert words(Client(), "/users/session/") == ["miss", "hit"]


def test_after_logout_nothing_of_the_user_is_shown(site: Any) -> None:
    """A logged out browser is a visitor's."""
    alice = browser_of("alice")
    alice.get("/users/who/")
    alice.logout()
    assert body(alice.get("/users/who/")) == " /users/who/ 2"


def test_two_browsers_of_one_user_share_nothing_but_the_tag(site: Any) -> None:
    """A response is its session's, so that nothing of one session shows in another; a write makes both stale."""
    first, second = browser_of("alice"), browser_of("alice")
    assert [words(each, "/history/", 1) for each in (first, second)] == [["miss"], ["miss"]]
    first.post("/order/")
    assert [words(each, "/history/", 1) for each in (first, second)] == [["miss"], ["miss"]]


def test_a_write_of_another_user_leaves_mine(site: Any) -> None:
    """A user's write makes his own responses stale."""
    alice, bob = browser_of("alice"), browser_of("bob")
    alice.get("/history/")
    bob.post("/order/")
    assert words(alice, "/history/", 1) == ["hit"]


def test_a_user_s_tag_may_be_another(site: Any) -> None:
    """`user_tag=""` leaves the user's tag to `tags`."""
    alice = browser_of("alice")
    alice.get("/users/tagged/")
    site.invalidate(f"user:{User.objects.get().pk}/orders")
    assert words(alice, "/users/tagged/") == ["miss", "hit"]


class Impersonation:
    """A middleware by which staff takes on another's identity."""

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = request.GET.get("as") or request.headers.get("X-As")
        if name:
            request.impersonator = request.user.username
            request.user = User.objects.get(username=name)
        return self.get_response(request)


def test_pages_seen_as_another_are_not_given_to_him(site: Any) -> None:
    """Whoever takes on a user's identity shares no response with him."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.Impersonation"]):
        alice, root = browser_of("alice"), browser_of("root")
        seen = [body(root.get("/users/who/", headers={"X-As": "alice"})), body(alice.get("/users/who/"))]
    assert seen == ["alice /users/who/ 1", "alice /users/who/ 2"]


def test_pages_seen_as_another_are_not_everybody_s(site: Any) -> None:
    """A view for everybody is neither kept nor served where a middleware has looked at the user."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.Impersonation"]):
        browser_of("alice")
        root = browser_of("root")
        assert words(root, "/all/plain/", headers={"X-As": "alice"}) == ["bypass", "bypass"]


def test_pages_seen_as_another_are_not_the_cookie_s(site: Any) -> None:
    """Where the key holds the Cookie header, whoever takes on an identity neither gets nor leaves a response."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.Impersonation"]):
        browser_of("alice")
        root = browser_of("root")
        sent: list[dict[str, str]] = [{}, {"X-As": "alice"}, {}]
        assert [body(root.get("/cookie/name/", headers=each)) for each in sent] == ["root", "alice", "root"]


class Token:
    """A middleware that authenticates by itself, at once or when it is asked."""

    eager = True

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = request.headers.get("X-Token")
        request.user = self.find(name) if self.eager else SimpleLazyObject(lambda: self.find(name))
        return self.get_response(request)

    def find(self, name: str | None) -> Any:
        return User.objects.get(username=name) if name else AnonymousUser()


class Labels(Token):
    """A middleware that derives something from the user whom it finds."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = self.find(request.headers.get("X-Token"))
        request.label = request.user.username
        return self.get_response(request)


class Tenants(Token):
    """A middleware that derives something from the session."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.label = str(request.session.get("cart"))
        return self.get_response(request)


def test_what_a_middleware_makes_of_a_user_is_not_everybody_s(site: Any) -> None:
    """A view for everybody may show what a middleware has made of the user: it is not served to a known one."""
    User.objects.create(username="alice")
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.Labels"]):
        sent: list[dict[str, str]] = [{}, {"X-Token": "alice"}, {}]
        assert [body(Client().get("/all/label/", headers=each)) for each in sent] == ["", "alice", ""]


def test_what_a_middleware_makes_of_a_session_is_not_everybody_s(site: Any) -> None:
    """The same of the session."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.Tenants"]):
        visitor = Client()
        visitor.get("/all/session-set/")
        assert [body(each.get("/all/label/")) for each in (visitor, Client())] == ["[1]", "None"]
        assert RUNS["/all/label/"] == 2


class LazyToken(Token):
    eager = False


@pytest.mark.parametrize("kind", ["Token", "LazyToken"])
@pytest.mark.parametrize("first", ["alice", None])
def test_a_user_of_a_middleware_is_noticed(site: Any, kind: str, first: str | None) -> None:
    """A view for everybody that asks for a user that a middleware has found is not kept."""
    User.objects.create(username="alice")
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.{kind}"]):
        for name in (first, "alice", None):
            headers = {"X-Token": name} if name else {}
            expected = str(name is not None)
            assert body(Client().get("/all/user/", headers=headers)) == expected


@pytest.mark.parametrize("kind", ["Token", "LazyToken"])
def test_who_does_not_look_is_kept(site: Any, kind: str) -> None:
    """A middleware that finds nobody keeps no view from being kept that does not look."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.{kind}"]):
        assert words(Client(), "/all/plain/") == ["miss", "hit"]


@pytest.mark.parametrize("kind", ["Token", "LazyToken"])
def test_users_of_a_middleware_are_told_apart(site: Any, kind: str) -> None:
    """A view for each user goes by the user that a middleware has found."""
    User.objects.create(username="alice")
    User.objects.create(username="bob")
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.{kind}"]):
        seen = [body(Client().get("/users/who/", headers={"X-Token": name})) for name in ("alice", "bob", "alice")]
    assert seen == ["alice /users/who/ 1", "bob /users/who/ 2", "alice /users/who/ 1"]


@pytest.mark.parametrize("kind", ["Token", "LazyToken"])
def test_a_user_who_is_not_his_cookie_s_is_noticed(site: Any, kind: str) -> None:
    """Where the key holds the Cookie header, a user whom a middleware has found by other means is not kept."""
    User.objects.create(username="alice")
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.{kind}"]):
        for name in ("alice", None, "alice", None):
            headers = {"X-Token": name} if name else {}
            assert body(Client().get("/cookie/user/", headers=headers)) == str(name is not None)
    assert RUNS["/cookie/user/"] == 4


class Bearer(Token):
    """Authentication by Authorization."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = request.headers.get("Authorization", "").removeprefix("Bearer ")
        request.user = self.find(name)
        return self.get_response(request)


def test_credentials_have_their_users(site: Any) -> None:
    """Where the view admits Authorization, it may look at whom it stands for; who sends none shares nothing."""
    for name in ("alice", "bob"):
        User.objects.create(username=name)
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.Bearer"]):
        names = ["alice", "bob", None] * 2
        sent = [{"Authorization": f"Bearer {name}"} if name else {} for name in names]
        answers = [Client().get("/auth/name/", headers=each) for each in sent]
    assert [body(each) for each in answers] == ["alice", "bob", ""] * 2
    assert [each["X-Cache"] for each in answers] == ["miss", "miss", "bypass", "hit", "hit", "bypass"]


@pytest.mark.parametrize("name", ["session", *OF_SESSION, "cookie", "signed-cookie", "messages", "csrf"])
def test_credentials_have_no_session(site: Any, name: str) -> None:
    """What is kept for a credential depends on no session or cookie, which another client may have with it."""
    for _ in range(2):
        answer = Client().get(f"/auth/{name}/", headers={"Authorization": "Bearer a"})
        assert answer["X-Cache"] == "bypass"


class Guests:
    """A middleware that has guests of its own."""

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = type("Guest", (AnonymousUser,), {"username": request.headers["X-Guest"]})()
        return self.get_response(request)


def test_guests_are_not_nobody(site: Any) -> None:
    """Whoever is not logged in, but somebody to the application, shares nothing."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.Guests"]):
        seen = [body(Client().get("/users/who/", headers={"X-Guest": name})) for name in ("a", "b")]
    assert seen == ["a /users/who/ 1", "b /users/who/ 2"]


def test_behind_a_check_of_the_user_nothing_is_everybody_s(site: Any) -> None:
    """Where something around the view has looked at the user, a view for everybody is not kept."""
    assert words(browser_of("alice"), "/guarded/") == ["bypass", "bypass"]


def test_a_view_that_logs_in_is_not_kept_per_user(site: Any) -> None:
    """Who logs in in a view leaves nothing for the next visitor."""
    User.objects.create(username="alice")
    words(Client(), "/users/login/", 1)
    assert words(Client(), "/users/login/", 1) == ["bypass"]
    assert RUNS["/users/login/"] == 2


def test_per_cookie_each_cookie_has_its_own(site: Any) -> None:
    """Where the key holds the Cookie header, another cookie gets another response."""
    alice, bob = browser_of("alice"), browser_of("bob")
    assert [body(each.get("/cookie/user/")) for each in (alice, Client(), bob)] == ["True", "False", "True"]
    assert RUNS["/cookie/user/"] == 3


def test_a_message_that_waits_is_shown(site: Any) -> None:
    """A user with a message waiting gets a page that can show it, not a kept one; the next one is kept."""
    alice = browser_of("alice")
    words(alice, "/users/messages/")
    alice.get("/users/message/")
    assert body(alice.get("/users/messages/")).endswith("done")
    assert not body(alice.get("/users/messages/")).endswith("done")


def test_by_cookie_and_user_a_visitor_s_cookie_counts(site: Any) -> None:
    """Where the key holds user and cookies, a visitor's response may depend on these."""
    one, other = Client(), Client()
    one.cookies["theme"], other.cookies["theme"] = "dark", "light"
    seen = [body(each.get("/both/cookie/")) for each in (one, other, one)]
    assert seen == ["dark", "light", "dark"]
    assert RUNS["/both/cookie/"] == 2


def test_messages_of_a_user_are_not_kept(site: Any) -> None:
    """A page that shows a message is not kept."""
    alice = browser_of("alice")
    alice.get("/users/message/")
    alice.get("/users/messages/")
    assert not body(alice.get("/users/messages/")).endswith("done")


def test_a_csrf_token_stays_its_client_s(site: Any) -> None:
    """A page with a token carries the cookie that goes with it, each time."""
    answers = [Client().get("/all/csrf-template/") for _ in range(2)]
    assert len({each.cookies["csrftoken"].value for each in answers}) == 2
    assert len({body(each) for each in answers}) == 2


def test_a_token_that_another_has_asked_for_does_not_keep_a_page_from_being_kept(site: Any) -> None:
    """A cookie that a middleware sends is sent with each response, kept or not."""
    visitor = Client()
    visitor.cookies["csrftoken"] = "malformed"
    answers = [visitor.get("/all/plain/")]
    visitor.cookies["csrftoken"] = "malformed"
    answers.append(visitor.get("/all/plain/"))
    assert [each["X-Cache"] for each in answers] == ["miss", "hit"]
    assert all("csrftoken" in each.cookies for each in answers)


def test_requests_with_credentials_are_not_answered_from_the_cache(client: Client) -> None:
    """A request with Authorization runs the view, unless the view says otherwise."""
    client.get("/all/plain/")
    assert words(client, "/all/plain/", headers={"Authorization": "Bearer a"}) == ["bypass", "bypass"]


def test_credentials_are_told_apart(client: Client) -> None:
    """Where the view admits Authorization, each value has its own response; none is not the same as empty."""
    values = [{"Authorization": "Bearer a"}, {"Authorization": "Bearer b"}, {"Authorization": ""}, {}]
    assert [words(client, "/auth/plain/", headers=each) for each in values] == [["miss", "hit"]] * 4


def test_the_request_is_as_it_was(site: Any) -> None:
    """After a watched run, the request has what it had: cookies, user, flags."""
    request = RequestFactory().get("/v/", headers={"Cookie": "a=b"})
    cookies, request.user = request.COOKIES, AnonymousUser()
    user = request.user
    kept(with_vary())(request)
    assert request.COOKIES is cookies
    assert request.user is user


def uses_of(session: Any) -> list[str]:
    """What `noting` notes while each verb of a session that takes no argument is called."""
    seen = []
    for name in VERBS:
        with noting(session) as uses:
            getattr(session, name)
        seen += uses[:1]
    return seen


VERBS = sorted(name for name in dir(SessionBase) if not name.startswith("__"))


def test_each_use_of_a_session_is_noted() -> None:
    """Whatever a session is asked for is noted, private or asynchronous."""
    assert uses_of(SessionStore("a" * 32)) == VERBS


USES: dict[str, Callable[[Any], object]] = {
    "get item": lambda session: session.get("a"),
    "index": lambda session: session["a"],
    "in": lambda session: "a" in session,
    "set": lambda session: session.__setitem__("a", 1),
    "delete": lambda session: session.__delitem__("a"),
    "vars": vars,
}


@pytest.mark.parametrize("use", sorted(USES))
def test_each_operator_on_a_session_is_noted(use: str) -> None:
    """Operators are noted as methods are."""
    session = SessionStore()
    session["a"] = 1
    with noting(session) as uses:
        USES[use](session)
    assert uses != []


def test_a_noted_session_is_itself_again() -> None:
    """While it is noted a session is an instance of its class, signs as ever, and is not changed by it."""
    session = SessionStore()
    session["a"] = 1
    before = dict(vars(session))
    get = session.get
    with noting(session) as uses:
        assert isinstance(session, SessionStore)
        assert uses == []
        assert session.key_salt == SessionStore().key_salt
        uses.clear()
        assert get("a") == 1
        assert uses != []
    assert type(session) is SessionStore
    assert vars(session) == before


def test_what_is_noted_inside_is_noted_outside() -> None:
    """A view inside another that looks at the session has looked for both; watching itself is no look."""
    session = SessionStore()
    with noting(session) as outer:
        with noting(session):
            peek(session, "accessed")
        assert outer == []
        with noting(session) as inner:
            assert session.session_key is None
        assert outer == inner
        assert outer[0] == "session_key"


def test_a_session_of_another_kind_counts_as_used() -> None:
    """What cannot be watched keeps a response from being kept."""
    request = RequestFactory().get("/v/")
    with Watch(request, Keeping.FOR_ALL, None, frozenset()) as without:
        pass
    request.session = type("Own", (), {"accessed": False, "modified": False})()
    with Watch(request, Keeping.FOR_ALL, None, frozenset()) as watch:
        pass
    assert (without.spoils, watch.spoils) == (False, True)


def test_a_cached_view_inside_another_leaves_it_kept(site: Any) -> None:
    """Watching a view inside is no look of the one around it."""
    inside = kept(answering(lambda request: "inside"), key=lambda request: "inside")
    outside = kept(answering(lambda request: inside(request).content.decode()))
    assert [outside(asked_with_session())["X-Cache"] for _ in range(2)] == ["miss", "hit"]


def asked_with_session() -> HttpRequest:
    """A request with a session that nobody has looked at."""
    request = RequestFactory().get("/v/")
    request.session = SessionStore("a" * 32)
    return request


@pytest.mark.parametrize("view", [lambda request: HttpResponse("a"), answering(lambda request: 1 / 0)])
def test_the_session_is_as_it_was(site: Any, view: Callable[..., Any]) -> None:
    """After a watched run, and after one that has failed, the session is of its own class."""
    request = asked_with_session()
    with suppress(ZeroDivisionError):
        kept(view)(request)
    assert type(request.session) is SessionStore


def test_a_session_that_a_view_sets_aside_is_as_it_was(site: Any) -> None:
    """A view may put another session in the place of the one that is watched."""
    request = asked_with_session()
    before, after = request.session, SessionStore()
    assert kept(answering(lambda request: setattr(request, "session", after)))(request)["X-Cache"] == "bypass"
    assert type(before) is SessionStore
    assert request.session is after


def test_what_a_view_puts_into_a_watched_session_is_saved(site: Any) -> None:
    """A view for everybody that writes into the session is not kept, and what it wrote is there afterwards."""
    visitor = Client()
    assert visitor.get("/all/session-set/")["X-Cache"] == "bypass"
    assert visitor.session["cart"] == [1]


def test_sessions_keep_their_visitors_apart(site: Any) -> None:
    """Two visitors with sessions each see the key of their own."""
    browsers = [Client(), Client()]
    for each in browsers:
        each.get("/all/session-set/")
    seen = [body(each.get("/all/session-key/")) for each in browsers]
    assert seen == [each.session.session_key for each in browsers]
