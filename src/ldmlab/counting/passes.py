"""One pass through a module on tensors without data: its operations, and what training keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

from ldmlab.attention.backends import Backend, Mask, explicit
from ldmlab.counting.activations import SavedTensors, fused
from ldmlab.types import AttentionSite, Conditioning


class Pass(nn.Module):
    """A call of a module's method. The module may lie on any device, the meta device too, and is left as it was.

    Attributes:
        ran: the modules that ran in `flops`.
        tokens: how many tokens the self- and cross-attentions among them read; joint ones count as self.

    Args:
        module: what is called.
        inputs: of the call; tensors and `Conditioning` on any device.
        method: what of the module is called.
    """

    ROOT = "Pass.module"

    def __init__(self, module: nn.Module, inputs: tuple[Any, ...], method: str) -> None:
        super().__init__()
        self.module = module
        self.inputs = inputs
        self.method = method
        self.ran: set[nn.Module] = set()
        self.tokens: dict[str, set[int]] = {"self": set(), "cross": set()}

    def forward(self, *inputs: Any) -> Any:
        """Call the method; through the module's hooks where it is `forward`."""
        return getattr(self.module, self.method)(*inputs) if self.method != "forward" else self.module(*inputs)

    def flops(self) -> dict[str, int]:
        """Floating-point operations of matrix products and convolutions, by the path of a module from `ROOT`."""
        counter = FlopCounterMode(display=False)
        watched = register_module_forward_pre_hook(lambda module, inputs: self.ran.add(module))
        with watched, self._attention_by(self._written_out), counter, torch.no_grad():
            functional_call(self, self._state(torch.float32), _on_meta(self.inputs, torch.float32))
        flops = {name: sum(by_operator.values()) for name, by_operator in counter.get_flop_counts().items()}
        return flops | {self.ROOT: flops.get(type(self).__name__, 0)}

    def activations(self, dtype: torch.dtype) -> dict[nn.Module, int]:
        """Bytes kept for the backward pass with weights and inputs of a dtype, by the innermost module."""
        state = self._state(dtype)
        saved = SavedTensors(state.values())
        as_built = self._attention_by(lambda attention: explicit if attention.backend is explicit else fused)
        with saved.open(), as_built, torch.enable_grad():
            output = functional_call(self, state, _on_meta(self.inputs, dtype))
        del output  # alive until here, and with it all that autograd saved
        return {self.module if owner is self else owner: kept for owner, kept in saved.bytes_of.items()}

    def _state(self, dtype: torch.dtype) -> dict[str, Tensor]:
        named = [*self.named_parameters(), *self.named_buffers()]
        return {name: _on_meta(t.detach(), dtype).requires_grad_(t.requires_grad) for name, t in named}

    def _written_out(self, attention: Any) -> Backend:
        """The explicit backend, which also notes how many keys there are at a site of a network."""
        site: AttentionSite | None = getattr(attention, "site", None)

        def backend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
            if site is not None:
                self.tokens["cross" if site.kind == "cross" else "self"].add(k.shape[2])
            return explicit(q, k, v, mask)

        return backend

    @contextmanager
    def _attention_by(self, backend_for: Callable[[Any], Backend]) -> Iterator[None]:
        """Use other backends of attention: fused kernels hide their products, and some have none for meta."""
        attentions: list[Any] = [m for m in self.module.modules() if hasattr(m, "backend")]
        backends = [attention.backend for attention in attentions]
        for attention in attentions:
            attention.backend = backend_for(attention)
        try:
            yield
        finally:
            for attention, backend in zip(attentions, backends, strict=True):
                attention.backend = backend


def _on_meta(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, tuple):
        return tuple(_on_meta(element, dtype) for element in value)
    if isinstance(value, Tensor):
        return value.to("meta", dtype if value.is_floating_point() else value.dtype)
    return value.map(lambda tensor: _on_meta(tensor, dtype)) if isinstance(value, Conditioning) else value
