"""The config of `ldmlab evaluate`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmlab.configs.checks import NO_ADAPTER, NO_SHARDS, Checks, Rule
from ldmlab.configs.filters import require_filter
from ldmlab.configs.keys import Count, Keys, ManyKeys, PathText


class ReferenceKeys(Keys):
    """Where the held-out samples are."""

    path: PathText | None
    heldout_path: PathText | None


class EvaluateKeys(ManyKeys):
    """`ldmlab evaluate`."""

    data: ReferenceKeys
    n: Annotated[int, Field(ge=2)] | None
    pictures: PathText | None
    reference: PathText | None
    n_reference: Annotated[int, Field(ge=2)] | None
    image_size: Count | None
    reference_cache: bool
    save_pictures: Literal["npz", "png"] | None
    pictures_per_caption: Count
    figure: str | None


OF_A_MODEL = (
    *("ckpt", "adapter_ckpt", "adapter_scale", "ema", "precision", "compile"),
    *("sampler", "guidance", "pictures_per_caption"),
)
NO_PICTURES = "nothing is there; give a folder of pictures, or an .npz file"
CHECKS = Checks(
    keys=EvaluateKeys,
    rules=(
        NO_ADAPTER,
        Rule(
            ("sampler", "guidance", "extractor", "pictures_per_caption", "reference", "n_reference", "save_pictures"),
            lambda config: set(config.get("metric") or ()) == {"vlb"},
            "metric=vlb draws no pictures",
        ),
        Rule(OF_A_MODEL, lambda config: config["pictures"] is not None, "pictures= are measured without a model"),
        Rule(
            ("data", "filter"),
            lambda config: config["pictures"] is not None and config["reference"] is not None,
            "pictures= are compared with reference=",
        ),
        Rule(
            ("image_size",),
            lambda config: config["pictures"] is None and config["reference"] is None,
            "no pictures are given",
        ),
    ),
    reads={
        "pictures": NO_PICTURES,
        "reference": NO_PICTURES,
        "data.path": NO_SHARDS,
        "data.heldout_path": "no such folder; give one of tars, or null for data.path/heldout",
    },
    check=require_filter,
)
