"""DDIM inversion: the sampler's deterministic path, walked from the latents to the noise.

Shapes: B batch, S steps.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.editing.inversion.base import Inversion, InversionTask, Inverted
from ldmlab.guidance.none import NoGuidance
from ldmlab.types import Denoise, Level


class DDIMInversion(Inversion):
    """The whole method for guidance near 1, and the pivot of the others: a walk with the conditional estimate alone.

    Args:
        iterations: network calls a step of the walk back; one is DDIM inversion as published, more solve each step.

    Raises:
        ValueError: no iteration.
    """

    def __init__(self, iterations: int = 1) -> None:
        if iterations < 1:
            raise ValueError(f"inversion.iterations={iterations}: estimate each step at least once")
        self.iterations = iterations

    def invert(self, task: InversionTask) -> Inverted:
        """Walk back along the conditional estimate; guidance is left out, as in Mokady et al. (2023, section 3.2)."""
        denoise = NoGuidance().bind(task.denoiser, task.conditions.cond)
        return Inverted(walk_back(denoise, task.latents, task.levels, self.iterations))


@torch.no_grad()
def walk_back(
    denoise: Denoise, latents: Float[Tensor, "B *grid"], levels: Level, iterations: int = 1
) -> list[Float[Tensor, "B *grid"]]:
    """The S + 1 points from the noisiest to the latents from which each step of DDIM leads to the next.

    Args:
        denoise: the clean estimate that the sampler will follow.
        latents: taken to be x at the last level.
        levels: of the sampler.
        iterations: estimates a step; the network is called `iterations` x S times. See `step_back`.
    """
    trajectory = [latents]
    for index in reversed(range(len(levels) - 1)):
        trajectory.append(step_back(denoise, trajectory[-1], levels[index], levels[index + 1], iterations))
    return trajectory[::-1]


def step_back(
    denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, iterations: int
) -> Float[Tensor, "B *grid"]:
    """The x at `level` from which a deterministic step of first order leads to the given x at `next_level`.

    That step moves along dy/ds = (y - x_0) / s in y = x / (alpha + sigma) over s = sigma / (alpha + sigma), with the
    estimate x_0 taken at its noisier end. That is where x is wanted, so the step back is a fixed point. One iteration
    takes the estimate at the known y instead, as DDIM inversion is done (Mokady et al. 2023); more of them solve it
    (Pan et al. 2023). In y and s no level is singular: neither clean latents nor pure noise divide by 0.
    """
    scale = level.alpha + level.sigma
    next_scale = next_level.alpha + next_level.sigma
    s, next_s = level.sigma / scale, next_level.sigma / next_scale
    known = x / next_scale
    y = known
    for _ in range(iterations):
        y = known + (s - next_s) * (y - denoise(scale * y, level)) / s
    return scale * y
