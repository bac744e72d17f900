"""The numbers that training computes in, as plugins of Lightning's Trainer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from torch import Tensor, nn
from torch.optim import Optimizer

from ldmlab.precision import Precision as Numbers
from ldmlab.precision import choose_precision

ALIASES = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}
"""Short names, as Lightning reads them."""
LIGHTNINGS = {
    "32-true": ("fp32", "tf32"),
    "bf16-mixed": ("bf16",),
    "16-mixed": ("fp16",),
    "bf16-true": ("bf16",),
}
"""Lightning's names, and what each of them is here."""
_REFUSED = {
    "16-true": "weights in fp16 lose their updates and overflow; use 16-mixed",
    "64-true": "nothing here gains from fp64; use 32-true",
    "transformer-engine": "ldmlab has no layers of Transformer Engine; use bf16-mixed",
    "transformer-engine-float16": "ldmlab has no layers of Transformer Engine; use 16-mixed",
}


def training_precision(name: str, lightnings: str | int | None, device: torch.device) -> tuple[Numbers, str]:
    """What a run computes in, and what Lightning calls it.

    Args:
        name: see `choose_precision`.
        lightnings: Lightning's name; None or "auto" follows from `name`.
        device: where.

    Raises:
        ValueError: a name that is not known, two that contradict each other, or arithmetic that no model here is
            trained in or the device lacks.
    """
    if lightnings in (None, "auto"):
        numbers = choose_precision(name, device)
        return numbers, _lightnings(numbers)
    full = resolve_precision(lightnings)
    if name == "auto":
        numbers = Numbers(LIGHTNINGS[full][0], device, f"trainer.precision={lightnings}")
    elif name in LIGHTNINGS[full]:
        numbers = Numbers(name, device)
    else:
        raise ValueError(
            f"trainer.precision={lightnings}: is {LIGHTNINGS[full][0]}, and precision={name}; give one of them"
        )
    return (numbers if device.type == "cpu" else choose_precision(numbers.name, device)), full


def resolve_precision(name: str | int | None) -> str:
    """One of `LIGHTNINGS`, from it, from a short form of it, or from "auto", which follows from the machine.

    Raises:
        ValueError: a name that is not known, or arithmetic that no model here is trained in.
    """
    full = ALIASES.get(str(name), "32-true" if name is None else str(name))
    if full in _REFUSED:
        raise ValueError(f"trainer.precision={name}: {_REFUSED[full]}")
    if full == "auto":
        return _lightnings(choose_precision(full, "cuda" if torch.cuda.is_available() else "cpu"))
    if full not in LIGHTNINGS:
        raise ValueError(f"trainer.precision={name}: choose one of {', '.join(LIGHTNINGS)}, or precision=")
    return full


def _lightnings(numbers: Numbers) -> str:
    return next(full for full, ours in LIGHTNINGS.items() if numbers.name in ours)


def precision_plugin(numbers: Numbers, name: str) -> Precision:
    """What computes in a precision.

    Args:
        numbers: that it computes in.
        name: one of `LIGHTNINGS`.
    """
    device = numbers.device.type
    if name == "32-true":
        plugin = Precision()
    elif name == "bf16-true":
        plugin = HalfWeights(device)
    else:
        plugin = Mixed("16-mixed" if name == "16-mixed" else "bf16-mixed", device)
    plugin.numbers = numbers  # type: ignore[attr-defined]
    return plugin


def numbers_of(trainer: L.Trainer) -> Numbers:
    """What a Trainer computes in, also one that was not made for a run of ldmlab."""
    known = getattr(trainer.precision_plugin, "numbers", None)
    if isinstance(known, Numbers):
        return known
    return training_precision("auto", trainer.precision, trainer.strategy.root_device)[0]


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


def loss_scale(trainer: L.Trainer, loss: Tensor) -> Tensor | float:
    """By how much gradients are too large until they are unscaled, on the device of the loss; 1 without a scaler."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return 1.0 if scaler is None else scaler.scale(loss.new_ones((), dtype=torch.float32))


def _then(closure: Callable[[], Any], action: Callable[[], None]) -> Callable[[], Any]:
    def both() -> Any:
        result = closure()
        action()
        return result

    return both
