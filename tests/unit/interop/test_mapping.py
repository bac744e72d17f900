"""One table, read both ways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ldmlab.interop.mapping import (
    LINEAR,
    SEQUENCE,
    Link,
    check_tensors,
    from_public,
    renamed,
    stacked,
    to_public,
    unstacked,
)
from ldmlab.interop.tensors import from_state

TABLE = [
    *renamed(["blocks.0.norm.weight", "blocks.1.norm.weight"], [(r"^blocks\.(\d)\.", r"layers.\1."), ("norm", "ln")]),
    Link(("q", "k", "v"), ("qkv",), stacked(3)),
    Link(("joint",), ("one", "two"), unstacked(2)),
    Link(("conv",), ("linear",), LINEAR),
    Link(("dense",), ("conv1d",), SEQUENCE),
]
OURS: dict[str, tuple[int, ...]] = {
    "blocks.0.norm.weight": (3,),
    "blocks.1.norm.weight": (3,),
    "q": (2, 5),
    "k": (2, 5),
    "v": (2, 5),
    "joint": (4, 3),
    "conv": (2, 3, 1, 1),
    "dense": (2, 3),
}


@pytest.fixture
def ours() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in OURS.items()}


@pytest.fixture
def public(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    return to_public(TABLE, ours)


def test_names_and_forms(ours: dict[str, Tensor], public: dict[str, Tensor]) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in public.items()} == {
        "layers.0.ln.weight": (3,),
        "layers.1.ln.weight": (3,),
        "qkv": (6, 5),
        "one": (2, 3),
        "two": (2, 3),
        "linear": (2, 3),
        "conv1d": (2, 3, 1),
    }
    assert torch.equal(public["layers.1.ln.weight"], ours["blocks.1.norm.weight"])
    assert torch.equal(public["qkv"][2:4], ours["k"])
    assert torch.equal(public["two"], ours["joint"][2:])


def test_there_and_back(ours: dict[str, Tensor], public: dict[str, Tensor]) -> None:
    back = from_public(TABLE, from_state(Path("file"), public))
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.items())


def test_shapes_are_compared_without_values(ours: dict[str, Tensor], public: dict[str, Tensor]) -> None:
    meta = {name: tensor.to("meta") for name, tensor in ours.items()}
    extra = {**public, "positions": torch.arange(3), "mask": torch.zeros(1)}
    ignored = check_tensors(TABLE, meta, from_state(Path("file"), extra), [("positions|mask", "made anew")])
    assert ignored == {"made anew": 2}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"one": None}, "path=file: lacks 'part.one' of shape (2, 3)"),
        ({"qkv": torch.zeros(5, 6)}, "'part.qkv' is (5, 6) in the file and (6, 5) in the model (transposed)"),
        ({"qkv": torch.zeros(6, 6)}, "'part.qkv' is (6, 6) in the file and (6, 5) in the model"),
        ({"positions2": torch.zeros(4)}, "'part.positions2' of shape (4,) is left over"),
    ],
)
def test_what_does_not_fit_is_named(
    changes: dict[str, Tensor | None], told: str, ours: dict[str, Tensor], public: dict[str, Tensor]
) -> None:
    state = {f"part.{name}": tensor for name, tensor in {**public, **changes}.items() if tensor is not None}
    tensors = from_state(Path("file"), state).under("part.")
    with pytest.raises(ValueError, match=re.escape(told)):
        check_tensors(TABLE, ours, tensors, [("positions", "only the whole name")])
