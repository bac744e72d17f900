"""What the methods that work on a given picture ask of a task, each refusal one line.

Shapes: fH x fW pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from ldmlab.editing.methods.base import EditTask
from ldmlab.models.latent_diffusion import LatentDiffusion


def refuse_both(task: EditTask) -> None:
    """Refuse a prompt of the picture before the edit beside that picture, for methods that do not read it.

    Raises:
        ValueError: both are given.
    """
    if task.image is not None and task.sources is not None:
        raise ValueError(f"source={task.sources[0]}: the picture is given by image, so leave it out")


def require_size(model: LatentDiffusion, size: Sequence[int], key: str) -> None:
    """Refuse rows and columns that the autoencoder cannot divide or that the model's grid does not fit into.

    Raises:
        ValueError: naming `key`.
    """
    factor = model.autoencoder.factor
    least = [cells * factor for cells in model.latent_shape[1:]]
    nearest = [max(smallest, -(-side // factor) * factor) for side, smallest in zip(size, least, strict=True)]
    if nearest != list(size):
        raise ValueError(
            f"{key}={_listed(size)}: rows and columns must be multiples of {factor}, the autoencoder's factor, and at "
            f"least the model's own {_listed(least)}; the next that fit are {_listed(nearest)}"
        )


def check_mask(mask: Bool[Tensor, "*N fH fW"], size: Sequence[int]) -> None:
    """Refuse a mask that does not fit or that marks nothing.

    Raises:
        ValueError: it is so.
    """
    if tuple(mask.shape[-2:]) != tuple(size):
        raise ValueError(f"mask={_listed(mask.shape[-2:])}: the picture is {_listed(size)}; give a mask of its size")
    if not bool(mask.flatten(-2).any(dim=-1).all()):
        raise ValueError("mask: marks no pixel, so nothing may change; paint the place white")


def leave_something(mask: Bool[Tensor, "fH fW"], instead: str) -> None:
    """Refuse a mask that marks everything, where that makes no sense.

    Raises:
        ValueError: it does.
    """
    if bool(mask.all()):
        raise ValueError(f"mask: marks every pixel, so nothing of the picture is kept; {instead}")


def prompts(task: EditTask) -> dict[str, Any] | None:
    """The target prompts, as `redraw` takes them; None where there are none."""
    return None if task.targets is None else task.model.conditioner.batch(task.targets)


def title(task: EditTask) -> str:
    """What is written under the edited pictures."""
    return "no prompt" if task.targets is None else task.targets[0]


def _listed(size: Sequence[int]) -> str:
    return "[" + ",".join(str(int(side)) for side in size) + "]"
