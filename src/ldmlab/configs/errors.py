"""What is wrong with a config, in one line."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input, told in one line that names the key, the value and the fix."""


def one_line(text: str) -> str:
    """Join the lines of a message."""
    return " ".join(text.split())
