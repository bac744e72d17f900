"""The attention backends compute one function, forward and backward, on every shape that a published network uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.attention.backends import Backend, explicit, sdpa, xformers
from ldmlab.backbones.attention_layers import Attention
from ldmlab.configs import catalogue

# Heads, queries, keys, head width.
DIT = {
    (heads, tokens, tokens, width)
    for heads, width in ((6, 64), (12, 64), (16, 64), (16, 72))  # S, B, L, XL
    for tokens in (16, 64, 256)  # patches of 8, 4 and 2
}
DIT_CONDITIONING = {
    (16, 1024, 1024, 72),  # XL/2 at 512 px
    (16, 258, 258, 72),  # time and class in the sequence
    (16, 256, 2, 72),  # or attended to
}
UNET = {
    *(
        (1, 1024 // 4**i, keys, 192 * m) for i, m in enumerate((2, 3, 5)) for keys in (1024 // 4**i, 1)
    ),  # LDM-4, ImageNet
    *((8 * 2**i, 1024 // 4**i, keys, 32) for i in range(3) for keys in (1024 // 4**i, 1)),  # LDM-8, ImageNet
    *((7 * m, 1024 // 4**i, 1024 // 4**i, 32) for i, m in enumerate((2, 3, 4))),  # faces
    *((8, 1024 // 4**i, 1024 // 4**i, 24 * m) for i, m in enumerate((1, 2, 2, 4, 4))),  # churches
    *((8, 1024 // 4**i, keys, 40 * m) for i, m in enumerate((1, 2, 4, 4)) for keys in (1024 // 4**i, 77)),  # text
    *((8, 1024 // 4**i, 1024 // 4**i, 32 * m) for i, m in enumerate((2, 3, 4))),  # inpainting
    (20, 64, 64, 32),  # super-resolution
    *((8, 4096 // 4**i, keys, 40 * m) for i, m in enumerate((1, 2, 4, 4)) for keys in (4096 // 4**i, 77)),  # SD 1
}
PROMPT_MODEL = {(8, 77, 77, 64)}
SHAPES = sorted(DIT | DIT_CONDITIONING | UNET | PROMPT_MODEL)
LARGE = 1e7
"""Probabilities above which the explicit backend is slow on a CPU."""


NETWORKS = [
    *((name.partition("/")[2],) for name in catalogue.options("experiment") if name.startswith("published/")),
    *(("dit_xl_2", f"backbone.conditioning={kind}") for kind in ("in_context", "cross_attention")),
    ("dit_xl_2", "data.image_size=512"),
]


@pytest.mark.slow
def test_the_list_holds_every_shape(published: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[tuple[int, ...]] = set()

    def note(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        used.add((q.shape[1], q.shape[2], k.shape[2], q.shape[3]))
        return torch.empty_like(q)

    for name in NETWORKS:
        network = published(*name)
        for part in (network.backbone, network.conditioner):
            for attention in (m for m in part.modules() if isinstance(m, Attention)):
                monkeypatch.setattr(attention, "backend", note)
        with torch.device("meta"), torch.no_grad():
            network.conditioner.null(1)
            network.backbone(*network.inputs)
    assert used == set(SHAPES)


def run(backend: Backend, shape: tuple[int, ...], masked: bool, device: str = "cpu") -> list[Tensor]:
    """What a backend returns and the three gradients of a sum over it, in float32."""
    heads, queries, keys, width = shape
    generator = torch.Generator().manual_seed(0)
    sizes = (queries, keys, keys)
    inputs = [torch.randn(1, heads, n, width, generator=generator).to(device).requires_grad_() for n in sizes]
    weights = torch.randn(1, heads, queries, width, generator=generator).to(device)
    mask = (torch.arange(keys, device=device) < max(1, keys - keys // 3))[None, None, None] if masked else None
    out = backend(*inputs, mask)
    (out * weights).sum().backward()
    return [out.detach(), *(t.grad for t in inputs if t.grad is not None)]


def require_close(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    """The largest error against the largest value: of the output, and of the gradients together.

    Together, because with a single key those of queries and keys are 0, and what rounds there is of the others' size.
    """
    for mine, theirs in ((found[:1], wanted[:1]), (found[1:], wanted[1:])):
        scale = max(float(t.abs().max()) for t in theirs)
        assert max(float((a - b).abs().max()) for a, b in zip(mine, theirs, strict=True)) <= tolerance * scale


def sized(shape: tuple[int, ...]) -> Any:
    heads, queries, keys, _ = shape
    marks = [pytest.mark.slow] if heads * queries * keys > LARGE else []
    return pytest.param(shape, marks=marks, id="x".join(map(str, shape)))


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("shape", [sized(shape) for shape in SHAPES])
def test_sdpa_agrees_with_the_formula(shape: tuple[int, ...], masked: bool) -> None:
    require_close(run(sdpa, shape, masked), run(explicit, shape, masked), 1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("backend", [sdpa, xformers])
@pytest.mark.parametrize("shape", SHAPES)
def test_backends_agree_on_a_gpu(backend: Backend, shape: tuple[int, ...], masked: bool) -> None:
    """Tensor cores round float32 products to 10 bits in xFormers' kernels."""
    require_close(run(backend, shape, masked, "cuda"), run(explicit, shape, masked, "cuda"), 5e-3)
