"""UNS011 user-data-shared: what depends on the current user is stored under a key without the user.

Bad::

    from django.core.cache import cache

    def dashboard(request):
        orders = list(request.user.orders.all())
        cache.set("dashboard", orders, 60)
        return orders

Bad::

    from django.contrib.auth.decorators import login_required
    from django.views.decorators.cache import cache_page

    @login_required
    @cache_page(60)
    def account(request):
        return render(request, "account.html")

Good::

    from django.core.cache import cache

    def dashboard(request):
        orders = list(request.user.orders.all())
        cache.set(f"dashboard:{request.user.pk}", orders, 60)
        return orders

Good::

    from django.views.decorators.cache import cache_page
    from django.views.decorators.vary import vary_on_cookie

    @cache_page(60)
    @vary_on_cookie
    def account(request):
        return render(request, "account.html", {"name": request.user.name})
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from unstale.tools.audit.code.keys import written
from unstale.tools.audit.code.kinds import Class, Family, Function, Method
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Scope
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.code.words import any_of
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule

_STORES: Final = frozenset({Verb.SET, Verb.GET_OR_SET})
_SOMEBODY: Final = any_of(
    "user", "session", "account", "member", "customer", "profile", "owner", "token", "email", "phone", "login", "uid",
    "tenant",
)  # fmt: skip
_LOGIN: Final = frozenset(
    {
        "login_required",
        "permission_required",
        "user_passes_test",
        "LoginRequiredMixin",
        "PermissionRequiredMixin",
        "UserPassesTestMixin",
        "staff_member_required",
        "AccessMixin",
    }
)
_CHANGES: Final = frozenset({
    "post", "put", "patch", "delete", "create", "update", "partial_update", "destroy", "perform_create",
    "perform_update", "perform_destroy", "form_valid", "form_invalid",
})  # fmt: skip
"""Methods of a view whose answers no page cache keeps: it keeps those of GET."""
_VARIES: Final = frozenset({"vary_on_cookie", "vary_on_headers"})


def find(code: Code) -> Iterator[Hit]:
    """Every store of a user's data under a shared key, and every cached page that is a user's."""
    for scope in code.project.scopes:
        if scope.is_function:
            yield from _stores(scope, code)
            yield from _decorated(scope, code)
        for call in scope.calls:
            if (
                called_name(call) == "cache_page"
                and not _varies_around(call, scope)
                and _is_personal(call, scope, code)
            ):
                yield Hit(
                    call,
                    scope,
                    "cache_page keeps one page for everybody, and this view is a user's own.",
                    "unstale's cached_view(per_user=True), or vary_on_cookie.",
                )


def _stores(scope: Scope, code: Code) -> Iterator[Hit]:
    seen: set[ast.Call] = set()
    for deed in code.wrappers.deeds(scope):
        if deed.verb not in _STORES or deed.value is None or deed.call in seen or deed.depth > 1:
            continue
        key = deed.key_given
        if key is None or _SOMEBODY.search(written(deed.key)):
            continue
        if any(code.origins.names_somebody(each, scope) for each in code.wrappers.given_for_key(deed)):
            continue
        if (found := code.origins.user_of(deed.value, scope)) is not None:
            seen.add(deed.call)
            also = (found.node,) if isinstance(found.node, ast.AST) and found.scope is scope else ()
            yield Hit(deed.call, scope, also=also, by_name=deed.inner.by_name)


def _decorated(scope: Scope, code: Code) -> Iterator[Hit]:
    """Flask-Caching's `@cache.cached()`, which has a key of the path, and `@cache.memoize()`, of the arguments."""
    for each in scope.decorators:
        if not isinstance(each, ast.Call) or called_name(each) not in {"cached", "memoize"}:
            continue
        is_flask = any(
            isinstance(kind, Method) and kind.client.family is Family.FLASK
            for kind in code.inference.kinds(each.func, scope.parent or scope)
        )
        own_key = [word.value for word in each.keywords if word.arg in {"key_prefix", "make_cache_key", "make_name"}]
        if not is_flask or any(not isinstance(value, ast.Constant) for value in own_key):
            continue
        if _asks_for_user(scope) or (called_name(each) == "cached" and _is_view_personal(scope, code)):
            yield Hit(each, scope)


def _asks_for_user(scope: Scope) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "current_user" for each in ast.walk(scope.node))


def _varies_around(call: ast.Call, scope: Scope) -> bool:
    """Whether what is around a `cache_page` varies by cookie or Authorization."""
    parents = scope.module.parents
    node: ast.AST = call
    while (parent := parents.get(node)) is not None and not isinstance(parent, ast.stmt):
        if _says_vary(parent):
            return True
        node = parent
    return isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and any(
        _says_vary(each) for each in parent.decorator_list
    )


def _says_vary(node: ast.AST) -> bool:
    for each in ast.walk(node):
        name = each.id if isinstance(each, ast.Name) else each.attr if isinstance(each, ast.Attribute) else ""
        if name == "vary_on_cookie":
            return True
        if isinstance(each, ast.Call) and called_name(each) in _VARIES:
            headers = [str(arg.value).lower() for arg in each.args if isinstance(arg, ast.Constant)]
            if not each.args or any(header in {"authorization", "cookie"} for header in headers):
                return True
    return False


def _is_personal(call: ast.Call, scope: Scope, code: Code) -> bool:
    parents = scope.module.parents
    node: ast.AST = call
    while (parent := parents.get(node)) is not None and not isinstance(parent, ast.stmt):
        wraps = isinstance(parent, ast.Call) and (parent.func is node or called_name(parent) in _LOGIN)
        if wraps and any(isinstance(each, ast.Call) and called_name(each) in _LOGIN for each in ast.walk(parent)):
            return True
        node = parent
    return any(_is_view_personal(view, code) for view in _views(call, scope, code))


def _views(call: ast.Call, scope: Scope, code: Code) -> Iterator[Scope]:
    """What a `cache_page` is put around: what it decorates, or what it is called with."""
    parents = scope.module.parents
    node: ast.AST = call
    while (parent := parents.get(node)) is not None:
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node in parent.decorator_list:
            view = scope.module.scopes[parent]
            yield view
            if view.owner is not None:
                yield view.owner
            return
        if isinstance(parent, ast.Call) and parent.func is node:
            for arg in parent.args[:1]:
                target = (
                    arg.func.value
                    if isinstance(arg, ast.Call) and isinstance(arg.func, ast.Attribute) and arg.func.attr == "as_view"
                    else arg
                )
                yield from (
                    kind.scope for kind in code.inference.kinds(target, scope) if isinstance(kind, (Function, Class))
                )
            return
        if isinstance(parent, ast.stmt):
            return
        node = parent


def _is_view_personal(view: Scope, code: Code) -> bool:
    names = {_name(each) for each in view.decorators}
    if isinstance(view.node, ast.ClassDef):
        names |= {_name(each) for each in view.node.bases}
    if names & _LOGIN or any("login_required" in ast.unparse(each) for each in view.decorators):
        return True
    if any(
        "IsAuthenticated" in ast.unparse(each) and "OrReadOnly" not in ast.unparse(each) for each in _permissions(view)
    ):
        return True
    scopes = [view, *code.inference.classes_of(view)] if view.is_class else [view]
    return any(_uses_user(node, code, each) for each in scopes for node in _answering_get(each))


def _answering_get(view: Scope) -> list[ast.AST]:
    """What of a view runs for GET."""
    if not isinstance(view.node, ast.ClassDef):
        return [view.node]
    return [each for each in view.node.body if not _is_of_another_method(each)]


def _is_of_another_method(statement: ast.stmt) -> bool:
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    for each in statement.decorator_list:
        if isinstance(each, ast.Call) and called_name(each) == "action":
            asked = [ast.unparse(word.value).lower() for word in each.keywords if word.arg == "methods"]
            return bool(asked) and "get" not in asked[0]
    return statement.name in _CHANGES


def _permissions(view: Scope) -> Iterator[ast.AST]:
    yield from view.decorators
    if isinstance(view.node, ast.ClassDef):
        for statement in view.node.body:
            if isinstance(statement, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == "permission_classes" for target in statement.targets
            ):
                yield statement.value


def _uses_user(node: ast.AST, code: Code, scope: Scope) -> bool:
    return any(
        isinstance(each, ast.Attribute) and each.attr == "user" and code.origins.is_request(each.value, scope)
        for each in ast.walk(node)
    )


def _name(expr: ast.expr) -> str:
    match expr:
        case ast.Call(func=func):
            return _name(func)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


RULE = Rule(
    "UNS011",
    "user-data-shared",
    Level.ERROR,
    "What is stored depends on the current user, and the key does not say which: the next user is given it.",
    'Put the user into the key, or use a bound cache: cache.scope("user", user.pk).',
    find,
    __doc__,
)
