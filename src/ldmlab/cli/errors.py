"""What a user sees when something goes wrong: one line for what they can mend, a trace for what we must."""

from __future__ import annotations

import errno
from collections.abc import Iterator

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
VALUE_ERRORS = (TypeError, ZeroDivisionError, RuntimeError)
"""How constructors of libraries refuse a number or a type; trouble of ours where no config was being built."""
PATH_ERRORS = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


class UserError(Exception):
    """Bad input, told in one line that names the key, the value and the fix."""


def one_line(text: str) -> str:
    """Join the lines of a message."""
    return " ".join(text.split())


def explain(error: BaseException) -> str | None:
    """Return the line that tells a user what to mend, or None where the error is a bug of ours."""
    error, where = _unwrap(error)
    full = next((e for e in _chain(error) if _is_full_disk(e)), None)
    if full is not None:
        return f"no space left to write{_name(full)}; free some and run the same command again"
    if isinstance(error, PATH_ERRORS):
        return one_line(f"{(error.strerror or str(error)).lower()}{_name(error)}{where}")
    if isinstance(error, UserError | ValueError):
        return one_line(f"{error}{where}")
    return None


def _unwrap(error: BaseException) -> tuple[BaseException, str]:
    """Find the constructor's own error inside Hydra's InstantiationException, and the key of the component."""
    where = ""
    outer = error
    while type(error).__name__ == "InstantiationException":
        _, _, key = str(error).partition("full_key: ")
        where = f" (in '{key.strip()}')" if key else ""
        if error.__cause__ is None:
            return UserError(str(error).splitlines()[0]), where
        if str(error).startswith("Error locating target"):
            return UserError(f"{str(error).splitlines()[0].partition(', ')[0]}: {error.__cause__}"), where
        error = error.__cause__
    if error is not outer and isinstance(error, VALUE_ERRORS):
        return UserError(f"a value does not fit: {error}"), where
    return error, where


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_full_disk(error: BaseException) -> bool:
    """Libraries written in Rust and C++ report the system's words without its number."""
    return getattr(error, "errno", None) in FULL_DISK or "no space left on device" in str(error).lower()


def _name(error: BaseException) -> str:
    filename = getattr(error, "filename", None)
    return f": {filename}" if filename else ""
