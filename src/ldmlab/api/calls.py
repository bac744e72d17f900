"""What `import ldmlab` offers beside `Model`: loading one, and its methods as functions."""

from __future__ import annotations

from os import PathLike
from typing import Any

from ldmlab.api.arguments import Prompts
from ldmlab.api.edits import Edits
from ldmlab.api.figures import Figures
from ldmlab.api.given import evaluate_given
from ldmlab.api.model import Model
from ldmlab.configs.calls import configured
from ldmlab.models.loading import load_model
from ldmlab.pictures.gallery import Pictures


def load(
    ckpt: str | PathLike[str] | None = None,
    *,
    ema: bool = True,
    device: str = "auto",
    precision: str = "auto",
    compile: bool | str = "auto",
    adapter_ckpt: str | PathLike[str] | None = None,
    adapter_scale: float | None = None,
) -> Model:
    """Load a trained model.

    Args:
        ckpt: a file (.safetensors or .ckpt), or the name of a model that comes with ldmlab, such as "shapes/unet"; None
            for "shapes/dit".
        ema: take the averaged weights.
        device: where it computes: "auto", "cpu" or "cuda".
        precision: what in: "auto", "bf16", "fp16", "tf32" or "fp32"; "auto" is bf16 on a GPU that has it, else fp32.
        compile: True, False, or "auto", which is True on a GPU for calls that are long.
        adapter_ckpt: an adapter that was trained on this model.
        adapter_scale: how much of it: 0 nothing, 1 (where it is None) all.

    Raises:
        ValueError: the file is absent, damaged, unsafe or no model.
    """
    computing = {"device": device, "precision": precision, "compile": compile}
    files = {"ckpt": ckpt, "adapter_ckpt": adapter_ckpt}
    cfg = configured("sample", {**files, "adapter_scale": adapter_scale, "ema": ema, **computing})
    return Model(
        load_model(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale), cfg.ckpt, device, precision, compile
    )


def sample(prompts: Prompts | None = None, *, ckpt: str | PathLike[str] | None = None, **arguments: Any) -> Pictures:
    """Load a model and draw pictures.

    Args:
        prompts: see `Model.sample`.
        ckpt: see `load`.
        **arguments: see `Model.sample`.
    """
    return load(ckpt).sample(prompts, **arguments)


def edit(
    source: str | None = None,
    target: str | None = None,
    *,
    ckpt: str | PathLike[str] | None = None,
    **arguments: Any,
) -> Edits:
    """Load a model and change a picture, drawn or given.

    Args:
        source: see `Model.edit`.
        target: see `Model.edit`.
        ckpt: see `load`.
        **arguments: see `Model.edit`.
    """
    return load(ckpt).edit(source, target, **arguments)


def evaluate(
    path: str | PathLike[str] | None = None,
    *,
    ckpt: str | PathLike[str] | None = None,
    pictures: str | PathLike[str] | None = None,
    **arguments: Any,
) -> Figures:
    """Load a model and measure it on held-out samples, or measure pictures that are there already.

    Args:
        path: see `Model.evaluate`; with `pictures`, the dataset whose held-out ones they are compared with.
        ckpt: see `load`.
        pictures: a folder of pictures, or an .npz file with `arr_0`, to measure without a model.
        **arguments: see `Model.evaluate`; with `pictures` those that say how a model draws are none of them.
    """
    if pictures is not None:
        return evaluate_given(pictures, path, ckpt=ckpt, **arguments)
    return load(ckpt).evaluate(path, **arguments)
