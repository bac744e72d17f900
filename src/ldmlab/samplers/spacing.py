"""Which of the T training timesteps a sampler of S steps visits, from the noisiest down."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

SPACINGS = ("leading", "trailing", "linspace")


def spaced_timesteps(steps: int, timesteps: int, spacing: str) -> Int[Tensor, " S"]:
    """S timesteps in [0, T), strictly falling.

    - leading: 1 + multiples of floor(T / S), as Stable Diffusion does: 981, 961 ... 1 for S=50, T=1000. When S does
      not divide T or S = T, the offset of 1 is left out where it would step over T - 1.
    - trailing: T - 1 and down by T / S, so that sampling starts at the last level: 999, 979 ... 19 for S=50, T=1000.
    - linspace: evenly from T - 1 to 0.

    Raises:
        ValueError: steps outside [1, T], or a spacing that is not known.
    """
    if not 1 <= steps <= timesteps:
        raise ValueError(
            f"sampler.steps={steps}: choose between 1 and the {timesteps} timesteps that the model was trained on"
        )
    index = torch.arange(steps, 0, -1, dtype=torch.float64)
    if spacing == "trailing":
        return (index * timesteps / steps).round().long() - 1
    if spacing == "linspace":
        return torch.linspace(timesteps - 1, 0, steps, dtype=torch.float64).round().long()
    if spacing == "leading":
        chosen = (index.long() - 1) * (timesteps // steps)
        return chosen + 1 if chosen[0] + 1 < timesteps else chosen
    raise ValueError(f"sampler.spacing={spacing}: choose one of {', '.join(SPACINGS)}")
