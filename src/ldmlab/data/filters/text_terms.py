"""Parts of an expression that give texts."""

from __future__ import annotations

import ast
from collections.abc import Callable

from ldmlab.data.filters.fields import ExpressionError, called, field_name, only_argument, quoted
from ldmlab.data.filters.rows import Rows, Texts

Text = Callable[[Rows], Texts]


def is_text(node: ast.expr) -> bool:
    """Whether a node can be nothing but text: one in quotes, a list of them, or one in small letters."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return bool(node.elts) and all(map(is_text, node.elts))
    return called(node) == "lower" or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def text(node: ast.expr) -> Text:
    """The texts of a field, in small letters by `lower()`, or one in quotes.

    Raises:
        ExpressionError: it is something else.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        value = node.value
        return lambda rows: [value] * len(rows)
    if called(node) == "lower":
        inner = text(only_argument(node))
        return lambda rows: [each if each is None else each.lower() for each in inner(rows)]
    name = field_name(node)
    if name is None:
        raise ExpressionError(f"{quoted(node)}: is no text; give a field, or text in quotes")
    return lambda rows: rows.texts(name)
