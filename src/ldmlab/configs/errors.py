"""What is wrong with a config, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

VALUE_ERRORS = (TypeError, ZeroDivisionError, RuntimeError)
"""How constructors of libraries refuse a number or a type; trouble of ours where no config was being built."""


class UserError(ValueError):
    """Bad input, told in one line that names the key, the value and the fix."""


def one_line(text: str) -> str:
    """Join the lines of a message."""
    return " ".join(text.split())


def unwrapped(error: BaseException) -> tuple[BaseException, str]:
    """A constructor's own error inside Hydra's InstantiationException, and in words the key of the component."""
    where = ""
    while type(error).__name__ == "InstantiationException":
        _, _, key = str(error).partition("full_key: ")
        where = f" (in '{key.strip()}')" if key else ""
        if error.__cause__ is None:
            return UserError(str(error).splitlines()[0]), where
        if str(error).startswith("Error locating target"):
            return UserError(_no_such_target(error)), where
        error = error.__cause__
    return error, where


def _no_such_target(error: BaseException) -> str:
    """What a component is called, why it cannot be had, and how Python finds one of the user's own."""
    target, reason = str(error).split("'")[1], error.__cause__
    while reason is not None and reason.__cause__ is not None:
        reason = reason.__cause__
    return f"_target_={target}: {reason}; PYTHONPATH=FOLDER lets Python find a module of your own"


@contextmanager
def as_user_error() -> Iterator[None]:
    """Inside the block, what a component's constructor refuses is told as any other bad input is.

    Raises:
        UserError: in the place of Hydra's InstantiationException.
    """
    try:
        yield
    except Exception as outer:
        error, where = unwrapped(outer)
        if error is outer:
            raise
        if isinstance(error, VALUE_ERRORS):
            raise UserError(one_line(f"a value does not fit: {error}{where}")) from outer
        if isinstance(error, ValueError):
            raise UserError(one_line(f"{error}{where}")) from outer
        raise
