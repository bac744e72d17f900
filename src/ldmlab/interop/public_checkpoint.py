"""What is at a path: a single file or a folder, taken apart into recognised parts and a diffusion process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ldmlab.files import read_text
from ldmlab.interop import process_sections
from ldmlab.interop.autoencoder_layouts import AUTOENCODERS as AUTOENCODER_FAMILIES
from ldmlab.interop.markers import read_marks
from ldmlab.interop.process_sections import ConfigSection
from ldmlab.interop.recognise import RecognisedPart, recognise
from ldmlab.interop.single_file import WHOLE, take_apart
from ldmlab.interop.tensors import SUFFIXES, Tensors, read_tensors
from ldmlab.models.plain_data import read_json, shown

BACKBONES, AUTOENCODERS, ENCODERS = ("unet", "transformer"), ("vae", "vqvae"), ("text_encoder",)
UNUSED = {
    "tokenizer": "the tokenizer, which open_clip has",
    "feature_extractor": "the safety checker and what feeds it",
    "safety_checker": "the safety checker and what feeds it",
    "image_encoder": "an image encoder that the model does not read",
}
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")


@dataclass(frozen=True)
class PublicCheckpoint:
    """A public checkpoint, recognised.

    Attributes:
        path: where it is.
        found: its parts.
        schedule: that it was trained on, if it says so.
        parameterization: if it says so.
        zero_terminal_snr: whether its schedule ends in pure noise, if it says so.
        ignored: how many tensors or files are not used, for each reason.
        ema: whether averaged weights were taken where there are raw ones as well.
    """

    path: Path
    found: list[RecognisedPart]
    schedule: ConfigSection | None = None
    parameterization: ConfigSection | None = None
    zero_terminal_snr: bool | None = None
    ignored: Counter[str] = field(default_factory=Counter)
    ema: bool = False


def read_public(path: Path, ema: bool = True) -> PublicCheckpoint:
    """Recognise a file, a folder of diffusers, or a folder of one of its components.

    Raises:
        ValueError: there is nothing, or nothing that is known.
    """
    if path.is_dir():
        if (path / "model_index.json").is_file():
            return _pipeline(path, ema)
        return PublicCheckpoint(path, [_component(path, ema)])
    marks, tensors = read_marks(read_tensors(path, ema))
    whole = any(name.startswith(WHOLE) for name in tensors)
    source = _single_file(path, tensors, ema) if whole else PublicCheckpoint(path, [recognise(tensors)])
    if marks.keys:
        source.ignored["marks of the diffusion process, which are heeded"] += marks.keys
    stated = None if marks.prediction is None else process_sections.parameterization(marks.prediction)
    return replace(source, parameterization=stated, zero_terminal_snr=marks.zero_terminal_snr)


def _single_file(path: Path, tensors: Tensors, ema: bool) -> PublicCheckpoint:
    parts = take_apart(tensors, ema)
    found = parts.found
    if "scale_factor" in tensors:
        scale = tensors.load("scale_factor")
        if scale.numel() != 1:
            raise ValueError(f"path={path}: its 'scale_factor' is of shape {tuple(scale.shape)}, no number")
        stated = {"scaling_factor": float(scale)}
        found = [replace(part, settings=stated) if part.family in AUTOENCODER_FAMILIES else part for part in found]
    betas = process_sections.from_betas(tensors.load("betas"), path) if "betas" in tensors else None
    return PublicCheckpoint(path, found, schedule=betas, ignored=parts.ignored, ema=parts.ema)


def _pipeline(path: Path, ema: bool) -> PublicCheckpoint:
    """A folder whose model_index.json names its components; those that are null are not there."""
    index = _read_json(path / "model_index.json")
    named = [name for name, value in index.items() if isinstance(value, list) and _names_class(path, name, value)]
    found = []
    ignored: Counter[str] = Counter()
    for name in named:
        if name in (*BACKBONES, *AUTOENCODERS, *ENCODERS):
            found.append(_component(path / name, ema))
        elif name in UNUSED:
            ignored[UNUSED[name]] += 1
        elif name != "scheduler":
            kind = shown(index.get("_class_name", "its pipeline"))
            raise ValueError(f"path={path}: '{name}' of {kind} is a part that ldmlab's models lack")
    if not found:
        raise ValueError(f"path={path}: its model_index.json names no model")
    schedule, parameterization = _scheduler(path)
    return PublicCheckpoint(path, found, schedule, parameterization, ignored=ignored)


def _names_class(path: Path, name: str, value: list[Any]) -> bool:
    """Whether an entry names a library and a class; it names nothing as [null, null]."""
    if len(value) != 2 or not all(isinstance(word, str | None) for word in value):
        raise ValueError(f"path={path}: its model_index.json has '{name}' as {shown(value)}, no library and class")
    return value[0] is not None


def _scheduler(path: Path) -> tuple[ConfigSection | None, ConfigSection | None]:
    file = path / "scheduler" / "scheduler_config.json"
    return process_sections.from_scheduler(_read_json(file), file) if file.is_file() else (None, None)


def _component(folder: Path, ema: bool) -> RecognisedPart:
    settings = _read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    return recognise(read_tensors(_weights(folder, ema)), settings)


def _weights(folder: Path, ema: bool) -> Path:
    """The weights in a component's folder; safetensors first, whole precision first."""
    if not folder.is_dir():
        raise ValueError(f"path={folder}: no such folder, though the model_index.json beside it names it")
    variants = ("", ".fp16") if ema else (".non_ema", "", ".fp16")
    for suffix in SUFFIXES:
        for variant in variants:
            for stem in STEMS:
                if (folder / f"{stem}{variant}{suffix}").is_file():
                    return folder / f"{stem}{variant}{suffix}"
    sharded = next(folder.glob("*.index.json"), None)
    if sharded is not None:
        raise ValueError(f"path={folder}: its weights are in several files ({sharded.name}); save them as one")
    raise ValueError(
        f"path={folder}: holds no model: neither a model_index.json nor weights named {STEMS[0]}.safetensors or "
        f"{STEMS[1]}.safetensors"
    )


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = read_json(read_text(path))
    except (ValueError, OSError) as error:
        raise ValueError(f"path={path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"path={path}: holds no settings")
    return content
