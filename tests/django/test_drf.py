"""Cached viewsets and actions of Django REST framework: checked on every request, kept for who was authenticated."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import caches
from django.test import Client, override_settings
from django.urls import include, path
from rest_framework import serializers
from rest_framework.authentication import (
    BaseAuthentication,
    BasicAuthentication,
    SessionAuthentication,
    TokenAuthentication,
)
from rest_framework.authtoken.models import Token
from rest_framework.decorators import action, api_view, authentication_classes, permission_classes
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.filters import SearchFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.versioning import QueryParameterVersioning
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet, ViewSet
from servers import Server
from view_site import MIDDLEWARE, RUNS

from unstale.contrib.django.drf import CachedViewSetMixin, cached_action, invalidates_action
from unstale.contrib.django.views import cached_view
from unstale.errors import ConfigurationError

ALL = [TokenAuthentication, BasicAuthentication, SessionAuthentication]


class Key(BaseAuthentication):
    """Authentication by a header of its own, and by what it carries."""

    def authenticate(self, request: Any) -> Any:
        sent = request.headers.get("Authorization", "")
        key = sent.removeprefix("Key ") if sent.startswith("Key ") else request.headers.get("X-Key", "")
        name, _, scope = key.partition("/")
        return (User.objects.get(username=name), {"scope": scope}) if name else None


class Refused(BaseAuthentication):
    """Nobody comes in by this."""

    def authenticate(self, request: Any) -> Any:
        raise AuthenticationFailed


class CSV(BaseRenderer):
    """A second format."""

    media_type, format, charset = "text/csv", "csv", "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> str:
        return ";".join(str(each) for each in data) if isinstance(data, list) else str(data)


class GroupSerializer(serializers.ModelSerializer):
    class Meta:
        """What is shown."""

        model = Group
        fields = ("id", "name")


class Pages(PageNumberPagination):
    page_size = 2


class Groups(CachedViewSetMixin, ModelViewSet):
    """What belongs to a user: groups by his name."""

    cache_ttl = 60
    cache_tags = ("groups", "group:{pk}")
    cache_x_cache = True
    authentication_classes = ALL
    permission_classes = (IsAuthenticated,)
    renderer_classes = (JSONRenderer, CSV, BrowsableAPIRenderer)
    serializer_class = GroupSerializer
    pagination_class = Pages
    filter_backends = (SearchFilter,)
    search_fields = ("name",)

    def get_queryset(self) -> Any:
        RUNS[f"{self.action} {self.request.user.username}"] += 1
        return Group.objects.filter(name__startswith=f"{self.request.user.username}-").order_by("id")

    @action(detail=True, methods=["post"])
    def archive(self, request: Any, pk: Any = None) -> Response:
        """An unsafe action."""
        return Response({"archived": pk})

    @action(detail=False, methods=["get"])
    def count(self, request: Any) -> Response:
        """A safe action that is not kept."""
        return Response({"count": self.get_queryset().count()})

    @action(detail=False, methods=["get"])
    @cached_action(ttl=60)
    def summary(self, request: Any) -> Response:
        """A safe action that is, and says X-Cache as its viewset does."""
        return Response({"names": [each.name for each in self.get_queryset()]})

    @action(detail=False, methods=["get"])
    @cached_action(ttl=60, x_cache=False)
    def silent(self, request: Any) -> Response:
        """One that does not."""
        return Response({"names": []})


class Plain(Groups):
    """The same without a cache."""

    cache_actions = frozenset()


class Catalogue(CachedViewSetMixin, ModelViewSet):
    """One for everybody who is permitted."""

    cache_ttl = 60
    cache_per_user = False
    cache_tags = ("catalogue",)
    cache_x_cache = True
    authentication_classes = (Key, *ALL)
    permission_classes = (IsAuthenticated,)
    renderer_classes = (JSONRenderer,)
    serializer_class = GroupSerializer
    queryset = Group.objects.order_by("id")

    def list(self, request: Any, *arguments: Any, **named: Any) -> Any:
        RUNS["catalogue"] += 1
        return super().list(request, *arguments, **named)


class Owner(BasePermission):
    """A permission that is judged by the object."""

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return obj.name.startswith(request.user.username)


class Owned(Catalogue):
    permission_classes = (IsAuthenticated, Owner)


LOOKS: dict[str, Callable[[Any], Any]] = {
    "user": lambda request: request.user.username,
    "auth": lambda request: str(request.auth),
    "authenticator": lambda request: type(request.successful_authenticator).__name__,
    "django-user": lambda request: request._request.user.username,
    "session": lambda request: request.session.get("x"),
    "session-key": lambda request: request.session.session_key,
    "session-empty": lambda request: request._request.session.is_empty(),
    "cookie": lambda request: request.COOKIES.get("x"),
}


class Looking(CachedViewSetMixin, ViewSet):
    """A view for everybody that looks at whom it answers."""

    cache_ttl = 60
    cache_per_user = False
    cache_x_cache = True
    authentication_classes = (Key, *ALL)
    renderer_classes = (JSONRenderer,)

    def retrieve(self, request: Any, pk: str) -> Response:
        RUNS[pk] += 1
        return Response({"seen": LOOKS[pk](request)})


class Mine(CachedViewSetMixin, APIView):
    """An APIView, one for each user, and for nobody."""

    cache_ttl = 60
    cache_actions = frozenset({"get"})
    cache_x_cache = True
    authentication_classes = (Key, *ALL)
    renderer_classes = (JSONRenderer,)

    def get(self, request: Any) -> Response:
        RUNS["mine"] += 1
        return Response({"user": request.user.username, "auth": str(request.auth), "runs": RUNS["mine"]})

    def post(self, request: Any) -> Response:
        return Response(status=int(request.GET.get("status", "201")))


class Throttle(SimpleRateThrottle):
    rate = "2/min"
    cache = None

    def get_cache_key(self, request: Any, view: Any) -> str:
        return "everybody"


class Slow(Mine):
    throttle_classes = (Throttle,)


class Versioned(Mine):
    versioning_class = QueryParameterVersioning

    def get(self, request: Any) -> Response:
        return Response({"version": request.version, "length": len(RUNS)})


class Enveloped(Mine):
    """A view whose response is made in `finalize_response`."""

    def finalize_response(self, request: Any, response: Any, *arguments: Any, **named: Any) -> Any:
        response.data = {"envelope": response.data}
        return super().finalize_response(request, response, *arguments, **named)


class Gone(Mine):
    def get(self, request: Any) -> Response:
        RUNS["gone"] += 1
        raise NotFound


class Readable(Mine):
    http_method_names = ("get", "head")
    renderer_classes = (JSONRenderer, BrowsableAPIRenderer)


class Talking(Mine):
    def get(self, request: Any) -> Response:
        return Response([str(each) for each in messages.get_messages(request)])


class Unauthenticated(Mine):
    authentication_classes = (Refused,)


@api_view(["GET", "POST"])
@authentication_classes([TokenAuthentication])
@permission_classes([IsAuthenticated])
@cached_action(ttl=60, x_cache=True, tags=["report:{name}"])
def report(request: Any, name: str) -> Response:
    """A function."""
    RUNS["report"] += 1
    return Response({"runs": RUNS["report"]})


@api_view(["POST"])
@authentication_classes([TokenAuthentication])
@invalidates_action("report:{name}", "user:{user.pk}")
def publish(request: Any, name: str) -> Response:
    """A write."""
    return Response(status=int(request.GET.get("status", "200")))


router = SimpleRouter()
for prefix, viewset in {"groups": Groups, "plain": Plain, "catalogue": Catalogue, "owned": Owned}.items():
    router.register(prefix, viewset, prefix)
router.register("looking", Looking, "looking")
urlpatterns = [
    path("", include(router.urls)),
    path("mine/", Mine.as_view()),
    path("slow/", Slow.as_view()),
    path("versioned/", Versioned.as_view()),
    path("enveloped/", Enveloped.as_view()),
    path("gone/", Gone.as_view()),
    path("readable/", Readable.as_view()),
    path("talking/", Talking.as_view()),
    path("unauthenticated/", Unauthenticated.as_view()),
    path("around/", cached_view(ttl=60, x_cache=True)(Mine.as_view(cache_actions=frozenset()))),
    path("around-token/", cached_view(ttl=60, authorized=True, x_cache=True)(Mine.as_view(cache_actions=frozenset()))),
    path("around-user/", cached_view(ttl=60, per_user=True, x_cache=True)(Mine.as_view(cache_actions=frozenset()))),
    path("reports/<name>/", report),
    path("reports/<name>/publish/", publish),
]


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here: the rules are the framework's."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture
def site(configure: Callable[..., Any]) -> Iterator[Any]:
    """The site on the test's server; the backend."""
    RUNS.clear()
    backend = configure()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        for name in ("alice", "bob"):
            User.objects.create_user(username=name, password=name)
            Group.objects.bulk_create(Group(name=f"{name}-{number}") for number in range(3))
        yield backend
    User.objects.all().delete()
    Group.objects.all().delete()


def by_token(name: str) -> APIClient:
    """A client with a user's token."""
    token, _ = Token.objects.get_or_create(user=User.objects.get(username=name))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
    return client


def by_session(name: str) -> APIClient:
    """A client with a user's session."""
    client = APIClient()
    client.login(username=name, password=name)
    return client


def by_password(name: str) -> APIClient:
    """A client that sends a user's password."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Basic " + base64.b64encode(f"{name}:{name}".encode()).decode())
    return client


def by_force(name: str) -> APIClient:
    """A client that the test has authenticated."""
    client = APIClient()
    client.force_authenticate(User.objects.get(username=name))
    return client


WAYS = [by_token, by_session, by_password, by_force]
each_way = pytest.mark.parametrize("client_of", WAYS)


def words(client: Client, where: str, times: int = 2, **options: Any) -> list[str]:
    """What X-Cache says of requests one after another."""
    return [client.get(where, **options)["X-Cache"] for _ in range(times)]


def names(client: Client, where: str = "/groups/") -> list[str]:
    """What a list holds."""
    return [each["name"] for each in client.get(where).json()["results"]]


@each_way
@pytest.mark.parametrize("where", ["/groups/", "/groups/?page=2", "/groups/{pk}/", "/groups/summary/"])
def test_reads_are_kept(site: Any, client_of: Callable[[str], APIClient], where: str) -> None:
    """Lists, pages, single objects and decorated actions are kept, however the user came in."""
    pk = Group.objects.get(name="alice-0").pk
    assert words(client_of("alice"), where.format(pk=pk)) == ["miss", "hit"]


def test_an_action_may_be_silent(site: Any) -> None:
    """What it says of X-Cache itself counts more than what its viewset says."""
    assert "X-Cache" in by_force("alice").get("/groups/summary/")
    assert "X-Cache" not in by_force("alice").get("/groups/silent/")


@each_way
@pytest.mark.parametrize("other_of", WAYS)
def test_each_user_gets_his_own(
    site: Any, client_of: Callable[[str], APIClient], other_of: Callable[[str], APIClient]
) -> None:
    """No user is given another's list, however both came in."""
    alice, bob = client_of("alice"), other_of("bob")
    for client, name in ((alice, "alice"), (bob, "bob")) * 2:
        assert names(client) == [f"{name}-0", f"{name}-1"]


@each_way
def test_each_user_gets_his_own_objects_only(site: Any, client_of: Callable[[str], APIClient]) -> None:
    """What one may read, and has read, another may not."""
    pk = Group.objects.get(name="alice-0").pk
    assert client_of("alice").get(f"/groups/{pk}/").status_code == 200
    assert client_of("bob").get(f"/groups/{pk}/").status_code == 404


@each_way
def test_who_is_not_authenticated_gets_nothing(site: Any, client_of: Callable[[str], APIClient]) -> None:
    """A hit asks for credentials as a miss does."""
    client_of("alice").get("/groups/")
    assert APIClient().get("/groups/").status_code == 401


def test_a_revoked_token_gets_nothing(site: Any) -> None:
    """Authentication is done for hits too."""
    alice = by_token("alice")
    alice.get("/groups/")
    Token.objects.all().delete()
    assert alice.get("/groups/").status_code == 401


def test_a_deactivated_user_gets_nothing(site: Any) -> None:
    """The user is looked up for hits too."""
    alice = by_session("alice")
    alice.get("/groups/")
    User.objects.filter(username="alice").update(is_active=False)
    assert alice.get("/groups/").status_code in {401, 403}


def test_permissions_are_asked_on_hits(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is no longer permitted gets nothing from the cache."""
    alice = by_token("alice")
    alice.get("/groups/")
    monkeypatch.setattr(IsAuthenticated, "has_permission", lambda *arguments: False)
    assert alice.get("/groups/").status_code == 403


def test_throttles_count_hits(site: Any) -> None:
    """A hit counts against the rate."""
    Throttle.cache = site
    assert [by_token("alice").get("/slow/").status_code for _ in range(3)] == [200, 200, 429]


def write(client: APIClient, verb: str) -> Any:
    """A write of alice's."""
    pk = Group.objects.get(name="alice-0").pk
    calls = {
        "create": lambda: client.post("/groups/", {"name": "alice-9"}),
        "update": lambda: client.put(f"/groups/{pk}/", {"name": "alice-8"}),
        "partial_update": lambda: client.patch(f"/groups/{pk}/", {"name": "alice-7"}),
        "destroy": lambda: client.delete(f"/groups/{pk}/"),
        "action": lambda: client.post(f"/groups/{pk}/archive/"),
    }
    return calls[verb]()


@pytest.mark.parametrize("verb", ["create", "update", "partial_update", "destroy", "action"])
def test_writes_make_the_user_s_reads_stale(site: Any, verb: str) -> None:
    """After a user's write that succeeded, his list is made anew."""
    alice = by_token("alice")
    words(alice, "/groups/")
    write(alice, verb)
    assert words(alice, "/groups/", 1) == ["miss"]


def test_a_write_that_fails_invalidates_nothing(site: Any) -> None:
    """What was refused has changed nothing."""
    alice = by_token("alice")
    alice.get("/groups/")
    assert alice.post("/groups/", {"name": ""}).status_code == 400
    assert words(alice, "/groups/", 1) == ["hit"]


def test_a_write_makes_the_viewset_s_tags_stale(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cache_tags` reach other users' responses."""
    alice, bob = by_token("alice"), by_token("bob")
    alice.get("/groups/")
    bob.post("/groups/", {"name": "bob-9"})
    assert words(alice, "/groups/", 1) == ["miss"]


def test_a_user_s_tag_reaches_only_his(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tags of the viewset, a write makes only its user's responses stale."""
    monkeypatch.setattr(Groups, "cache_tags", ())
    alice, bob = by_token("alice"), by_token("bob")
    alice.get("/groups/")
    bob.get("/groups/")
    bob.post("/groups/", {"name": "bob-9"})
    assert [words(each, "/groups/", 1) for each in (alice, bob)] == [["hit"], ["miss"]]


def test_tags_of_an_object(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag that names the lookup is an object's; a list has none of it."""
    pk = Group.objects.get(name="alice-0").pk
    alice = by_token("alice")
    for where in ("/groups/", f"/groups/{pk}/"):
        alice.get(where)
    site.invalidate(f"group:{pk}")
    assert [words(alice, where, 1) for where in ("/groups/", f"/groups/{pk}/")] == [["hit"], ["miss"]]


def test_other_tags_of_no_argument_are_a_mistake(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template that names neither the lookup nor an argument says so."""
    monkeypatch.setattr(Groups, "cache_tags", ("group:{nothing}",))
    with pytest.raises(ConfigurationError, match="'nothing'"):
        by_token("alice").get("/groups/")


def test_tags_by_a_method(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cache_tags` may be a method."""
    monkeypatch.setattr(Groups, "cache_tags", lambda self, request: [f"name:{request.user.username}"])
    alice = by_token("alice")
    alice.get("/groups/")
    site.invalidate("name:alice")
    assert words(alice, "/groups/") == ["miss", "hit"]


def test_what_a_write_changes_may_be_said(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tags_to_invalidate` says whose responses a write makes stale."""
    other = User.objects.get(username="alice").pk
    monkeypatch.setattr(Groups, "cache_tags", ())
    monkeypatch.setattr(Groups, "tags_to_invalidate", lambda *arguments: [f"user:{other}"])
    alice = by_token("alice")
    alice.get("/groups/")
    by_token("bob").post("/groups/", {"name": "bob-9"})
    assert words(alice, "/groups/", 1) == ["miss"]


def without_own(response: Any) -> dict[str, str]:
    """A response's headers, but for those that the cache adds."""
    return {name: value for name, value in response.headers.items() if name.lower() not in ADDED}


ADDED = {"etag", "cache-control", "x-cache", "content-length"}


@pytest.mark.parametrize("client_of", [by_token, by_session])
@pytest.mark.parametrize("accept", ["application/json", "application/json; indent=4", "text/csv", "*/*"])
@pytest.mark.parametrize("where", ["/", "/?page=2", "/?search=1", "/{pk}/"])
def test_a_cached_response_is_the_same(
    site: Any, client_of: Callable[[str], APIClient], accept: str, where: str
) -> None:
    """Body and headers of a hit, of a miss, and of the view without a cache are the same, byte for byte."""
    where = where.format(pk=Group.objects.get(name="alice-0").pk)
    alice = client_of("alice")
    answers = [alice.get(f"/{prefix}{where}", headers={"Accept": accept}) for prefix in ("groups", "groups", "plain")]
    assert [each.get("X-Cache") for each in answers] == ["miss", "hit", None]
    assert answers[0].content == answers[1].content == answers[2].content.replace(b"/plain/", b"/groups/")
    assert without_own(answers[0]) == without_own(answers[1]) == without_own(answers[2])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"headers": {"Accept": "application/json"}}, {"headers": {"Accept": "text/csv"}}),
        ({"headers": {"Accept": "application/json"}}, {"headers": {"Accept": "application/json; indent=2"}}),
        ({}, {"query_params": {"format": "csv"}}),
        ({}, {"query_params": {"page": "2"}}),
        ({}, {"query_params": {"search": "1"}}),
        ({}, {"headers": {"Host": "other.example"}}),
        ({}, {"headers": {"Accept-Language": "de"}}),
        ({}, {"secure": True}),
    ],
)
def test_what_is_asked_is_told_apart(site: Any, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Format, page, filter, host, language and scheme are part of the key."""
    alice = by_token("alice")
    assert words(alice, "/groups/", 1, **one) + words(alice, "/groups/", 1, **other) == ["miss", "miss"]


def test_two_ways_to_ask_for_one_format_are_one(site: Any) -> None:
    """What was negotiated counts, not how it was asked for."""
    alice = by_token("alice")
    words(alice, "/groups/", headers={"Accept": "application/json"})
    assert words(alice, "/groups/", 1, headers={"Accept": "application/json, text/plain; q=0.1"}) == ["hit"]


def test_the_order_of_parameters_means_nothing(site: Any) -> None:
    """Two orders of a query are one key."""
    alice = by_token("alice")
    alice.get("/groups/?page=1&search=alice")
    assert words(alice, "/groups/?search=alice&page=1", 1) == ["hit"]


def test_versions_are_told_apart(site: Any) -> None:
    """The API's version is part of the key, and of the response."""
    alice = by_token("alice")
    assert [alice.get(f"/versioned/?version={each}").json()["version"] for each in ("1", "2", "1")] == ["1", "2", "1"]


@pytest.mark.parametrize("client_of", [by_session, by_token])
@pytest.mark.parametrize("where", ["/groups/", "/readable/"])
def test_the_browsable_api_is_never_kept(site: Any, client_of: Callable[[str], APIClient], where: str) -> None:
    """Pages with forms, names and tokens are made each time."""
    alice = client_of("alice")
    with override_settings(
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
    ):
        answers = [alice.get(where, headers={"Accept": "text/html"}) for _ in range(2)]
    assert [each.get("X-Cache") for each in answers] == ["bypass", "bypass"]
    assert all(each["Content-Type"].startswith("text/html") for each in answers)


def test_other_actions_are_not_kept(site: Any) -> None:
    """A safe action that nobody has named runs each time."""
    alice = by_token("alice")
    answers = [alice.get("/groups/count/") for _ in range(2)]
    assert all("X-Cache" not in each for each in answers)


def test_etag_and_304(site: Any) -> None:
    """Who has the response gets 304, from the cache."""
    alice = by_token("alice")
    etag = alice.get("/groups/")["ETag"]
    again = alice.get("/groups/", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again["X-Cache"]) == (304, b"", "hit")


def test_another_user_s_etag_is_none(site: Any) -> None:
    """An ETag of another user's response gets one's own."""
    etag = by_token("alice").get("/groups/")["ETag"]
    bob = by_token("bob")
    assert [bob.get("/groups/", headers={"If-None-Match": etag}).status_code for _ in range(2)] == [200, 200]


def test_head_is_answered_from_get(site: Any) -> None:
    """HEAD has GET's headers and no body."""
    alice = by_token("alice")
    get = alice.get("/groups/")
    head = alice.head("/groups/")
    assert (head["X-Cache"], head.content, head["Content-Length"]) == ("hit", b"", str(len(get.content)))


def test_everybody_who_is_permitted_gets_one(site: Any) -> None:
    """A catalogue is made once for all users, by any way in."""
    clients = [by_token("alice"), by_session("bob"), by_password("alice"), by_token("bob")]
    assert [words(each, "/catalogue/", 1) for each in clients] == [["miss"], ["hit"], ["hit"], ["hit"]]
    assert RUNS["catalogue"] == 1


def test_everybody_s_say_that_the_session_was_read(site: Any) -> None:
    """What the framework has read of a session before is said in Vary, on a miss and on a hit."""
    alice = by_session("alice")
    assert [alice.get("/catalogue/")["Vary"] for _ in range(2)] == ["Accept-Language, Cookie"] * 2


def test_who_is_not_permitted_gets_nothing_of_everybody_s(site: Any) -> None:
    """Permissions are asked before the cache."""
    by_token("alice").get("/catalogue/")
    assert APIClient().get("/catalogue/").status_code in {401, 403}


@pytest.mark.parametrize("look", sorted(LOOKS))
@pytest.mark.parametrize("first", ["alice", None])
def test_who_looks_at_whom_he_answers_is_not_everybody_s(site: Any, look: str, first: str | None) -> None:
    """A view for everybody that looks at the user, his token, session or cookies is not kept."""
    for name in (first, "bob", "alice"):
        client = by_token(name) if name else APIClient()
        assert client.get(f"/looking/{look}/")["X-Cache"] == "bypass"
    assert RUNS[look] == 3


def test_permissions_of_objects_that_look_at_the_user_are_judged_each_time(site: Any) -> None:
    """An object that one may read is not given to another, also where the view says that it is everybody's."""
    pk = Group.objects.get(name="alice-0").pk
    assert [by_token("alice").get(f"/owned/{pk}/").status_code for _ in range(2)] == [200, 200]
    assert by_token("bob").get(f"/owned/{pk}/").status_code == 403


def test_tags_of_the_user_on_everybody_s_are_a_mistake(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response for everybody has no user's tag."""
    monkeypatch.setattr(Catalogue, "cache_tags", ("user:{user.pk}",))
    with pytest.raises(ConfigurationError, match="need cache_per_user"):
        by_token("alice").get("/catalogue/")


def test_visitors_share_one(site: Any) -> None:
    """Who is not authenticated and has no session shares a response with the like of him, and with no user."""
    assert [words(APIClient(), "/mine/", 1) for _ in range(2)] == [["miss"], ["hit"]]
    assert by_token("alice").get("/mine/").json()["user"] == "alice"
    assert APIClient().get("/mine/").json()["user"] == ""


def test_tokens_of_one_user_are_told_apart(site: Any) -> None:
    """Two credentials of one user may have different rights."""
    alice = User.objects.get(username="alice")
    clients = [by_token("alice"), by_session("alice"), by_password("alice")]
    assert [words(each, "/mine/", 1) for each in clients] == [["miss"]] * 3
    assert Token.objects.get(user=alice).key in clients[0].get("/mine/").json()["auth"]


def test_rights_of_an_unknown_kind_are_not_kept(site: Any) -> None:
    """Where nobody can say what `request.auth` is, and no Authorization header says it, nothing is kept."""
    answers = [APIClient().get("/mine/", headers={"X-Key": f"alice/{each}"}).json()["auth"] for each in ("a", "b")]
    assert answers == ["{'scope': 'a'}", "{'scope': 'b'}"]


def test_rights_of_an_unknown_kind_are_told_apart_by_the_header(site: Any) -> None:
    """Where nobody can say what `request.auth` is, the Authorization header that it came of does."""
    sent = [{"Authorization": f"Key alice/{each}"} for each in ("a", "b", "a")]
    answers = [APIClient().get("/mine/", headers=each) for each in sent]
    assert [each.json()["auth"] for each in answers] == ["{'scope': 'a'}", "{'scope': 'b'}", "{'scope': 'a'}"]
    assert [each["X-Cache"] for each in answers] == ["miss", "miss", "hit"]


def test_forced_tokens_are_told_apart(site: Any) -> None:
    """`request.auth` is part of the key."""
    view, alice = Mine.as_view(), User.objects.get(username="alice")
    seen = []
    for token in ("a", "b", "a"):
        request = APIRequestFactory().get("/mine/")
        force_authenticate(request, alice, token)
        seen.append(json.loads(view(request).content)["auth"])
    assert seen == ["a", "b", "a"]


def test_an_apiview(site: Any) -> None:
    """The mixin works on an APIView; its writes make the user's responses stale."""
    alice = by_token("alice")
    assert words(alice, "/mine/") == ["miss", "hit"]
    alice.post("/mine/?status=409")
    assert words(alice, "/mine/", 1) == ["hit"]
    alice.post("/mine/")
    assert words(alice, "/mine/", 1) == ["miss"]


def test_a_visitor_s_write_is_nobody_s(site: Any) -> None:
    """Who is not logged in has no tag that his write could make stale."""
    alice = by_token("alice")
    alice.get("/mine/")
    assert APIClient().post("/mine/").status_code == 201
    assert words(alice, "/mine/", 1) == ["hit"]


def test_finalize_response_belongs_to_what_is_kept(site: Any) -> None:
    """What a view does in `finalize_response` is done once, and served from then on."""
    alice = by_token("alice")
    first, second = alice.get("/enveloped/"), alice.get("/enveloped/")
    assert first.json() == second.json()
    assert list(second.json()) == ["envelope"]
    assert second["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_answers_that_are_raised_are_answered(site: Any) -> None:
    """An exception of the framework is answered as it would be, each time."""
    alice = by_token("alice")
    answers = [alice.get("/gone/") for _ in range(2)]
    assert [(each.status_code, each.json()) for each in answers] == [(404, {"detail": "Not found."})] * 2
    assert RUNS["gone"] == 2


def test_messages_are_not_kept(site: Any) -> None:
    """A view that shows a user's messages runs each time."""
    assert words(by_session("alice"), "/talking/") == ["bypass", "bypass"]


def test_who_cannot_be_authenticated_gets_that_answer(site: Any) -> None:
    """An authentication that fails does not reach the cache."""
    assert APIClient().get("/unauthenticated/").status_code == 403


def test_a_function_below_api_view(site: Any) -> None:
    """`cached_action` and `invalidates_action` on functions."""
    alice = by_token("alice")
    assert words(alice, "/reports/a/") == ["miss", "hit"]
    alice.post("/reports/a/publish/?status=400")
    assert words(alice, "/reports/a/", 1) == ["hit"]
    alice.post("/reports/b/publish/")
    assert words(alice, "/reports/a/", 1) == ["miss"]
    by_token("bob").post("/reports/a/publish/")
    assert words(alice, "/reports/a/", 1) == ["miss"]


def test_other_methods_of_a_cached_action_are_passed_on(site: Any) -> None:
    """A write to a cached function runs it."""
    alice = by_token("alice")
    assert [alice.post("/reports/a/").json()["runs"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("where", ["/around/", "/around-user/"])
def test_cached_view_around_the_framework_keeps_nothing_of_its_users(site: Any, where: str) -> None:
    """Around a view that authenticates by itself nothing is kept that a user got, or a visitor."""
    for headers in ({}, {"X-Key": "alice/a"}, {"X-Key": "bob/a"}, {}):
        expected = headers.get("X-Key", "/").partition("/")[0]
        answer = APIClient().get(where, headers=headers)
        assert (answer.json()["user"], answer["X-Cache"]) == (expected, "bypass")


def test_cached_view_around_the_framework_by_credential(site: Any) -> None:
    """Around a view that authenticates by the Authorization header, each value has its own response."""
    alice, bob = by_token("alice"), by_password("bob")
    assert [words(each, "/around-token/") for each in (alice, bob)] == [["miss", "hit"]] * 2
    assert [each.get("/around-token/").json()["user"] for each in (alice, bob)] == ["alice", "bob"]


def test_cached_view_is_not_for_methods(site: Any) -> None:
    """On a method of the framework, the decorator for views says which one is meant."""
    method = cached_view(ttl=60)(lambda request: None)
    view = type("V", (APIView,), {"get": lambda self, request: method(request)})
    with pytest.raises(ConfigurationError, match="cached_action"):
        view.as_view()(APIRequestFactory().get("/"))


def test_cached_action_is_not_for_views(site: Any) -> None:
    """On a view of Django's, the decorator for methods says which one is meant."""
    with pytest.raises(ConfigurationError, match="cached_view"):
        cached_action(ttl=60)(lambda request: None)(object())


def test_invalidates_action_needs_tags() -> None:
    """A write that names nothing is a mistake."""
    with pytest.raises(ConfigurationError, match="needs tags"):
        invalidates_action()


@pytest.mark.parametrize("query", ["q" * 65_536, "search=" + "%00" * 9, "page=1&" * 500])
def test_hostile_queries(site: Any, query: str) -> None:
    """A hostile query is a miss or a refusal, and another user gets nothing of it."""
    alice, bob = by_token("alice"), by_token("bob")
    first = alice.get(f"/groups/?{query}")
    second = bob.get(f"/groups/?{query}")
    assert b"alice" not in second.content
    assert first.status_code == second.status_code


def test_clear_makes_all_stale(site: Any) -> None:
    """`clear()` is everything."""
    alice = by_token("alice")
    alice.get("/groups/")
    caches["default"].clear()
    assert words(alice, "/groups/", 1) == ["miss"]


class Remembering(BasePermission):
    """A permission that judges objects by a user whom it has remembered."""

    def has_permission(self, request: Any, view: Any) -> bool:
        self.name = request.user.username
        return True

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return obj.name.startswith(self.name)


class Marking(BasePermission):
    """A permission that leaves what it found for the handler."""

    def has_permission(self, request: Any, view: Any) -> bool:
        view.name = request.user.username
        return True


class Caching(BasePermission):
    """The same, on the request."""

    def has_permission(self, request: Any, view: Any) -> bool:
        request._name = request.user.username
        return True


class Naming(BasePermission):
    """The same, among the URL's arguments."""

    def has_permission(self, request: Any, view: Any) -> bool:
        view.kwargs["name"] = request.user.username
        return True


class OnePermission(Catalogue):
    """A viewset whose permissions are the same objects for all checks of a request."""

    lookup_value_regex = r"\d+"

    def get_permissions(self) -> Any:
        if not hasattr(self, "made"):
            self.made = super().get_permissions()
        return self.made


class Judged(Catalogue):
    """The same, for all requests."""

    permission = Remembering()

    def get_permissions(self) -> Any:
        return [self.permission]


class Both(Judged):
    permission = (IsAuthenticated & Remembering)()


class Either(Judged):
    permission = (~IsAuthenticated | Remembering)()


class ByHand(Catalogue):
    """A viewset that judges objects itself."""

    def check_permissions(self, request: Any) -> None:
        super().check_permissions(request)
        SEEN["name"] = request.user.username

    def check_object_permissions(self, request: Any, obj: Any) -> None:
        if not obj.name.startswith(SEEN["name"]):
            self.permission_denied(request)


SEEN: dict[str, str] = {}


@pytest.mark.parametrize("viewset", [OnePermission, Judged, Both, Either, ByHand])
def test_objects_are_judged_each_time_by_whom_a_permission_remembers(site: Any, viewset: Any) -> None:
    """A permission for objects is judged for each request, also where it asks nobody for the user."""
    kind = type("One", (viewset,), {"permission_classes": (Remembering,)})
    view, pk = kind.as_view({"get": "retrieve"}), Group.objects.get(name="alice-0").pk
    assert [view(asked_by(name), pk=pk).status_code for name in ("alice", "alice", "bob")] == [200, 200, 403]


def test_a_permission_without_a_say_about_objects_keeps_nothing_from_being_kept(site: Any) -> None:
    """Objects for everybody are kept where no permission judges them."""
    pk = Group.objects.get(name="alice-0").pk
    assert [words(by_token(name), f"/catalogue/{pk}/", 1) for name in ("alice", "bob")] == [["miss"], ["hit"]]


def asked_by(name: str, **headers: str) -> Any:
    """A request of a user."""
    request = APIRequestFactory().get("/x/", headers=headers)
    request.session = SessionStore()
    force_authenticate(request, User.objects.get(username=name))
    return request


class After:
    """Looks at whom it answers after the checks."""

    def initial(self, request: Any, *arguments: Any, **named: Any) -> None:
        super().initial(request, *arguments, **named)  # type: ignore[misc]
        SEEN["name"] = str(self.look(request))

    def look(self, request: Any) -> Any:
        return request.user.username


class ByDjango(After):
    def look(self, request: Any) -> Any:
        return request._request.user.username


class BySession(After):
    def look(self, request: Any) -> Any:
        return request.session.session_key


class ByCookie(After):
    def look(self, request: Any) -> Any:
        return request._request.COOKIES.get("name")


class Below:
    """A mixin below ours: it keeps what it finds in the view."""

    def initial(self, request: Any, *arguments: Any, **named: Any) -> None:
        super().initial(request, *arguments, **named)  # type: ignore[misc]
        self._name = request.user.username


class Shown(CachedViewSetMixin):
    cache_ttl = 60
    cache_per_user = False
    cache_x_cache = True
    permission_classes = ()

    def list(self, request: Any, **named: Any) -> Response:
        RUNS["shown"] += 1
        return Response(getattr(self, "name", "") or SEEN.get("name", ""))


ABOVE = [(After, Shown), (ByDjango, Shown), (BySession, Shown), (ByCookie, Shown), (Shown, Below)]


@pytest.mark.parametrize("bases", ABOVE, ids=lambda bases: f"{bases[0].__name__}-{bases[1].__name__}")
def test_who_looks_before_the_handler_is_not_everybody_s(site: Any, bases: tuple[type, ...]) -> None:
    """A look in `initial()`, above the mixin or below it, keeps a view for everybody from being kept."""
    view = type("View", (*bases, ViewSet), {}).as_view({"get": "list"})
    assert [view(asked_by(name))["X-Cache"] for name in ("alice", "bob")] == ["bypass"] * 2
    assert RUNS["shown"] == 2


@pytest.mark.parametrize("permission", [Marking, Caching, Naming])
def test_what_a_permission_leaves_behind_is_not_everybody_s(site: Any, permission: type) -> None:
    """What the checks leave on view or request may be the user's, so it is neither kept nor served."""
    view = type("View", (Shown, ViewSet), {"permission_classes": (permission,)}).as_view({"get": "list"})
    assert [view(asked_by(name))["X-Cache"] for name in ("alice", "bob")] == ["bypass"] * 2


def test_who_has_looked_gets_nothing_of_everybody_s(site: Any) -> None:
    """A request for which somebody looked at the user is not answered by what was kept when nobody did."""

    class Sometimes(After):
        def look(self, request: Any) -> Any:
            return request.user.username if "X-Mine" in request.headers else ""

    view = type("View", (Sometimes, Shown, ViewSet), {}).as_view({"get": "list"})
    answers = [view(asked_by("alice")), view(asked_by("bob", **{"X-Mine": "1"})), view(asked_by("bob"))]
    assert [each["X-Cache"] for each in answers] == ["miss", "bypass", "hit"]


def test_tags_made_of_the_user_are_not_everybody_s(site: Any) -> None:
    """A method that makes tags of the user has looked at him."""
    tags = {"cache_tags": lambda self, request: [f"name:{request.user.username}"]}
    view = type("View", (Shown, ViewSet), tags).as_view({"get": "list"})
    assert [view(asked_by(name))["X-Cache"] for name in ("alice", "bob")] == ["bypass"] * 2


def test_a_decorated_action_inside_looks_for_the_viewset_too(site: Any) -> None:
    """What an action inside looked at, the viewset around it has looked at."""
    action_inside = cached_action(ttl=60, per_user=False)(lambda self, request: Response(request.user.username))
    view = type("View", (Shown, ViewSet), {"list": action_inside}).as_view({"get": "list"})
    answers = [view(asked_by(name)) for name in ("alice", "bob")]
    assert [json.loads(each.rendered_content) for each in answers] == ["alice", "bob"]


def test_a_request_that_fails_before_its_handler_is_as_it_was(site: Any) -> None:
    """Where `initial()` refuses a request, nothing is left of the watch."""

    class Refusing(After):
        def look(self, request: Any) -> Any:
            SEEN["class"] = type(request).__name__
            raise NotFound

    request = asked_by("alice")
    cookies = request.COOKIES
    view = type("View", (Refusing, Shown, ViewSet), {}).as_view({"get": "list"})
    response = view(request)
    assert response.status_code == 404
    assert SEEN["class"] == "NotingRequest"
    assert type(response.renderer_context["request"]).__name__ == "Request"
    assert type(request.session) is SessionStore
    assert request.COOKIES is cookies


class Accounts(CachedViewSetMixin, ViewSet):
    """One's own account."""

    cache_tags = ("account:{user.pk}", "name:{user.username}")
    permission_classes = ()

    def destroy(self, request: Any) -> Response:
        """Delete it."""
        request.user.delete()
        return Response(status=204)

    def update(self, request: Any) -> Response:
        """Rename it, as somebody else who is logged in from now on."""
        request.user = User.objects.get(username="bob")
        return Response()


def test_who_deletes_his_account_makes_his_responses_stale(site: Any) -> None:
    """The writer's tags are those that he had before the write."""
    alice = User.objects.get(username="alice")
    tags = [f"user:{alice.pk}", f"account:{alice.pk}", "name:alice"]
    for tag in tags:
        site.set(tag, 1, tags=[tag])
    request = APIRequestFactory().delete("/x/")
    force_authenticate(request, alice)
    assert Accounts.as_view({"delete": "destroy"})(request).status_code == 204
    assert [site.get(tag, tags=[tag]) for tag in tags] == [None] * 3


def test_who_is_logged_in_by_a_write_has_written(site: Any) -> None:
    """Where a write changes who is logged in, both users' tags are stale."""
    users = [User.objects.get(username=name) for name in ("alice", "bob")]
    tags = [f"user:{each.pk}" for each in users] + ["name:alice", "name:bob"]
    for tag in tags:
        site.set(tag, 1, tags=[tag])
    request = APIRequestFactory().put("/x/")
    force_authenticate(request, users[0])
    assert Accounts.as_view({"put": "update"})(request).status_code == 200
    assert [site.get(tag, tags=[tag]) for tag in tags] == [None] * 4


def test_a_tag_that_goes_with_the_write_is_the_one_from_before(site: Any) -> None:
    """What a tag names may be gone after the write: it was written, and is answered so."""

    class Gone(Accounts):
        cache_tags = ("group:{user.group.pk}",)

        def destroy(self, request: Any) -> Response:
            request.user.group = None
            return Response(status=204)

    alice = User.objects.get(username="alice")
    alice.group = Group.objects.first()
    tag = f"group:{alice.group.pk}"
    site.set("kept", 1, tags=[tag])
    request = APIRequestFactory().delete("/x/")
    force_authenticate(request, alice)
    assert Gone.as_view({"delete": "destroy"})(request).status_code == 204
    assert site.get("kept", tags=[tag]) is None
