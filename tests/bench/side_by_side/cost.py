"""What a pass of a network costs, by ldmlab's own counts, for both sides alike."""

from __future__ import annotations

import torch

from ldmlab.counting.passes import Pass
from ldmlab.types import Conditioning
from side_by_side.networks import latents, our_transformer
from side_by_side.sizes import DiTSize


def dit_flops(size: DiTSize) -> int:
    """Floating-point operations of matrix products and convolutions in a forward pass of one row.

    Those of a training step are three times as many.
    """
    meta = torch.device("meta")
    with meta:
        network = our_transformer(size)
        cond = Conditioning(vector=torch.empty(1, size.width))
        inputs = (latents(1, size.grid, meta), torch.zeros(1, dtype=torch.long), cond)
    return Pass(network, inputs, "forward").flops()[Pass.ROOT]
