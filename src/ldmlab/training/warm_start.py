"""Starting from the weights of another model, as far as they fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.models.stored import require_sound

EXTRA_STATE = "_extra_state"
SHOWN = 12
"""Names in a message."""


@dataclass
class TakenOver:
    """What became of the tensors of a model.

    Attributes:
        whole: names of those that were taken as they are.
        adapted: what was done with those that were taken in part or changed, by name.
        left: why those that were not taken stay as they were made, by name.
        unused: names in the file that the model has no place for.
    """

    whole: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What became of the tensors, in lines for a log."""
        parts = Counter(".".join(name.split(".")[:2]) for name in self.whole)
        counts = _listed([f"{part} ({count})" for part, count in parts.items()])
        lines = [f"{len(self.whole)} tensors taken as they are: {counts}"]
        lines += [f"'{name}': {what}" for name, what in self.adapted.items()]
        if self.left:
            lines.append(f"left as made: {_listed([f'{name} ({why})' for name, why in self.left.items()])}")
        if self.unused:
            lines.append(f"not used of the file: {_listed(self.unused)}")
        return lines


def take_over(model: nn.Module, state: Mapping[str, Tensor], keep: tuple[str, ...] = ()) -> TakenOver:
    """Load into a model whatever of a file's weights fits it.

    Of a first layer that reads further channels, and of a last layer that gives further ones (a learned variance), what
    both have is taken; new inputs start at zero. Of a table of prompt positions the first rows are. A table of tokens
    and its tokenizer are taken together or not at all.

    Args:
        model: what is to be trained.
        state: weights by the same names.
        keep: prefixes of names that are left alone, and not told of.

    Raises:
        ValueError: nothing fits, or a tensor that fits holds what no model computes with.
    """
    done, values = TakenOver(), {}
    ours = {name: value for name, value in model.state_dict().items() if not name.startswith(keep)}
    merges = _merges(model)
    for name, value in ours.items():
        if name not in state:
            done.left[name] = "not in the file"
        elif name.endswith(EXTRA_STATE) or value.shape == state[name].shape:
            values[name] = state[name]
        elif name in merges and (merged := merges[name](value, state[name])) is not None:
            values[name] = merged
            done.adapted[name] = f"{_shape(state[name])} in the file, {_shape(value)} here: what both have is taken"
        else:
            done.left[name] = f"{_shape(state[name])} in the file, {_shape(value)} here"
    for name in [name for name in values if name.endswith(EXTRA_STATE)]:
        tokens = f"{name.removesuffix(EXTRA_STATE)}tokens.weight"
        if tokens in ours and tokens not in values:
            del values[name]
            done.left[name] = "its tokens do not fit"
    if not values:
        raise ValueError("nothing in it fits this model: neither names nor shapes are the same")
    require_sound(ours, values)
    done.whole = [name for name in values if name not in done.adapted]
    done.unused = [name for name in state if name not in ours and not name.startswith(keep)]
    model.load_state_dict(values, strict=False)
    return done


Merge = Callable[[Tensor, Tensor], Tensor | None]


def _merges(model: nn.Module) -> dict[str, Merge]:
    """How tensors of a kind are taken in part, by their names in a model."""
    merges: dict[str, Merge] = {}
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        if isinstance(module, DiT):
            merges[f"{prefix}patch_embedding.weight"] = _inputs
            for name in ("weight", "bias"):
                merges[f"{prefix}final.{name}"] = _outputs(module.patch**2)
        elif isinstance(module, UNet):
            merges[f"{prefix}into.weight"] = _inputs
            for name in ("weight", "bias"):
                merges[f"{prefix}out.2.{name}"] = _outputs(1)
        elif isinstance(getattr(module, "positions", None), nn.Parameter):
            merges[f"{prefix}positions"] = _outputs(1)
    return merges


def _inputs(ours: Tensor, theirs: Tensor) -> Tensor | None:
    """A layer whose further inputs say nothing at first."""
    if ours.shape[0] != theirs.shape[0] or ours.shape[2:] != theirs.shape[2:]:
        return None
    count = min(ours.shape[1], theirs.shape[1])
    merged = torch.zeros_like(ours)
    merged[:, :count] = theirs[:, :count]
    return merged


def _outputs(groups: int) -> Merge:
    """Rows in so many groups, of each of which the first are taken: a patch's pixels in the last layer of a DiT."""

    def merge(ours: Tensor, theirs: Tensor) -> Tensor | None:
        if ours.shape[1:] != theirs.shape[1:] or len(theirs) % groups:
            return None
        merged, rows = ours.clone().unflatten(0, (groups, -1)), theirs.unflatten(0, (groups, -1))
        count = min(merged.shape[1], rows.shape[1])
        merged[:, :count] = rows[:, :count]
        return merged.flatten(0, 1)

    return merge


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
