"""UniPC: its weights, its orders and what it remembers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from ldmlab.samplers.base import SamplerHooks
from ldmlab.samplers.first_order import first_order
from ldmlab.samplers.unipc import UniPC, _beyond_first, _Estimate
from ldmlab.types import Denoise, Level


def estimates(function: Callable[[float], float], *at: float) -> list[_Estimate]:
    return [_Estimate(*torch.tensor([u, function(u)], dtype=torch.float64)) for u in at]


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("nodes", [(-1.1, -0.4), (-1.1, -2.0, -0.4), (-0.7, -1.3, -1.9, -0.4)])
def test_polynomials_through_the_estimates_are_integrated_exactly(nodes: tuple[float, ...], variant: str) -> None:
    """From log(alpha / sigma) = -1 to -0.4, for as high a degree as the estimates determine, whatever B(h) is."""
    start, end = -1.0, -0.4

    def polynomial(u: float) -> float:
        return 0.3 + sum((k + 1) * u**k for k in range(1, len(nodes) + 1))

    def integrand(u: float) -> float:
        return math.exp(u - end) * (polynomial(u) - polynomial(start))

    found = _beyond_first(estimates(polynomial, start, *nodes), torch.tensor(end, dtype=torch.float64), variant)
    assert found.item() == pytest.approx(quad(integrand, start, end)[0], rel=1e-9)


@pytest.mark.parametrize(("variant", "wanted"), [("bh1", 0.6 / 2), ("bh2", 0.45118836390597361 / 2)])
def test_a_single_difference_is_weighed_with_half_of_b(variant: str, wanted: float) -> None:
    """B(0.6) / 2 times the slope over the step: the estimate grows by 3 in half a step's width."""
    found = _beyond_first(estimates(lambda u: 10 * u, -1.0, -0.7), torch.tensor(-0.4, dtype=torch.float64), variant)
    assert found.item() == pytest.approx(wanted * 3 / 0.5)


def test_the_first_step_and_the_last_are_of_first_order(levels: Level, x: Tensor, denoise: Denoise) -> None:
    one = UniPC(order=3).sample(denoise, x, levels[:2])
    torch.testing.assert_close(one, first_order(x, denoise(x, levels[0]), levels[0], levels[1]))
    step, hooks = UniPC(order=3).stepper(2), SamplerHooks()
    middle = step(denoise, x, levels[2], levels[3], hooks)
    torch.testing.assert_close(step(lambda x, level: 2 * x, middle, levels[3], levels[4], hooks), 2 * middle)


def test_estimates_that_do_not_change_make_it_ddim(levels: Level, x: Tensor) -> None:
    for order in (1, 2, 3):
        out = UniPC(order=order).sample(lambda x, level: torch.ones_like(x), x, levels[:4])
        torch.testing.assert_close(out, first_order(x, torch.ones_like(x), levels[0], levels[3]))


def test_the_corrector_replaces_the_prediction(levels: Level, x: Tensor, denoise: Denoise) -> None:
    """Order 1 and bh2: the step again with the mean of the two estimates, before the next step is made."""
    first = denoise(x, levels[0])
    predicted = first_order(x, first, levels[0], levels[1])
    second = denoise(predicted, levels[1])
    corrected = first_order(x, (first + second) / 2, levels[0], levels[1])
    wanted = first_order(corrected, second, levels[1], levels[2])
    torch.testing.assert_close(UniPC(order=1).sample(denoise, x, levels[:3]), wanted)


def test_one_network_call_a_step(levels: Level, x: Tensor, denoise: Denoise) -> None:
    calls: list[float] = []

    def counted(x: Tensor, level: Level) -> Tensor:
        calls.append(float(level.sigma))
        return denoise(x, level)

    UniPC(order=3).sample(counted, x, levels)
    assert calls == levels.sigma[:-1].tolist()


def test_arguments_are_checked() -> None:
    for order in (0, 4):
        with pytest.raises(ValueError, match=f"sampler.order={order}: choose one of 1, 2, 3"):
            UniPC(order=order)
    with pytest.raises(ValueError, match=r"sampler.variant=bh3: choose one of bh1, bh2"):
        UniPC(variant="bh3")
