"""Builds the components that a composed config describes, which may be classes of the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.fitting import fit_guidance
from ldmlab.editing.methods.base import EditMethod
from ldmlab.guidance.base import Guidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.samplers.base import Sampler

if TYPE_CHECKING:
    import torch

    from ldmlab.metrics.base import Metric

PER_WORD = ("word_tau", "reweight")
"""Keys of methods that hold a value for each word."""


def resolved(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """A config as dicts and lists of Python's own, with what its references stand for."""
    container: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    return {str(key): value for key, value in container.items()}


def from_user(section: Mapping[str, Any], kind: type, where: str, **given: Any) -> Any:
    """A section of a composed config, which may name a class of the user's own."""
    return instantiate(section, **given)


def build_sampler(config: Mapping[str, Any], model: LatentDiffusion) -> Sampler:
    """The method of a config's `sampler` group, for a model.

    Raises:
        ValueError: it does not go with the model.
    """
    sampler: Sampler = instantiate(config)
    sampler.check(model.denoiser)
    return sampler


def build_guidance(config: Mapping[str, Any], model: LatentDiffusion, latents: str | None = None) -> Guidance:
    """The method of a config's `guidance` group, for a model.

    Args:
        config: the group.
        model: that is guided.
        latents: digest of the model's autoencoder as it is stored; None to take it from the weights that it has.

    Raises:
        ValueError: it does not go with the model, or brings a second one, which works on other latents.
    """
    try:
        return fit_guidance(instantiate(config), model, latents)
    except ValueError as error:
        raise ValueError(
            str(error).replace("guidance.ckpt: works", f"guidance.ckpt={config.get('ckpt')}: works")
        ) from error


def build_drawing(
    cfg: Mapping[str, Any],
    model: LatentDiffusion,
    seeds: Sequence[int],
    precision: Precision | None = None,
    latents: str | None = None,
) -> Drawing:
    """How a command's config says that a model draws pictures of these seeds.

    Args:
        cfg: with the groups `sampler` and `guidance`.
        model: that draws.
        seeds: one a picture.
        precision: what the networks compute in.
        latents: see `build_guidance`.

    Raises:
        ValueError: the sampler or the guidance does not go with the model.
    """
    sampler, guidance = build_sampler(cfg["sampler"], model), build_guidance(cfg["guidance"], model, latents)
    return Drawing(sampler, guidance, seeds, cfg.get("batch_size", Drawing.batch_size), precision)


def build_metrics(
    config: Mapping[str, Any], task: str, device: torch.device | str = "cpu"
) -> tuple[dict[str, Metric], str]:
    """The metrics of a config's `metric` group by the names of their sections, and what the choice is called.

    Args:
        config: sections with a `_target_`, which are taken of any model, and sections named after tasks, which hold
            those that are taken of models of that task.
        task: of the model.
        device: where networks of their own compute.
    """
    from ldmlab.metrics.base import share_networks  # with torchmetrics

    of_task = config.get(task) or {}
    own = {name: section for name, section in config.items() if section and "_target_" in section}
    metrics: dict[str, Metric] = {name: instantiate(section) for name, section in {**of_task, **own}.items()}
    share_networks(metrics.values())
    for metric in metrics.values():
        metric.move_networks(device)
    return metrics, "+".join([*(["pictures"] if of_task else []), *own])


def build_method(cfg: DictConfig) -> EditMethod:
    """The method of a config's `method` group, with a component that it takes from beside it (`inversion`)."""
    own = {name: _value(section, name) for name, section in _method_keys(cfg).items()}
    method: EditMethod = get_object(cfg.method._target_)(**own)
    return method


def method_settings(cfg: DictConfig) -> dict[str, Any]:
    """The editing method of a config as plain data, for what files say of how their pictures were made."""
    keys = {name: _plain_value(section[name]) for name, section in _method_keys(cfg).items()}
    return {"_target_": cfg.method._target_, **keys}


def _method_keys(cfg: DictConfig) -> dict[str, DictConfig]:
    """The names of the method's own keys, each with the section that has it."""
    names = inspect.signature(get_object(cfg.method._target_)).parameters
    return {name: cfg.method if name in cfg.method else cfg for name in names if name in cfg.method or name in cfg}


def _plain_value(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _value(section: DictConfig, name: str) -> Any:
    """A key as the library takes it: a component built, a list or mapping plain."""
    value = section[name]
    if isinstance(value, DictConfig) and "_target_" in value:
        return instantiate(value)
    plain_value = _plain_value(value)
    if name not in PER_WORD or plain_value is None or isinstance(plain_value, Mapping):
        return plain_value
    return _mapping(name, plain_value if isinstance(plain_value, list) else [plain_value])


def _mapping(name: str, lines: list[Any]) -> dict[str, Any]:
    """A mapping given as a list of "word: value", for words that Hydra's grammar has no key for, as "café: 2"."""
    merged: dict[str, Any] = {}
    for line in lines:
        try:
            entry = yaml.safe_load(line)
        except (yaml.YAMLError, AttributeError):
            entry = None
        if not isinstance(entry, Mapping):
            raise ValueError(f"""{name}={line}: give {{WORD: VALUE}}, or a list as '["café: 2", "big star: 0.5"]'""")
        merged |= {str(word): value for word, value in entry.items()}
    return merged
