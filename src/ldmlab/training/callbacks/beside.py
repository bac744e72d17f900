"""What stands beside training never ends it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import lightning as L

log = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=type[L.Callback])


def beside_training(what: str, together: bool = False) -> Callable[[Kind], Kind]:
    """A decorator of callbacks whose errors are told, the first of them, while training goes on.

    Args:
        what: they make, for the warning.
        together: the ranks of a run wait for each other in it, so that an error of one has to end all.
    """

    def decorate(kind: Kind) -> Kind:
        for name in dir(L.Callback):
            hook = getattr(kind, name)
            if name.startswith("on_") and hook is not getattr(L.Callback, name):
                setattr(kind, name, _guarded(hook, what, together))
        return kind

    return decorate


def _guarded(hook: Callable[..., None], what: str, together: bool) -> Callable[..., None]:
    @functools.wraps(hook)
    def guarded(self: Any, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        try:
            hook(self, trainer, *args, **kwargs)
        except Exception as error:  # whatever it is, the weights are worth more
            if together and trainer.world_size > 1:
                raise
            if not getattr(self, "_told_of_trouble", False):
                self._told_of_trouble = True
                trouble = f"{type(error).__name__}: {' '.join(str(error).split())}"
                log.warning("%s failed at step %d, and training goes on (%s)", what, trainer.global_step, trouble)

    return guarded
