"""The backends compute one function, forward and backward, and say so when they cannot."""

from __future__ import annotations

import importlib.util
import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.attention import backends
from ldmlab.attention.backends import attention_probs, explicit, resolve_backend, sdpa, xformers

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
def test_is_the_formula(backend: backends.Backend, shape: tuple[int, ...], masked: bool) -> None:
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


@pytest.mark.parametrize("keys", [1, 5, 8, 13, 16])
def test_bias_for_xformers_lies_in_rows_of_eight(keys: int) -> None:
    mask = key_mask((2, 1, 1, keys, 1))
    bias = torch.where(mask, 0.0, -torch.inf).expand(2, 3, 4, keys)
    aligned = backends._aligned_bias(bias)
    assert torch.equal(aligned, bias)
    assert aligned.stride(-1) == 1
    assert all(stride % 8 == 0 for stride in aligned.stride()[:-1])


@pytest.mark.gpu
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(2, 4, 64, 77, 32), (3, 2, 33, 13, 64), (2, 2, 16, 16, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_xformers_agrees_with_the_formula_on_a_gpu(shape: tuple[int, ...], masked: bool, dtype: torch.dtype) -> None:
    tolerance = 2e-2 if dtype == torch.bfloat16 else 2e-3  # tensor cores round float32 products
    mask = key_mask(shape) if masked else None
    exact = tensors(shape)
    explicit(*exact, mask).sin().sum().backward()
    inputs = tensors(shape, dtype, "cuda")
    out = xformers(*inputs, None if mask is None else mask.cuda())
    out.sin().sum().backward()
    torch.testing.assert_close(out.cpu().double(), explicit(*exact, mask), rtol=tolerance, atol=tolerance)
    for found, wanted in zip(inputs, exact, strict=True):
        assert found.grad is not None
        torch.testing.assert_close(found.grad.cpu().double(), wanted.grad, rtol=tolerance, atol=4 * tolerance)
