"""Builds models from composed configs and from checkpoints."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.cli.paths import experiments_dir
from ldmlab.conditioners.base import Conditioner
from ldmlab.drawing.drawing import Drawing
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.base import Guidance
from ldmlab.models.build import build_model, build_outline
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.limits import no_larger_than
from ldmlab.models.outline import Uninitialised
from ldmlab.models.plain_data import shown
from ldmlab.models.stored import ALONE, LENDER, require_sound, require_stored
from ldmlab.precision import Precision, at_least_fp32
from ldmlab.samplers.base import Sampler
from ldmlab.training.checkpoints import Checkpoint, is_exported, load_weights, read_checkpoint, require_fit
from ldmlab.training.state import state_sha256, tensors_sha256

log = logging.getLogger(__name__)

CONDITION_KEYS = ("captions", "labels")
"""What of a batch a conditioner may read."""
SHIPPED_MODEL = "shapes/dit"


@dataclass(frozen=True)
class Loaded:
    """A model from a file, in evaluation mode, and where it came from."""

    model: LatentDiffusion | Autoencoder
    path: Path
    checkpoint: Checkpoint

    @cached_property
    def autoencoder_sha256(self) -> str:
        """See `state_sha256`; of the weights in the file, whatever the model computes in by now."""
        prefix = "autoencoder."
        stored = self.checkpoint.state.items()
        return tensors_sha256({n.removeprefix(prefix): at_least_fp32(t) for n, t in stored if n.startswith(prefix)})


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


def from_user(section: Mapping[str, Any], kind: type, where: str, **given: Any) -> Any:
    """A section of a composed config, which may name a class of the user's own; see `models.builder.build`."""
    return instantiate(section, **given)


def build_sampler(config: Mapping[str, Any], model: LatentDiffusion) -> Sampler:
    """The method of a config's `sampler` group, for a model.

    Raises:
        ValueError: it does not go with the model.
    """
    sampler: Sampler = instantiate(config)
    sampler.check(model.denoiser)
    return sampler


def build_guidance(config: Mapping[str, Any], model: LatentDiffusion) -> Guidance:
    """The method of a config's `guidance` group, for a model.

    Raises:
        ValueError: it does not go with the model, or brings a second one, which works on other latents.
    """
    guidance: Guidance = instantiate(config)
    guidance.check(model.denoiser, model.latent_shape[0], model.conditioner.says_something)
    if isinstance(guidance, Autoguidance) and guidance.latents != state_sha256(model.autoencoder):
        raise ValueError(
            f"guidance.ckpt={config['ckpt']}: works on the latents of another autoencoder; give a weaker model that "
            "was trained with the same autoencoder_ckpt"
        )
    if isinstance(guidance, Autoguidance) and isinstance(guidance.conditioner, Conditioner):
        # Both share one autoencoder, on whatever device this model comes to be.
        guidance.conditioner.place(model.autoencoder, model.latent_shape[1])
    return guidance


def build_drawing(
    cfg: Mapping[str, Any], model: LatentDiffusion, seeds: Sequence[int], precision: Precision | None = None
) -> Drawing:
    """How a command's config says that a model draws pictures of these seeds.

    Raises:
        ValueError: the sampler or the guidance does not go with the model.
    """
    sampler, guidance = build_sampler(cfg["sampler"], model), build_guidance(cfg["guidance"], model)
    return Drawing(sampler, guidance, seeds, cfg.get("batch_size", Drawing.batch_size), precision)


def autoguidance(scale: float, ckpt: str) -> Autoguidance:
    """Guidance by the model in a file; the target of `guidance=autoguidance`.

    Args:
        scale: 1 is neutral.
        ckpt: the weaker model, on the same latents.
    """
    weak = load_latent_diffusion(ckpt).model
    assert isinstance(weak, LatentDiffusion)
    return Autoguidance(scale, weak.denoiser, weak.conditioner, state_sha256(weak.autoencoder))


def read_trusted(ckpt: str, ema: bool = True) -> tuple[Checkpoint, nn.Module]:
    """A checkpoint of ours, and the outline of its model, which the weights have been found to fit.

    Raises:
        ValueError: the file is absent, damaged, unsafe or not ours, or its weights are of another architecture.
    """
    path, checkpoint = read_stored(ckpt, ema)
    outline = _outline(checkpoint.config, checkpoint.state, path)
    with _about(path):
        require_sound(outline.state_dict(), checkpoint.state)
    return checkpoint, outline


def stored_part(ckpt: str | None, part: str) -> tuple[dict[str, Any], dict[str, Tensor], Path]:
    """The config section of a part, its weights, and the file.

    Args:
        ckpt: path, or name of a shipped model; None for the default one.
        part: "autoencoder" or "conditioner".

    Raises:
        ValueError: the file is absent, damaged, unsafe, or holds no such part.
    """
    path, checkpoint = read_stored(ckpt)
    config = checkpoint.config
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
    section, state, path = stored_part(ckpt, "autoencoder")
    config = {"model": "autoencoder", "autoencoder": section}
    model = _restored(config, {f"autoencoder.{name}": tensor for name, tensor in state.items()}, path)
    autoencoder = model.get_submodule("autoencoder")
    assert isinstance(autoencoder, Autoencoder)
    return autoencoder.eval(), section


def load_model(ckpt: str | None, ema: bool = True) -> Loaded:
    """A text-to-image model or an autoencoder, whichever the file holds.

    Args:
        ckpt: path, or name of a shipped model such as `shapes/unet`; None for the default one.
        ema: take the averaged weights.

    Raises:
        ValueError: the file is absent, damaged, unsafe or of another architecture.
    """
    path, checkpoint = read_stored(ckpt, ema)
    config = checkpoint.config
    if config["model"] == "autoencoder":
        return Loaded(load_autoencoder(str(path))[0], path, checkpoint)
    if config["model"] == "conditioner":
        raise ValueError(
            f"ckpt={path}: holds a text encoder alone; give it to `ldmlab import` as conditioner_ckpt={path}"
        )
    model = _restored(config, checkpoint.state, path)
    assert isinstance(model, LatentDiffusion)
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
    return ckpt is None or ckpt in _shipped()


def read_stored(ckpt: str | None, ema: bool = True) -> tuple[Path, Checkpoint]:
    """A checkpoint of ours, with the autoencoder of the shipped model that it names where it was exported without."""
    path = _path(ckpt)
    checkpoint = read_checkpoint(path, ema)
    with _about(path):
        config = require_stored(checkpoint.config)
    if config["model"] in ALONE:  # a run's checkpoint has what trained it besides
        alone = {name: t for name, t in checkpoint.state.items() if name.startswith(f"{config['model']}.")}
        checkpoint = replace(checkpoint, state=alone)
    lender = config.get(LENDER)
    if lender is None:
        return path, checkpoint
    if lender not in _shipped():
        raise ValueError(
            f"ckpt={path}: reads the autoencoder of {shown(lender)}, which does not come with this ldmlab; export the "
            "model with export_autoencoder=true"
        )
    borrowed = read_checkpoint(_shipped()[lender]).state
    state = {name: tensor for name, tensor in borrowed.items() if name.startswith("autoencoder.")}
    return path, replace(checkpoint, state=state | checkpoint.state)


def _restored(config: Mapping[str, Any], state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """The model of a stored config with its weights. It has no memory before the weights are found to fit."""
    _outline(config, state, path)
    with _about(path), Uninitialised():
        model = build_model(config)
    load_weights(model, state, path)
    return model


def _outline(config: Mapping[str, Any], state: Mapping[str, Tensor], path: Path) -> nn.Module:
    with _about(path), no_larger_than(tensor.numel() for tensor in state.values()):
        outline = build_outline(config)
    require_fit(outline.state_dict(), state, path)
    return outline


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"ckpt={path}: {error}") from error


def _path(ckpt: str | None) -> Path:
    """A file of the user's, or a shipped model by the name of the experiment that trained it."""
    name = SHIPPED_MODEL if ckpt is None else ckpt
    return Path(name) if Path(name).is_file() else _shipped().get(name, Path(name))


def _shipped() -> dict[str, Path]:
    """The models that come with ldmlab, by the names of the experiments that trained them."""
    return {f"{path.parents[1].name}/{path.stem}": path for path in experiments_dir().glob("*/weights/*.safetensors")}
