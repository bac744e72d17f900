"""How many operations a second GPUs are said to reach, dense and without sparsity: what utilisation is measured by.

Vendors' figures for products that are summed in fp32, in TFLOP/s at boost clocks, halved where they count sparsity:
A100: NVIDIA's datasheet of 2021. H100 (SXM, PCIe, NVL): datasheet of 2023. H200 (SXM, NVL): datasheet of 2024.
L4, L40S, A10, A40, T4, V100: datasheets. RTX 3090: "NVIDIA Ampere GA102 GPU Architecture". RTX 4090: "NVIDIA Ada GPU
Architecture".
"""

from __future__ import annotations

import re

import torch

TERA = 1e12
PEAKS: tuple[tuple[str, dict[str, float]], ...] = (
    (r"NVIDIA A100(-SXM4-\d+GB|-PCIE-40GB| 80GB PCIe)", {"bf16": 312, "fp16": 312, "tf32": 156, "fp32": 19.5}),
    (r"NVIDIA H100 80GB HBM3", {"bf16": 989.4, "fp16": 989.4, "tf32": 494.7, "fp32": 66.9}),
    (r"NVIDIA H100 PCIe", {"bf16": 756, "fp16": 756, "tf32": 378, "fp32": 51}),
    (r"NVIDIA H100 NVL", {"bf16": 835, "fp16": 835, "tf32": 417.5, "fp32": 60}),
    (r"NVIDIA H200", {"bf16": 989.4, "fp16": 989.4, "tf32": 494.7, "fp32": 66.9}),
    (r"NVIDIA H200 NVL", {"bf16": 835, "fp16": 835, "tf32": 417.5, "fp32": 60}),
    (r"NVIDIA L4", {"bf16": 121, "fp16": 121, "tf32": 60, "fp32": 30.3}),
    (r"NVIDIA L40S", {"bf16": 362, "fp16": 362, "tf32": 183, "fp32": 91.6}),
    (r"NVIDIA A10", {"bf16": 125, "fp16": 125, "tf32": 62.5, "fp32": 31.2}),
    (r"NVIDIA A40", {"bf16": 149.7, "fp16": 149.7, "tf32": 74.8, "fp32": 37.4}),
    (r"NVIDIA GeForce RTX 3090", {"bf16": 71, "fp16": 71, "tf32": 35.6, "fp32": 35.6}),
    (r"NVIDIA GeForce RTX 4090", {"bf16": 165.2, "fp16": 165.2, "tf32": 82.6, "fp32": 82.6}),
    (r"Tesla V100-(SXM2|SXM3)-\d+GB(-LS)?", {"fp16": 125, "fp32": 15.7}),
    (r"Tesla V100-PCIE-\d+GB", {"fp16": 112, "fp32": 14}),
    (r"Tesla T4", {"fp16": 65, "fp32": 8.1}),
)
"""By the whole name that PyTorch gives a device, so that no slice of a GPU (MIG) and no sister passes for it."""


def peak_flops(device: str, arithmetic: str) -> float | None:
    """Operations a second of matrix products.

    Args:
        device: as `torch.cuda.get_device_name` says it.
        arithmetic: "bf16", "fp16", "tf32" or "fp32".

    Returns:
        None where it is not known.
    """
    for pattern, rates in PEAKS:
        if re.fullmatch(pattern, device) and arithmetic in rates:
            return rates[arithmetic] * TERA
    return None


def arithmetic(precision: str) -> str:
    """What matrix products of a run are computed in.

    Args:
        precision: as Lightning calls it, for example "bf16-mixed".
    """
    if precision.startswith("bf16"):
        return "bf16"
    if precision.startswith("16"):
        return "fp16"
    return "fp32" if torch.get_float32_matmul_precision() == "highest" else "tf32"
