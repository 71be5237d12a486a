"""What hands on text as it came: which calls give the text that they are given, and which hash, choose or check it.

Asked of the sources of a value (`derivation`), a part at a time.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Sequence
from typing import Final

from unstale.tools.audit.code.calling import arguments_for
from unstale.tools.audit.code.checking import is_checked, is_one_of, is_sifted
from unstale.tools.audit.code.derivation import Asked, Carried, Derivation, of_parameters
from unstale.tools.audit.code.inferring import Inference
from unstale.tools.audit.code.keys import Keys
from unstale.tools.audit.code.kinds import External, Instance
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Scope

_KEEPS_TEXT: Final = frozenset({
    "format", "join", "strip", "lstrip", "rstrip", "lower", "upper", "title", "replace", "urlencode", "quote",
    "quote_plus", "unquote", "get", "getlist", "dict", "items", "values", "keys", "split", "dumps", "loads", "encode",
    "decode", "copy", "pop", "removeprefix", "removesuffix", "escape", "force_str", "getall", "multi_items",
    "get_full_path", "build_absolute_uri", "get_raw_uri", "get_json", "get_data", "to_dict", "get_argument",
    "get_query_argument", "lists", "casefold", "get_list", "iri_to_uri", "urlparse", "parse_qs", "parse_qsl",
    "format_map", "capitalize", "model_dump", "model_dump_json", "slugify",
})  # fmt: skip
"""Calls whose result has the text that they are given."""
_KEEP_TEXT: Final = frozenset({
    "str", "repr", "dict", "tuple", "list", "set", "frozenset", "sorted", "reversed", "map", "filter", "zip",
    "enumerate", "slice",
})  # fmt: skip
"""Python's own of these. Methods of such names are others: `queryset.filter(…)`."""
_VERIFIES: Final = frozenset({"jwt", "jose", "authlib", "itsdangerous", "joserfc", "rest_framework_simplejwt"})
"""Libraries that give only what somebody signed."""
_VALIDATED: Final = frozenset(
    {"cleaned_data", "validated_data", "pk", "id", "user", "auth", "method", "content_type", "state", "session"}
)
_HASHES: Final = re.compile(
    r"md5|sha\d|blake|hexdigest|digest|hash|crc32|adler|xxh|make_template_fragment_key|uuid[35]"
)
_LOOKS_UP: Final = frozenset({"get", "pop"})
"""Calls whose first argument says what is given, and is not given itself."""
MOST_TARGETS: Final = 2


class Texts:
    """Asks a project."""

    def __init__(self, derivation: Derivation, keys: Keys) -> None:
        """Take what is known of the project."""
        self._inference: Inference = derivation.inference
        self._keys = keys
        self._handed: dict[Scope, list[str]] = {}

    def keeps(self, node: Asked, scope: Scope) -> bool | Sequence[ast.AST]:
        """Whether a part of an expression hands on the text that it is given, or which parts of it do."""
        match node:
            case ast.Call():
                return self._of_call(node, scope)
            case ast.Attribute():
                return node.attr not in _VALIDATED
            case ast.Subscript():
                return [node.value]
            case ast.IfExp():
                return [each for each in (node.body, node.orelse) if not is_one_of(each, node)]
            case _:
                return not is_sifted(node)

    def _of_call(self, node: ast.Call, scope: Scope) -> bool | Sequence[ast.AST]:
        name = called_name(node)
        if _HASHES.search(ast.unparse(node.func)):
            return False
        if targets := self._inference.targets(node, scope)[:MOST_TARGETS]:
            return [given for target in targets for given in self._given_as_text(node, scope, target)]
        if isinstance(node.func, ast.Name) and name in _KEEP_TEXT:
            return True
        if name not in _KEEPS_TEXT or self._is_verifying(node.func, scope):
            return False
        if name == "format":
            return self._in_template(node, scope)
        return [node.func, *node.args[1:], *node.keywords] if name in _LOOKS_UP else True

    def _in_template(self, node: ast.Call, scope: Scope) -> bool | Sequence[ast.AST]:
        """What `template.format(…)` is given for a field that the template has."""
        if not isinstance(node.func, ast.Attribute):
            return True
        template = self._keys.form(node.func.value, scope)
        starred = any(isinstance(each, ast.Starred) for each in node.args)
        if starred or not template or not all(isinstance(part, str) for part in template):
            return True
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse("".join(map(str, template)))]
        except ValueError:  # it would not be one at run time either
            return True
        names = [re.split(r"[.\[]", each, maxsplit=1)[0] for each in fields if each is not None]
        places = {int(each) if each else at for at, each in enumerate(names) if not each or each.isdigit()}
        return [
            *(each for at, each in enumerate(node.args) if at in places),
            *(each.value for each in node.keywords if each.arg is None or each.arg in names),
        ]

    def _is_verifying(self, function: ast.expr, scope: Scope) -> bool:
        """Whether a function is one of a library that checks signatures."""
        return any(
            isinstance(kind, (External, Instance)) and kind.name.partition(".")[0] in _VERIFIES
            for kind in self._inference.kinds(function, scope)
        )

    def _given_as_text(self, call: ast.Call, scope: Scope, target: Scope) -> list[ast.expr]:
        """What a call gives that a function of the project returns, unhashed and unchecked."""
        if target not in self._handed:
            self._handed[target] = []  # while it is asked
            self._handed[target] = self._returned(target)
        return arguments_for(call, target, self._handed[target], self._inference.shift(call, scope, target))

    def _returned(self, target: Scope) -> list[str]:
        """The parameters that a function returns, unhashed and unchecked."""
        return [
            name
            for name, carried in of_parameters(target, self.keeps)
            if name not in {"self", "cls"} and any(_is_raw(each, name, carried) for each in target.returns)
        ]


def _is_raw(result: ast.expr, name: str, carried: Carried) -> bool:
    """Whether what a function returns has a parameter's text, and was not checked before."""
    return carried.has(result) and not is_checked(result, carried.scope, {name, *carried.names})
