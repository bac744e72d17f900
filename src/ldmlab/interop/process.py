"""The diffusion process of a public model: what its weights were trained on, in the words of our configs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmlab.diffusion import schedules
from ldmlab.diffusion.schedules import NoiseSchedule

Section = dict[str, Any]

STABLE_DIFFUSION = (0.00085, 0.012)
LATENT_DIFFUSION = (0.0015, 0.0195)
POWERS = {"linear": 1.0, "scaled_linear": 0.5}
"""The power of beta that rises linearly."""
DIFFUSERS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
PREDICTIONS = {"epsilon": "Epsilon", "v_prediction": "Velocity", "sample": "CleanLatents"}


def schedule(kind: str, **arguments: Any) -> Section:
    """The config section of a schedule."""
    return {"_target_": f"ldmlab.diffusion.schedules.{kind}", **arguments}


def parameterization(name: str = "Epsilon") -> Section:
    """The config section of a parameterization."""
    return {"_target_": f"ldmlab.diffusion.parameterizations.{name}"}


def objective(learns_variance: bool) -> Section:
    """The config section of an objective: that by which DiT learns variances, or the simple one."""
    return {"_target_": f"ldmlab.diffusion.objectives.{'Hybrid' if learns_variance else 'Simple'}"}


def from_betas(betas: Tensor, source: Path) -> Section:
    """The schedule that a training checkpoint holds as a buffer.

    Raises:
        ValueError: it is none of ours.
    """
    betas = betas.double()
    start, end = float(f"{float(betas[0]):.5g}"), float(f"{float(betas[-1]):.5g}")
    for kind, power in POWERS.items():
        expected = torch.linspace(start**power, end**power, len(betas), dtype=torch.float64) ** (1 / power)
        if start < end and torch.allclose(expected, betas, rtol=1e-4, atol=0):
            return schedule(kind, timesteps=len(betas), beta_start=start, beta_end=end)
    if torch.allclose(schedules.cosine(len(betas)).betas, betas, rtol=1e-3, atol=0):
        return schedule("cosine", timesteps=len(betas))
    raise ValueError(f"path={source}: its 'betas' rise neither linearly, nor in their root, nor as the cosine schedule")


def from_scheduler(config: Mapping[str, Any], source: Path) -> tuple[Section, Section]:
    """Schedule and parameterization of a scheduler_config.json.

    Raises:
        ValueError: it asks for what ldmlab lacks; the key is named.
    """
    kind, prediction = config.get("beta_schedule", "linear"), config.get("prediction_type", "epsilon")
    if config.get("trained_betas") is not None:
        raise ValueError(
            f"path={source}: its scheduler has trained_betas, a table that none of ldmlab's schedules gives"
        )
    if kind not in DIFFUSERS:
        raise ValueError(f"path={source}: its scheduler has beta_schedule={kind}; use {', '.join(DIFFUSERS)}")
    if prediction not in PREDICTIONS:
        raise ValueError(f"path={source}: its scheduler has prediction_type={prediction}; use {', '.join(PREDICTIONS)}")
    arguments = {"timesteps": config.get("num_train_timesteps", 1000)}
    if kind != "squaredcos_cap_v2":
        arguments |= {"beta_start": config.get("beta_start", 1e-4), "beta_end": config.get("beta_end", 0.02)}
    if config.get("rescale_betas_zero_snr", False):
        arguments["zero_terminal_snr"] = True
    return schedule(DIFFUSERS[kind], **arguments), parameterization(PREDICTIONS[prediction])


def to_scheduler(table: NoiseSchedule, section: Section, prediction: str) -> dict[str, Any]:
    """A scheduler_config.json for a schedule and a parameterization of ours.

    Raises:
        ValueError: diffusers has none such for DDIM.
    """
    kind = section["_target_"].rpartition(".")[2]
    names = {ours: theirs for theirs, ours in DIFFUSERS.items()}
    predictions = {ours: theirs for theirs, ours in PREDICTIONS.items()}
    if kind not in names:
        raise ValueError(f"schedule={kind}: diffusers' DDIM has no such schedule, so the model cannot be exported")
    if prediction not in predictions:
        raise ValueError(f"parameterization={prediction}: diffusers' DDIM has none such, so it cannot be exported")
    betas: dict[str, Any] = {"beta_schedule": names[kind], "rescale_betas_zero_snr": table.ends_in_noise}
    if kind != "cosine":
        betas |= {"beta_start": section["beta_start"], "beta_end": section["beta_end"]}
    elif section.get("offset", 0.008) != 0.008 or section.get("max_beta", 0.999) != 0.999:
        betas = {"trained_betas": table.betas.tolist()}
    return {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": len(table),
        **betas,
        "prediction_type": predictions[prediction],
        "clip_sample": False,
        "set_alpha_to_one": True,
        "steps_offset": 0,
        "timestep_spacing": "trailing",
    }
