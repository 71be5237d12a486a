"""Where a value comes from, in the words of the rules: a request's text, the current user, a clock, a cache.

Each is asked of the sources of a value (`derivation`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from unstale.tools.audit.code.derivation import Asked, Derivation, Source
from unstale.tools.audit.code.guards import ancestors
from unstale.tools.audit.code.inferring import Inference
from unstale.tools.audit.code.kinds import External, Function, Instance, Object
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Parameter, Scope, Value
from unstale.tools.audit.code.texts import Texts
from unstale.tools.audit.code.words import any_of

_REQUESTS: Final = frozenset(
    {"request", "req", "http_request", "_request", "websocket", "django_request", "drf_request"}
)
_INPUT: Final = frozenset({
    "GET", "POST", "query_params", "args", "path", "path_info", "META", "COOKIES", "cookies", "headers", "body",
    "data", "form", "json", "values", "url", "full_path", "query_string", "path_params", "match_info", "rel_url",
    "view_args", "get_full_path", "build_absolute_uri", "get_raw_uri", "get_json", "get_data", "base_url", "uri",
    "query", "arguments", "get_argument", "get_query_argument", "raw_uri",
})  # fmt: skip
_USER_WORD: Final = any_of(
    "user", "session", "account", "owner", "member", "customer", "profile", "tenant", "uid", "viewer", "auth", "email",
    "phone", "token", "person", "client_id", "visitor", "wallet", "player",
)  # fmt: skip
_ROWS: Final = frozenset({"get_queryset", "get_object", "get_context_data", "filter_queryset"})
_CURRENT_USER: Final = frozenset({"user", "current_user", "request_user"})
_CLOCKS: Final = frozenset({
    "time.time", "time.time_ns", "time.monotonic", "datetime.datetime.now", "datetime.datetime.utcnow",
    "datetime.datetime.today", "datetime.date.today", "django.utils.timezone.now", "django.utils.timezone.localtime",
    "pendulum.now", "arrow.utcnow", "arrow.now", "datetime.now", "datetime.utcnow", "time.perf_counter",
    "django.utils.timezone.datetime.now", "asyncio.get_event_loop.time",
})  # fmt: skip
_ROUTE: Final = re.compile(
    r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>|\(\?P<(\w+)>((?:[^()]|\([^()]*\))*)\)|\{(\w+)(?::(\w+))?\}"
)
_TYPED: Final = frozenset({"int", "uuid", "slug", "float"})
_DIGITS_ONLY: Final = re.compile(r"(?:\\d|\[0-9a-fA-F\\-]|\[0-9a-f-\]|\[0-9\]|\[\\d\]|\[\w\\-]|\[-\\w\]|\\w)[+*{}\d,]*")
_ROUTE_DECORATORS: Final = frozenset(
    {"get", "post", "put", "patch", "delete", "head", "options", "api_route", "route", "websocket"}
)
SHORT: Final = 4
"""A function with no more calls than these does nothing but ask for the time."""
_BOUNDED: Final = frozenset({"max_length", "pattern", "regex", "enum", "le", "lt"})


class Origins:
    """Asks a project."""

    def __init__(self, derivation: Derivation, texts: Texts) -> None:
        """Take what is known of the project."""
        self._derivation = derivation
        self._texts = texts
        self._inference: Inference = derivation.inference
        self._routes: dict[str, set[str]] | None = None

    def input_of(self, expr: ast.expr, scope: Scope, *, callers: int = 0) -> Source | None:
        """What of a request's text is in a value, unhashed and of no checked type; None if nothing is."""
        for source in self._derivation.sources(expr, scope, callers=callers, results=2, passes=self._texts.keeps):
            if self.is_input(source):
                return source
        return None

    def is_input(self, source: Source) -> bool:
        """Whether this is a request's text."""
        node, scope = source.node, source.scope
        if isinstance(node, Parameter):
            return self._is_text_parameter(node)
        if isinstance(node, ast.Attribute):
            if node.attr in _INPUT and self.is_request(node.value, scope):
                return not _is_address(node, scope)
            return self._is_model_field(node, scope)
        if isinstance(node, ast.Call):
            return self._is_path_argument(node)
        return False

    def is_request(self, expr: ast.expr, scope: Scope) -> bool:
        """Whether an expression is the request."""
        match expr:
            case ast.Name(id=name):
                if name in _REQUESTS:
                    return not any(isinstance(kind, Object) for kind in self._inference.kinds(expr, scope))
            case ast.Attribute(attr="request" | "_request"):
                return True
            case ast.Attribute(value=inner, attr="url"):
                return self.is_request(inner, scope)
            case ast.Call(func=ast.Name(id="get_current_request" | "get_request")):
                return True
            case _:
                pass
        return any(
            isinstance(kind, Instance) and kind.name.rpartition(".")[2] in {"Request", "HttpRequest", "WSGIRequest"}
            for kind in self._inference.kinds(expr, scope)
        )

    def _is_text_parameter(self, parameter: Parameter) -> bool:
        scope = parameter.scope
        if parameter.many or parameter.name in {"self", "cls", "request"}:
            return False
        types = self._routes_of(parameter.name, scope)
        route = _route_of(scope)
        if route is None:
            if not _is_view(scope):
                return False
            return bool(types) and not types & _TYPED and "text" in types
        framework, text = route
        if framework == "flask":
            for found in _ROUTE.finditer(text):
                if found.group(2) == parameter.name:
                    return (found.group(1) or "string") in {"string", "path"}
            return False
        return _is_text_annotation(parameter)

    def _is_model_field(self, node: ast.Attribute, scope: Scope) -> bool:
        """A text field of a model that a FastAPI route was given as its body."""
        if not isinstance(node.value, ast.Name):
            return False
        _, bindings = self._inference.home(node.value.id, scope)
        for binding in bindings:
            if not isinstance(binding, Parameter) or (route := _route_of(binding.scope)) is None or route[0] == "flask":
                continue
            for kind in self._inference.named(node.value.id, scope):
                if isinstance(kind, Object) and any(
                    base.name.startswith("pydantic.") for base in self._inference.externals_of(kind.scope)
                ):
                    return any(
                        _is_text_field(field, node.attr)
                        for each in self._inference.classes_of(kind.scope) for field in _body(each)
                    )  # fmt: skip
        return False

    def _is_path_argument(self, node: ast.Call) -> bool:
        """`self.kwargs.get("name")`, if a route has that name for any text."""
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="kwargs") | ast.Name(id="kwargs"), attr="get" | "pop"),
                args=[ast.Constant(value=str() as name), *_],
            ):
                types = self._routes_of(name, None)
                return "text" in types and not types & _TYPED
            case _:
                return False

    def _routes_of(self, name: str, scope: Scope | None) -> set[str]:
        """The types that the project's Django routes have for a name: "int", "text" and so on."""
        del scope
        if self._routes is None:
            self._routes = {}
            for module in self._derivation.project.modules:
                for each in module.scopes.values():
                    for call in each.calls:
                        if (
                            called_name(call) in {"path", "re_path", "url"}
                            and call.args
                            and isinstance(call.args[0], ast.Constant)
                            and isinstance(call.args[0].value, str)
                        ):
                            for found in _ROUTE.finditer(call.args[0].value):
                                if found.group(2):
                                    self._routes.setdefault(found.group(2), set()).add(
                                        "text" if (found.group(1) or "str") in {"str", "path"} else found.group(1)
                                    )
                                elif found.group(3):
                                    typed = _DIGITS_ONLY.fullmatch(found.group(4) or "")
                                    self._routes.setdefault(found.group(3), set()).add("int" if typed else "text")
        return self._routes.get(name, set())

    def user_of(self, expr: ast.expr, scope: Scope) -> Source | None:
        """Where a value depends on the current user; None if it does not."""
        for source in self._derivation.sources(expr, scope, results=2):
            if self.is_user(source) and not isinstance(source.node, Parameter) and self._is_asked(source, scope):
                return source
            if (
                isinstance(source.node, ast.Call)
                and source.scope is scope
                and self._is_given_user(source.node, source.scope)
            ):
                return source
            if (
                isinstance(source.node, ast.Call)
                and (found := self._used_within(source.node, source.scope))
                and self._is_asked(found, scope)
            ):
                return found
        return self._user_in_tests(expr, scope)

    def _is_asked(self, source: Source, scope: Scope) -> bool:
        """Whether a request that another function is given may be that of a scope: it has one itself."""
        name = source.node.value if isinstance(source.node, ast.Attribute) else None
        if source.scope is scope or not isinstance(name, ast.Name):
            return True
        _, bindings = self._inference.home(name.id, source.scope)
        if not any(isinstance(each, Parameter) for each in bindings):
            return True
        return any(
            isinstance(each, (ast.Name, ast.Attribute)) and self.is_request(each, scope)
            for each in ast.walk(scope.outermost.node)
        ) or any(each.name in _REQUESTS for each in scope.parameters)

    def _is_given_user(self, call: ast.Call, scope: Scope) -> bool:
        """Whether a call is given the parameter `user`, or something of it: a query by it."""
        for arg in (*call.args, *[each.value for each in call.keywords]):
            inner = arg
            while isinstance(inner, ast.Attribute):
                inner = inner.value
            if isinstance(inner, ast.Name) and inner.id in _CURRENT_USER:
                _, bindings = self._inference.home(inner.id, scope)
                return any(isinstance(each, Parameter) for each in bindings)
        return False

    def _user_in_tests(self, expr: ast.expr, scope: Scope) -> Source | None:
        """Which value a name has may depend on the user, too: `if request.user.is_staff: rows = …`."""
        if not isinstance(expr, ast.Name):
            return None
        home, bindings = self._inference.home(expr.id, scope)
        for binding in bindings if home is scope else []:
            if not isinstance(binding, Value):
                continue
            for parent, child in ancestors(binding.expr, scope.module):
                if isinstance(parent, ast.If) and child is not parent.test:
                    for node in ast.walk(parent.test):
                        if isinstance(node, (ast.Attribute, ast.Name)) and self.is_user(source := Source(node, scope)):
                            return source
        return None

    def is_user(self, source: Source) -> bool:
        """Whether this is the current user."""
        match source.node:
            case Parameter(name=name, scope=scope):
                return name in _CURRENT_USER and scope.is_function
            case ast.Attribute(attr="user" | "current_user", value=value):
                return (
                    self.is_request(value, source.scope)
                    or (isinstance(value, ast.Name) and value.id in {"g", "flask_g"})
                    or (isinstance(value, ast.Attribute) and value.attr == "context")
                )
            case ast.Name(id="current_user"):
                return True
            case _:
                return False

    def _used_within(self, call: ast.Call, scope: Scope) -> Source | None:
        """Whether a method of the same view that is called uses the current user: `self.get_queryset()`."""
        for target in self._inference.targets(call, scope)[:3]:
            if target.owner is None:
                continue
            for expr in (*target.returns, *target.yields):
                for source in self._derivation.sources(expr, target):
                    if self.is_user(source) and not isinstance(source.node, Parameter):
                        return source
        match call.func:
            case ast.Attribute(
                value=ast.Call(func=ast.Name(id="super")),
                attr="list" | "retrieve" | "get" | "dispatch" | "get_context_data" | "get_queryset",
            ):
                return self._user_in_queryset(scope)
            case _:
                return None

    def _user_in_queryset(self, scope: Scope) -> Source | None:
        """Whether the rows of a view, or of one that inherits from it, are the current user's."""
        if scope.owner is None:
            return None
        below = self._inference.subclasses_of(scope.owner)
        classes = [each for owner in (scope.owner, *below) for each in self._inference.classes_of(owner)]
        methods = [
            method for each in classes for method in each.children if method.name in _ROWS and method is not scope
        ]
        for method in methods:
            for expr in method.returns:
                for source in self._derivation.sources(expr, method):
                    if self.is_user(source) and not isinstance(source.node, Parameter):
                        return source
        return None

    def names_somebody(self, expr: ast.expr, scope: Scope) -> bool:
        """Whether a key has the user in it, or something of one user's, or something that cannot be looked into."""
        for source in self._derivation.sources(expr, scope, results=3):
            node = source.node
            if self.is_user(source):
                return True
            text = (
                node.name
                if isinstance(node, Parameter)
                else node.attr
                if isinstance(node, ast.Attribute)
                else node.id
                if isinstance(node, ast.Name)
                else ""
            )
            if _USER_WORD.search(text):
                return True
            if isinstance(node, ast.Call):
                if any(
                    _USER_WORD.search(each.value)
                    for each in ast.walk(node)
                    if isinstance(each, ast.Constant)
                    and isinstance(each.value, str)
                    and "{" not in each.value
                    and ":" not in each.value
                ):
                    return True
                whole = [
                    arg
                    for arg in (*node.args, *[each.value for each in node.keywords])
                    if self.is_request(arg, source.scope)
                    or (isinstance(arg, ast.Name) and arg.id in {"self", "args", "kwargs"})
                ]
                if whole and not self._inference.targets(node, source.scope):
                    return True
                if any(
                    isinstance(each, ast.Attribute) and _USER_WORD.search(each.attr)
                    for target in self._inference.targets(node, source.scope)[:2]
                    for each in ast.walk(target.node)
                ):
                    return True
        return False

    def is_clock(self, node: ast.AST, scope: Scope) -> bool:
        """Whether a call asks for the time."""
        if not isinstance(node, ast.Call):
            return False
        if any(isinstance(kind, External) and kind.name in _CLOCKS for kind in self._inference.kinds(node.func, scope)):
            return True
        match node.func:
            case ast.Attribute(value=ast.Name(id="timezone" | "datetime" | "dt" | "tz"), attr="now" | "utcnow"):
                return True
            case ast.Name(id="utcnow" | "time_now" | "now_ts"):
                return True
            case _:
                pass
        targets = [kind.scope for kind in self._inference.kinds(node.func, scope) if isinstance(kind, Function)]
        return any(
            any(self.is_clock(part, target) for part in ast.walk(expr))
            for target in targets
            if len(target.calls) <= SHORT
            for expr in target.returns
        )

    def clock_in(self, expr: ast.expr, scope: Scope) -> Source | None:
        """The time that a value has in it; None if there is none."""
        for source in self._derivation.sources(expr, scope, passes=self.keeps_time):
            if isinstance(source.node, ast.Call) and self.is_clock(source.node, source.scope):
                return source
        return None

    def _is_form(self, call: ast.Call, scope: Scope) -> bool:
        """Whether a small function of the project gives what it is given in another form: `to_text(now)`."""
        return any(
            len(target.calls) <= SHORT
            and any(map(self._derivation.carried(target, (), _parameters_of(target)).has, target.returns))
            for target in self._inference.targets(call, scope)
        )

    def is_time_only(self, call: ast.Call, scope: Scope) -> bool:
        """Whether a call gives a time in another form, and nothing else."""
        return bool(call.args) and self._is_form(call, scope) and all(self.clock_in(each, scope) for each in call.args)

    def keeps_time(self, node: Asked, scope: Scope) -> bool:
        """Whether a call or an attribute gives the time that it is given."""
        if isinstance(node, ast.Attribute):
            return node.attr not in {"date", "year", "month", "day", "hour"}
        if not isinstance(node, ast.Call):
            return True
        if self.is_clock(node, scope) or self._is_form(node, scope):
            return True
        return called_name(node) in {
            "dumps", "dict", "str", "int", "float", "round", "isoformat", "strftime", "timestamp", "list", "tuple",
            "encode", "dump", "packb", "format", "update", "repr", "total_seconds", "model_dump", "asdict",
        } or called_name(node)[:1].isupper()  # fmt: skip


def _parameters_of(function: Scope) -> list[str]:
    return [each.name for each in function.parameters if each.name not in {"self", "cls"}]


def _is_address(node: ast.Attribute, scope: Scope) -> bool:
    """Whether only the client's address is taken from a request, as the server sees it."""
    around = scope.module.parents.get(node)
    if isinstance(around, ast.Attribute) and around.attr == "get":
        around = scope.module.parents.get(around)
        asked = around.args[0] if isinstance(around, ast.Call) and around.args else None
    else:
        asked = around.slice if isinstance(around, ast.Subscript) else None
    return isinstance(asked, ast.Constant) and asked.value == "REMOTE_ADDR"


def _route_of(scope: Scope) -> tuple[str, str] | None:
    """The framework and the path of the route that a function serves; None if it serves none by a decorator."""
    for each in scope.decorators:
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in _ROUTE_DECORATORS:
            first = (
                each.args[0]
                if each.args
                else next((keyword.value for keyword in each.keywords if keyword.arg in {"path", "rule"}), None)
            )
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                return ("flask" if each.func.attr == "route" or "<" in first.value else "fastapi"), first.value
    return None


def _is_text_field(field: ast.stmt, name: str) -> bool:
    """Whether a statement of a model's body declares a field for any text."""
    if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name) or field.target.id != name:
        return False
    default = ast.unparse(field.value) if field.value is not None else ""
    is_text = ast.unparse(field.annotation) in {"str", "str | None", "Optional[str]"}
    return is_text and not any(word in default for word in _BOUNDED)


def _is_view(scope: Scope) -> bool:
    """Whether a function is a Django view, or the method of one."""
    names = [each.name for each in scope.parameters[:2]]
    return "request" in names


def _is_text_annotation(parameter: Parameter) -> bool:
    """Whether a FastAPI route takes any text here."""
    text = ast.unparse(parameter.annotation) if parameter.annotation is not None else "str"
    default = ast.unparse(parameter.default) if parameter.default is not None else ""
    if "Depends" in text or "Depends" in default or any(f"{word}=" in f"{text}{default}" for word in _BOUNDED):
        return False
    return re.search(r"\bstr\b", text) is not None and "Literal" not in text


def _body(owner: Scope) -> Iterator[ast.stmt]:
    if isinstance(owner.node, ast.ClassDef):
        yield from owner.node.body
