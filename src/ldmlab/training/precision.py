"""The numbers that training computes in, as plugins of Lightning's Trainer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from torch import nn
from torch.optim import Optimizer

ALIASES = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}
"""Short names, as Lightning reads them."""
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true")
_REFUSED = {
    "16-true": "weights in fp16 lose their updates and overflow; use 16-mixed",
    "64-true": "nothing here gains from fp64; use 32-true",
    "transformer-engine": "ldmlab has no layers of Transformer Engine; use bf16-mixed",
    "transformer-engine-float16": "ldmlab has no layers of Transformer Engine; use 16-mixed",
}


def resolve_precision(name: str | int | None) -> str:
    """One of `PRECISIONS` other than "auto", which is bf16-mixed on GPUs that have it and 32-true elsewhere.

    Raises:
        ValueError: a name that is not known, or arithmetic that no model here is trained in.
    """
    full = ALIASES.get(str(name), "32-true" if name is None else str(name))
    if full in _REFUSED:
        raise ValueError(f"trainer.precision={name}: {_REFUSED[full]}")
    if full not in PRECISIONS:
        raise ValueError(f"trainer.precision={name}: choose one of {', '.join(PRECISIONS)}")
    if full != "auto":
        return full
    return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(False) else "32-true"


def precision_plugin(name: str, device: str) -> Precision:
    """What computes in a precision.

    Args:
        name: as `resolve_precision` gave it.
        device: "cuda", "mps" or "cpu".
    """
    if name == "32-true":
        return Precision()
    if name == "bf16-true":
        return HalfWeights(device)
    return Mixed("16-mixed" if name == "16-mixed" else "bf16-mixed", device)


class Mixed(MixedPrecision):
    """Autocast, with clipping for any optimizer.

    Lightning refuses to clip for fused optimizers, because these can unscale gradients inside their step. bf16 has no
    scale, and `GradScaler` steps them on gradients that were unscaled before, so neither has to be refused.
    """

    def optimizer_step(  # type: ignore[override]
        self, optimizer: Any, model: L.LightningModule, closure: Callable[[], Any], **kwargs: Any
    ) -> Any:
        """Step on gradients that are unscaled, and skip the step where they overflowed."""
        if self.scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            closure = _then(closure, partial(self.scaler.unscale_, optimizer))
        return super().optimizer_step(optimizer, model, closure, **kwargs)

    def clip_gradients(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
        """Clip gradients, which are unscaled by now."""
        Precision.clip_gradients(self, optimizer, *args, **kwargs)


class HalfWeights(Mixed):
    """Autocast to bf16, and the trained matrices, with their gradients and the optimizer's state, held in bf16.

    Vectors (norms, biases) stay in fp32, and so does everything that is not trained.
    """

    def __init__(self, device: str) -> None:
        super().__init__("bf16-mixed", device)

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Round the weights to bf16, in place."""
        for parameter in module.parameters():
            if parameter.requires_grad and parameter.ndim > 1:
                parameter.data = parameter.data.bfloat16()
        return module


def loss_scale(trainer: L.Trainer) -> float:
    """By how much gradients are too large until they are unscaled; 1 without a scaler."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return 1.0 if scaler is None else float(scaler.get_scale())


def _then(closure: Callable[[], Any], action: Callable[[], None]) -> Callable[[], Any]:
    def both() -> Any:
        result = closure()
        action()
        return result

    return both
