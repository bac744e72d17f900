"""What pictures say of how they were drawn, in plain data: it goes into their files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldmlab import __version__
from ldmlab.models.loading import Loaded
from ldmlab.precision import Precision


def drawing_record(
    loaded: Loaded[Any], precision: Precision, seed: int, sampler: Mapping[str, Any], guidance: Mapping[str, Any]
) -> dict[str, Any]:
    """What all pictures of a run say of how they were drawn; of files the names and digests, no folders.

    Of fp32 nothing is said, as in pictures from before there was anything else.

    Args:
        loaded: the model that draws.
        precision: what it computes in.
        seed: picture i draws its noise from (seed, i).
        sampler: the sampler's settings, plain.
        guidance: the guidance's settings, plain.
    """
    return {
        "seed": seed,
        "model": loaded.path.name,
        "model_sha256": loaded.checkpoint.sha256,
        "ema": loaded.checkpoint.ema,
        **({} if loaded.adapter is None else {"adapter": loaded.adapter_record}),
        "sampler": dict(sampler),
        "guidance": {key: portable(value) for key, value in guidance.items()},
        "device": precision.device.type,
        **({} if precision.name == "fp32" else {"precision": precision.name}),
        "ldmlab": __version__,
    }


def portable(value: Any) -> Any:
    """A setting that names a file, by the file's name and digest; any other as it is."""
    if not isinstance(value, str) or not Path(value).is_file():
        return value
    with open(value, "rb") as file:
        return {"file": Path(value).name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
