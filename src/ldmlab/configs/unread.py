"""Choices of the user that nothing would read: an error as any wrong key is, where a default is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ldmlab.configs.errors import UserError


@dataclass(frozen=True)
class Rule:
    """Keys and groups of a command that a setting makes useless.

    Attributes:
        command: whose they are.
        keys: groups, each with all its keys, or dotted keys.
        applies: whether the setting, of a whole config, is that one.
        why: the end of the line that says so.
    """

    command: str
    keys: tuple[str, ...]
    applies: Callable[[DictConfig], bool]
    why: str


def _is(key: str, *values: object) -> Callable[[DictConfig], bool]:
    return lambda config: OmegaConf.select(config, key, default=None) in values


def _trains(autoencoder: str) -> Callable[[DictConfig], bool]:
    return lambda config: str(OmegaConf.select(config, "autoencoder._target_", default="")).endswith(f".{autoencoder}")


def _has_ckpt(config: DictConfig) -> bool:
    return config.model.name == "latent_diffusion" and config.autoencoder_ckpt is not None


RULES = (
    Rule("edit", ("inversion",), _is("image", None), "only a picture that is given is inverted; give image= as well"),
    Rule("benchmark", ("inversion",), lambda config: True, "the benchmark draws the pictures that it edits"),
    Rule(
        "evaluate",
        ("sampler", "guidance", "extractor", "pictures_per_caption"),
        _is("metric", "vlb"),
        "metric=vlb draws no pictures",
    ),
    Rule("evaluate", ("bound_steps",), _is("metric", "pictures"), "only metric=vlb has a chain of steps"),
    Rule("train", ("autoencoder",), _has_ckpt, "autoencoder_ckpt= brings its own"),
    Rule(
        "train",
        ("training.discriminator_weight", "training.discriminator_start"),
        _is("discriminator", {}),
        "there is none; choose discriminator=patch as well",
    ),
    Rule("train", ("training.codebook_weight",), _trains("AutoencoderKL"), "this autoencoder has no codebook"),
    Rule(
        "train",
        ("training.kl_weight", "training.kl_start", "training.kl_warmup_steps"),
        _trains("AutoencoderVQ"),
        "this autoencoder has a codebook in place of that term",
    ),
)


def check_choices(command: str, chosen: Iterable[str], config: DictConfig) -> None:
    """Refuse what nothing will read.

    Args:
        command: of which this is the config.
        chosen: the keys and groups that the user set.
        config: whole.

    Raises:
        UserError: naming the first of them and the reason.
    """
    given = list(chosen)
    for rule in RULES:
        if rule.command == command and rule.applies(config):
            _refuse(given, rule.keys, rule.why)


def refuse_choices(keys: tuple[str, ...], why: str) -> None:
    """The same for what a command finds out when it runs: refuse keys and groups if the user set them.

    Raises:
        UserError: naming the first of them and the reason.
    """
    lines = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(lines, list)
    _refuse([str(line).lstrip("+").partition("=")[0] for line in lines], keys, why)


def _refuse(chosen: Iterable[str], keys: tuple[str, ...], why: str) -> None:
    for given in chosen:
        if any(given == key or given.startswith((f"{key}.", f"{key}@")) for key in keys):
            raise UserError(f"{given}: nothing would read it: {why}")
