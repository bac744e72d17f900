"""Every image counts once, in the order of its position, over one rank or two."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing

from ldmlab.metrics.features import FeatureBank


def test_without_positions_the_order_is_that_of_arrival() -> None:
    bank = FeatureBank()
    bank.update(torch.tensor([[3.0], [1.0]]))
    bank.update(torch.tensor([[2.0]]))
    assert bank.collect().flatten().tolist() == [3, 1, 2]
    assert bank.collect().dtype == torch.float64


def test_positions_order_and_repeats_are_dropped() -> None:
    bank = FeatureBank()
    bank.update(torch.tensor([[2.0], [0.0]]), positions=[2, 0])
    bank.update(torch.tensor([[1.0], [0.0], [2.0]]), positions=[1, 0, 2])
    assert bank.collect().flatten().tolist() == [0, 1, 2]


def test_mixed_batches_are_refused() -> None:
    bank = FeatureBank()
    bank.update(torch.zeros(1, 1), positions=[0])
    with pytest.raises(ValueError, match="for all or for none"):
        bank.update(torch.zeros(1, 1))


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        FeatureBank().update(torch.tensor([[0.0, bad]]))


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="the set is empty"):
        FeatureBank().collect()


def _rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    bank = FeatureBank()
    positions = [0, 2, 4] if rank == 0 else [1, 3, 0]  # five samples, and a repeat to make the ranks equal
    bank.update(torch.tensor(positions, dtype=torch.float32)[:, None], positions)
    torch.save(bank.collect(), f"{folder}/{rank}.pt")
    careless = FeatureBank()
    careless.update(torch.zeros(1, 1))
    with pytest.raises(ValueError, match="positions are missing with more than one rank"):
        careless.collect()
    dist.destroy_process_group()


def test_two_ranks_count_each_image_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=_rank, args=(rank, str(tmp_path))) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout=60)
        assert process.exitcode == 0
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt").flatten().tolist() == [0, 1, 2, 3, 4]
