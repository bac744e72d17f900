"""The words of an expression: fields, functions, and what else a data set may call a field."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from difflib import get_close_matches

from ldmlab.data.problems import printable

CAPTION, ASPECT = "caption", "aspect"
WIDTH, HEIGHT = "image_width", "image_height"
OWN = (CAPTION, ASPECT)
"""Of every sample, whatever its json says: the text of KEY.txt, and width by height of the picture as it is stored."""
ALIASES = (
    ("aesthetic", "aesthetic_score", "AESTHETIC_SCORE", "aesthetic_score_laion_v2"),
    ("language", "LANGUAGE"),
    ("similarity", "SIMILARITY", "clip_similarity"),
    ("punsafe", "PUNSAFE"),
    ("pwatermark", "PWATERMARK"),
    ("nsfw", "NSFW"),
    ("license", "LICENSE"),
    ("hash", "HASH"),
    ("original_width", "WIDTH"),
    ("original_height", "HEIGHT"),
    ("width", WIDTH),
    ("height", HEIGHT),
)
"""Names of one and the same thing, in the lists of URLs that LAION and COYO have published and in what img2dataset
writes. `WIDTH` of a list is that of the original picture, `width` of the json that of the picture as it is stored."""


class ExpressionError(ValueError):
    """What is wrong with an expression, without the expression."""


def shown(text: str, most: int = 120) -> str:
    """A text as a line of an error has it."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."


def quoted(node: ast.AST) -> str:
    """A part of an expression as a line of an error has it."""
    return f"'{shown(ast.unparse(node), 60)}'"


def field_name(node: ast.expr) -> str | None:
    """The field that a node stands for: a name, or `field("any name")`; None where it stands for none."""
    if isinstance(node, ast.Name):
        return node.id
    if called(node) == "field":
        assert isinstance(node, ast.Call)
        first = node.args[0] if len(node.args) == 1 and not node.keywords else None
        if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            raise ExpressionError(f"""{quoted(node)}: takes a name in quotes, as field("image.width")""")
        return first.value
    return None


def called(node: ast.expr) -> str | None:
    """The function that a node calls; None where it calls none by name."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


def only_argument(node: ast.expr) -> ast.expr:
    """What a function of one argument is called with."""
    assert isinstance(node, ast.Call)
    if len(node.args) != 1 or node.keywords:
        raise ExpressionError(f"{quoted(node)}: {called(node)}() takes one value")
    return node.args[0]


def fields_in(tree: ast.expr) -> Iterator[str]:
    """The fields that an expression reads, each as often as it does."""
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and id(node) not in functions and (name := field_name(node)) is not None:
            yield name


def sources_of(name: str, known: Collection[str]) -> tuple[str, ...]:
    """The fields of a data set that hold what an expression calls `name`, the nearest first; none where none does.

    Args:
        name: as the expression has it.
        known: the fields that there are.
    """
    names = next((group for group in ALIASES if name in group), ())
    return tuple(each for each in dict.fromkeys((name, *names)) if each in known)


def instead_of(name: str, known: Collection[str]) -> str:
    """The end of a line about a field that is not there: the nearest one, or those that there are."""
    near = get_close_matches(name.lower(), {each.lower() for each in known}, 1)
    meant = next((each for each in sorted(known) if near and each.lower() == near[0]), None)
    if meant is not None:
        return f"did you mean '{printable(meant)}'?"
    first = [printable(shown(each, 40)) for each in sorted({*known})[:20]]
    return f"there are {', '.join(first)}{' and more' if len({*known}) > 20 else ''}"
