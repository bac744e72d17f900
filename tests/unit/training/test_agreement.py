"""What one of several ranks is asked for, all know of at the same call."""

from __future__ import annotations

from pathlib import Path

from torch import distributed, multiprocessing

from ldmlab.training.agreement import Agreement

RANKS = 3


def agree(rank: int, folder: Path) -> None:
    """Rank 1 is asked for something at its third call."""
    store = distributed.FileStore(str(folder / "store"), RANKS)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    agreement = Agreement()
    agreement.begin()
    known = [agreement.on(15 if rank == 1 and call >= 2 else 0) for call in range(5)]
    (folder / f"{rank}.txt").write_text(f"{known} {agreement.least(10 - rank)}")
    distributed.destroy_process_group()


def test_ranks_agree_one_call_later(tmp_path: Path) -> None:
    multiprocessing.start_processes(agree, (tmp_path,), RANKS, start_method="fork")
    assert {(tmp_path / f"{rank}.txt").read_text() for rank in range(RANKS)} == {"[0, 0, 0, 15, 15] 8"}


def test_one_process_agrees_with_itself_at_once() -> None:
    agreement = Agreement()
    agreement.begin()
    assert [agreement.on(number) for number in (0, 10)] == [0, 10]
    assert agreement.least(3) == 3
