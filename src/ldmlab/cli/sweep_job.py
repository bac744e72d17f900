"""A job of a sweep, in whatever process its launcher has started: it is left out if it is done, and fails alone."""

from __future__ import annotations

import logging
import math
import os
import traceback
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ldmlab.cli.devices import fit_to_launcher
from ldmlab.cli.errors import explain
from ldmlab.cli.refusal import Refusal
from ldmlab.cli.reuse import OtherRunError, is_same
from ldmlab.data.folder_lock import folder_lock
from ldmlab.ranks import is_first
from ldmlab.run_folder import RunFolder
from ldmlab.status import read_status

if TYPE_CHECKING:
    from ldmlab.cli.run import Run

log = logging.getLogger(__name__)


def job_of_sweep(run: Run, config: DictConfig, command: Callable[[DictConfig], float | None]) -> float | None:
    """Run a job, whose folder Hydra has made. It stays, as part of the sweep; an earlier record comes back.

    Args:
        run: with the sweep, or without one where the config is the user's own.
        config: of the job.
        command: runs it.

    Returns:
        Its figure; None where it failed after it had begun, which its status tells.
    """
    settings, sweep = HydraConfig.get(), run._sweep
    name = _named(settings.job.num, None if sweep is None else sweep.swept)
    folder, tells = None if sweep is None else sweep.folders.get(Path(settings.runtime.output_dir)), False
    try:
        fit_to_launcher(run.command, config)
        if sweep is not None:
            sweep.prepare(config, run)
        if folder is not None and is_done(folder, OmegaConf.to_yaml(config), run):
            folder.take_back(with_status=False)
            log.info("%s: is done", name)
            return told_value(folder.path)
        _go_on(folder, config, run)
        _write_record(config)
        with _lock(config):
            tells = settings.output_subdir is not None
            return command(config)
    except OtherRunError as error:  # which ends the sweep, as it is in a folder of another
        if folder is not None:
            folder.take_back(with_status=False)
        raise Refusal(error) from None
    except Exception as error:
        log.error("%s: %s", name, explain(error) or repr(error))
        if explain(error) is None:
            traceback.print_exception(error)
        elif folder is not None and folder.replaces:
            folder.take_back(with_status=False)
        if tells:
            return None
        raise


def is_done(folder: RunFolder, written: str, run: Run) -> bool:
    """Whether a job has come to its end in a folder, as it was before.

    Args:
        folder: it.
        written: the record that the job will have written.
        run: of which it is one.
    """
    status = read_status(folder.path)
    done = status is not None and status.state == "done" and status.command == run.name
    return done and is_same(folder, written, run.command)


def told_value(folder: Path) -> float | None:
    """The figure of a job that is done; None of another."""
    status = read_status(folder)
    if status is None or status.state != "done" or status.figure is None:
        return None
    return math.nan if status.figure["value"] is None else float(status.figure["value"])


def _named(number: int, swept: Collection[str] | None) -> str:
    """A job by its number and by what tells it from the others: the keys that differ, if they are known."""
    lines = [str(line) for line in HydraConfig.get().overrides.task]
    own = [line for line in lines if swept is None or line.lstrip("+~").partition("=")[0] in swept]
    return f"job {number} ({', '.join(own)})"


def _go_on(folder: RunFolder | None, config: DictConfig, run: Run) -> None:
    """Let a job go on where it was ended before, or was sent back to the queue."""
    if folder is None and os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return
    given = {str(line).lstrip("+").partition("=")[0] for line in HydraConfig.get().overrides.task}
    for line in run.command.when_requeued:
        key, _, value = line.partition("=")
        if key not in given:
            OmegaConf.update(config, key, value)


def _write_record(config: DictConfig) -> None:
    """The config as the command gets it, in the place of what Hydra has written."""
    settings = HydraConfig.get()
    if settings.output_subdir is not None and is_first():
        record = Path(settings.runtime.output_dir, settings.output_subdir, "config.yaml")
        record.write_text(OmegaConf.to_yaml(config))


def _lock(config: DictConfig) -> AbstractContextManager[None]:
    return (
        folder_lock(Path(config.output_dir), "output_dir") if "output_dir" in config and is_first() else nullcontext()
    )
