"""Builds models from composed configs and from checkpoints."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.cli.paths import experiments_dir
from ldmlab.conditioners.base import Conditioner
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.objectives import Objective
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.base import Guidance
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.base import Sampler
from ldmlab.training.checkpoints import Checkpoint, is_exported, load_weights, read_checkpoint
from ldmlab.training.state import state_sha256

log = logging.getLogger(__name__)

DIFFUSION_GROUPS = ("backbone", "conditioner", "schedule", "parameterization", "objective")
OBJECTIVE = {"_target_": "ldmlab.diffusion.objectives.Simple"}
"""That of checkpoints which name none."""
CONDITION_KEYS = ("captions", "labels")
"""What of a batch a conditioner may read."""
MODEL_ROOMS = ("ldmlab.autoencoders.", "ldmlab.backbones.", "ldmlab.conditioners.", "ldmlab.diffusion.")
SHIPPED_MODEL = "shapes/dit"
LENDER = "autoencoder_ckpt"
"""The entry of a stored config that names the shipped model whose autoencoder an exported model reads."""


@dataclass(frozen=True)
class Loaded:
    """A model from a file, in evaluation mode, and where it came from."""

    model: LatentDiffusion | Autoencoder
    path: Path
    checkpoint: Checkpoint


def plain(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """A config as plain dicts and lists, references resolved."""
    container = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else dict(config)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def with_defaults(option: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """A stored component's config with those of some keys that it lacks, because they came later, at their defaults."""
    parameters = inspect.signature(get_object(option["_target_"])).parameters
    later = {key: parameters[key].default for key in keys if key in parameters and key not in option}
    return {**option, **later}


def build_autoencoder(config: Mapping[str, Any]) -> Autoencoder:
    """The autoencoder of a config's `autoencoder` group, untrained."""
    return instantiate(config)


def build_conditioner(config: Mapping[str, Any]) -> Conditioner:
    """The conditioner of a config's `conditioner` group, untrained."""
    return instantiate(config)


def build_backbone(
    config: Mapping[str, Any], channels: int, grid: int, conditioner: Conditioner, learns_variance: bool = False
) -> nn.Module:
    """The backbone of a config's `backbone` group, made to fit the latents, the conditioner and the objective.

    Raises:
        ValueError: the config asks for another number of channels beside the latents than the conditioner gives.
    """
    widths = {"context_width": conditioner.context_width, "vector_width": conditioner.vector_width}
    if conditioner.concat_channels:
        asked = config.get("concat_channels", 0)
        if asked not in (0, conditioner.concat_channels):
            raise ValueError(
                f"backbone.concat_channels={asked}: the conditioner gives {conditioner.concat_channels}; leave it at 0"
            )
        widths["concat_channels"] = conditioner.concat_channels
    return instantiate(config, channels=channels, grid=grid, out_channels=(1 + learns_variance) * channels, **widths)


def build_sampler(config: Mapping[str, Any], model: LatentDiffusion) -> Sampler:
    """The method of a config's `sampler` group, for a model.

    Raises:
        ValueError: a number of steps that its schedule does not have.
    """
    sampler: Sampler = instantiate(config)
    sampler.levels(model.denoiser.schedule)
    return sampler


def build_guidance(config: Mapping[str, Any], model: LatentDiffusion) -> Guidance:
    """The method of a config's `guidance` group, for a model.

    Raises:
        ValueError: it brings a second model, which works on other latents.
    """
    guidance: Guidance = instantiate(config)
    if isinstance(guidance, Autoguidance) and guidance.latents != state_sha256(model.autoencoder):
        raise ValueError(
            f"guidance.ckpt={config['ckpt']}: works on the latents of another autoencoder; give a weaker model that "
            "was trained with the same autoencoder_ckpt"
        )
    if isinstance(guidance, Autoguidance) and isinstance(guidance.conditioner, Conditioner):
        # Both share one autoencoder, on whatever device this model comes to be.
        guidance.conditioner.place(model.autoencoder, model.latent_shape[1])
    return guidance


def autoguidance(scale: float, ckpt: str) -> Autoguidance:
    """Guidance by the model in a file; the target of `guidance=autoguidance`.

    Args:
        scale: 1 is neutral.
        ckpt: the weaker model, on the same latents.
    """
    weak = load_latent_diffusion(ckpt).model
    assert isinstance(weak, LatentDiffusion)
    return Autoguidance(scale, weak.denoiser, weak.conditioner, state_sha256(weak.autoencoder))


def build_latent_diffusion(config: Mapping[str, Any], autoencoder: Autoencoder) -> LatentDiffusion:
    """An untrained text-to-image model on the latents of an autoencoder.

    Args:
        config: plain `backbone`, `conditioner`, `schedule`, `parameterization`, `objective` (if any) and `image_size`.
        autoencoder: trained.

    Raises:
        ValueError: the autoencoder's factor does not divide the image size.
    """
    size = config["image_size"]
    if size % autoencoder.factor:
        raise ValueError(
            f"data.image_size={size}: the autoencoder's factor {autoencoder.factor} does not divide it; "
            f"use a multiple of {autoencoder.factor}"
        )
    grid = size // autoencoder.factor
    conditioner = build_conditioner(config["conditioner"])
    conditioner.place(autoencoder, grid)
    objective: Objective = instantiate(config.get("objective", OBJECTIVE))
    channels = autoencoder.latent_channels
    backbone = build_backbone(config["backbone"], channels, grid, conditioner, objective.learns_variance)
    with torch.device("cpu"):  # levels are looked at, also where the rest is built on the meta device
        schedule, parameterization = instantiate(config["schedule"]), instantiate(config["parameterization"])
        denoiser = Denoiser(backbone, schedule, parameterization, objective)
    return LatentDiffusion(autoencoder, denoiser, conditioner, grid)


def build_outline(config: Mapping[str, Any]) -> nn.Module:
    """The model of a stored config without memory for its weights, to compare names and shapes with."""
    with torch.device("meta"):
        if config["model"] == "conditioner":
            return nn.ModuleDict({"conditioner": build_conditioner(config["conditioner"])})
        autoencoder = build_autoencoder(config["autoencoder"])
        if config["model"] == "autoencoder":
            return nn.ModuleDict({"autoencoder": autoencoder})
        return build_latent_diffusion(config, autoencoder)


def read_trusted(ckpt: str, ema: bool = True) -> Checkpoint:
    """A checkpoint of ours whose config builds nothing but our own classes.

    Raises:
        ValueError: the file is absent, damaged, unsafe or not ours.
    """
    path, checkpoint = _read(ckpt, ema)
    _trusted(checkpoint.config, path)
    return checkpoint


def stored_part(ckpt: str | None, part: str) -> tuple[dict[str, Any], dict[str, Tensor], Path]:
    """The config section of a part, its weights, and the file.

    Args:
        ckpt: path, or name of a shipped model; None for the default one.
        part: "autoencoder" or "conditioner".

    Raises:
        ValueError: the file is absent, damaged, unsafe, or holds no such part.
    """
    path, checkpoint = _read(ckpt)
    config = _trusted(checkpoint.config, path)
    if part not in config:
        raise ValueError(f"ckpt={path}: holds a {config['model']} and no {part}")
    prefix = f"{part}."
    state = {name.removeprefix(prefix): t for name, t in checkpoint.state.items() if name.startswith(prefix)}
    return config[part], state, path


def is_model_of_ours(ckpt: str) -> bool:
    """Whether a name is that of a shipped model, or of a file that ldmlab exported."""
    return is_exported(_path(ckpt))


def load_autoencoder(ckpt: str | None) -> tuple[Autoencoder, dict[str, Any]]:
    """A trained autoencoder and the config that builds it, from its own checkpoint or from a whole model's.

    Args:
        ckpt: path, or name of a shipped model; None for the autoencoder of the default one.
    """
    config, state, path = stored_part(ckpt, "autoencoder")
    autoencoder = build_autoencoder(config)
    load_weights(autoencoder, state, path)
    return autoencoder.eval(), config


def load_model(ckpt: str | None, ema: bool = True) -> Loaded:
    """A text-to-image model or an autoencoder, whichever the file holds.

    Args:
        ckpt: path, or name of a shipped model such as `shapes/unet`; None for the default one.
        ema: take the averaged weights.

    Raises:
        ValueError: the file is absent, damaged, unsafe or of another architecture.
    """
    path, checkpoint = _read(ckpt, ema)
    config = _trusted(checkpoint.config, path)
    if config["model"] == "autoencoder":
        return Loaded(load_autoencoder(str(path))[0], path, checkpoint)
    if config["model"] == "conditioner":
        raise ValueError(
            f"ckpt={path}: holds a text encoder alone; give it to `ldmlab import` as conditioner_ckpt={path}"
        )
    model = build_latent_diffusion(config, build_autoencoder(config["autoencoder"]))
    load_weights(model, checkpoint.state, path)
    return Loaded(model.eval(), path, checkpoint)


def load_latent_diffusion(ckpt: str | None, ema: bool = True) -> Loaded:
    """As `load_model`, but only a text-to-image model will do."""
    loaded = load_model(ckpt, ema)
    if not isinstance(loaded.model, LatentDiffusion):
        raise ValueError(f"ckpt={loaded.path}: holds an autoencoder; give a checkpoint of a latent diffusion model")
    return loaded


def pick_device(name: str) -> torch.device:
    """The device of a `device` key: "auto" is the GPU where there is one.

    Raises:
        ValueError: cuda is asked for and missing.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda: this machine has no usable GPU; use device=cpu or device=auto")
    return torch.device(name)


def is_shipped(ckpt: str | None) -> bool:
    """Whether this is the name of a model that comes with ldmlab."""
    return ckpt is None or _shipped(ckpt).is_file()


def _read(ckpt: str | None, ema: bool = True) -> tuple[Path, Checkpoint]:
    """A checkpoint, with the autoencoder of the shipped model that it names where it was exported without."""
    path = _path(ckpt)
    checkpoint = read_checkpoint(path, ema)
    lender = checkpoint.config.get(LENDER) if isinstance(checkpoint.config, dict) else None
    if lender is None:
        return path, checkpoint
    if not is_shipped(lender):
        raise ValueError(
            f"ckpt={path}: reads the autoencoder of '{lender}', which does not come with this ldmlab; export the model "
            "with export_autoencoder=true"
        )
    borrowed = read_checkpoint(_shipped(lender)).state
    state = {name: tensor for name, tensor in borrowed.items() if name.startswith("autoencoder.")}
    return path, replace(checkpoint, state=state | checkpoint.state)


def _path(ckpt: str | None) -> Path:
    """A file of the user's, or a shipped model by the name of the experiment that trained it."""
    name = SHIPPED_MODEL if ckpt is None else ckpt
    return _shipped(name) if _shipped(name).is_file() and not Path(name).is_file() else Path(name)


def _shipped(name: str) -> Path:
    study, _, variant = name.rpartition("/")
    return experiments_dir() / study / "weights" / f"{variant}.safetensors"


def _trusted(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Refuse a stored config that would build anything but ldmlab's own classes: a checkpoint is a stranger's file.

    Raises:
        ValueError: it names another target, or holds no config of ours.
    """
    alone = config.get("model") if isinstance(config, dict) else None
    needed = {"model", "image_size"}
    needed |= {alone} if alone in ("autoencoder", "conditioner") else {"autoencoder", *DIFFUSION_GROUPS} - {"objective"}
    if not isinstance(config, dict) or not needed <= {*config}:
        raise ValueError(f"ckpt={path}: its config names no model; it was not written by `ldmlab train`")
    for target in _targets(config):
        if not _is_ours(target):
            raise ValueError(f"ckpt={path}: refused, because its config would build '{target}', which is not ldmlab's")
    return config


def _is_ours(target: str) -> bool:
    """Whether it is defined in a room of models. Being reachable is not enough: `ldmlab.cli.launch.os.system` is."""
    module, _, name = target.rpartition(".")
    if not module.startswith(MODEL_ROOMS):
        return False
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        return False
    return getattr(found, "__module__", None) == module


def _targets(node: Any) -> list[str]:
    if isinstance(node, Mapping):
        own = [str(value) for key, value in node.items() if key == "_target_"]
        return own + [target for value in node.values() for target in _targets(value)]
    if isinstance(node, list | tuple):
        return [target for value in node for target in _targets(value)]
    return []
