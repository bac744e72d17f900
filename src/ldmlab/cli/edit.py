"""`ldmlab edit`: a picture, drawn or given, and the same picture edited."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor

from ldmlab.cli.build import build_guidance, build_sampler, load_latent_diffusion, pick_device
from ldmlab.cli.pictures import fit_mask, fit_picture, read_mask, read_picture
from ldmlab.cli.progress import passes
from ldmlab.cli.records import peak_memory
from ldmlab.cli.schema import takes_mapping
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask
from ldmlab.pictures.contact_sheet import contact_sheet, to_pil
from ldmlab.pictures.png import write_png
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.noise import picture_seeds


def run(cfg: DictConfig) -> None:
    """Edit for `n` seeds, and write the pictures and a contact sheet with one row an edit."""
    method = build_method(cfg)
    method.check({key for key in ("source", "target", "image", "mask") if cfg[key] is not None})
    task = _task(cfg, method)
    with passes(task.model.denoiser.backbone, "drawing"):
        edited = method.edit(task)
    _write(Path(cfg.output_dir), edited)
    for note in edited.notes:
        print(note)
    print(f"peak memory: {peak_memory(task.model.autoencoder.latent_mean.device)}")


def build_method(cfg: DictConfig) -> EditMethod:
    """The method of a config's `method` group, whose own keys stand beside it at the top."""
    names = inspect.signature(get_object(cfg.method._target_)).parameters
    own = {name: _value(cfg, name) for name in names if name in cfg}
    return get_object(cfg.method._target_)(**own)


def _value(cfg: DictConfig, name: str) -> Any:
    """A key as the library takes it: a component built, a list or mapping plain."""
    value = cfg[name]
    if not OmegaConf.is_config(value):
        return value
    if isinstance(value, DictConfig) and "_target_" in value:
        return instantiate(value)
    plain = OmegaConf.to_container(value, resolve=True)
    return _mapping(name, plain) if takes_mapping("edit", name) and isinstance(plain, list) else plain


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


def _task(cfg: DictConfig, method: EditMethod) -> EditTask:
    image, mask = _given(cfg)
    model = load_latent_diffusion(cfg.ckpt, cfg.ema).model
    assert isinstance(model, LatentDiffusion)
    model.to(pick_device(cfg.device))
    sources, targets = (None if text is None else [text] * cfg.n for text in (cfg.source, cfg.target))
    for prompts in filter(None, (sources, targets)):
        model.conditioner.batch(prompts[:1])  # refuses a prompt before anything is drawn
    sampler, guidance = build_sampler(cfg.sampler, model), build_guidance(cfg.guidance, model)
    if image is None or not method.own_size:
        image, mask = _fitted(image, mask, model.latent_shape[1] * model.autoencoder.factor)
    seeds = picture_seeds(cfg.seed, cfg.n)
    return EditTask(model, sampler, guidance, seeds, sources, targets, image, mask, cfg.batch_size, print)


def _given(cfg: DictConfig) -> tuple[Tensor | None, Tensor | None]:
    """The image and the mask, of one size where there are both."""
    image = None if cfg.image is None else read_picture(cfg.image)
    mask = None if cfg.mask is None else read_mask(cfg.mask)
    if image is not None and mask is not None and image.shape[-2:] != mask.shape:
        sizes = [f"{rows} x {columns}" for rows, columns in (mask.shape, image.shape[-2:])]
        raise ValueError(f"mask={cfg.mask}: is {sizes[0]} pixels and the image {sizes[1]}; give a mask of its size")
    return image, mask


def _fitted(image: Tensor | None, mask: Tensor | None, side: int) -> tuple[Tensor | None, Tensor | None]:
    """Both at the model's size, and a line where that is not their own."""
    for key, given in (("image", image), ("mask", mask)):
        if given is not None and given.shape[-2:] != (side, side):
            rows, columns = given.shape[-2:]
            print(f"{key}: {rows} x {columns} pixels; its centre is taken, scaled to the model's {side} x {side}")
    return (
        None if image is None else fit_picture(image, side),
        None if mask is None else fit_mask(mask, side),
    )


def _write(folder: Path, edited: Edited) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kinds = ["edit"] if len(edited.after) == 1 else [f"edit_{row}" for row in range(len(edited.after))]
    images = {"contact_sheet.png": _sheet(edited)}
    for kind, row in zip(["source", *kinds], [edited.before, *edited.after], strict=True):
        images |= {f"{index:05d}_{kind}.png": to_pil(image) for index, image in enumerate(row.pictures)}
    for name, image in images.items():
        write_png(folder / name, image)
    print(f"contact sheet: {folder / 'contact_sheet.png'}")


def _sheet(edited: Edited) -> Image.Image:
    """One row a kind; a picture that stands for all seeds is repeated."""
    rows = [edited.before, *edited.after]
    columns = max(len(row.pictures) for row in rows)
    pictures = [row.pictures.expand(columns, -1, -1, -1) for row in rows]
    return contact_sheet(torch.cat(pictures), [row.title for row in rows for _ in range(columns)], columns)
