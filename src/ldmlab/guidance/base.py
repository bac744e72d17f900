"""What a guidance method is."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.types import Conditioning, Denoise


@runtime_checkable
class Guidance(Protocol):
    """Binds a denoiser to its conditions."""

    def bind(self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning | None, control: Any = None) -> Denoise:
        """Return `denoise(x (B,C,H,W), level) -> clean estimate (B,C,H,W)`. A control sees the conditional pass."""
        ...
