"""`ldmlab submit`: queue a command, or the jobs of a sweep, in SLURM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs.commands.submit import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Check the command and all jobs, queue them, and print their ids and logs."""
    from hydra.utils import instantiate

    from ldmlab.cli.submit import submit

    submit(list(cfg.command), instantiate(cfg.cluster, _convert_="all"), cfg.at_once if cfg.array else None)


COMMAND = Command(
    **vars(CHECKS),
    summary="queue a command, or all jobs of a sweep, in SLURM",
    synopsis="ldmlab submit [--array] [cluster=NAME] [cluster.KEY=VALUE ...] COMMAND [...] [-m]",
    description=(
        "Checks the command as it would be checked before it runs, queues it through submitit, and returns at once "
        "with job ids and the paths of logs. With -m every job of the sweep is queued, but for those that are done; "
        "--array queues them as one array, of which at_once may run at a time. A job that SLURM sends back to the "
        "queue goes on in its folder.",
        "conf/cluster/ says what SLURM is asked for: partition, account, time, GPUs, modules, containers. Write a yaml "
        "of yours beside gpu and container, or give --config-dir DIR with DIR/cluster/NAME.yaml. A job gets a process "
        "for each of the command's devices (trainer.devices, devices), on as many nodes as it asks for.",
        "`ldmlab jobs` shows how far they are, `ldmlab runs` what came out. `ldmlab train -m hydra/launcher=slurm` "
        "waits until all jobs have ended, as sweepers that look at figures must.",
    ),
    examples=(
        ("ldmlab submit cluster=gpu train experiment=shapes/dit", "one job"),
        ("ldmlab submit --array at_once=8 cluster=gpu train -m seed=range(100)", "a hundred, eight at a time"),
        ("ldmlab submit cluster.time=02:00:00 cluster.partition=short evaluate ckpt=a.safetensors", "keys of its own"),
        ("ldmlab submit cluster=gpu train trainer.devices=4 trainer.num_nodes=2", "eight GPUs of two nodes"),
    ),
    switches=("array",),
    hands_on=True,
    run=run,
)
