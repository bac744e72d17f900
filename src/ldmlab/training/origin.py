"""`init_ckpt`: a run that begins from the weights of another model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ldmlab.models.build import LARGEST_GRID, build_outline
from ldmlab.models.limits import no_larger_than
from ldmlab.models.loading import read_stored
from ldmlab.models.plain_data import shown
from ldmlab.training.warm_start import take_over

log = logging.getLogger(__name__)

KEY = "init_ckpt"
SAID = ("parameterization", "schedule")
"""What weights were trained for, which another model may take over all the same."""


@dataclass(frozen=True)
class Origin:
    """The model that a run begins from."""

    path: Path
    config: dict[str, Any]
    state: dict[str, Tensor]

    @property
    def has_autoencoder(self) -> bool:
        """Whether the latents that it works on are known."""
        return "autoencoder" in self.config

    def base_grid(self, backbone: Mapping[str, Any], grid: int) -> int | None:
        """The grid whose positions are stretched over this run's; None where they are the same."""
        theirs = self.config.get("backbone", {})
        if (
            not isinstance(theirs, dict)
            or theirs.get("_target_") != backbone.get("_target_")
            or not backbone.get("positions", True)
        ):
            return None
        with no_larger_than(tensor.numel() for tensor in self.state.values()):
            outline = build_outline({"model": "autoencoder", "autoencoder": self.config["autoencoder"]})
        factor = outline.get_submodule("autoencoder").factor
        base = theirs.get("base_grid") or self.config["image_size"] // int(factor)  # type: ignore[arg-type]
        if type(base) is not int or not 1 <= base <= LARGEST_GRID:
            raise ValueError(f"{KEY}={self.path}: backbone.base_grid={shown(base)}: is no grid of latents")
        return None if base == grid else base


def read_origin(ckpt: str | None) -> Origin | None:
    """The model that `init_ckpt` names; None where it names none.

    Args:
        ckpt: a file, or the name of a model that comes with ldmlab.

    Raises:
        ValueError: the file is absent, damaged, unsafe or not ours.
    """
    if ckpt is None:
        return None
    try:
        path, checkpoint = read_stored(ckpt)
    except ValueError as error:
        raise ValueError(str(error).replace("ckpt=", f"{KEY}=", 1)) from error
    return Origin(path, checkpoint.config, checkpoint.state)


def begin_from(origin: Origin, model: nn.Module, config: Mapping[str, Any]) -> None:
    """Take over what fits, and say what.

    Args:
        origin: the other model.
        model: a whole latent diffusion model, whose autoencoder is left alone, or one with an `autoencoder` alone.
        config: what built it.

    Raises:
        ValueError: nothing fits.
    """
    whole = config["model"] == "latent_diffusion"
    keep = ("autoencoder.",) if whole else tuple(f"{part}." for part in ("denoiser", "conditioner"))
    try:
        done = take_over(model, origin.state, keep)
    except ValueError as error:
        fix = ""
        if whole and origin.config["model"] == "autoencoder":
            fix = f"; it is an autoencoder, to be given as autoencoder_ckpt={origin.path}"
        raise ValueError(f"{KEY}={origin.path}: {error}{fix}") from error
    for line in done.lines():
        log.info("%s=%s: %s", KEY, origin.path, line)
    for section in SAID if whole else ():
        theirs = origin.config.get(section)
        if theirs is not None and theirs != config[section]:
            log.warning(
                "%s=%s: was trained with %s %s, this run has %s", KEY, origin.path, section, theirs, config[section]
            )
    base = config.get("backbone", {}).get("base_grid")
    if base is not None:
        log.info("%s=%s: positions are interpolated from a grid of %d latents a side", KEY, origin.path, base)
