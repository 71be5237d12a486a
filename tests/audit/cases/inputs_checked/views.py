import jwt
from django.core.cache import cache
from django.utils.text import slugify
from flask import abort
from rest_framework.viewsets import ModelViewSet

from .orders import create_order, name_of_list

SORTS = {"new", "old"}


def one_of(request):
    sort = request.GET.get("sort", "new")
    if sort not in SORTS:
        raise ValueError(sort)
    cache.set(f"list:{sort}", load_list(sort), 60)


def one_of_else_another(request):
    sort = request.GET.get("sort")
    if not sort or sort not in SORTS:
        sort = "new"
    cache.set(f"list:{sort}", load_list(sort), 60)


def within(request):
    sort = request.GET["sort"]
    if sort in SORTS and request.method == "GET":
        cache.set(f"list:{sort}", load_list(sort), 60)


def one_of_or_anything(request):
    sort = request.GET["sort"]
    if sort in SORTS or request.GET.get("all"):
        cache.set(f"list:{sort}", load_list(sort), 60)  # expect: UNS010


def not_empty(request):
    words = request.GET.get("q", "")
    if words == "":
        raise ValueError
    cache.set(f"found:{words}", find(words), 60)  # expect: UNS010


def digits(request):
    page = request.GET["page"]
    if not page.isdigit():
        abort(404)
    cache.set(f"page:{page}", load_page(page), 60)


def as_it_was_stored(request):
    state = request.GET["state"]
    if cache.get(f"asked:{state}") != state:
        abort(403)
    cache.set(f"answer:{state}", load_answer(state), 60)


def known(request):
    name = request.GET["name"]
    entry = cache.get(f"plug:{name}")
    if not entry:
        raise LookupError
    entry = opened(entry)
    entry["state"] = turned(entry)
    cache.set(f"plug:{name}", entry, 60)


def created(request):
    order = create_order(request.POST["address"])
    cache.set(f"order-of:{order.number}", load_order(order), 60)


def named(request):
    cache.set(name_of_list(request.GET["q"]), load_list(), 60)  # expect: UNS010


def signed(request):
    payload = jwt.decode(request.headers["Authorization"], "secret", algorithms=["HS256"])
    cache.set(f"of:{payload['sub']}", load_it(payload), 60)


def address(request):
    cache.set(f"seen:{request.META['REMOTE_ADDR']}:{request.META.get('REMOTE_ADDR')}", 1, 60)


def address_as_said(request):
    cache.set(f"seen:{request.META.get('HTTP_X_FORWARDED_FOR')}", 1, 60)  # expect: UNS010


def slug(request):
    cache.set(slugify(request.get_full_path()), render_it(request), 60)  # expect: UNS010


def code(request):
    cache.set(f"otp:{request.POST['email']}", draw(), 60)  # expect: UNS010
    cache.add(request.POST["trace"], draw(), 60)  # expect: UNS010
    cache.add(f"tries-limit:{request.POST['email']}", 1, 60)


class Cached:
    def get_key(self):
        return f"rows:{self.get_queryset().model.__name__}"

    def keep(self):
        cache.set(self.get_key(), load_rows(self), 60)


class Courses(Cached, ModelViewSet):
    def get_queryset(self):
        rows = super().get_queryset()
        return rows.filter(name=self.request.query_params["name"])


def in_words(text):
    return text.title()


def kept(row):
    cache.set(f"kept:{in_words(row.kind)}", load_kept(row), 60)


def shown(request):
    return in_words(request.GET["kind"])


def once(request):
    if not cache.add(f"seen-id:{request.POST['id']}", 1, 60):
        raise PermissionError
