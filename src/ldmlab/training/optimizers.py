"""Optimizers from what a user names: which arguments they take, what they decay, and what identifies them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer


def optimizer_names(optimizers: Iterable[Optimizer]) -> list[str]:
    """The classes of optimizers by name, for checkpoints to be compared by."""
    return [f"{type(each).__module__}.{type(each).__qualname__}" for each in optimizers]


def optimizer_factory(make: partial[Optimizer]) -> partial[Optimizer]:
    """A factory of optimizers whose arguments are looked at now, not when training begins.

    An argument that is None is left out where the optimizer has none such. `fused=None` is true on a GPU, where the
    optimizer has such a kernel.

    Args:
        make: an optimizer's class with its arguments.

    Raises:
        ValueError: an argument that it does not take.
    """
    make = _known_arguments(make)
    return partial(_fused_on_a_gpu, make) if make.keywords.get("fused", False) is None else make


def parameter_groups(parameters: Iterable[nn.Parameter], decay_vectors: bool = True) -> list[Any]:
    """What an optimizer is given: all parameters, or a group that is decayed and one that is not.

    Args:
        parameters: to be trained.
        decay_vectors: False spares parameters of one dimension (norms, biases) the weight decay.
    """
    parameters = list(parameters)
    if decay_vectors:
        return parameters
    matrices, vectors = ([p for p in parameters if (p.ndim > 1) == large] for large in (True, False))
    return [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]


def _known_arguments(make: partial[Optimizer]) -> partial[Optimizer]:
    parameters = inspect.signature(make.func).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return make
    given = {name: value for name, value in make.keywords.items() if name in parameters or value is not None}
    for name, value in given.items():
        if name not in parameters:
            taker = f"{make.func.__module__.removesuffix(f'.{make.func.__name__.lower()}')}.{make.func.__name__}"
            raise ValueError(f"optimizer.{name}={value}: {taker} takes no {name}; {_fix(name, value)}")
    return partial(make.func, *make.args, **given)


def _fused_on_a_gpu(make: partial[Optimizer], parameters: Iterable[Any]) -> Optimizer:
    """One kernel for all parameters, where these are on a GPU and nothing else is asked for."""
    parameters = list(parameters)
    groups = [each["params"] if isinstance(each, dict) else [each] for each in parameters]
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group)
    return make(parameters, **({"fused": True} if on_gpu else {}))


def _fix(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"use optimizer.{name}=null"
    return "write the keys that it takes into a file DIR/optimizer/NAME.yaml, and give optimizer=NAME --config-dir DIR"
