"""What is random in a step follows from the seed, the number of the batch and a sample's place in it."""

from __future__ import annotations

import torch

from ldmlab.training.randomness import seeded_generator, step_draws, validation_draws

CPU = torch.device("cpu")


def noise(batch: int = 5, world: int = 1, seed: int = 0) -> list[torch.Tensor]:
    """Of each rank of a batch of 8 samples."""
    count = 8 // world
    draws = [step_draws(seed, batch, count, rank, world, CPU) for rank in range(world)]
    return [each.randn_like(torch.empty(count, 3)) for each in draws]


def test_a_sample_has_its_noise_on_any_number_of_ranks() -> None:
    [whole] = noise()
    for world in (2, 4, 8):
        assert torch.equal(torch.cat(noise(world=world)), whole)


def test_batches_and_seeds_differ() -> None:
    found = [noise(batch, seed=seed)[0] for batch in (0, 1, 2**31) for seed in (0, 1)]
    assert len({tuple(each.flatten().tolist()) for each in found}) == len(found)


def test_what_draws_without_being_given_draws_differs_by_rank_and_batch_and_comes_again() -> None:
    def own(batch: int, rank: int) -> float:
        step_draws(0, batch, 2, rank, 4, CPU)
        return float(torch.rand(()))

    found = [own(batch, rank) for batch in range(3) for rank in range(4)]
    assert len(set(found)) == len(found)
    assert own(2, 3) == found[-1]


def test_validation_draws_are_those_of_a_full_batch() -> None:
    """Also of the last one, which is short: its first samples have the draws that they would have in a full one."""
    whole = validation_draws(3, 8, 8, 0, 1, CPU).randn_like(torch.empty(8, 3))
    for rank, count in ((0, 2), (1, 2), (2, 1), (3, 1)):
        share = validation_draws(3, count, 2, rank, 4, CPU).randn_like(torch.empty(count, 3))
        assert torch.equal(share, whole[rank::4][:count])


def test_what_has_no_values_has_no_generator() -> None:
    assert seeded_generator(torch.device("meta"), 0) is None
