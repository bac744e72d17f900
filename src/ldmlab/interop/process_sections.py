"""The diffusion process of a public model: what its weights were trained on, in the words of our configs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmlab.diffusion import schedules
from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.models.plain_data import shown

ConfigSection = dict[str, Any]

STABLE_DIFFUSION = (0.00085, 0.012)
LATENT_DIFFUSION = (0.0015, 0.0195)
POWERS = {"linear": 1.0, "scaled_linear": 0.5}
"""The power of beta that rises linearly."""
DIFFUSERS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
PREDICTIONS = {"epsilon": "Epsilon", "v_prediction": "Velocity", "sample": "CleanLatents"}
OPTIONS = {"epsilon": "Epsilon", "velocity": "Velocity", "x0": "CleanLatents", "flow_velocity": "FlowVelocity"}
"""Parameterizations that a public model may have, by the names of our config options."""
OTHER_PROCESSES = ("FlowMatch", "EDM", "VQDiffusion", "ScoreSde", "CogVideoX", "Cosine")
"""How schedulers begin whose process is not that of betas."""


ENDINGS: tuple[tuple[str, dict[str, float]], ...] = (
    ("scaled_linear", {"beta_start": STABLE_DIFFUSION[0], "beta_end": STABLE_DIFFUSION[1]}),
    ("scaled_linear", {"beta_start": LATENT_DIFFUSION[0], "beta_end": LATENT_DIFFUSION[1]}),
    ("linear", {"beta_start": 1e-4, "beta_end": 0.02}),
    ("cosine", {}),
)
"""The schedules whose betas are known when they were rescaled to end in pure noise."""


def schedule(kind: str, **arguments: Any) -> ConfigSection:
    """The config section of a noise schedule.

    Args:
        kind: name of a function in `diffusion.schedules`.
        arguments: its arguments.
    """
    return {"_target_": f"ldmlab.diffusion.schedules.{kind}", **arguments}


def parameterization(name: str = "Epsilon") -> ConfigSection:
    """The config section of a parameterization, by the name of its class in `diffusion.parameterizations`."""
    return {"_target_": f"ldmlab.diffusion.parameterizations.{name}"}


def option(section: ConfigSection) -> str:
    """The option in conf/parameterization/ that a section is.

    Raises:
        ValueError: no public model has it.
    """
    kind = section["_target_"].rpartition(".")[2]
    found = next((name for name, ours in OPTIONS.items() if ours == kind), None)
    if found is None:
        raise ValueError(f"parameterization={kind}: no public model predicts that; choose one of {', '.join(OPTIONS)}")
    return found


def objective(learns_variance: bool) -> ConfigSection:
    """The config section of an objective: that by which DiT learns variances, or the simple one."""
    return {"_target_": f"ldmlab.diffusion.objectives.{'Hybrid' if learns_variance else 'Simple'}"}


def from_betas(betas: Tensor, source: Path) -> ConfigSection:
    """The schedule that a training checkpoint holds as a buffer.

    Raises:
        ValueError: it is none of ours.
    """
    if betas.ndim != 1 or not 2 <= len(betas) <= schedules.MOST_TIMESTEPS or not betas.is_floating_point():
        raise ValueError(f"path={source}: its 'betas' are of shape {tuple(betas.shape)}, no schedule")
    betas = betas.double()
    start, end = float(f"{float(betas[0]):.5g}"), float(f"{float(betas[-1]):.5g}")
    for kind, power in POWERS.items():
        expected = torch.linspace(start**power, end**power, len(betas), dtype=torch.float64) ** (1 / power)
        if start < end and torch.allclose(expected, betas, rtol=1e-4, atol=0):
            return schedule(kind, timesteps=len(betas), beta_start=start, beta_end=end)
    if torch.allclose(schedules.cosine(len(betas)).betas, betas, rtol=1e-3, atol=0):
        return schedule("cosine", timesteps=len(betas))
    for kind, ends in ENDINGS:
        section = schedule(kind, timesteps=len(betas), **ends, zero_terminal_snr=True)
        table = getattr(schedules, kind)(len(betas), **ends, zero_terminal_snr=True)
        if torch.allclose(table.betas, betas, rtol=1e-3, atol=1e-6):
            return section
    raise ValueError(f"path={source}: its 'betas' rise neither linearly, nor in their root, nor as the cosine schedule")


def from_scheduler(config: Mapping[str, Any], source: Path) -> tuple[ConfigSection, ConfigSection]:
    """Schedule and parameterization of a scheduler_config.json.

    Raises:
        ValueError: it asks for what ldmlab lacks; the key is named.
    """
    kind, prediction = config.get("beta_schedule", "linear"), config.get("prediction_type", "epsilon")
    name = config.get("_class_name", "")
    if not isinstance(name, str) or name.startswith(OTHER_PROCESSES):
        raise ValueError(f"path={source}: its scheduler is {shown(name)}, whose process ldmlab's schedules do not give")
    if config.get("trained_betas") is not None:
        raise ValueError(
            f"path={source}: its scheduler has trained_betas, a table that none of ldmlab's schedules gives"
        )
    if not isinstance(kind, str) or kind not in DIFFUSERS:
        raise ValueError(f"path={source}: its scheduler has beta_schedule={shown(kind)}; use {', '.join(DIFFUSERS)}")
    if not isinstance(prediction, str) or prediction not in PREDICTIONS:
        raise ValueError(
            f"path={source}: its scheduler has prediction_type={shown(prediction)}; use {', '.join(PREDICTIONS)}"
        )
    arguments: dict[str, Any] = {"timesteps": config.get("num_train_timesteps", 1000)}
    if kind != "squaredcos_cap_v2":
        arguments |= {"beta_start": config.get("beta_start", 1e-4), "beta_end": config.get("beta_end", 0.02)}
    rescaled = config.get("rescale_betas_zero_snr")
    if not isinstance(rescaled, bool | None):
        raise ValueError(
            f"path={source}: its scheduler has rescale_betas_zero_snr={shown(rescaled)}; use true or false"
        )
    if rescaled:
        arguments["zero_terminal_snr"] = True
    return schedule(DIFFUSERS[kind], **arguments), parameterization(PREDICTIONS[prediction])


def to_scheduler(table: NoiseSchedule, section: ConfigSection, prediction: str) -> dict[str, Any]:
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
