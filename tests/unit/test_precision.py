from __future__ import annotations

import pytest
import torch
from torch import nn

from ldmlab.precision import (
    PRECISIONS,
    Precision,
    at_least_fp32,
    choose_precision,
    exact_arithmetic,
    half_weights,
    lay_out,
    weights_dtype,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A GPU that is there by name alone."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "NVIDIA Test")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    return monkeypatch


def test_auto_is_fp32_on_a_cpu_and_says_why() -> None:
    precision = choose_precision("auto", CPU)
    assert (precision.name, precision.dtype, precision.why) == ("fp32", torch.float32, "device=cpu is no GPU")


def test_auto_is_bf16_on_a_gpu_that_has_it(gpu: pytest.MonkeyPatch) -> None:
    precision = choose_precision("auto", GPU)
    assert (precision.name, precision.dtype, precision.why) == ("bf16", torch.bfloat16, "NVIDIA Test has bf16")
    gpu.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    assert choose_precision("auto", GPU).name == "fp32"
    assert choose_precision("fp16", GPU).dtype == torch.float16


@pytest.mark.parametrize("name", ["bf16", "tf32"])
def test_what_an_old_gpu_lacks_is_one_line(gpu: pytest.MonkeyPatch, name: str) -> None:
    gpu.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    with pytest.raises(ValueError, match=rf"^precision={name}: NVIDIA Test has no {name}, .*precision=auto"):
        choose_precision(name, GPU)


@pytest.mark.parametrize("name", ["fp16", "tf32"])
def test_what_a_cpu_lacks_is_one_line(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^precision={name}: device=cpu has no {name}, .*precision=auto"):
        choose_precision(name, CPU)


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"^precision=fp8: choose one of auto, bf16, fp16, tf32, fp32$"):
        choose_precision("fp8", CPU)


def test_exact_arithmetic_leaves_out_what_precision_allows() -> None:
    """Products of ten bits would choose other codes, and show a control other probabilities."""
    with Precision("bf16", GPU).arithmetic(), torch.autocast("cpu", torch.bfloat16):
        with exact_arithmetic(GPU):
            assert torch.get_float32_matmul_precision() == "highest"
        with exact_arithmetic(CPU):
            assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == torch.float32
        assert torch.get_float32_matmul_precision() == "high"
    with exact_arithmetic(torch.device("meta")):
        pass


@pytest.mark.parametrize(
    ("name", "products", "convolutions"),
    [("bf16", "high", True), ("fp16", "high", True), ("tf32", "high", True), ("fp32", "highest", False)],
)
def test_tf32_is_set_and_put_back(name: str, products: str, convolutions: bool) -> None:
    """The switches are there without a GPU."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with Precision(name, GPU).arithmetic():
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == (products, convolutions)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_a_cpu_has_no_switches() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with Precision("fp32", CPU).arithmetic():
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


class Keeping(nn.Linear):
    keeps_fp32 = True


def test_weights_and_tables_become_half_but_where_a_part_says_otherwise() -> None:
    network = nn.Sequential(nn.Linear(2, 2), Keeping(2, 2), nn.Embedding(3, 2))
    network[0].register_buffer("table", torch.ones(2))
    network[0].register_buffer("count", torch.ones(2, dtype=torch.long))
    network[0].register_buffer("levels", torch.ones(2, dtype=torch.float64))
    half_weights(network, torch.bfloat16)
    kinds = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    assert kinds == {
        "0.weight": torch.bfloat16, "0.bias": torch.bfloat16, "0.table": torch.bfloat16, "0.count": torch.long,
        "0.levels": torch.float64, "1.weight": torch.float32, "1.bias": torch.float32, "2.weight": torch.bfloat16,
    }  # fmt: skip
    assert (weights_dtype(network), weights_dtype(nn.Identity())) == (torch.bfloat16, torch.float32)


def test_at_least_fp32() -> None:
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool)
    found = [at_least_fp32(torch.ones(1, dtype=kind)).dtype for kind in kinds]
    assert found == [torch.float32, torch.float32, torch.float32, torch.float64, torch.bool]


def test_the_commands_take_these_names() -> None:
    from typing import get_args

    from ldmlab.configs import keys

    assert get_args(keys.Precision) == PRECISIONS


@pytest.mark.parametrize(("name", "last"), [("bf16", True), ("fp16", True), ("tf32", False), ("fp32", False)])
def test_convolutions_of_halves_on_a_gpu_are_laid_out_channels_last(name: str, last: bool) -> None:
    for device, laid_out in ((GPU, last), (CPU, False)):
        convolution = nn.Conv2d(4, 8, 3)
        before = convolution.weight.clone()
        lay_out(convolution, Precision(name, device))
        assert convolution.weight.is_contiguous(memory_format=torch.channels_last) is laid_out
        assert torch.equal(convolution.weight, before)
