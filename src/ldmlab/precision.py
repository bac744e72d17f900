"""The numbers that networks compute in: what a device can do of them, and how a model comes to compute in them.

Whatever the name says, these are fp32 at least: noisy latents and the arithmetic of samplers, a conditioner's output,
attention probabilities under a control, latent statistics, losses, averages of weights, and metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

PRECISIONS = ("auto", "bf16", "fp16", "tf32", "fp32")
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
AMPERE = (8, 0)
"""The compute capability from which GPUs of NVIDIA have bf16 and TF32."""


@dataclass(frozen=True)
class Precision:
    """What a network computes in.

    Attributes:
        name: "bf16" or "fp16", of weights and features; "tf32", fp32 with matrix products of 10 bits; or "fp32".
        device: where.
        why: it is this one, for a log.
    """

    name: str
    device: torch.device
    why: str = "as asked"

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and features."""
        return HALF.get(self.name, torch.float32)

    @property
    def is_half(self) -> bool:
        """Whether weights and features have 16 bits."""
        return self.name in HALF

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Let what is fp32 be multiplied as TF32 inside the block, or not for "fp32"; nothing on a CPU.

        Halves allow it for what remains fp32 beside them: it is the more exact of the two.
        """
        if self.device.type != "cuda":
            yield
            return
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        try:
            torch.set_float32_matmul_precision("highest" if self.name == "fp32" else "high")
            torch.backends.cudnn.allow_tf32 = self.name != "fp32"
            yield
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.backends.cudnn.allow_tf32 = before[1]

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in halves inside the block with weights that are fp32."""
        return torch.autocast(self.device.type, self.dtype) if self.is_half else nullcontext()

    @contextmanager
    def running(self, network: nn.Module) -> Iterator[None]:
        """Let a network compute so inside the block: by autocast, unless its weights are halves already."""
        is_cast = weights_dtype(network) in HALF.values()
        with self.arithmetic(), nullcontext() if is_cast else self.autocast():
            yield


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Compute in the types that are given inside the block, whatever is around it: neither autocast nor TF32."""
    available = torch.amp.is_autocast_available(device.type)  # not on the meta device
    uncast = torch.autocast(device.type, enabled=False) if available else nullcontext()
    with Precision("fp32", device).arithmetic(), uncast:
        yield


def autocast_is_on(device: torch.device) -> bool:
    """Whether autocast is on for a device."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def choose_precision(name: str, device: torch.device | str) -> Precision:
    """What a device computes in; "auto" is bf16 on a GPU that has it, and fp32 elsewhere.

    Raises:
        ValueError: the name is unknown, or the device has no such arithmetic.
    """
    device = torch.device(device)
    if name not in PRECISIONS:
        raise ValueError(f"precision={name}: choose one of {', '.join(PRECISIONS)}")
    if name == "auto":
        lacks = "is no GPU" if device.type != "cuda" else _lacks("bf16", device)
        if lacks is None:
            return Precision("bf16", device, f"{_called(device)} has bf16")
        return Precision("fp32", device, f"{_called(device)} {lacks}")
    lacks = _lacks(name, device)
    if lacks is not None:
        raise ValueError(f"precision={name}: {_called(device)} {lacks}; use precision=auto, which is fp32 here")
    return Precision(name, device)


def lay_out(module: nn.Module, precision: Precision) -> None:
    """Put a module's convolutions in the order that a GPU's tensor cores read, channels last, where that pays."""
    if precision.is_half and precision.device.type == "cuda":
        module.to(memory_format=torch.channels_last)


def half_weights(module: nn.Module, dtype: torch.dtype) -> None:
    """Round a module's weights and tables, in place, but those of parts that say `keeps_fp32`; for drawing alone."""
    for part in module.modules():
        if not getattr(part, "keeps_fp32", False):
            for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
                if tensor.dtype == torch.float32:
                    tensor.data = tensor.data.to(dtype)


def weights_dtype(module: nn.Module) -> torch.dtype:
    """What a module computes in, from its first weight; fp32 where it has none."""
    return next((weight.dtype for weight in module.parameters()), torch.float32)


def at_least_fp32(tensor: Tensor) -> Tensor:
    """A tensor of real numbers in fp32 or more; others as they are."""
    if not tensor.is_floating_point():
        return tensor
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _lacks(name: str, device: torch.device) -> str | None:
    """What a device cannot do of a precision, in words."""
    if device.type == "cuda":
        if name in ("bf16", "tf32") and not torch.version.hip and torch.cuda.get_device_capability(device) < AMPERE:
            return f"has no {name}, which came with NVIDIA's Ampere"
        return None
    if name == "tf32" or (name == "fp16" and device.type == "cpu"):
        return f"has no {name}, which is for GPUs"
    return None


def _called(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"device={device.type}"


def pick_precision(name: str, device: str) -> Precision:
    """What the keys `precision` and `device` come to on this machine.

    Raises:
        ValueError: there is no such device, or it has no such arithmetic.
    """
    return choose_precision(name, pick_device(device))


def pick_device(name: str) -> torch.device:
    """The device of a `device` key: "auto" is the GPU where there is one.

    Raises:
        ValueError: cuda is asked for and missing.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda: this machine has no usable GPU; use device=cpu or device=auto")
    return torch.device(name)
