"""The settings that named backbones were published in: experiments/published/NAME.yaml. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from ldmlab.configs.errors import UserError
from ldmlab.paths import experiments_dir

STUDY = "published"


def in_published_setting(overrides: Sequence[str]) -> list[str]:
    """Where `backbone=NAME` is chosen and no experiment, choose that in which NAME was published, if there is one.

    So that `ldmlab describe backbone=dit_xl_2` is about the network of the paper: its latents, classes and output.
    `experiment=null` says that none is wanted; Hydra has no word for that. Nor is another conditioner or another kind
    of model what was published.
    """
    chosen = dict(override.partition("=")[::2] for override in overrides)
    names = chosen.get("backbone", "").split(",")
    setting = f"{STUDY}/{names[0]}"
    if len(names) > 1 and "experiment" not in chosen and any(map(_is_published, names)):
        raise UserError(
            f"backbone={chosen['backbone']}: describe published networks by experiment={STUDY}/NAME,{STUDY}/NAME, each "
            "in its setting, or one by one"
        )
    other = not chosen.keys().isdisjoint({"experiment", "conditioner", "model"})
    if other or len(names) > 1 or not _is_published(names[0]):
        return [override for override in overrides if override != "experiment=null"]
    return [f"experiment={setting}", *overrides]


def _is_published(name: str) -> bool:
    return (experiments_dir() / STUDY / f"{name}.yaml").is_file()
