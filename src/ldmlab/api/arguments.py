"""Arguments of the front door as the keys of the commands' configs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from os import PathLike, fspath
from typing import Any

from ldmlab.configs.calls import Overrides, chosen
from ldmlab.configs.unread import refuse_choices
from ldmlab.drawing.prompt_file import checked
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded

Prompts = str | int | Sequence[str] | Sequence[int]
"""One prompt or several; numbers for models of classes."""
KEYS = {
    "steps": "sampler.steps",
    "guidance_scale": "guidance.scale",
}
"""Arguments whose keys have another name."""
GROUPS = ("sampler", "guidance", "method", "inversion")
NO_OVERRIDES = {
    ("ckpt", "adapter_ckpt", "adapter_scale", "ema"): "the model is there already; it is an argument of ldmlab.load",
    ("prompts", "prompt", "words", "source", "target", "image", "mask"): "it is an argument of the call",
    ("devices", "num_nodes"): "a call computes in its own process; the commands share their work",
    (
        "output_dir",
        "save_maps",
        "save_pictures",
        "scale",
        "figure",
    ): "a call writes no files; what it gives has a method save",
}
"""Keys of commands that a call with a model does not take from `overrides`, and why."""


def as_keys(**arguments: Any) -> dict[str, Any]:
    """Arguments by the names that they have in a config, groups first."""
    named = {KEYS.get(name, name): value for name, value in arguments.items()}
    return dict(sorted(named.items(), key=lambda item: item[0] not in GROUPS))


def as_texts(prompts: Prompts | None, loaded: Loaded[LatentDiffusion]) -> list[str]:
    """Prompts as a list of text; the empty one for a model that reads none.

    Raises:
        ValueError: there is none, or one that says nothing.
    """
    if prompts is None:
        if loaded.model.conditioner.reads:
            raise ValueError(f"prompts: ckpt={loaded.path} draws from prompts; give some")
        return [""]
    given: list[Any] = list(prompts) if isinstance(prompts, Iterable) and not isinstance(prompts, str) else [prompts]
    if not given:
        raise ValueError("prompts: there is none; give at least one")
    for prompt in given:
        if not isinstance(prompt, str | Integral):
            raise ValueError(f"prompts: {prompt!r} is none; give text, or numbers to a model of classes")
    return checked(str(prompt) for prompt in given)


def refuse_unread(overrides: Overrides) -> None:
    """Refuse settings that a call with a model makes no use of.

    Raises:
        ValueError: naming the first of them and the reason.
    """
    given = chosen({}, overrides)
    for keys, why in NO_OVERRIDES.items():
        refuse_choices(given, keys, why)


def files_of(**given: Any) -> tuple[Mapping[str, str], list[str]]:
    """What was given as a path, by name, and the names of what was given from memory."""
    files = {key: fspath(value) for key, value in given.items() if isinstance(value, str | PathLike)}
    return files, [key for key, value in given.items() if value is not None and key not in files]
