"""xFormers: its compiled part loads, is called as it wants to be, and what is missing is told in one line."""

from __future__ import annotations

import ctypes
import importlib.util
from importlib import metadata
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from ldmlab.attention import xformers_library
from ldmlab.attention.formula import explicit
from ldmlab.attention.memory_efficient import _aligned_bias, attend_by, xformers
from ldmlab.attention.xformers_library import memory_efficient_attention

SHAPES = [(2, 3, 5, 7, 4), (1, 1, 4, 16, 8), (2, 2, 6, 1, 13), (3, 2, 2, 9, 40)]  # B, h, N, M, d
needs_xformers = pytest.mark.skipif(
    importlib.util.find_spec("xformers") is None or torch.version.cuda is None, reason="xformers needs itself and CUDA"
)


def tensors(shape: tuple[int, ...], **kwargs: Any) -> list[Tensor]:
    batch, heads, queries, keys, width = shape
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(batch, heads, n, width, generator=generator) for n in (queries, keys, keys)]
    return [t.to(**kwargs).requires_grad_() for t in made]


def key_mask(shape: tuple[int, ...]) -> Tensor:
    """A different number of keys for each sample; (B, 1, 1, M)."""
    batch, keys = shape[0], shape[3]
    return (torch.arange(keys) < torch.arange(keys, keys - batch, -1).clamp(min=1)[:, None])[:, None, None]


def as_documented(q: Tensor, k: Tensor, v: Tensor, attn_bias: Tensor | None, scale: float) -> Tensor:
    """What xFormers' documentation says that its function computes, for what its kernels take."""
    assert all(x.shape[-1] % 8 == 0 and x.stride(-1) == 1 for x in (q, k, v))
    scores = torch.einsum("bnhd,bmhd->bhnm", q * scale, k)
    if attn_bias is not None:
        assert type(attn_bias) is Tensor
        assert attn_bias.shape == scores.shape
        assert attn_bias.dtype == q.dtype
        assert all(stride % 8 == 0 for stride in attn_bias.stride()[:-1])
        scores = scores + attn_bias
    return torch.einsum("bhnm,bmhd->bnhd", scores.softmax(dim=-1), v)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("shape", SHAPES)
def test_its_call_is_the_formula(shape: tuple[int, ...], masked: bool) -> None:
    """Forward and backward, whatever the width of heads and the number of keys."""
    mask = key_mask(shape) if masked else None
    wanted, found = tensors(shape, dtype=torch.float64), tensors(shape, dtype=torch.float64)
    out, again = explicit(*wanted, mask), attend_by(as_documented, *found, mask)
    torch.testing.assert_close(again, out)
    out.sin().sum().backward()
    again.sin().sum().backward()
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_a_full_mask_goes_as_one() -> None:
    shape = (2, 3, 5, 7, 4)
    mask = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(1)) > 0.5
    mask[..., 0] = True
    q, k, v = tensors(shape)
    torch.testing.assert_close(attend_by(as_documented, q, k, v, mask), explicit(q, k, v, mask))


@pytest.mark.parametrize("keys", [1, 5, 8, 13, 16])
def test_bias_lies_in_rows_of_eight(keys: int) -> None:
    bias = torch.where(key_mask((2, 1, 1, keys, 1)), 0.0, -torch.inf).expand(2, 3, 4, keys)
    aligned = _aligned_bias(bias)
    assert torch.equal(aligned, bias)
    assert aligned.stride(-1) == 1
    assert all(stride % 8 == 0 for stride in aligned.stride()[:-1])


@needs_xformers
def test_its_compiled_part_loads() -> None:
    """Linked against CUDA 12, beside whatever CUDA torch has."""
    attention = memory_efficient_attention()
    from xformers import _cpp_lib, ops

    assert attention is ops.memory_efficient_attention
    assert _cpp_lib._built_with_cuda
    assert torch.ops.xformers._nvcc_build_version()[0] == 12


@needs_xformers
def test_loads_the_runtime_that_comes_with_ldmlab(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(ctypes, "CDLL", loaded.append)
    xformers_library._load_cuda_12()
    assert [path.rpartition("/")[2] for path in loaded] == ["libcudart.so.12"]


@needs_xformers
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("width", [4, 72, 77, 300])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_finds_a_kernel(dtype: torch.dtype, width: int, masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own choice, forward and backward, on tensors without data on a GPU that is not there."""
    memory_efficient_attention()
    from xformers.ops.fmha import cutlass

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        bias = (type(None), torch.empty(1).__class__)  # it asks for the very class of the bias
        for kernel in (cutlass.FwOp, cutlass.BwOp):
            monkeypatch.setattr(kernel, "SUPPORTED_ATTN_BIAS_TYPES", bias)
        q, k, v = (fake.from_tensor(t).to("cuda", dtype) for t in tensors((2, 3, 5, 13, width)))
        mask = fake.from_tensor(key_mask((2, 3, 5, 13, width))).to("cuda") if masked else None
        out = xformers(q, k, v, mask)
    assert (out.shape, out.dtype, out.device.type) == ((2, 3, 5, width), dtype, "cuda")


@needs_xformers
@pytest.mark.parametrize(("learns", "masked"), [(False, True), (True, False), (True, True)])
def test_is_one_program(learns: bool, masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled without a graph break, with gradients and a mask too, where PyTorch cannot trace xFormers' own call."""
    memory_efficient_attention()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    graphs: list[torch.fx.GraphModule] = []

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    with FakeTensorMode():
        shape = (2, 3, 13, 40)
        q, k, v = (torch.empty(shape, device="cuda", dtype=torch.bfloat16, requires_grad=learns) for _ in range(3))
        mask = torch.empty(2, 1, 1, 13, device="cuda", dtype=torch.bool) if masked else None
        out = torch.compile(xformers, backend=count, fullgraph=True)(q, k, v, mask)
    assert out.shape == shape
    assert len(graphs) == 1


@needs_xformers
def test_says_why_it_has_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    memory_efficient_attention()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (10, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "NVIDIA B200")
    with FakeTensorMode():
        q = torch.empty(2, 3, 5, 8, device="cuda")
        with pytest.raises(
            ValueError, match=r"no kernel for NVIDIA B200 with float32, heads of width 8 \(.*too new"
        ) as e:
            xformers(q, q, q, None)
        assert "\n" not in str(e.value)
        with pytest.raises(ValueError, match=r"float64, heads of width 8 \(it has float16, bfloat16 and float32\)"):
            xformers(*(q.double() for _ in range(3)), None)


@needs_xformers
def test_says_which_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from xformers import _cpp_lib

    failed = _cpp_lib.xFormersInvalidLibException(None)
    failed.__cause__ = OSError("libcudart.so.12: cannot open shared object file: No such file or directory")
    monkeypatch.setattr(_cpp_lib, "_cpp_library_load_exception", failed)
    told = r"cannot load its kernels: libcudart.so.12: cannot open .*; pip install nvidia-cuda-runtime-cu12, or use"
    with pytest.raises(ValueError, match=told):
        xformers_library._load()
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ValueError, match="install a torch with CUDA, or use attention=sdpa"):
        xformers_library._load()


def test_without_the_runtime_the_linker_looks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setattr(ctypes, "CDLL", lambda path: pytest.fail(path))
    xformers_library._load_cuda_12()


def test_refuses_the_cpu() -> None:
    with pytest.raises(ValueError, match="'xformers' has no kernel for device 'cpu'; use attention=sdpa or a GPU"):
        xformers(*tensors(SHAPES[0]), None)
