"""Mean and standard deviation of raw latents, channel by channel, gathered over the batches of training."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.autoencoders.base import Posterior
from ldmlab.reduction import mean_over_ranks


class RunningStatistics(nn.Module):
    """A moving average over about `window` batches; exact over the first ones. Its state is saved with a checkpoint.

    Args:
        channels: C of the latents.
        window: batches that the average reaches back.
    """

    batches: Tensor
    first_moment: Tensor
    second_moment: Tensor

    def __init__(self, channels: int, window: int = 100) -> None:
        super().__init__()
        self.window = window
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        self.register_buffer("first_moment", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("second_moment", torch.zeros(channels, dtype=torch.float64))

    @torch.no_grad()
    def update(self, raw: Posterior) -> None:
        """Take in a batch's posterior.

        The second moment is that of a draw: the mean's square plus the posterior's variance.
        """
        self.batches += 1
        weight = 1 / self.batches.clamp(max=self.window).double()
        mean, std = raw.mean.double(), raw.std.double()
        moments = torch.stack([mean, mean.square() + std.square()]).mean(dim=(1, 3, 4))
        first, second = mean_over_ranks(moments)
        self.first_moment.lerp_(first, weight)
        self.second_moment.lerp_(second, weight)

    def result(self) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
        """Mean and standard deviation of every channel, over the batches so far."""
        variance = self.second_moment - self.first_moment.square()
        return self.first_moment.float(), variance.sqrt().float()
