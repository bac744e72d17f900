"""The backends compute one function, forward and backward, and say so when they cannot."""

from __future__ import annotations

import importlib.util
import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.attention.backends import (
    Backend,
    attention_probs,
    explicit,
    fastest_by_shape,
    resolve_backend,
    sdpa,
    xformers,
)
from ldmlab.attention.measured import MEASURED, Measurement

SHAPES = [(2, 3, 5, 7, 4), (1, 1, 4, 4, 8), (2, 2, 6, 1, 4)]  # B, h, N, M, d


def tensors(shape: tuple[int, ...], dtype: torch.dtype = torch.float64, device: str = "cpu") -> list[Tensor]:
    batch, heads, queries, keys, width = shape
    generator = torch.Generator().manual_seed(0)
    lengths = (queries, keys, keys)
    made = [torch.randn(batch, heads, n, width, generator=generator, dtype=torch.float64) for n in lengths]
    return [t.to(device, dtype).requires_grad_() for t in made]


def key_mask(shape: tuple[int, ...], device: str = "cpu") -> Tensor:
    """The first sample sees all keys, the others leave out the last third; (B, 1, 1, M)."""
    batch, keys = shape[0], shape[3]
    mask = torch.ones(batch, keys, dtype=torch.bool)
    mask[1:, max(1, keys - keys // 3) :] = False
    return mask[:, None, None].to(device)


def numpy_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> np.ndarray:
    """The formula in numpy, key by key."""
    q_, k_, v_ = (t.detach().numpy() for t in (q, k, v))
    scores = np.einsum("bhnd,bhmd->bhnm", q_, k_) / np.sqrt(q_.shape[-1])
    weights = np.exp(scores)
    if mask is not None:
        weights = weights * mask.numpy()
    return np.einsum("bhnm,bhmd->bhnd", weights / weights.sum(-1, keepdims=True), v_)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", [explicit, sdpa])
def test_is_the_formula(backend: Backend, shape: tuple[int, ...], masked: bool) -> None:
    q, k, v = tensors(shape)
    mask = key_mask(shape) if masked else None
    np.testing.assert_allclose(
        backend(q, k, v, mask).detach().numpy(), numpy_attention(q, k, v, mask), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_agree(shape: tuple[int, ...], masked: bool) -> None:
    mask = key_mask(shape) if masked else None
    grads = []
    for backend in (explicit, sdpa):
        inputs = tensors(shape)
        backend(*inputs, mask).sin().sum().backward()
        grads.append([t.grad for t in inputs])
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def test_probabilities_sum_to_one_and_leave_masked_keys_out() -> None:
    q, k, _ = tensors(SHAPES[0])
    mask = key_mask(SHAPES[0])
    probs = attention_probs(q, k, mask)
    torch.testing.assert_close(probs.sum(-1), torch.ones_like(probs[..., 0]))
    assert bool((probs.masked_select(~mask.expand_as(probs)) == 0).all())


def test_auto_is_sdpa_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    resolve_backend.cache_clear()
    with caplog.at_level(logging.INFO, logger="ldmlab.attention.backends"):
        assert resolve_backend("auto") is sdpa
    assert "using sdpa" in caplog.text
    assert resolve_backend("explicit") is explicit


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown attention backend 'flash'; choose one of auto, sdpa, xformers"):
        resolve_backend("flash")


def test_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_backend.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="'xformers' is not installed"):
        resolve_backend("xformers")


def test_xformers_refuses_the_cpu() -> None:
    with pytest.raises(ValueError, match="'xformers' has no kernel for device 'cpu'"):
        xformers(*tensors(SHAPES[0]), None)


@pytest.mark.parametrize("name", ["sdpa_flash", "sdpa_cudnn", "sdpa_efficient"])
def test_a_kernel_by_name_runs_or_says_that_it_cannot(name: str) -> None:
    """A CPU has PyTorch's flash kernel, and neither of the others."""
    q, k, v = tensors(SHAPES[0])
    if name == "sdpa_flash":
        torch.testing.assert_close(resolve_backend(name)(q, k, v, None), sdpa(q, k, v, None))
    else:
        told = rf"'{name}' has no kernel for device 'cpu' with float64, heads of width 4, a mask; use attention=sdpa"
        with pytest.raises(ValueError, match=told):
            resolve_backend(name)(q, k, v, key_mask(SHAPES[0]))


def test_by_shape_is_sdpa_on_a_cpu_to_the_bit() -> None:
    q, k, v = tensors(SHAPES[0], torch.float32)
    mask = key_mask(SHAPES[0])
    assert torch.equal(fastest_by_shape(MEASURED)(q, k, v, mask), sdpa(q, k, v, mask))


@pytest.mark.parametrize("fastest", ["sdpa_flash", "sdpa_efficient"])
def test_by_shape_runs_what_was_fastest(fastest: str) -> None:
    """And where that kernel cannot run, as the efficient one on a CPU, another does; compiled, it is one graph."""
    shape = (2, 3, 4, 7, 8)
    row = Measurement("a GPU", (9, 0), torch.float32, shape, False, {"sdpa": (2.0, 2.0), fastest: (1.0, 1.0)})
    auto = fastest_by_shape((row,), device="cpu")
    q, k, v = tensors(shape, torch.float32)
    torch.testing.assert_close(auto(q, k, v, None), explicit(q, k, v, None))
    compiled = torch.compile(auto, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(q, k, v, None), explicit(q, k, v, None))


@pytest.mark.gpu
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("shape", [(2, 4, 64, 77, 32), (3, 2, 33, 13, 64), (2, 2, 16, 16, 40), (2, 3, 20, 9, 21)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["auto", "sdpa", "xformers", "sdpa_flash", "sdpa_cudnn", "sdpa_efficient"])
def test_agrees_with_the_formula_on_a_gpu(name: str, shape: tuple[int, ...], masked: bool, dtype: torch.dtype) -> None:
    """Forward and backward."""
    tolerance = 2e-2 if dtype == torch.bfloat16 else 4e-3  # tensor cores round float32 products
    mask = key_mask(shape) if masked else None
    exact = tensors(shape)
    explicit(*exact, mask).sin().sum().backward()
    inputs = tensors(shape, dtype, "cuda")
    try:
        out = resolve_backend(name)(*inputs, None if mask is None else mask.cuda())
    except ValueError as error:
        if name in ("auto", "sdpa", "xformers") or f"'{name}' has no kernel for" not in str(error):
            raise
        pytest.skip(str(error))
    out.sin().sum().backward()
    torch.testing.assert_close(out.cpu().double(), explicit(*exact, mask), rtol=tolerance, atol=tolerance)
    for found, wanted in zip(inputs, exact, strict=True):
        assert found.grad is not None
        torch.testing.assert_close(found.grad.cpu().double(), wanted.grad, rtol=tolerance, atol=4 * tolerance)
