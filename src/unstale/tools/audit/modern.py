"""Code in a newer Python than the one that audits: written as an older one has it, line for line.

`type X = …`, type parameters, and quotes and backslashes within an f-string's braces (3.12), `except A, B:` (3.14).
Types do not matter to an audit; lines do, and stay.
"""
# ruff: noqa: N802, ARG002 - the methods have libcst's names and arguments

from __future__ import annotations

import libcst as cst


def older(text: str) -> str | None:
    """The same code without what is new; None if libcst cannot parse it either.

    Args:
        text: that this Python cannot parse.
    """
    try:
        return cst.parse_module(text).visit(_Older()).code
    except (cst.ParserSyntaxError, cst.CSTValidationError, RecursionError):
        return None


class _Older(cst.CSTTransformer):
    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        return updated_node.with_changes(type_parameters=None)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        return updated_node.with_changes(type_parameters=None)

    def leave_TypeAlias(self, original_node: cst.TypeAlias, updated_node: cst.TypeAlias) -> cst.Assign:
        return cst.Assign([cst.AssignTarget(updated_node.name)], updated_node.value)

    def leave_ExceptHandler(
        self, original_node: cst.ExceptHandler, updated_node: cst.ExceptHandler
    ) -> cst.ExceptHandler:
        if isinstance(updated_node.type, cst.Tuple) and not updated_node.type.lpar:
            return updated_node.with_changes(
                type=updated_node.type.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
            )
        return updated_node

    def leave_FormattedString(
        self, original_node: cst.FormattedString, updated_node: cst.FormattedString
    ) -> cst.FormattedString:
        quote = updated_node.quote
        inner = _Requoted("'" if '"' in quote else '"')
        return updated_node.with_changes(
            parts=[
                part.visit(inner) if isinstance(part, cst.FormattedStringExpression) else part
                for part in updated_node.parts
            ]
        )


class _Requoted(cst.CSTTransformer):
    """Texts within an f-string's braces, in the other quotes."""

    def __init__(self, quote: str) -> None:
        super().__init__()
        self.quote = quote

    def leave_SimpleString(self, original_node: cst.SimpleString, updated_node: cst.SimpleString) -> cst.SimpleString:
        inside = updated_node.raw_value
        if self.quote in inside or "\\" in inside or "\n" in inside:
            inside = ""  # it cannot be written there
        return cst.SimpleString(f"{updated_node.prefix}{self.quote}{inside}{self.quote}")

    def leave_FormattedString(
        self, original_node: cst.FormattedString, updated_node: cst.FormattedString
    ) -> cst.BaseExpression:
        has_own = any(isinstance(part, cst.FormattedStringExpression) for part in updated_node.parts)
        text = "".join(part.value for part in updated_node.parts if isinstance(part, cst.FormattedStringText))
        if has_own and updated_node.quote[0] != self.quote:
            values = [part.expression for part in updated_node.parts if isinstance(part, cst.FormattedStringExpression)]
            return cst.Tuple([cst.Element(each) for each in values], lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        if self.quote in text or "\\" in text or "\n" in text:
            return updated_node
        return updated_node.with_changes(start=f"{updated_node.prefix}{self.quote}", end=self.quote)
