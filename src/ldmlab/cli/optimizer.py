"""Builds the optimizer's factory, and says at once what the optimizer would not take."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from hydra.utils import instantiate
from torch import nn
from torch.optim import Optimizer


def build_optimizer(config: Mapping[str, Any]) -> partial[Optimizer]:
    """The factory of a config's `optimizer` group. A key that is null is left out where the optimizer has none such.

    Raises:
        ValueError: a key that it does not take, which would be found when the training begins.
    """
    factory: partial[Optimizer] = instantiate(config)
    parameters = inspect.signature(factory.func).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return factory
    given = {name: value for name, value in factory.keywords.items() if name in parameters or value is not None}
    for name, value in given.items():
        if name not in parameters:
            raise ValueError(f"optimizer.{name}={value}: {config['_target_']} takes no {name}; {_fix(name, value)}")
    factory = partial(factory.func, *factory.args, **given)
    return partial(_fused_on_a_gpu, factory) if given.get("fused", False) is None else factory


def _fused_on_a_gpu(factory: partial[Optimizer], parameters: Iterable[nn.Parameter]) -> Optimizer:
    """One kernel for all parameters, where these are on a GPU and nothing else is asked for."""
    parameters = list(parameters)
    on_gpu = all(parameter.is_cuda for parameter in parameters)
    return factory(parameters, **({"fused": True} if on_gpu else {}))


def _fix(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"use optimizer.{name}=null"
    return "write the keys that it takes into a file DIR/optimizer/NAME.yaml, and give optimizer=NAME --config-dir DIR"
