"""The settings that named backbones were published in: experiments/published/NAME.yaml. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from ldmlab.cli.paths import experiments_dir

STUDY = "published"


def in_published_setting(overrides: Sequence[str]) -> list[str]:
    """Where `backbone=NAME` is chosen and no experiment, choose that in which NAME was published, if there is one.

    So that `ldmlab describe backbone=dit_xl_2` is about the network of the paper: its latents, classes and output.
    `experiment=null` says that none is wanted; Hydra has no word for that. Nor is another conditioner or another kind
    of model what was published.
    """
    chosen = dict(override.partition("=")[::2] for override in overrides)
    setting = f"{STUDY}/{chosen.get('backbone')}"
    other = not chosen.keys().isdisjoint({"experiment", "conditioner", "model"})
    if other or not (experiments_dir() / f"{setting}.yaml").is_file():
        return [override for override in overrides if override != "experiment=null"]
    return [f"experiment={setting}", *overrides]
