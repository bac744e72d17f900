"""The config of `ldmlab evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ldmlab.configs.checks import NO_ADAPTER, NO_SHARDS, Checks, Rule
from ldmlab.configs.errors import UserError
from ldmlab.configs.filters import require_filter
from ldmlab.configs.keys import Count, Keys, ManyKeys, PathText, Seed
from ldmlab.configs.weights import require_weights
from ldmlab.evaluation.published.rows import AUTO, table_names

if TYPE_CHECKING:
    from omegaconf import DictConfig


class ReferenceKeys(Keys):
    """Where the held-out samples are."""

    path: PathText | None
    heldout_path: PathText | None
    subset: Literal["first", "drawn", "shards"]
    subset_seed: Seed


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
    conditions: Literal["heldout", "balanced", "drawn"]
    table: Literal["auto"] | str | None
    figure: str | None


OF_A_MODEL = (
    *("ckpt", "adapter_ckpt", "adapter_scale", "ema", "precision", "compile"),
    *("sampler", "guidance", "pictures_per_caption", "conditions"),
)
NO_PICTURES = "nothing is there; give a folder of pictures, or an .npz file"


def _check(config: DictConfig) -> None:
    require_filter(config)
    require_weights(config)
    if config.table not in (None, AUTO, *table_names()):
        choices = ", ".join([AUTO, *table_names()])
        raise UserError(f"table={config.table}: no such table of published rows; choose one of {choices}, or null")


CHECKS = Checks(
    keys=EvaluateKeys,
    rules=(
        NO_ADAPTER,
        Rule(
            (
                *("sampler", "guidance", "extractor", "pictures_per_caption", "conditions", "table"),
                *("reference", "n_reference", "save_pictures"),
            ),
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
    check=_check,
)
