"""Models from files: shipped, exported or saved by a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from ldmlab.adapters.base import merge_adapter
from ldmlab.autoencoders.base import Autoencoder
from ldmlab.models.adapters import KEY as ADAPTER_KEY
from ldmlab.models.adapters import AdapterFile, load_adapter
from ldmlab.models.build import AutoencoderAlone, build_model, build_whole
from ldmlab.models.checkpoints import Checkpoint, is_exported, load_weights, read_checkpoint, require_fit
from ldmlab.models.fingerprint import tensors_sha256
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.limits import no_larger_than
from ldmlab.models.outline import Uninitialised, without_memory
from ldmlab.models.plain_data import shown
from ldmlab.models.shipped import checkpoint_file, shipped
from ldmlab.models.stored import ADAPTER, ALONE, LENDER, require_sound, require_stored
from ldmlab.precision import at_least_fp32

AnyModel = TypeVar("AnyModel", bound=nn.Module, covariant=True)
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Loaded(Generic[AnyModel]):
    """A model from a file, in evaluation mode, and where it and its adapter, if it has one, came from."""

    model: AnyModel
    path: Path
    checkpoint: Checkpoint
    adapter: AdapterFile | None = None

    @property
    def adapter_record(self) -> dict[str, str | float] | None:
        """What pictures and figures say of the adapter; None where there is none."""
        return None if self.adapter is None else self.adapter.record()

    @cached_property
    def autoencoder_sha256(self) -> str:
        """`state_sha256` of the autoencoder's weights in the file, whatever the model computes in by now."""
        prefix = "autoencoder."
        stored = self.checkpoint.state.items()
        return tensors_sha256({n.removeprefix(prefix): at_least_fp32(t) for n, t in stored if n.startswith(prefix)})


def load_model(
    ckpt: str | None, ema: bool = True, adapter_ckpt: str | None = None, adapter_scale: float = 1.0
) -> Loaded[LatentDiffusion] | Loaded[Autoencoder]:
    """A text-to-image model or an autoencoder, whichever the file holds.

    Args:
        ckpt: path, or name of a shipped model such as `shapes/unet`; None for the default one.
        ema: take the averaged weights.
        adapter_ckpt: an adapter that was trained on this model; None for none.
        adapter_scale: how much of it: 0 nothing, 1 all.

    Raises:
        ValueError: a file is absent, damaged, unsafe or of another architecture, or the adapter is of another model.
    """
    path, checkpoint = read_stored(ckpt, ema)
    config = checkpoint.config
    if config["model"] == "autoencoder":
        if adapter_ckpt is not None:
            raise ValueError(f"{ADAPTER_KEY}={adapter_ckpt}: ckpt={path} holds an autoencoder, which takes none")
        return Loaded(load_autoencoder(str(path))[0], path, checkpoint)
    if config["model"] == "conditioner":
        raise ValueError(
            f"ckpt={path}: holds a text encoder alone; give it to `ldmlab import` as conditioner_ckpt={path}"
        )
    model = _restored(partial(build_whole, config), checkpoint.state, path)
    if adapter_ckpt is None:
        return Loaded(model.eval(), path, checkpoint)
    adapter = load_adapter(model, adapter_ckpt, adapter_scale, ema)
    return Loaded(model.eval(), path, replace(checkpoint, data=adapter.data), adapter)


def load_latent_diffusion(
    ckpt: str | None, ema: bool = True, adapter_ckpt: str | None = None, adapter_scale: float = 1.0
) -> Loaded[LatentDiffusion]:
    """A latent diffusion model from a file.

    Args:
        ckpt: path, or name of a shipped model such as `shapes/unet`; None for the default one.
        ema: take the averaged weights.
        adapter_ckpt: an adapter that was trained on this model; None for none.
        adapter_scale: how much of it: 0 nothing, 1 all.

    Raises:
        ValueError: a file is absent, damaged, unsafe or of another architecture, the adapter is of another model, or
            the model's file holds an autoencoder alone.
    """
    return require_latent_diffusion(load_model(ckpt, ema, adapter_ckpt, adapter_scale))


def require_latent_diffusion(loaded: Loaded[LatentDiffusion] | Loaded[Autoencoder]) -> Loaded[LatentDiffusion]:
    """Return what was loaded, if it is a latent diffusion model.

    Raises:
        ValueError: it is an autoencoder alone.
    """
    if isinstance(loaded.model, LatentDiffusion):
        return Loaded(loaded.model, loaded.path, loaded.checkpoint, loaded.adapter)
    raise ValueError(f"ckpt={loaded.path}: holds an autoencoder; give a checkpoint of a latent diffusion model")


def load_autoencoder(ckpt: str | None) -> tuple[Autoencoder, dict[str, Any]]:
    """A trained autoencoder and the config that builds it, from its own checkpoint or from a whole model's.

    Args:
        ckpt: path, or name of a shipped model; None for the autoencoder of the default one.
    """
    section, state, path = stored_part(ckpt, "autoencoder")
    named = {f"autoencoder.{name}": tensor for name, tensor in state.items()}
    return _restored(partial(AutoencoderAlone, section), named, path).autoencoder.eval(), section


def read_trusted(ckpt: str, ema: bool = True) -> tuple[Checkpoint, nn.Module]:
    """A checkpoint of ours, and the outline of its model, which the weights have been found to fit.

    Raises:
        ValueError: the file is absent, damaged, unsafe or not ours, or its weights are of another architecture.
    """
    path, checkpoint = read_stored(ckpt, ema)
    outline = _outline(partial(build_model, checkpoint.config), checkpoint.state, path)
    with _about(path):
        require_sound(outline.state_dict(), checkpoint.state)
    return checkpoint, outline


def read_merged(ckpt: str, ema: bool, adapter_ckpt: str, adapter_scale: float = 1.0) -> tuple[Checkpoint, nn.Module]:
    """As `read_trusted`, with an adapter put into the weights that it stands beside; see `load_latent_diffusion`."""
    loaded = load_latent_diffusion(ckpt, ema, adapter_ckpt, adapter_scale)
    merge_adapter(loaded.model)
    return replace(loaded.checkpoint, state=loaded.model.state_dict()), loaded.model


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
    return is_exported(checkpoint_file(ckpt))


def read_stored(ckpt: str | None, ema: bool = True) -> tuple[Path, Checkpoint]:
    """A checkpoint of ours, with the autoencoder of the shipped model that it names where it was exported without."""
    path = checkpoint_file(ckpt)
    checkpoint = read_checkpoint(path, ema)
    with _about(path):
        config = require_stored(checkpoint.config)
    if config["model"] == ADAPTER:
        raise ValueError(f"ckpt={path}: holds an adapter alone; give it as {ADAPTER_KEY}=, and its base here")
    if config["model"] in ALONE:  # a run's checkpoint has what trained it besides
        alone = {name: t for name, t in checkpoint.state.items() if name.startswith(f"{config['model']}.")}
        checkpoint = replace(checkpoint, state=alone)
    lender = config.get(LENDER)
    if lender is None:
        return path, checkpoint
    if lender not in shipped():
        raise ValueError(
            f"ckpt={path}: reads the autoencoder of {shown(lender)}, which does not come with this ldmlab; export the "
            "model with export_autoencoder=true"
        )
    borrowed = read_checkpoint(shipped()[lender]).state
    state = {name: tensor for name, tensor in borrowed.items() if name.startswith("autoencoder.")}
    return path, replace(checkpoint, state=state | checkpoint.state)


def _restored(make: Callable[[], Module], state: Mapping[str, Tensor], path: Path) -> Module:
    """A module with the weights of a file. It has no memory before the weights are found to fit."""
    _outline(make, state, path)
    with _about(path), Uninitialised():
        model = make()
    load_weights(model, state, path)
    return model


def _outline(make: Callable[[], Module], state: Mapping[str, Tensor], path: Path) -> Module:
    with _about(path), no_larger_than(tensor.numel() for tensor in state.values()), without_memory():
        outline = make()
    require_fit(outline.state_dict(), state, path)
    return outline


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"ckpt={path}: {error}") from error
