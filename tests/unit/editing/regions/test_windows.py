"""The mean over windows: what is covered, that it is MultiDiffusion's, and what cannot be covered."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.editing.regions.windows import window_starts, windowed, windows_over
from ldmlab.guidance.base import GuidedDenoiser
from ldmlab.samplers.base import SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.types import Estimate, Level

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given
from hypothesis import strategies as st

WINDOW = (4, 4)
LEVEL = scaled_linear().level(torch.tensor(500))


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def mixing(x: Tensor, level: Level) -> Estimate:
    """Of one size only, and every place hears of every other."""
    assert x.shape[-2:] == WINDOW
    return Estimate(torch.tanh(x.cumsum(-1)) + x.mean(dim=(-2, -1), keepdim=True), x.square())


def over(denoise: GuidedDenoiser, x: Tensor, overlap: float = 0.5) -> GuidedDenoiser:
    """The mean over all windows of a canvas."""
    return windowed(denoise, windows_over(x.shape[-2:], WINDOW, overlap))


@given(st.integers(1, 12), st.integers(0, 40), st.floats(0, 0.99))
def test_windows_cover_a_side_and_overlap(window: int, more: int, overlap: float) -> None:
    side = window + more
    found = window_starts(side, window, overlap)
    assert found[0] == 0
    assert found[-1] == side - window
    for one, other in pairwise(found):
        assert one < other <= one + window
        assert window - (other - one) >= int(window * overlap)


def test_a_canvas_of_the_models_size_is_left_to_the_model() -> None:
    x = normal(2, 3, *WINDOW)
    assert torch.equal(over(GuidedDenoiser(mixing), x)(x, LEVEL), mixing(x, LEVEL).denoised)


def test_the_mean_by_hand() -> None:
    x = normal(2, 3, 4, 6)
    left, right = (mixing(x[..., start : start + 4], LEVEL).denoised for start in (0, 2))
    whole = over(GuidedDenoiser(mixing), x)(x, LEVEL)
    torch.testing.assert_close(whole[..., :2], left[..., :2])
    torch.testing.assert_close(whole[..., 2:4], (left[..., 2:] + right[..., :2]) / 2)
    torch.testing.assert_close(whole[..., 4:], right[..., 2:])


def test_a_denoiser_that_looks_at_single_places_sees_no_windows() -> None:
    x = normal(1, 3, 9, 7)
    whole = over(GuidedDenoiser(lambda x, level: Estimate(torch.tanh(x), x.square())), x)
    torch.testing.assert_close(whole(x, LEVEL), torch.tanh(x))
    denoised, mix = whole.with_variance(x, LEVEL)
    torch.testing.assert_close(denoised, torch.tanh(x))
    torch.testing.assert_close(mix, x.square())


def test_it_is_multidiffusions_step() -> None:
    """Bar-Tal et al. 2023, eq. 5: step in every window, then take the mean of the results."""
    x, levels = normal(2, 3, 6, 8), DDIM(10).levels(scaled_linear())
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    for top in window_starts(6, 4, 0.5):
        for left in window_starts(8, 4, 0.5):
            place = (..., slice(top, top + 4), slice(left, left + 4))
            guided = GuidedDenoiser(mixing)
            total[place] += DDIM(10).step(guided, x[place], levels[4], levels[5], SamplerHooks())
            count[place] += 1
    ours = DDIM(10).step(over(GuidedDenoiser(mixing), x), x, levels[4], levels[5], SamplerHooks())
    torch.testing.assert_close(ours, total / count)


def test_what_cannot_be_covered() -> None:
    with pytest.raises(ValueError, match="a canvas of 3 latents is smaller than the model's grid of 4"):
        windows_over((8, 3), WINDOW)
    for overlap in (1.0, -0.1):
        with pytest.raises(ValueError, match=f"^overlap={overlap}: "):
            windows_over((8, 8), WINDOW, overlap)


def test_places_without_a_window_are_left_at_zero() -> None:
    x = normal(2, 3, 4, 10)
    left, right = windows_over((4, 10), WINDOW, 0)[::2]
    mean = windowed(GuidedDenoiser(mixing), [left, right])(x, LEVEL)
    assert torch.equal(mean[..., :4], mixing(x[..., :4], LEVEL).denoised)
    assert torch.equal(mean[..., 4:6], torch.zeros(2, 3, 4, 2, dtype=torch.float64))
    assert torch.equal(mean[..., 6:], mixing(x[..., 6:], LEVEL).denoised)
