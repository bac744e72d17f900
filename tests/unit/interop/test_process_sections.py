"""Schedules and parameterizations in the words of diffusers, and back; the levels are the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ldmlab.diffusion import schedules
from ldmlab.interop.process_sections import from_betas, from_scheduler, parameterization, schedule, to_scheduler

diffusers = pytest.importorskip("diffusers", exc_type=ImportError)

FILE = Path("scheduler_config.json")


def built(section: dict[str, Any]) -> schedules.NoiseSchedule:
    arguments = {key: value for key, value in section.items() if key != "_target_"}
    return getattr(schedules, section["_target_"].rpartition(".")[2])(**arguments)


SECTIONS = [
    schedule("linear", timesteps=1000, beta_start=1e-4, beta_end=0.02),
    schedule("scaled_linear", timesteps=500, beta_start=0.0015, beta_end=0.0195),
    schedule("cosine", timesteps=1000, offset=0.008, max_beta=0.999),
    schedule("cosine", timesteps=1000, offset=0.02, max_beta=0.99),
    schedule("scaled_linear", timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=True),
    schedule("cosine", timesteps=1000, offset=0.02, max_beta=0.99, zero_terminal_snr=True),
]


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_diffusers_has_the_same_levels(section: dict[str, Any]) -> None:
    table = built(section)
    config = to_scheduler(table, section, "Velocity")
    assert config.pop("_class_name") == "DDIMScheduler"
    theirs = diffusers.DDIMScheduler(**config)
    torch.testing.assert_close(theirs.alphas_cumprod.double(), table.alphas_cumprod, rtol=1e-3, atol=2e-7)
    assert theirs.config.prediction_type == "v_prediction"


@pytest.mark.parametrize("section", [s for s in SECTIONS if s.get("offset", 0.008) == 0.008], ids=str)
def test_there_and_back(section: dict[str, Any]) -> None:
    config = to_scheduler(built(section), section, "Epsilon")
    back, prediction = from_scheduler(config, FILE)
    assert torch.equal(built(back).alphas_cumprod, built(section).alphas_cumprod)
    assert prediction == parameterization("Epsilon")


def test_own_step_samples_as_ours_does() -> None:
    """trailing timesteps from 999 on, which are the default of ours."""
    scheduler = diffusers.DDIMScheduler(**_config())
    scheduler.set_timesteps(4)
    assert scheduler.timesteps.tolist() == [999, 749, 499, 249]


def _config() -> dict[str, Any]:
    config = to_scheduler(built(SECTIONS[1] | {"timesteps": 1000}), SECTIONS[1] | {"timesteps": 1000}, "Epsilon")
    return {key: value for key, value in config.items() if key != "_class_name"}


@pytest.mark.parametrize("section", SECTIONS[:3], ids=str)
def test_betas(section: dict[str, Any]) -> None:
    """As a training checkpoint holds them, in float32."""
    found = from_betas(built(section).betas.float(), FILE)
    torch.testing.assert_close(built(found).betas, built(section).betas, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"beta_schedule": "sigmoid"}, "beta_schedule=sigmoid"),
        ({"beta_schedule": "linear", "trained_betas": [0.1]}, "trained_betas"),
        ({"prediction_type": "flow_prediction"}, "prediction_type=flow_prediction"),
        ({"rescale_betas_zero_snr": "false"}, "rescale_betas_zero_snr=false"),
    ],
)
def test_what_ours_lacks(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        from_scheduler(config, FILE)


def test_what_diffusers_lacks() -> None:
    flow = schedule("rectified_flow", timesteps=1000)
    with pytest.raises(ValueError, match="schedule=rectified_flow: diffusers' DDIM has no such schedule"):
        to_scheduler(built(flow), flow, "Epsilon")
    with pytest.raises(ValueError, match="parameterization=PosteriorMean"):
        to_scheduler(built(SECTIONS[0]), SECTIONS[0], "PosteriorMean")


def test_betas_that_are_none_of_ours() -> None:
    with pytest.raises(ValueError, match="'betas' rise neither linearly"):
        from_betas(torch.rand(10, generator=torch.Generator().manual_seed(0)), FILE)
