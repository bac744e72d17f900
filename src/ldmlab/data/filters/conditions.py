"""Parts of an expression that are true or false."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import reduce
from operator import and_, or_
from typing import Any

import numpy as np

from ldmlab.data.filters.fields import ExpressionError, called, field_name, only_argument, quoted
from ldmlab.data.filters.number_terms import Number, number
from ldmlab.data.filters.rows import Bits, Rows, Texts, Truth, certain
from ldmlab.data.filters.text_terms import Text, is_text, text

Condition = Callable[[Rows], Truth]
ORDER: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}


def condition(node: ast.expr) -> Condition:
    """What is known of a condition.

    Raises:
        ExpressionError: it is none.
    """
    if isinstance(node, ast.BoolOp):
        joined = and_ if isinstance(node.op, ast.And) else or_
        parts = [condition(each) for each in node.values]
        return lambda rows: reduce(joined, (part(rows) for part in parts))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = condition(node.operand)
        return lambda rows: ~inner(rows)
    if isinstance(node, ast.Compare):
        links = [_comparison(*link) for link in _links(node)]
        return lambda rows: reduce(and_, (link(rows) for link in links))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        value = node.value
        return lambda rows: certain(np.full(len(rows), value))
    if called(node) == "missing":
        return _missing(only_argument(node))
    if field_name(node) is not None:
        return _numbers(np.not_equal, number(node), lambda rows: np.zeros(len(rows)))
    raise ExpressionError(f"{quoted(node)}: is neither true nor false; compare it, as in 'aesthetic > 5'")


def _links(node: ast.Compare) -> Iterator[tuple[ast.expr, ast.cmpop, ast.expr]]:
    """The comparisons of a chain, as 512 <= width <= 1024 has two."""
    sides = [node.left, *node.comparators]
    return zip(sides, node.ops, sides[1:], strict=False)


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr) -> Condition:
    if isinstance(op, ast.Is | ast.IsNot) or any(
        isinstance(side, ast.Constant) and side.value is None for side in (left, right)
    ):
        raise ExpressionError("None: a value that is not there is asked for by missing(FIELD)")
    if isinstance(op, ast.In | ast.NotIn):
        found = _membership(left, right)
        return (lambda rows: ~found(rows)) if isinstance(op, ast.NotIn) else found
    if not (is_text(left) or is_text(right)):
        return _numbers(ORDER[type(op)], number(left), number(right))
    if not isinstance(op, ast.Eq | ast.NotEq):
        whole = quoted(ast.Compare(left, [op], [right]))
        raise ExpressionError(f"{whole}: texts are compared by ==, != and in; write numbers without quotes")
    equal = _texts(lambda one, other: one == other, text(left), text(right))
    return equal if isinstance(op, ast.Eq) else lambda rows: ~equal(rows)


def _membership(left: ast.expr, right: ast.expr) -> Condition:
    """`language in ["en", "de"]`, `label in [1, 2]`, or `"cat" in caption`."""
    if isinstance(right, ast.List | ast.Tuple | ast.Set):
        if not right.elts:
            raise ExpressionError(f"{quoted(right)}: the list is empty")
        links = [_comparison(left, ast.Eq(), each) for each in right.elts]
        return lambda rows: reduce(or_, (link(rows) for link in links))
    return _texts(lambda one, other: one in other, text(left), text(right))


def _numbers(compare: Callable[[Any, Any], Any], left: Number, right: Number) -> Condition:
    def compared(rows: Rows) -> Truth:
        one, other = left(rows), right(rows)
        known = ~(np.isnan(one) | np.isnan(other))
        return Truth(compare(one, other) & known, known)

    return compared


def _texts(compare: Callable[[str, str], bool], left: Text, right: Text) -> Condition:
    def compared(rows: Rows) -> Truth:
        one, other = left(rows), right(rows)
        pairs = list(zip(one, other, strict=True))
        known = _bits(one) & _bits(other)
        yes = [a is not None and b is not None and compare(a, b) for a, b in pairs]
        return Truth(np.array(yes, np.bool), known)

    return compared


def _bits(texts: Texts) -> Bits:
    """Where there are any."""
    return np.array([each is not None for each in texts], np.bool)


def _missing(node: ast.expr) -> Condition:
    name = field_name(node)
    if name is None:
        raise ExpressionError(f"{quoted(node)}: missing() takes a field")
    return lambda rows: certain(rows.missing(name))
