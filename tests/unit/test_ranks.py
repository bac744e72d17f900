from __future__ import annotations

import pytest

from ldmlab.ranks import ALONE, Launched, Ranks, launched, slurm_job

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
SRUN = {
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "4",
}


def test_what_launchers_say() -> None:
    assert launched(TORCHRUN) == Launched(3, 4, 1, 2, "torchrun")
    assert launched(SRUN) == Launched(2, 4, 0, 2, "srun")
    assert launched(SRUN).hosts == 2  # type: ignore[union-attr]
    assert launched(SRUN | TORCHRUN) == launched(TORCHRUN)  # torchrun inside of srun


@pytest.mark.parametrize(
    "environment",
    [{}, {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, SRUN | {"SLURM_STEP_ID": "batch"}, {"RANK": "0"}],
)
def test_alone(environment: dict[str, str]) -> None:
    assert launched(environment) is None


def test_a_number_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"WORLD_SIZE=many: .*unset it"):
        launched(TORCHRUN | {"WORLD_SIZE": "many"})


def test_shares_are_all_items_each_once() -> None:
    shares = [list(Ranks(rank, 3).share(range(10))) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == list(range(10))
    assert [len(share) for share in shares] == [4, 3, 3]


def test_one_process_tells_itself() -> None:
    ALONE.barrier()
    assert ALONE.gather("x") == ["x"]
    assert ALONE.first(7) == 7
    assert ALONE.is_first


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "2"}, "12_2"),
        ({"SLURM_JOB_ID": "../x"}, None),
    ],
)
def test_number_of_a_job(environment: dict[str, str], job: str | None) -> None:
    assert slurm_job(environment) == job
