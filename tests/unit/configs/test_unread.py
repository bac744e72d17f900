from __future__ import annotations

from collections.abc import Callable

import pytest
from omegaconf import DictConfig, OmegaConf

from ldmlab.cli.launch import launch
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError
from ldmlab.configs.unread import chosen_by_user, refuse_choices

Refused = Callable[..., str]
Body = Callable[[Callable[[DictConfig], None]], None]
IMAGE = ("image=a.png", "source=a", "target=b")


@pytest.mark.parametrize(
    ("command", "overrides", "told"),
    [
        (
            "edit",
            ["method=sdedit", "inversion=null_text"],
            "no group 'inversion' here; 'inversion' comes with method=",
        ),
        (
            "edit",
            ["method=sdedit", *IMAGE, "inversion.iterations=5"],
            "unknown key 'inversion'; 'inversion' comes with method=",
        ),
        ("edit", ["source=a", "target=b", "inversion=null_text"], "inversion: nothing would read it: only a picture"),
        ("edit", ["source=a", "target=b", "inversion.iterations=2"], "inversion.iterations: nothing would read it"),
        ("benchmark", ["inversion=ddim"], "inversion: nothing would read it: the benchmark draws"),
        ("benchmark", ["method=mask_blend", "inversion=ddim"], "has no group 'inversion' here"),
        ("evaluate", ["metric=vlb", "sampler=ddpm"], "sampler: nothing would read it: metric=vlb draws no pictures"),
        ("evaluate", ["metric=vlb", "guidance.scale=2"], "guidance.scale: nothing would read it"),
        ("evaluate", ["metric=vlb", "extractor=inception"], "extractor: nothing would read it"),
        ("evaluate", ["bound_steps=10"], "unknown key 'bound_steps'; did you mean 'metric=vlb'?"),
        ("evaluate", ["metric=vlb", "bound_steps=10"], "did you mean 'metric.vlb.steps'?"),
        (
            "train",
            ["autoencoder=kl", "autoencoder_ckpt=a.ckpt"],
            "autoencoder: nothing would read it: autoencoder_ckpt=",
        ),
        (
            "train",
            ["model=autoencoder", "sampler=ddpm"],
            "'sampler' comes with model=latent_diff",
        ),
        ("train", ["model=autoencoder", "discriminator=none", "training.discriminator_start=1"], "there is none"),
        ("train", ["model=autoencoder", "training.codebook_weight=1"], "this autoencoder has no codebook"),
        ("train", ["model=autoencoder", "autoencoder=vq", "training.kl_weight=1"], "training.kl_weight: nothing would"),
    ],
)
def test_a_choice_that_nothing_reads(command: str, overrides: list[str], told: str, refused: Refused) -> None:
    assert told in refused(command, *overrides)


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        ("edit", [*IMAGE, "inversion=null_text", "inversion.iterations=2"]),
        ("edit", ["method=fixed_seed", *IMAGE, "inversion=ddim"]),
        ("evaluate", ["metric=vlb", "metric.vlb.steps=10"]),
        ("train", ["experiment=published/dit_s_2", "autoencoder_ckpt=a.ckpt"]),
        ("train", ["experiment=shapes/autoencoder"]),
    ],
)
def test_what_is_read_or_a_default_passes(command: str, overrides: list[str]) -> None:
    config = validate(command, overrides)
    choices = config.hydra.runtime.choices
    for key, value in (override.split("=") for override in overrides):
        assert str(choices[key] if key in choices else OmegaConf.select(config, key)) == value


def test_a_command_refuses_what_it_finds_out_later(body: Body) -> None:
    body(lambda config: refuse_choices(chosen_by_user(), ("sampler", "guidance"), "there is no model to draw with"))
    launch("sample", ["n=3"])
    with pytest.raises(UserError, match=r"sampler\.steps: nothing would read it: there is no model to draw with"):
        launch("sample", ["n=3", "sampler.steps=3"])
