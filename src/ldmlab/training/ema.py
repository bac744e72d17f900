"""Exponential moving average of trained parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from ldmlab.training.strategies.shares import gathered, local, shared_as, whole


class EMA(nn.Module):
    """Averages parameters after each optimizer step, with decay min(decay, (1 + n) / (10 + n)) at update n.

    The averages are buffers, so a checkpoint holds both the raw and the averaged weights. They are held in fp32 at
    least, whatever the parameters are held in: in half precision a step of 1e-4 of the difference would round to none.

    Args:
        named_parameters: what to average; frozen parameters are left out.
        decay: in [0, 1).
    """

    updates: Tensor

    def __init__(self, named_parameters: Iterable[tuple[str, nn.Parameter]], decay: float = 0.9999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay={decay}: the decay must lie in [0, 1)")
        self.decay = decay
        named = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
        self._names = [name for name, _ in named]
        self._parameters_averaged: list[Tensor] = [parameter for _, parameter in named]
        self._buffer_names = [name.replace(".", "/") for name in self._names]  # which may not hold dots
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self._known = self.updates, self.updates._version, 0
        self._shared: list[nn.Module] = []  # the model, where ranks share it; seen, not owned
        self._inside = False
        for name, parameter in zip(self._buffer_names, self._parameters_averaged, strict=True):
            self.register_buffer(name, parameter.detach().clone().to(_at_least_fp32(parameter.dtype)))

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the parameters."""
        n = self._count()
        decay = min(self.decay, (1 + n) / (10 + n))
        averages = [local(average) for average in self._averages()]
        now = [local(p).to(a.dtype) for p, a in zip(self._parameters_averaged, averages, strict=True)]
        torch._foreach_lerp_(averages, now, 1 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Put the averages into the model for a while; the raw weights come back also after an error.

        Of a model that ranks share, all enter the block together, and compute alone inside it. One within another does
        nothing.
        """
        if self._inside:
            yield
            return
        self._inside = True
        try:
            with gathered(self._shared[0]) if self._shared else nullcontext(), self._exchanged():
                yield
        finally:
            self._inside = False

    def follow(self, model: nn.Module) -> None:
        """Average what a model has by now under the same names, in shares where ranks share it."""
        self._shared = [model]
        self._parameters_averaged = [model.get_parameter(name) for name in self._names]
        for name, parameter in zip(self._buffer_names, self._parameters_averaged, strict=True):
            self._buffers[name] = shared_as(self.get_buffer(name), parameter)

    def averaged_state(self) -> dict[str, Tensor]:
        """The averages under the names of their parameters."""
        return dict(zip(self._names, self._averages(), strict=True))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> EMA:
        """Move with the model, and stay in fp32 where it is made half."""

        def keep(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == _at_least_fp32(moved.dtype) else tensor.to(moved.device)

        known = self._known_updates()
        super()._apply(keep, recurse)
        if known is not None:
            self._known = self.updates, self.updates._version, known
        return self

    def _count(self) -> int:
        """Count an update. `updates` may lie on a GPU, so it is read only after something else has written to it."""
        known = self._known_updates()
        count = 1 + (int(self.updates) if known is None else known)
        self.updates += 1
        self._known = self.updates, self.updates._version, count
        return count

    def _known_updates(self) -> int | None:
        tensor, version, count = self._known
        return count if self.updates is tensor and self.updates._version == version else None

    def _averages(self) -> list[Tensor]:
        buffers = self._buffers
        return [buffers[name] for name in self._buffer_names]  # type: ignore[misc]

    @contextmanager
    def _exchanged(self) -> Iterator[None]:
        """What is gathered is a copy, and goes after the block."""
        if self._shared:
            for name, average in self.averaged_state().items():
                self._shared[0].get_parameter(name).data.copy_(whole(average))
            yield
            return
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for parameter, average in zip(self._parameters_averaged, self._averages(), strict=True):
            parameter.data, average.data = average.data, parameter.data


def _at_least_fp32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32) if dtype.is_floating_point else dtype
