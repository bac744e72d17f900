"""Parts of an expression that give numbers."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from ldmlab.data.filters.fields import ExpressionError, called, field_name, only_argument, quoted
from ldmlab.data.filters.rows import Numbers, Rows
from ldmlab.data.filters.text_terms import Text, text

Number = Callable[[Rows], Numbers]
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
}
SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: np.negative, ast.UAdd: np.positive}
LARGEST: dict[str, Callable[[Any, Any], Any]] = {"min": np.minimum, "max": np.maximum}
LENGTHS: dict[str, Callable[[str], int]] = {"len": len, "words": lambda words: len(words.split())}
FUNCTIONS = (*LARGEST, *LENGTHS, "abs", "lower", "field", "missing")


def number(node: ast.expr) -> Number:
    """The numbers of a field, a number, or what is reckoned of some; missing where one of them is.

    Raises:
        ExpressionError: it is something else.
    """
    name = field_name(node)
    if name is not None:
        return lambda rows: rows.numbers(name)
    if isinstance(node, ast.Constant):
        return _constant(node)
    if isinstance(node, ast.UnaryOp) and type(node.op) in SIGNS:
        return _applied(SIGNS[type(node.op)], number(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        return _applied(BINARY[type(node.op)], number(node.left), number(node.right))
    if isinstance(node, ast.Call):
        return _call(node)
    raise ExpressionError(f"{quoted(node)}: is no number; give fields and numbers with + - * / // %")


def _constant(node: ast.Constant) -> Number:
    try:
        value = float(node.value) if isinstance(node.value, int | float) else math.nan
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ExpressionError(f"{quoted(node)}: is no number to compare or to reckon with")
    return lambda rows: np.full(len(rows), value)


def _call(node: ast.Call) -> Number:
    name = called(node)
    if name in LARGEST:
        if len(node.args) < 2 or node.keywords:
            raise ExpressionError(f"{quoted(node)}: {name}() takes two numbers or more")
        terms = [number(each) for each in node.args]
        return reduce(lambda one, other: _applied(LARGEST[name], one, other), terms)
    if name == "abs":
        return _applied(np.abs, number(only_argument(node)))
    if name in LENGTHS:
        return _lengths(LENGTHS[name], text(only_argument(node)))
    if name in FUNCTIONS:
        raise ExpressionError(f"{quoted(node)}: is no number")
    raise ExpressionError(f"{quoted(node)}: there is no such function; choose one of {', '.join(FUNCTIONS)}")


def _applied(function: Callable[..., Any], *terms: Number) -> Number:
    def apply(rows: Rows) -> Numbers:
        with np.errstate(all="ignore"):  # 0 / 0 is missing
            return np.asarray(function(*(term(rows) for term in terms)), np.float64)

    return apply


def _lengths(measure: Callable[[str], int], term: Text) -> Number:
    def lengths(rows: Rows) -> Numbers:
        return np.array([math.nan if each is None else measure(each) for each in term(rows)], np.float64)

    return lengths
