"""Methods that edit the same pictures are compared edit by edit."""

from __future__ import annotations

import math

import torch

from ldmlab.evaluation.pie_bench.noise import alike

HIGHER = {"PSNR": True, "SSIM": True, "LPIPS-lite0": False, "MSE": False}


def test_differences_of_single_edits_tell_more_than_means() -> None:
    generator = torch.Generator().manual_seed(0)
    hard = 10 * torch.randn(40, 1, generator=generator, dtype=torch.float64)  # some edits are harder than others
    noise = 0.1 * torch.randn(3, 40, 1, generator=generator, dtype=torch.float64)
    values = {"one": 30 + hard + noise[0], "other": 30 + hard + noise[1], "worse": 29.8 + hard + noise[2]}
    assert alike(["PSNR"], values, HIGHER) in ({("one", "PSNR")}, {("other", "PSNR")})


def test_what_is_best_depends_on_the_figure() -> None:
    small, large = (torch.tensor([[each], [each + 0.01]], dtype=torch.float64) for each in (0.1, 0.9))
    jittered = large - torch.tensor([[2.0], [-0.4]], dtype=torch.float64)
    assert alike(["SSIM"], {"small": small, "large": large}, HIGHER) == set()
    assert alike(["LPIPS-lite0"], {"small": jittered, "large": small}, HIGHER) == {("large", "LPIPS-lite0")}


def test_equal_values_are_alike_and_lacking_ones_are_left_out() -> None:
    own = torch.tensor([[0.2], [math.nan], [0.3]], dtype=torch.float64)
    assert alike(["MSE"], {"a": own, "b": own.clone()}, HIGHER) == {("b", "MSE")}
    assert alike(["PSNR"], {"a": own / 0, "b": own / 0, "c": own}, HIGHER) == {("b", "PSNR")}
    assert alike(["MSE"], {"a": own, "b": torch.full((3, 1), math.nan, dtype=torch.float64)}, HIGHER) == set()


def test_of_many_equal_methods_few_are_called_worse() -> None:
    generator = torch.Generator().manual_seed(1)
    called = 0
    for _ in range(200):
        values = {f"m{n}": torch.randn(50, 1, generator=generator, dtype=torch.float64) for n in range(2)}
        called += not alike(["PSNR"], values, HIGHER)
    assert 2 <= called <= 24  # 5 of 100
