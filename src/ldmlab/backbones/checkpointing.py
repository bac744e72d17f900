"""Less memory for more time: of a block only the input is kept, and the rest computed again (Chen et al. 2016)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, is_grad_enabled, nn
from torch.utils.checkpoint import checkpoint

from ldmlab.backbones.block_inputs import BlockInputs


class Checkpointing(nn.Module):
    """A backbone of blocks `block(x, inputs)`.

    Attributes:
        checkpointing: whether training keeps the blocks' inputs alone. No part of what the network is: gradients are
            the same, and no config that builds it says so.
    """

    checkpointing = False

    def run_block(self, block: nn.Module, x: Float[Tensor, "B ..."], inputs: BlockInputs) -> Float[Tensor, "B ..."]:
        """`block(x, inputs)`; where `checkpointing` is on and gradients are needed, it is computed again for them."""
        if self.checkpointing and is_grad_enabled():
            features: Tensor = checkpoint(block, x, inputs, use_reentrant=False)
            return features
        return block(x, inputs)
