from django.core.cache import cache

from .keys import (
    KEYS,
    Counter,
    keep_asked,
    keep_bought,
    keep_loaded,
    keep_rows,
    keep_rows_of,
    keep_stripped,
    key_of,
    long_key,
    put,
    taken,
)


def hashed_by_helper(request):
    words = request.GET.dict()
    keep_rows(load_rows(words), words)


def named_to_helper(request):
    name = request.GET["name"]
    keep_rows_of(name, load_rows(name))  # expect: UNS010


def hashed_in_key(request):
    words = request.GET.dict()
    cache.set(long_key("list", "all", words), load_rows(words), 60)


def named_in_key(request):
    cache.set(long_key("list", request.GET["name"]), load_rows(), 60)  # expect: UNS010


def hashed_words(request):
    cache.set(key_of("page", "all", words=request.GET.dict()), load_rows(), 60)


def parts_as_they_came(request):
    cache.set(key_of("page", request.path, request.GET.dict()), load_rows(), 60)  # expect: UNS010


def buy(request):
    keep_bought(request.user, request.data)


def ask(request):
    keep_asked(request.user, request.data)  # expect: UNS010


def strip(request):
    keep_loaded(request.data)
    keep_stripped(request.GET["q"])


def without_field(request):
    key = KEYS["rows"].format(kind=request.GET["kind"], user_id=request.user.pk, version=version())
    cache.set(key, load_rows(), 60)


def with_field(request):
    key = KEYS["typed"].format(kind=request.GET["kind"], user_id=request.user.pk)
    cache.set(key, load_rows(), 60)  # expect: UNS010


def too_many(request):
    cache.set(KEYS["placed"].format(request.user.pk, version(), request.GET["kind"]), load_rows(), 60)


def placed(request):
    cache.set(KEYS["placed"].format(request.user.pk, request.GET["kind"]), load_rows(), 60)  # expect: UNS010


def search(request):
    return found_by(request.GET["name"])


def found_by(name):
    key = f"found:{name}"
    found = taken(key)
    if found:
        return found
    rows = load_rows(name)
    put(key, rows)  # expect: UNS005 UNS010
    return rows


def tried(request):
    key = f"ratelimit:{request.META.get('HTTP_X_FORWARDED_FOR')}"
    return Counter().count(key)
