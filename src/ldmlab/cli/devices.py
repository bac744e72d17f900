"""On how many devices a command runs, and whether they are there or were started already."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from ldmlab.cli.command import Command
from ldmlab.cli.sweep import is_named_by_time
from ldmlab.configs.errors import UserError
from ldmlab.configs.user_files import expand_paths
from ldmlab.ranks import Launched, launched

ALL = (-1, "-1", "auto")
ON_CPU = 64
"""Processes on a CPU, which counts no devices, that nobody asks for by mistake."""


def local_ranks(command: Command, config: DictConfig) -> int:
    """How many processes a command wants on this host and does not have yet; 1 where it is to run in this one.

    Raises:
        UserError: devices that are not there, or hosts that nobody has started processes on.
    """
    if command.devices is None or launched() is not None:
        return 1
    key, nodes = command.devices, _nodes(command.devices)
    asked = OmegaConf.select(config, key)
    if (OmegaConf.select(config, nodes) or 1) > 1:
        raise UserError(
            f"{nodes}={OmegaConf.select(config, nodes)}: a process a device has to be started on every host, by "
            "`ldmlab submit`, srun or torchrun; docs/cluster.md shows how"
        )
    if asked in (None, 1, "1", "auto") and not _may_have_gpus(command, config):
        return 1
    return 1 if asked in (None, 1, "1") else _counted(key, asked, _gpus(command, config))


def asked_ranks(command: Command, config: DictConfig, on_all: int) -> tuple[int, int]:
    """On how many hosts a command is to run, and in how many processes on each.

    Args:
        command: it.
        config: of it.
        on_all: the devices of a host, where all are asked for.

    Raises:
        UserError: a number that is none.
    """
    if command.devices is None:
        return 1, 1
    asked = OmegaConf.select(config, command.devices)
    nodes = OmegaConf.select(config, _nodes(command.devices)) or 1
    return int(nodes), _counted(command.devices, 1 if asked is None else asked, on_all if asked in ALL else 0)


def fit_to_launcher(command: Command, config: DictConfig) -> None:
    """Where torchrun or srun started several processes, let the config say so, or refuse that it says otherwise.

    Raises:
        UserError: it asks for other numbers, or the command runs on one device.
    """
    found = launched()
    if found is None or found.world == 1:
        return
    if command.devices is None:
        raise UserError(f"{found.by} started {found.world} processes: this command runs in one; start one")
    key, nodes = command.devices, _nodes(command.devices)
    os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(found.local_world))  # which Lightning asks for under srun
    asked, hosts = OmegaConf.select(config, key), OmegaConf.select(config, nodes) or 1
    if (asked, hosts) == (1, 1) or asked in ALL:
        with read_write(config), open_dict(config):
            OmegaConf.update(config, key, found.local_world)
            OmegaConf.update(config, nodes, found.hosts)
    elif _number_of(asked) * int(hosts) != found.world:
        raise UserError(f"{key}={asked} {nodes}={hosts}: {_started(found)}; give as many, or leave both out")


def _started(found: Launched) -> str:
    return f"{found.by} started {found.world} processes, {found.local_world} on this host"


def _nodes(devices: str) -> str:
    """The key of the number of hosts, which stands beside that of the devices."""
    return f"{devices.rpartition('.')[0]}.num_nodes".lstrip(".")


def _number_of(asked: Any) -> int:
    if isinstance(asked, list | ListConfig):
        return len(asked)
    if isinstance(asked, str):
        return len([each for each in asked.split(",") if each.strip()]) if "," in asked else int(asked)
    return int(asked)


def _counted(key: str, asked: Any, gpus: int) -> int:
    if asked in ALL:
        return max(1, gpus)
    try:
        count = _number_of(asked)
    except ValueError as error:
        raise UserError(f"{key}={asked}: give a number of devices, a list of their numbers, or auto") from error
    if gpus and count > gpus:
        raise UserError(f"{key}={asked}: this host has {gpus} GPU{'s' * (gpus > 1)}; ask for no more, or give auto")
    if count < 1:
        raise UserError(f"{key}={asked}: give 1 or more, or auto")
    if not gpus and count > max(ON_CPU, os.cpu_count() or 1):
        raise UserError(f"{key}={asked}: this host has no GPU and {os.cpu_count()} CPU cores; ask for fewer processes")
    return count


def _may_have_gpus(command: Command, config: DictConfig) -> bool:
    """Whether a GPU may be used, told without importing PyTorch where it is not."""
    key = "trainer.accelerator" if command.devices == "trainer.devices" else "device"
    return OmegaConf.select(config, key) not in ("cpu", None) and os.path.exists("/dev/nvidiactl")


def _gpus(command: Command, config: DictConfig) -> int:
    if not _may_have_gpus(command, config):
        return 0
    from torch import cuda

    return cuda.device_count()


def require_one_process() -> None:
    """A sweep's jobs are made by one process.

    Raises:
        UserError: there are several.
    """
    found = launched()
    if found is not None and found.world > 1:
        raise UserError(f"-m: {_started(found)}, and one makes the jobs of a sweep; docs/cluster.md shows how")


def share_folder(config: DictConfig) -> None:
    """Let a process that is not the first write into the folder that the first one claims, and no record of its own.

    Raises:
        UserError: every process would name it otherwise.
    """
    if is_named_by_time(config, "run"):
        raise UserError("output_dir: is called after the time, which differs between processes; give one")
    folder = str(Path(config.hydra.runtime.output_dir))
    with read_write(config.hydra):
        config.hydra.run.dir, config.hydra.output_subdir = folder, None
    config.output_dir = folder
    expand_paths(config)


@contextmanager
def silent() -> Iterator[None]:
    """Let this process tell errors alone, on stderr, inside the block."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, logging.FileHandler)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield
