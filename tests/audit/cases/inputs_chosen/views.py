import re

from django.core.cache import cache

PLAIN = re.compile(r"[a-z]{1,20}")
RANGES = {"today", "weekly", "monthly"}
LABELS = {"/login": "login", "/account": "account"}


class BadNumberError(ValueError):
    pass


def normalized(value):
    digits = "".join(each for each in str(value or "") if each.isdigit())
    if len(digits) < 10:
        raise BadNumberError
    return digits[-10:]


def of_known_form(value):
    value = value.strip()
    if not PLAIN.fullmatch(value):
        raise ValueError(value)
    return value


def of_form_found(value):
    found = PLAIN.fullmatch(value)
    if found is None:
        raise ValueError(value)
    return value


def of_form_if_any(value):
    if not value or (found := PLAIN.fullmatch(value)):
        return value
    return "none"


def of_form_or_so(value):
    found = PLAIN.fullmatch(value)
    if found is None:
        log(value)
    return value


def long_enough(value):
    if len(value) < 3:
        raise ValueError(value)
    return value


def without_spaces(value):
    return "".join(each for each in value if each != " ")


def number(request):
    cache.set(f"number:{normalized(request.GET['number'])}", load_it(), 60)


def of_form(request):
    cache.set(f"form:{of_known_form(request.GET['name'])}", load_it(), 60)


def of_form_known_before(request):
    cache.set(f"found:{of_form_found(request.GET['name'])}", load_it(), 60)


def of_form_or_anything(request):
    cache.set(f"any:{of_form_or_so(request.GET['name'])}", load_it(), 60)  # expect: UNS010


def of_form_or_empty(request):
    cache.set(f"empty:{of_form_if_any(request.GET['name'])}", load_it(), 60)  # expect: UNS010


def of_length(request):
    cache.set(f"long:{long_enough(request.GET['name'])}", load_it(), 60)  # expect: UNS010


def spaceless(request):
    cache.set(f"spaceless:{without_spaces(request.GET['name'])}", load_it(), 60)  # expect: UNS010


def one_of(request):
    asked = request.GET["range"]
    span = asked if asked in RANGES else "today"
    cache.set(f"board:{span}", load_board(span), 60)


def one_of_the_other_way(request):
    asked = request.GET["range"]
    span = "today" if asked not in RANGES else asked
    cache.set(f"board:{span}", load_board(span), 60)


def none_of(request):
    asked = request.GET["range"]
    span = asked if asked not in RANGES else "today"
    cache.set(f"board:{span}", load_board(span), 60)  # expect: UNS010


def another_was_checked(request):
    name = request.GET["name"] if request.GET["range"] in RANGES else "nobody"
    cache.set(f"board:{name}", load_board(name), 60)  # expect: UNS010


def label(request):
    cache.set(f"of:{LABELS.get(request.path.rstrip('/'))}", load_it(), 60)


def item(request):
    cache.set(f"at:{LABELS[request.path]}", load_it(), 60)


def label_or_itself(request):
    path = request.path
    cache.set(f"or:{LABELS.get(path, path)}", load_it(), 60)  # expect: UNS010
