"""How an expression is written, so that those that say the same are the same text, whatever Python reads them."""

from __future__ import annotations

import ast
import io
import tokenize
from itertools import pairwise

WORDS = ("and", "or", "not", "in")
"""Before a bracket, these are followed by a blank, and names are not."""


def in_one_form(text: str) -> str:
    """An expression, or a part of one, with blanks and quotes in one form.

    Args:
        text: in one line, which Python has read.
    """
    tokens = [each for each in tokenize.generate_tokens(io.StringIO(text).readline) if each.string.strip()]
    written = [repr(ast.literal_eval(each.string)) if each.type == tokenize.STRING else each.string for each in tokens]
    blanks = ("" if _are_joined(one, other) else " " for one, other in pairwise(["(", *written]))
    return "".join(part for blank_and_token in zip(blanks, written, strict=True) for part in blank_and_token)


def _are_joined(one: str, other: str) -> bool:
    """Whether no blank comes between two tokens."""
    is_call = other == "(" and one.isidentifier() and one not in WORDS
    return one in ("(", "[", "{") or other in (")", "]", "}", ",", ".") or is_call
