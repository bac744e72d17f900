"""How well a denoiser explains latents: the whole variational bound, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.variational import ReverseChain
from ldmlab.types import Conditioning, Level


@torch.no_grad()
def bits_per_dim(
    denoiser: Denoiser,
    latents: Float[Tensor, "B C H W"],
    cond: Conditioning,
    levels: Level,
    draw: Callable[[], Float[Tensor, "B C H W"]],
    track: Callable[[range], Iterable[int]] = iter,
) -> dict[str, Float[Tensor, " B"]]:
    """The variational bound on -log2 p(latents | cond) per dimension, estimated with one noise a step.

    Args:
        denoiser: the model.
        latents: clean.
        cond: what is known of them.
        levels: S + 1 levels, noisiest first, the last one clean; all T for the bound of the papers.
        draw: gives N(0, 1) noise like the latents, anew at each call.
        track: wraps the steps, for a progress bar.

    Returns:
        The bound for each variance of the reverse step ("fixed_small", "fixed_large", and "learned" where the model
        has one), and its part "prior", which they share.
    """
    chain = ReverseChain(levels)
    prior = chain.prior_bits(latents)
    totals: dict[str, Tensor] = {}
    for step in track(range(len(levels) - 1)):
        steps = torch.tensor(step)
        x = chain.noisy(steps, latents, draw())
        estimate = denoiser.estimate(x, chain.here[step], cond)
        zero = torch.zeros_like(latents)
        mixes = {"fixed_small": zero, "fixed_large": zero + 1, "learned": estimate.variance_mix}
        for name, mix in mixes.items():
            if mix is not None:
                bits = chain.bits(steps, latents, x, estimate.denoised, mix)
                totals[name] = totals.get(name, prior) + bits
    return totals | {"prior": prior}
