"""From public checkpoints to a model of ours: its config and its weights, every key accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ldmlab.interop import process_sections
from ldmlab.interop.family import Component, ImportHints
from ldmlab.interop.image_condition import around_text
from ldmlab.interop.mapping import check_tensors, from_public
from ldmlab.interop.process_sections import LATENT_DIFFUSION, STABLE_DIFFUSION, ConfigSection
from ldmlab.interop.public_checkpoint import PublicCheckpoint
from ldmlab.interop.recognise import RecognisedPart
from ldmlab.models.component import TROUBLE
from ldmlab.models.limits import no_larger_than

PARTS = {"backbone": "denoiser.backbone.", "autoencoder": "autoencoder.", "conditioner": "conditioner."}
"""The parts of a model, and what stands before their tensors' names in the whole."""
ASKED = {"autoencoder": "autoencoder_ckpt=PATH of a VAE", "conditioner": "conditioner_ckpt=PATH of a text encoder"}


@dataclass(frozen=True)
class ConvertedPart:
    """A part in our format.

    Attributes:
        title: what it was, for people.
        config: the section that builds it.
        state: its tensors by the names that they have inside the part.
        widths: what the rest must agree with: grid, channels, context_width, vector_width, out_channels.
    """

    title: str
    config: ConfigSection
    state: Mapping[str, Tensor]
    widths: Mapping[str, Any]


@dataclass(frozen=True)
class Imported:
    """A model in our format.

    Attributes:
        config: as a checkpoint stores it.
        state: of the whole model.
        ema: whether these are averaged weights.
        summary: lines for people: what was found, what was ignored and why.
    """

    config: dict[str, Any]
    state: dict[str, Tensor]
    ema: bool
    summary: list[str]


def convert_parts(source: PublicCheckpoint, hints: ImportHints) -> tuple[dict[str, ConvertedPart], Counter[str]]:
    """All parts of a source, and how many of its tensors are ignored for which reason.

    Args:
        source: recognised.
        hints: what the weights do not tell.

    Raises:
        ValueError: a tensor is missing, left over or of another shape.
    """
    parts: dict[str, ConvertedPart] = {}
    ignored = source.ignored.copy()
    for found in source.found:
        made, left = _convert(found, hints)
        twice = parts.keys() & made.keys()
        if twice:
            raise ValueError(f"path={source.path}: holds two parts that could be the {twice.pop()}")
        parts |= made
        ignored += left
    return parts, ignored


def _convert(found: RecognisedPart, hints: ImportHints) -> tuple[dict[str, ConvertedPart], Counter[str]]:
    try:
        with no_larger_than(shape.numel() for shape in found.tensors.shapes.values()):
            components = found.family.infer(found.tensors, found.settings, hints)
            table = found.family.table(components)
            outlines = {part: component.outline.state_dict() for part, component in components.items()}
    except (ValueError, *TROUBLE) as error:
        if any(f"{key}=" in str(error) for key in ("path", "tokenizer")):
            raise
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"path={found.tensors.source}: its shapes and settings are those of no {found.family.title} ({reason})"
        ) from error
    expected = {f"{part}.{name}": value for part, outline in outlines.items() for name, value in outline.items()}
    ignored = check_tensors(table, expected, found.tensors, found.family.ignored)
    state = from_public(table, found.tensors)
    return {part: _part(found, part, component, state) for part, component in components.items()}, ignored


def _part(found: RecognisedPart, part: str, component: Component, state: Mapping[str, Tensor]) -> ConvertedPart:
    prefix = f"{part}."
    tensors = {name.removeprefix(prefix): _full_or_half(t) for name, t in state.items() if name.startswith(prefix)}
    return ConvertedPart(found.family.title, component.config(), {**tensors, **component.constants}, component.widths)


def _full_or_half(tensor: Tensor) -> Tensor:
    """A tensor in fp16 or fp32 as it is, one of other real numbers in fp32."""
    kept = tensor.dtype in (torch.float16, torch.float32) or not tensor.is_floating_point()
    return tensor if kept else tensor.float()


def assemble(
    source: PublicCheckpoint, parts: Mapping[str, ConvertedPart], ignored: Counter[str], hints: ImportHints
) -> Imported:
    """A whole model, or an autoencoder or a conditioner alone where there is nothing else.

    Raises:
        ValueError: a part is missing, or a hint is of no use.
    """
    imported = _assemble(source, parts, ignored, hints)
    hints.require_used()
    return imported


def _assemble(
    source: PublicCheckpoint, parts: Mapping[str, ConvertedPart], ignored: Counter[str], hints: ImportHints
) -> Imported:
    if "backbone" not in parts:
        kind = "autoencoder" if "autoencoder" in parts else "conditioner"
        alone: dict[str, Any] = {"model": kind, kind: parts[kind].config, "image_size": 256}
        return Imported(alone, _state(parts), source.ema, [*_summary(parts, ignored)])
    if "conditioner" not in parts and parts["backbone"].widths.get("context_width") is None:
        parts = {**parts, "conditioner": ConvertedPart("no condition", NO_CONDITION, {}, {})}
    for name, asked in ASKED.items():
        if name not in parts:
            raise ValueError(f"path={source.path}: holds no {name}, without which a model is not whole; give {asked}")
    factor = 2 ** (len(parts["autoencoder"].config["multipliers"]) - 1) * parts["autoencoder"].config.get("patch", 1)
    size = hints.ask("image_size") or parts["backbone"].widths["grid"] * factor
    process_config = _process(source, parts, hints)
    parts = _with_picture(parts, factor)
    config: dict[str, Any] = {name: part.config for name, part in parts.items()} | process_config
    config |= {"model": "latent_diffusion", "image_size": size}
    return Imported(config, _state(parts), source.ema, [*_summary(parts, ignored)])


def _state(parts: Mapping[str, ConvertedPart]) -> dict[str, Tensor]:
    return {f"{PARTS[name]}{key}": value for name, part in parts.items() for key, value in part.state.items()}


def _with_picture(parts: Mapping[str, ConvertedPart], factor: int) -> Mapping[str, ConvertedPart]:
    """The parts with a conditioner that gives what the backbone reads beside the latents, if there is one."""
    backbone, reader = parts["backbone"], parts["conditioner"]
    channels = backbone.config.get("concat_channels", 0)
    made = around_text(reader.config, reader.state, channels, backbone.widths["channels"], factor)
    if made is None:
        return parts
    config, state = made
    name = config["_target_"].rpartition(".")[2]
    return {**parts, "conditioner": replace(reader, title=f"{reader.title}, in {name}", config=config, state=state)}


NO_CONDITION = {"_target_": "ldmlab.conditioners.none.NoCondition"}


def _process(
    source: PublicCheckpoint, parts: Mapping[str, ConvertedPart], hints: ImportHints
) -> dict[str, ConfigSection]:
    """What the source says of its process, else the hints, else what is known of its family."""
    widths = parts["backbone"].widths
    reads_text = any(kind in parts["conditioner"].config["_target_"] for kind in ("CLIP", "TextTransformer"))
    start, end = STABLE_DIFFUSION if reads_text else LATENT_DIFFUSION
    default = process_sections.schedule("scaled_linear", timesteps=1000, beta_start=start, beta_end=end)
    if parts["backbone"].config["_target_"].endswith("DiT"):
        default = process_sections.schedule("linear", timesteps=1000, beta_start=1e-4, beta_end=0.02)
    schedule = source.schedule or default
    stated = source.zero_terminal_snr
    if stated is None and source.schedule is not None:
        stated = source.schedule.get("zero_terminal_snr", None)
    if hints.unless("zero_terminal_snr", stated, source.path):
        schedule = {**schedule, "zero_terminal_snr": True}
    said = source.parameterization
    hint = hints.unless("parameterization", said and process_sections.option(said), source.path)
    return {
        "schedule": schedule,
        "parameterization": said or process_sections.parameterization(process_sections.OPTIONS[hint or "epsilon"]),
        "objective": process_sections.objective(widths["out_channels"] == 2 * widths["channels"]),
    }


def _summary(parts: Mapping[str, ConvertedPart], ignored: Counter[str]) -> Iterator[str]:
    for name, part in parts.items():
        values = sum(tensor.numel() for tensor in part.state.values())
        yield f"{name}: {part.title}, {len(part.state)} tensors, {values:,} values"
        if channels := part.config.get("concat_channels"):
            giver = parts["conditioner"].config if "conditioner" in parts else {}
            given = "the conditioner gives" if "text" in giver else "a conditioner has to give"
            yield f"{name}: reads {channels} further channels, which {given}"
    for reason, number in ignored.items():
        yield f"ignored: {number} x {reason}"
