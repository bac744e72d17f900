"""The single file of CompVis' training code, in which Stable Diffusion and latent diffusion were released."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from ldmlab.interop.autoencoder_layouts import AUTOENCODERS
from ldmlab.interop.clip_layouts import CLIP_TRANSFORMERS
from ldmlab.interop.mapping import Rules
from ldmlab.interop.recognise import RecognisedPart, recognise
from ldmlab.interop.tensors import Tensors

UNET, FIRST_STAGE, CONDITION, AVERAGES = (
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.",
    "model_ema.",
)
WHOLE = (UNET, FIRST_STAGE, CONDITION)
WRAPPED = "transformer.text_model."
LOOSE: Rules = (
    (
        r"betas|alphas_cumprod(_prev)?|sqrt_.*|log_one_minus_.*|posterior_.*|lvlb_weights|logvar",
        "tables that follow from the noise schedule",
    ),
    (r"scale_factor", "the scale of the latents, which is taken over"),
    (r"model_ema\.(decay|num_updates)", "counters of the averages"),
)

TAKEN = "raw weights, of which the averages are taken"
NOT_TAKEN = "averages of the raw weights that are taken"


@dataclass(frozen=True)
class Contents:
    """The parts of a file, what is left over for which reason, and whether averaged weights were taken."""

    found: list[RecognisedPart]
    ignored: Counter[str]
    ema: bool


def take_apart(tensors: Tensors, ema: bool) -> Contents:
    """Find the UNet, the first stage and the conditioner, and account for all other keys.

    Raises:
        ValueError: a part is of no known layout, or a key belongs to none; it is named.
    """
    unet, first_stage, condition = (tensors.under(prefix) for prefix in WHOLE)
    ignored = _loose(tensors)
    averages = _averages(tensors)
    taken = ema and averages is not None
    if averages is not None:
        reason = TAKEN if taken else NOT_TAKEN
        ignored[reason] += len(averages.shapes)
    network = averages if taken and averages is not None else unet
    found = [recognise(part) for part in (network, first_stage) if part.shapes]
    if condition.shapes:
        found += _condition(condition, ignored)
    return Contents(found, ignored, taken)


def _condition(condition: Tensors, ignored: Counter[str]) -> list[RecognisedPart]:
    """The conditioner, unless it is the first stage once more, as for inpainting."""
    if any(name.startswith(WRAPPED) for name in condition):
        condition = condition.under("transformer.")
        return [RecognisedPart(CLIP_TRANSFORMERS, condition)]
    found = recognise(condition)
    if found.family in AUTOENCODERS:
        ignored["the first stage once more, as the encoder of the condition"] += len(condition.shapes)
        return []
    return [found]


def _averages(tensors: Tensors) -> Tensors | None:
    """The UNet's averages by the UNet's names; they are stored without dots."""
    stored = {name for name in tensors if name.startswith(AVERAGES) and not _reason(name)}
    if not stored:
        return None
    names = {name: AVERAGES + f"diffusion_model.{name}".replace(".", "") for name in tensors.under(UNET)}
    for flat in names.values():
        if flat not in stored:
            raise ValueError(f"path={tensors.source}: holds averages, and lacks '{flat}'")
    for extra in stored - {*names.values()}:
        raise ValueError(f"path={tensors.source}: '{extra}' is left over: it averages nothing that is in the file")
    return tensors.renamed(names)


def _reason(name: str) -> str | None:
    return next((reason for pattern, reason in LOOSE if re.fullmatch(pattern, name)), None)


def _loose(tensors: Tensors) -> Counter[str]:
    """What belongs to no part."""
    ignored: Counter[str] = Counter()
    for name in tensors.outside(WHOLE):
        reason = _reason(name)
        if reason is not None:
            ignored[reason] += 1
        elif not name.startswith(AVERAGES):
            raise ValueError(f"path={tensors.source}: '{name}' is left over: it belongs to no part of the model")
    return ignored
