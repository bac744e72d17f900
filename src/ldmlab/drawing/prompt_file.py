"""Prompts as a user gives them, a line each."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence

from ldmlab.files import read_regular

MOST_BYTES = 2**26
BLANK = " \t\ufeff"
"""What may stand around a prompt and is no part of it: spaces, tabs, and the mark that editors begin files with."""
_LINE_END = re.compile(r"\r\n|\n|\r")
"""Those of text files alone: a prompt may hold U+2028, U+0085, a form feed and whatever else Python ends lines at."""
_UNWRITABLE = re.compile("[\n\r\0]")


def read_prompts(path: str) -> list[str]:
    """The prompts in a UTF-8 file, one a line; lines that say nothing are passed over.

    Raises:
        ValueError: naming the file: it cannot be read, is of another encoding or huge, or holds no prompt.
    """
    where = f"prompts={path}"
    try:
        content = read_regular(path, MOST_BYTES)
    except FileNotFoundError as error:
        raise ValueError(
            f"{where}: no such file; give a text file with a prompt a line, or words without '='"
        ) from error
    except OSError as error:
        raise ValueError(f"{where}: {(error.strerror or str(error)).lower()}; give a text file") from error
    lines = _LINE_END.split(_decoded(content, where))
    prompts = [line.strip(BLANK) for line in lines if line.strip(BLANK).strip()]
    if not prompts:
        raise ValueError(f"{where}: the file holds no prompt; write one a line")
    return prompts


def checked(prompts: Iterable[str]) -> list[str]:
    """Prompts without what stands around them, each of which can be written as a line and read back as it was.

    Raises:
        ValueError: one says nothing, or holds a line break.
    """
    cleaned = [prompt.strip(BLANK) for prompt in prompts]
    for prompt in cleaned:
        if not prompt.strip():
            raise ValueError(f"the prompt '{prompt}' says nothing; write what the picture should show")
        if _UNWRITABLE.search(prompt):
            raise ValueError(f"the prompt {prompt[:60]!a} holds a line break; write it in one line")
    return cleaned


def picture_count(n: int | None, prompts: Sequence[str], least: int) -> int:
    """How many pictures to draw, so that every prompt has some and, where the number is given, all have as many.

    Args:
        n: that was asked for; None for `least`, or more where there are more prompts.
        prompts: that were given.
        least: number of pictures where none was asked for.

    Raises:
        ValueError: `n` is no multiple of the number of prompts.
    """
    count = len(prompts)
    if n is None:
        return max(least, count)
    if n % count:
        raise ValueError(
            f"n={n}: there are {count} prompts and each gets as many pictures; give n={-(-n // count) * count}, or "
            "leave n out"
        )
    return n


def _decoded(content: bytes, where: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise ValueError(f"{where}: is UTF-16, or no text at all (it holds zero bytes); save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{where}: is no UTF-8 text ({error.reason} in line {line}); save it as UTF-8") from error
