"""Expressions over what is known of samples, as `original_width >= 512 and aesthetic > 5`.

They are Python's in form and are read by Python's parser, and only what stands in this room means anything: nothing of
them is run. So they may come from a stranger's config or checkpoint.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from functools import cache

from ldmlab.data.filters.conditions import Condition, condition
from ldmlab.data.filters.fields import ExpressionError, fields_in, shown
from ldmlab.data.filters.writing import in_one_form

MOST_CHARACTERS = 4096
DEEPEST = 64
HINT = """write it as in 'original_width >= 512 and language == "en"'"""


@dataclass(frozen=True)
class Part:
    """A condition that a sample must meet.

    Attributes:
        text: as it is written.
        holds: what is known of it.
    """

    text: str
    holds: Condition


@dataclass(frozen=True)
class Expression:
    """Conditions that a sample must meet, all of them.

    Attributes:
        text: with blanks and quotes in one form.
        parts: the conditions, in order: what `and` joins.
        fields: the names that it has for fields, in order.
    """

    text: str
    parts: tuple[Part, ...]
    fields: tuple[str, ...]


@cache
def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ValueError: it is none; one line that says where.
    """
    line = text.replace("\n", " ").strip()
    try:
        nodes = _joined(_tree(line))
        fields = dict.fromkeys(name for node in nodes for name in fields_in(node))
        parts = tuple(Part(in_one_form(ast.get_source_segment(line, node) or ""), condition(node)) for node in nodes)
        return Expression(in_one_form(line), parts, tuple(fields))
    except ExpressionError as error:
        raise ValueError(f"filter={shown(line)}: {error}") from error


def _tree(line: str) -> ast.expr:
    if len(line) > MOST_CHARACTERS:
        raise ExpressionError(f"is longer than {MOST_CHARACTERS} characters; shorten it")
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(line, mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"is no expression ({_why(error, line)}); {HINT}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"is no expression ({error or 'it is nested too deeply'}); {HINT}") from error
    if _depth(tree) > DEEPEST:
        raise ExpressionError("is nested too deeply; write it in fewer steps")
    return tree


def _why(error: SyntaxError, line: str) -> str:
    if not line:
        return "it is empty"
    rest = line[(error.offset or 1) - 1 :].strip()
    return f"{error.msg} at '{rest[:20]}'" if rest else f"{error.msg} at its end"


def _depth(tree: ast.AST) -> int:
    """How many nodes lie within each other."""
    level, depth = [tree], 0
    while level:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
    return depth


def _joined(tree: ast.expr) -> list[ast.expr]:
    """What `and` joins, and what it joins within those."""
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        return [part for node in tree.values for part in _joined(node)]
    return [tree]
