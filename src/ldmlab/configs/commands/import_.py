"""The config of `ldmlab import`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ldmlab.configs.checks import Checks
from ldmlab.configs.keys import Count, Keys, PathText


class ImportKeys(Keys):
    """`ldmlab import`."""

    path: PathText
    output: PathText | None
    autoencoder_ckpt: PathText | None
    conditioner_ckpt: PathText | None
    tokenizer: PathText | None
    image_size: Count | None
    heads: Count | None
    head_width: Count | None
    latent_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    quick_gelu: bool | None
    zero_terminal_snr: bool | None
    ema: bool
    half: bool


CHECKS = Checks(
    keys=ImportKeys,
    reads={"path": "no such file or folder; give a public checkpoint"},
    folders=("autoencoder_ckpt", "conditioner_ckpt"),
)
