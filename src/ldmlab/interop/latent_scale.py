"""Unit variance: our mean and deviation of every channel, and the one factor of public models."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def statistics_of(channels: int, scale: float) -> dict[str, Tensor]:
    """Our latent statistics for public models: mean 0, and one standard deviation 1 / scale for all channels."""
    return {"latent_mean": torch.zeros(channels), "latent_std": torch.full((channels,), 1 / scale)}


def scale_of(state: Mapping[str, Tensor], can_fold: bool) -> tuple[float, dict[str, Tensor]]:
    """diffusers' scaling factor, and the weights that change where one factor does not say what our statistics say.

    Then mean and deviation of every channel go into the convolutions around the latents, exactly but for rounding.

    Raises:
        ValueError: a codebook stands between these convolutions.
    """
    mean, std = (state[f"autoencoder.latent_{name}"].double() for name in ("mean", "std"))
    if not bool(mean.any()) and bool((std == std[0]).all()):
        return _factor(state["autoencoder.latent_std"][0]), {}
    if not can_fold:
        raise ValueError(
            "format=diffusers: the latents' mean and deviation differ from channel to channel, which diffusers' "
            "VQModel cannot express"
        )
    return 1.0, _folded({name: state[name].double() for name in FOLDED}, mean, std)


FOLDED = tuple(f"autoencoder.{layer}.{kind}" for layer in ("to_moments", "from_latents") for kind in ("weight", "bias"))


def _folded(state: Mapping[str, Tensor], mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    into, into_bias, out, out_bias = (state[name] for name in FOLDED)
    spread = torch.cat([std, torch.ones_like(std)])
    shift = torch.cat([-mean / std, -2 * std.log()])
    folded = (
        into / spread[:, None, None, None],
        into_bias / spread + shift,
        out * std[:, None, None],
        out_bias + out[..., 0, 0] @ mean,
    )
    return {name: value.float() for name, value in zip(FOLDED, folded, strict=True)}


def _factor(std: Tensor) -> float:
    """1 / std with as few digits as give the same standard deviation back."""
    exact = 1 / float(std)
    short = float(f"{exact:.7g}")
    return short if torch.equal(torch.tensor(1 / short, dtype=std.dtype), std.cpu()) else exact
