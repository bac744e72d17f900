"""ldmlab: an experiment platform for latent diffusion.

    model = ldmlab.load("shapes/dit")
    model.sample(["a red star"], seed=0, steps=20)[0].save("star.png")

docs/python.md is the guide. Importing this package imports nothing else: whatever is used is imported then.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldmlab.api.attention import AttentionMaps
    from ldmlab.api.calls import edit, evaluate, load, sample
    from ldmlab.api.edits import Edits
    from ldmlab.api.figures import Figures
    from ldmlab.api.model import Model
    from ldmlab.api.trained import Trained
    from ldmlab.api.training import make_dataset, train
    from ldmlab.pictures.gallery import Pictures

__version__ = "0.1.0"

__all__ = [
    "AttentionMaps",
    "Edits",
    "Figures",
    "Model",
    "Pictures",
    "Trained",
    "edit",
    "evaluate",
    "load",
    "make_dataset",
    "sample",
    "train",
]

_MODULES = {
    "AttentionMaps": "api.attention",
    "Edits": "api.edits",
    "Figures": "api.figures",
    "Model": "api.model",
    "Pictures": "pictures.gallery",
    "Trained": "api.trained",
    "make_dataset": "api.training",
    "train": "api.training",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ldmlab' has no attribute '{name}'")
    return getattr(import_module(f"ldmlab.{_MODULES.get(name, 'api.calls')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
