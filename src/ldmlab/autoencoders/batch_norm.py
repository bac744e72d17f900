"""Batch normalisation over the batches of all processes that train together."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.reduction import mean_over_ranks, world_size

BATCH_AND_GRID = (0, 2, 3)


class BatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, whose mean and variance are those of the whole batch. `nn.SyncBatchNorm` needs a GPU."""

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Normalise; processes train with equally many samples."""
        world = world_size()
        if not self.training or world == 1:
            return super().forward(x)
        mean = mean_over_ranks(x.float().mean(dim=BATCH_AND_GRID))
        centred = x.float() - mean[:, None, None]
        variance = mean_over_ranks(centred.square().mean(dim=BATCH_AND_GRID))
        self._remember(mean.detach(), variance.detach(), world * x.numel() // x.shape[1])
        normed = centred * (variance + self.eps).rsqrt()[:, None, None]
        return (normed * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Float[Tensor, " C"], variance: Float[Tensor, " C"], count: int) -> None:
        """As PyTorch does, for evaluation mode: with the unbiased variance."""
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)  # type: ignore[union-attr, arg-type]
