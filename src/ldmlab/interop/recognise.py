"""Which layout a bag of tensors has, told by its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ldmlab.interop.autoencoder_layouts import AUTOENCODERS
from ldmlab.interop.clip_layouts import CLIP_BARE, CLIP_OPEN, CLIP_TRANSFORMERS
from ldmlab.interop.compvis import CLASSES, PROMPT_MODEL
from ldmlab.interop.dit_layouts import DIT_DIFFUSERS, DIT_ORIGINAL
from ldmlab.interop.family import Family
from ldmlab.interop.tensors import Tensors
from ldmlab.interop.unet_layouts import UNET_COMPVIS, UNET_DIFFUSERS

FAMILIES: tuple[Family, ...] = (
    UNET_DIFFUSERS,
    UNET_COMPVIS,
    *AUTOENCODERS,
    DIT_ORIGINAL,
    DIT_DIFFUSERS,
    CLIP_TRANSFORMERS,
    CLIP_OPEN,
    CLIP_BARE,
    PROMPT_MODEL,
    CLASSES,
)


@dataclass(frozen=True)
class RecognisedPart:
    """Tensors of one part, the layout that they have, and the config.json beside them."""

    family: Family
    tensors: Tensors
    settings: Mapping[str, Any] = field(default_factory=dict)


def recognise(tensors: Tensors, settings: Mapping[str, Any] | None = None) -> RecognisedPart:
    """Find the layout of one part's tensors by their keys.

    Args:
        tensors: of a file or a folder.
        settings: the config.json beside them, if there is one.

    Raises:
        ValueError: no layout has these keys, or one has that lacks some; the first is named.
    """
    settings = settings or {}
    for family in FAMILIES:
        if family.recognises(tensors):
            return RecognisedPart(family, tensors, settings)
    nearest = max(FAMILIES, key=lambda family: sum(mark in tensors for mark in family.marks) / len(family.marks))
    lacking = [mark for mark in nearest.marks if mark not in tensors]
    if len(lacking) < len(nearest.marks):
        raise ValueError(
            f"path={tensors.source}: looks like a {nearest.title}, and lacks '{tensors.prefix}{lacking[0]}'"
        )
    shown = ", ".join(f"'{tensors.prefix}{name}'" for name in list(tensors)[:3])
    raise ValueError(
        f"path={tensors.source}: no layout that ldmlab knows has the keys {shown} ...; "
        "docs/checkpoints.md lists what can be imported"
    )
