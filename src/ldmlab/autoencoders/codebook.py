"""Vector quantisation with a learned codebook (van den Oord et al. 2017, "Neural Discrete Representation Learning").

Shapes: B batch, C latent channels, H x W latent grid, K codes, N vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ldmlab.draws import Draws
from ldmlab.precision import exact_arithmetic
from ldmlab.reduction import sum_over_ranks

USE_WINDOW = 100
"""Batches that the average use of a code reaches back, and after which an unused code counts as dead."""
DISTANCES = 2**24
"""Distances between vectors and codes that are held at once."""


def perplexity(use: Float[Tensor, " K"]) -> Float[Tensor, ""]:
    """exp of the entropy of how often codes are used: K for all alike, 1 for a single one, 0 for none."""
    share = use.double() / use.double().sum()
    return torch.special.entr(share).sum().exp().nan_to_num()


@dataclass(frozen=True)
class Quantized:
    """What a codebook makes of latents.

    Attributes:
        latents: the codes' vectors; their gradient goes to the latents that were given as if nothing had happened.
        codes: numbers of the codes.
        loss: mean squared distance between latents and codes, once for each side.
    """

    latents: Float[Tensor, "B C H W"]
    codes: Int[Tensor, "B H W"]
    loss: Float[Tensor, ""]


class VectorQuantizer(nn.Module):
    """The nearest of K learned vectors in place of each latent vector.

    In training mode it keeps count of the codes' use and, if asked to, moves dead codes onto latents of the batch.
    The counts are buffers, the draws torch's, so a resumed training goes on exactly.

    Args:
        count: K.
        channels: C, the length of a vector.
        commitment: beta, the weight of the term that pulls latents to their codes.
        restart_after: batches without use after which a code is moved onto a random latent vector; None for never.

    Raises:
        ValueError: a value out of range.
    """

    keeps_fp32: ClassVar[bool] = True
    """Codes stay when weights are made half: rounded, others would be the nearest."""
    frequency: Tensor
    idle: Tensor

    def __init__(self, count: int, channels: int, commitment: float = 0.25, restart_after: int | None = None) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"autoencoder.codes={count}: a codebook needs at least one")
        if commitment < 0:
            raise ValueError(f"autoencoder.commitment={commitment}: the weight must not be negative")
        if restart_after is not None and restart_after < 1:
            raise ValueError(f"autoencoder.restart_after={restart_after}: give at least 1, or null for no restarts")
        self.commitment = commitment
        self.restart_after = restart_after
        self.codes = nn.Parameter(torch.empty(count, channels).uniform_(-1 / count, 1 / count))
        self.register_buffer("frequency", torch.zeros(count))
        self.register_buffer("idle", torch.zeros(count, dtype=torch.long))

    def forward(self, latents: Float[Tensor, "B C H W"], draws: Draws | None = None) -> Quantized:
        """Quantise with the straight-through gradient (section 3.2) and the loss of equation 3, with means.

        Args:
            latents: before quantisation.
            draws: for them, of what dead codes become; from PyTorch's own generator if not given.
        """
        latents = latents.float()
        if self.training and self.restart_after is not None:
            self._restart(latents, self.restart_after, draws or Draws(len(latents)))
        codes = self.nearest(latents)
        if self.training:
            self._count(codes)
        chosen = self.lookup(codes)
        commitment = F.mse_loss(latents, chosen.detach())
        loss = self.commitment * commitment + F.mse_loss(chosen, latents.detach())
        return Quantized(latents + (chosen - latents).detach(), codes, loss)

    def nearest(self, latents: Float[Tensor, "B C H W"]) -> Int[Tensor, "B H W"]:
        """Number of the code at the smallest squared distance. Distances are taken a part at a time, in float32."""
        with torch.no_grad(), exact_arithmetic(latents.device):
            centre = self.codes.float().mean(dim=0)  # changes no distance, and leaves less to cancel
            vectors, codes = _vectors(latents).float() - centre, self.codes.float() - centre
            norms = codes.square().sum(dim=1)  # |z|^2 is the same for every code
            parts = vectors.split(max(1, DISTANCES // len(codes)))
            numbers = [torch.addmm(norms, part, codes.T, alpha=-2).argmin(dim=1) for part in parts]
        return torch.cat(numbers).unflatten(0, (len(latents), *latents.shape[2:]))

    def lookup(self, codes: Int[Tensor, "B H W"]) -> Float[Tensor, "B C H W"]:
        """The learned vectors of codes, given by their numbers."""
        return F.embedding(codes, self.codes).movedim(-1, 1)

    @property
    def dead(self) -> Int[Tensor, ""]:
        """Codes without use for `restart_after` batches, or for 100 where codes are not restarted."""
        return (self.idle >= (self.restart_after or USE_WINDOW)).sum()

    @torch.no_grad()
    def _count(self, codes: Int[Tensor, "B H W"]) -> None:
        numbers = codes.flatten()
        use = self.idle.new_zeros(len(self.codes), dtype=torch.float32)
        use.index_add_(0, numbers, torch.ones_like(numbers, dtype=torch.float32))
        use = sum_over_ranks(use)
        self.frequency.lerp_(use / use.sum(), 1 / USE_WINDOW)
        self.idle.add_(1).masked_fill_(use > 0, 0)

    @torch.no_grad()
    def _restart(self, latents: Float[Tensor, "B C H W"], after: int, draws: Draws) -> None:
        """Give vectors of the whole batch to codes without use for `after` batches.

        Without asking the device how many are dead, unless it is the CPU: each code is given a vector in case.
        """
        vectors, dead = _vectors(latents), self.idle >= after
        if dead.device.type == "cpu" and not bool(dead.any()):
            return  # nothing is drawn
        each = len(vectors) // len(latents)  # of a sample
        place, total = dead.cumsum(0) - 1, draws.total * each
        dead = dead & (place < total)
        order = torch.randperm(total, device=vectors.device, generator=draws.generator)
        own = order[place.clamp(0, total - 1)] - each * (draws.rows.start or 0)
        here = (own >= 0) & (own < len(vectors))
        chosen = torch.where(here[:, None], vectors[own.clamp(0, len(vectors) - 1)], 0)
        chosen = sum_over_ranks(chosen).to(self.codes.dtype)
        self.codes.copy_(torch.where(dead[:, None], chosen, self.codes))
        self.idle.masked_fill_(dead, 0)


def _vectors(latents: Float[Tensor, "B C H W"]) -> Float[Tensor, "N C"]:
    return latents.movedim(1, -1).flatten(0, -2)
