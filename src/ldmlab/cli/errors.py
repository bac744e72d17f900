"""What a user sees when something goes wrong: one line for what they can mend, a trace for what we must."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ldmlab import machine_errors
from ldmlab.configs.errors import VALUE_ERRORS, UserError, one_line, unwrapped
from ldmlab.ranks import launched

BUGS = (KeyError, IndexError, AttributeError, TypeError, NameError, AssertionError, ImportError, NotImplementedError)
"""Ours, whatever was being handled when they were raised."""


class EndedError(Exception):
    """How a command ended that other processes have told of.

    Args:
        line: what to tell the user; None where a trace was printed already.
        code: the exit code.
    """

    def __init__(self, line: str | None, code: int) -> None:
        super().__init__(line)
        self.line, self.code = line, code


class RankError(EndedError):
    """A command ended on one of its ranks, and with that on all."""


class JobsFailedError(EndedError):
    """Jobs of a sweep failed, which have told of it, and the others are done."""


_WORKER = re.compile(r"Original Traceback .*\n(?=[\w.]+: )[\w.]+: ", re.DOTALL)
"""What stands before the words of an error in a process that reads data."""


_LOST_RANK = re.compile(r"gloo|nccl|TCPStore|socket", re.IGNORECASE)
"""What PyTorch names where another process does not answer."""


def is_lost_rank(error: BaseException) -> bool:
    """Whether this process fails because another one of its command has ended."""
    place = launched()
    if place is None or place.world == 1:
        return False
    return any(isinstance(each, RuntimeError) and _LOST_RANK.search(str(each)) for each in _chain(error))


def explain(error: BaseException) -> str | None:
    """Return the line that tells a user what to mend, or None where the error is a bug of ours."""
    if isinstance(error, EndedError):
        return error.line
    if is_lost_rank(error):
        return "another process of this command has ended, and this one with it; what that one said tells why"
    error, where = _unwrap(error)
    if isinstance(error, BUGS):
        return None
    if type(error).__module__.startswith("wandb."):
        return one_line(f"Weights & Biases: {words(error)}; with logger.wandb.offline=true a run needs none of it")
    is_bad_input = isinstance(error, ValueError)
    troubles = filter(None, (machine_errors.trouble(each, words(each)) for each in _chain(error)))
    trouble = next((each for each in troubles if each.is_scarcity or not is_bad_input), None)
    if trouble is not None:
        return one_line(f"{trouble.line}{where}")
    return one_line(f"{words(error)}{where}") if is_bad_input else None


def words(error: BaseException) -> str:
    """What an error says, without the trace that a process reading data puts before it."""
    return _WORKER.split(str(error))[-1]


def _unwrap(error: BaseException) -> tuple[BaseException, str]:
    """See `unwrapped`; how libraries refuse a value is the user's to mend, unless it is the system's doing."""
    outer = error
    error, where = unwrapped(error)
    if error is not outer and isinstance(error, VALUE_ERRORS) and machine_errors.trouble(error, str(error)) is None:
        return UserError(f"a value does not fit: {error}"), where
    return error, where


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it, each once: one that was raised from itself stands behind itself."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
