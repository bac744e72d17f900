"""Noise belongs to the picture."""

from __future__ import annotations

import pytest
import torch

from ldmlab.samplers.noise import PictureNoise, picture_seeds


def test_seeds_do_not_depend_on_how_many_are_asked_for() -> None:
    ten = picture_seeds(7, 10)
    assert picture_seeds(7, 4) == ten[:4]
    assert picture_seeds(7, 6, first=4) == ten[4:]
    assert len(set(ten)) == 10


def test_seeds_differ_between_runs_and_zero_is_a_seed() -> None:
    assert not set(picture_seeds(0, 50)) & set(picture_seeds(1, 50))
    assert picture_seeds(0, 3) == picture_seeds(0, 3)
    assert all(0 <= seed < 2**63 for seed in picture_seeds(0, 50))


@pytest.mark.parametrize("shape", [(4, 8, 8), (1, 2, 2)])
def test_a_picture_draws_the_same_in_any_batch(shape: tuple[int, ...]) -> None:
    seeds = picture_seeds(0, 4)
    together = PictureNoise(seeds, shape)
    alone = PictureNoise(seeds[2:3], shape)
    for _ in range(3):
        assert torch.equal(together.draw()[2:3], alone.draw())


def test_draws_go_on_and_leave_the_global_state_alone() -> None:
    noise = PictureNoise([1, 2], (4, 16, 16))
    before = torch.get_rng_state()
    first, second = noise.draw(), noise.like(torch.zeros(2, 4, 16, 16, dtype=torch.float64))
    assert torch.equal(torch.get_rng_state(), before)
    assert second.dtype == torch.float64
    assert abs(float((first * second).mean())) < 0.15
    assert float(first.std()) == pytest.approx(1, abs=0.1)


def test_noise_that_is_drawn_ahead_is_the_same() -> None:
    shape = (1, 3, 5)
    one, ahead = PictureNoise([1, 2], shape), PictureNoise([1, 2], shape)
    for block in (1, 4, 2):
        for noise in ahead._block(block):
            assert torch.equal(noise, one.draw())
