"""What the methods that work on a given picture ask of a task, each refusal one line.

Shapes: fH x fW pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.editing.method import EditTask
from ldmlab.pipeline import LatentDiffusion


def refuse(task: EditTask, method: str, **reasons: str) -> None:
    """Refuse what a task holds and the method does not use.

    Args:
        task: the task.
        method: its name on the command line.
        reasons: for each field that is not used, what to do instead.

    Raises:
        ValueError: one of them is given.
    """
    for name, instead in reasons.items():
        if getattr(task, name) is not None:
            raise ValueError(f"{name}: method={method} makes no use of it; {instead}")


def given_image(task: EditTask, method: str) -> UInt8[Tensor, "3 fH fW"]:
    """The picture to edit.

    Raises:
        ValueError: there is none.
    """
    if task.image is None:
        raise ValueError(f"image=null: method={method} edits a picture that is given; give image=FILE")
    return task.image


def fitting_image(task: EditTask, method: str) -> UInt8[Tensor, "3 fH fW"]:
    """The picture to edit, of a size that the model can draw.

    Raises:
        ValueError: there is none, or it is of another size.
    """
    image = given_image(task, method)
    require_size(task.model, image.shape[-2:], "image")
    return image


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


def given_mask(task: EditTask, method: str, size: Sequence[int]) -> Bool[Tensor, "fH fW"]:
    """The mask, checked.

    Raises:
        ValueError: there is none, it is of another size than the picture, or it marks no pixel.
    """
    if task.mask is None:
        raise ValueError(f"mask=null: method={method} needs to know where the picture may change; give mask=FILE")
    check_mask(task.mask, size)
    return task.mask


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
    """The target prompt for every seed, as `LatentDiffusion.draw` takes it; None where there is no prompt."""
    return None if task.target is None else task.model.conditioner.batch([task.target] * len(task.seeds))


def _listed(size: Sequence[int]) -> str:
    return "[" + ",".join(str(int(side)) for side in size) + "]"
