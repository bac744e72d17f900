"""A run or a sweep inside Hydra: checked before it begins, in a folder that is made, and taken back, by us."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ldmlab import lean_imports
from ldmlab.cli.command import Command, names
from ldmlab.cli.devices import fit_to_launcher, local_ranks, require_one_process, share_folder, silent
from ldmlab.cli.errors import EndedError, explain
from ldmlab.cli.local_ranks import run_on_ranks
from ldmlab.cli.refusal import Refusal
from ldmlab.cli.reuse import require_own
from ldmlab.cli.submission import require_launcher
from ldmlab.cli.sweep import Sweep, is_named_by_time, with_hydra
from ldmlab.cli.sweep_end import end_sweep
from ldmlab.cli.sweep_job import job_of_sweep
from ldmlab.configs.bounds import unbounded
from ldmlab.configs.compose import as_job
from ldmlab.configs.errors import UserError
from ldmlab.configs.user_files import expand_paths, require_files
from ldmlab.configs.validate import check, drop, tell_fallen
from ldmlab.data.folder_lock import folder_lock
from ldmlab.ranks import is_first
from ldmlab.run_folder import RunFolder
from ldmlab.status import tell_result, telling, told_by_others
from ldmlab.training.requeue import telling_of_requeue
from ldmlab.training.signals import STOP

log = logging.getLogger(__name__)
RECORD = ".hydra"


class Run:
    """What `launch` begins. Jobs of a sweep may be in processes of their own, which get a copy.

    Args:
        name: of the command.
        command: itself.
        is_rerun: Hydra gives the config of an earlier run, and looks at nothing else.
        is_for_later: the command is checked here and run elsewhere, where it is checked again.

    Attributes:
        began: the config was found right, and is composed no more.
        failure: what the command raised in a single run.
    """

    current: ClassVar[Run | None] = None

    def __init__(self, name: str, command: Command, is_rerun: bool = False, is_for_later: bool = False) -> None:
        self.name, self.command, self.is_rerun, self.is_for_later = name, command, is_rerun, is_for_later
        self.began = False
        self.failure: Exception | None = None
        self.loader: ConfigLoader | None = None
        self._folder: RunFolder | None = None
        self._sweep: Sweep | None = None
        self._jobs_began = False
        self._held = ExitStack()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_held": ExitStack()}  # locks stay with the process that has them

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let Hydra's callback find this run inside the block, and take its folder back where bad input ends it."""
        outer, Run.current = Run.current, self
        try:
            with self._held:
                yield
        except BaseException as error:
            if self._folder is not None and (not isinstance(error, Exception) or explain(error) is not None):
                self._folder.take_back()
            raise
        finally:
            Run.current = outer

    def begin(self, config: DictConfig) -> None:
        """Check the config of a single run, and claim its folder.

        Raises:
            Refusal: it is not right, or the folder is another run's.
        """
        with _refusing():
            self.loader = GlobalHydra.instance().config_loader()
            with as_job(config):
                self.check(config)
            self.began = True
            fit_to_launcher(self.command, config)
            self.claim_folder(config)

    def begin_sweep(self, config: DictConfig) -> None:
        """Check all jobs of a sweep before the first one starts, as far as they are known.

        Raises:
            Refusal: one is not right, or the folder is another sweep's.
        """
        with _refusing():
            self.loader = GlobalHydra.instance().config_loader()
            require_one_process()
            require_launcher(config)
            self._sweep = Sweep.of(config, self)
            self.began = True
            self._folder = self._sweep.claim(config, self)
            self._held.enter_context(folder_lock(self._folder.path, "output_dir"))
            self._jobs_began = True

    def end_sweep(self, error: Exception | None = None) -> None:
        """Tell of the jobs of the sweep, if this is one whose jobs tell of themselves.

        Args:
            error: what it ended with.

        Raises:
            JobsFailedError: not all are done.
        """
        if self._jobs_began and self._sweep is not None and self._folder is not None:
            end_sweep(self._sweep.paths(self._folder.path), self._folder.path, error)

    def check(self, config: DictConfig, complete: bool = True, files: bool = True) -> list[str]:
        """Check a config, with Hydra's own node, inside `as_job`; what falls away of it is taken out and returned.

        Args:
            config: of the run, or of a job.
            complete: whether it has to have all values.
            files: whether those that it names have to be there.
        """
        assert self.loader is not None
        fallen = check(self.name, config, self.command, self.loader, complete, self.is_for_later)
        if complete and files:
            require_files(self.command, config)
        if self._sweep is None:
            tell_fallen(fallen)
        return fallen

    def job(self, config: DictConfig) -> float | None:
        """What Hydra runs: the command, whose figure is handed on to a sweeper."""
        with unbounded():
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                return job_of_sweep(self, config, self._run)
            try:
                if self.is_rerun:
                    self._prepare_again(config)
                elif not self.began:
                    self._check_late(config)
                return self._run(config)
            except Exception as error:
                self.failure = error
                raise

    def claim(self, config: DictConfig, path: Path, by_time: bool) -> RunFolder:
        """The folder of a run or a sweep, which is a new one where it is called after the second."""
        claim = RunFolder.claim_new if by_time else RunFolder.claim
        return claim(path, str(config.hydra.output_subdir or RECORD), f"{config.hydra.job.name}.log")

    def claim_folder(self, config: DictConfig) -> None:
        """Claim the folder of a single run, and lock it until the run ends."""
        if "output_dir" not in config:
            return
        if not is_first():
            share_folder(config)
            return
        self._folder = folder = self.claim(
            config, Path(config.hydra.runtime.output_dir), is_named_by_time(config, "run")
        )
        with read_write(config.hydra):
            config.hydra.run.dir = str(folder.path)
        config.output_dir = str(folder.path)
        expand_paths(config)
        self._held.enter_context(folder_lock(folder.path, "output_dir"))
        require_own(folder, self.name, OmegaConf.to_yaml(without_hydra(config)), self.command)

    def _check_late(self, config: DictConfig) -> None:
        """The config of the user's own (`-cn`) that has no callback of ours: Hydra has made the folder already."""
        self.loader = GlobalHydra.instance().config_loader()
        drop(config, self.check(with_hydra(config)))
        self.began = True
        if "output_dir" in config:
            config.output_dir = HydraConfig.get().runtime.output_dir
        expand_paths(config)

    def _prepare_again(self, config: DictConfig) -> None:
        """The config of an earlier run: it goes to a new folder beside that run's."""
        hydras_own: Any = HydraConfig.instance().cfg
        settings = hydras_own.hydra
        written = str(settings.job.config_name)
        if written in names() and written != self.name:
            raise UserError(f"--experimental-rerun: holds a run of `ldmlab {written}`; rerun it by that command")
        if "output_dir" not in config:
            return
        folder = RunFolder.claim_new(Path(config.output_dir), RECORD, f"{settings.job.name}.log")
        self._folder = folder
        config.output_dir = str(folder.path)
        with read_write(settings), open_dict(settings):
            settings.runtime.output_dir = settings.run.dir = str(folder.path)
        configure_log(settings.job_logging, settings.verbose)
        self._held.enter_context(folder_lock(folder.path, "output_dir"))
        folder.write_record(*map(OmegaConf.to_yaml, (config, hydras_own, settings.overrides.task)))

    def _run(self, config: DictConfig) -> float | None:
        """On this process' device, or on several of its host."""
        count = local_ranks(self.command, config)
        if count == 1:
            return run_here(self.name, self.command, config)
        with told_by_others(Path(config.output_dir), self.name, told_error, knows_why=True):
            return run_on_ranks(count, self.name, config)


def run_here(name: str, command: Command, config: DictConfig) -> float | None:
    """Run a command in this process, which may be one of several: then the first alone tells of what goes well."""
    with ExitStack() as held:
        if not is_first():
            held.enter_context(silent())
            held.enter_context(told_by_others(Path(config.output_dir), name, told_error))
        elif HydraConfig.get().output_subdir is not None:  # a command that keeps a record in its folder
            held.enter_context(telling(Path(config.output_dir), name, told_error))
        held.enter_context(STOP.heeded())
        held.enter_context(telling_of_requeue())
        lean_imports.install()
        figure = command.run(config)
        tell_result(config.get("figure"), figure)
        return figure


def told_error(error: BaseException) -> str:
    """What went wrong, in one line whatever it was; nothing where a rank has told it."""
    return explain(error) or ("" if isinstance(error, EndedError) else repr(error))


def without_hydra(config: DictConfig) -> DictConfig:
    """The config that a command gets."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise Refusal(error) from None
