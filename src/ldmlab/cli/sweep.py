"""A sweep: its jobs are checked before the first one starts, those that are done are left out, and a table ends it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ldmlab.cli.reuse import require_own
from ldmlab.cli.sweep_jobs import Job, checked_jobs, moved, swept_keys
from ldmlab.configs.compose import as_job
from ldmlab.configs.quoting import quoted
from ldmlab.configs.user_files import expand_paths
from ldmlab.configs.validate import drop, tell_fallen
from ldmlab.paths import expand_home
from ldmlab.run_folder import RunFolder

if TYPE_CHECKING:
    from ldmlab.cli.run import Run


@dataclass
class Sweep:
    """What is known of a sweep before it begins.

    Attributes:
        first: the config of its first job, or what all jobs have in common.
        jobs: what Hydra's own sweeper makes; None where another one decides on the way.
        swept: the keys and groups that differ between jobs.
        by_time: its folder is called after the second in which it begins, as others may be.
        folders: those of jobs that were there, as they were.
    """

    first: DictConfig
    jobs: list[Job] | None
    swept: list[str]
    by_time: bool = False
    folders: dict[Path, RunFolder] = field(default_factory=dict)

    @classmethod
    def of(cls, config: DictConfig, run: Run) -> Sweep:
        """Check its jobs.

        Args:
            config: what they have in common.
            run: of which it is the sweep.

        Raises:
            UserError: the first thing that is wrong with one of them.
        """
        _warn_in_time(config)
        sweep = cls(config, None, swept_keys(config), is_named_by_time(config, "sweep"))
        if sweep.by_time and "output_dir" not in sweep.swept:
            _stop_the_clock(config)
        run._sweep = sweep
        if str(config.hydra.sweeper._target_).endswith(f".{BasicSweeper.__name__}"):
            sweep.jobs = checked_jobs(config, run)
            sweep.first = sweep.jobs[0].kind.config
            return sweep
        _draw_again_the_same(config)
        with as_job(config, 0):
            run.check(config, complete=False)
        return sweep

    def claim(self, config: DictConfig, run: Run) -> RunFolder:
        """The folder of the sweep, in which no job has a folder of another run.

        Raises:
            UserError: one has, or it cannot be written to.
        """
        with as_job(self.first, 0):
            given = str(self.first.hydra.sweep.dir)
            folder = run.claim(self.first, Path(expand_home(given)).absolute(), self.by_time)
        if str(folder.path) != str(Path(given).absolute()):
            _set_folder(config, str(folder.path))
            self.jobs = self.jobs and moved(self.jobs, Path(expand_home(given)).absolute(), folder.path)
        try:
            if folder.path not in folder.made:
                self._look_at_earlier(folder, run)
        except BaseException:
            folder.take_back()
            raise
        return folder

    def _look_at_earlier(self, folder: RunFolder, run: Run) -> None:
        """Keep what the jobs of an earlier sweep have written, and refuse those of another one."""
        if self.jobs is None:
            there = [path.parents[1] for path in folder.path.glob(f"*/{folder.record.name}/config.yaml")]
        else:
            there = [job.folder for job in self.jobs if job.folder.is_dir()]
        self.folders = {path: RunFolder.claim(path, folder.record.name, folder.log.name) for path in there}
        for job in self.jobs or ():
            if job.folder in self.folders:
                self.require_own(job.folder, job.written(), run)

    def require_own(self, path: Path, written: str, run: Run) -> None:
        """Refuse the folder of a job that is another one's.

        Raises:
            OtherRunError: naming the first setting that differs.
        """
        if path in self.folders:
            require_own(self.folders[path], run.name, written, run.command, self.swept)

    def prepare(self, config: DictConfig, run: Run) -> None:
        """Make the config of a job ready to be run, in the process of the job.

        Raises:
            UserError: of a job that was not known before, what is wrong with its config.
            OtherRunError: its folder is another one's.
        """
        settings = HydraConfig.get()
        fallen = run.check(with_hydra(config)) if self.jobs is None else self.jobs[settings.job.num].kind.fallen
        drop(config, fallen)
        tell_fallen(fallen)
        if "output_dir" in config:
            config.output_dir = settings.runtime.output_dir
        expand_paths(config)
        if self.jobs is None:
            self.require_own(Path(settings.runtime.output_dir), OmegaConf.to_yaml(config), run)

    def paths(self, folder: Path) -> list[Path]:
        """The folders of its jobs."""
        if self.jobs is not None:
            return [job.folder for job in self.jobs]
        return sorted((path.parent for path in folder.glob("*/.hydra")), key=lambda path: (len(path.name), path.name))


def _stop_the_clock(config: DictConfig) -> None:
    """Let all jobs be in the folder of one second, although composing them takes many."""
    with as_job(config, 0):
        folder = str(config.hydra.sweep.dir)
    _set_folder(config, folder)


def _set_folder(config: DictConfig, folder: str) -> None:
    with read_write(config.hydra):
        config.hydra.sweep.dir = folder
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(folder)}")


def _warn_in_time(config: DictConfig) -> None:
    """Let SLURM warn a job of hydra-submitit-launcher no sooner than in the last quarter of its time.

    The launcher's 120 seconds are as much as the time of a short job, whose processes a warning would end before they
    could heed it.
    """
    launcher = config.hydra.launcher
    if "signal_delay_s" in launcher and "timeout_min" in launcher:
        with read_write(launcher):
            launcher.signal_delay_s = min(int(launcher.signal_delay_s), int(float(launcher.timeout_min) * 15))


def _draw_again_the_same(config: DictConfig) -> None:
    """Let a sweeper that draws its jobs draw the same ones when it is started again, and go on after a failed one."""
    sweeper = config.hydra.sweeper
    sampler = sweeper.get("sampler")
    with read_write(sweeper):
        if sampler is not None and "seed" in sampler and sampler.seed is None:
            sampler.seed = config.get("seed", 0)
        if sweeper.get("max_failure_rate") == 0:
            sweeper.max_failure_rate = 1.0
        if "direction" in sweeper and _wants_large_figures(config):
            sweeper.direction = "maximize"


def _wants_large_figures(config: DictConfig) -> bool:
    """Whether a run is judged so and a search is not told otherwise; a mode is that of its own figure alone."""
    lines = [*map(str, config.hydra.overrides.hydra), *map(str, config.hydra.overrides.task)]
    given = {line.lstrip("+").partition("=")[0] for line in lines}
    of_another = "figure" in given and "figure_mode" not in given
    return config.get("figure_mode") == "max" and not of_another and "hydra.sweeper.direction" not in given


def is_named_by_time(config: DictConfig, mode: str) -> bool:
    """Whether the folder of a "run" or "sweep" is called after the second in which it begins, as others may be."""
    raw: Any = OmegaConf.to_container(config, resolve=False)
    return "${now:" in str(raw["hydra"][mode]["dir"]).replace("${output_dir}", str(raw.get("output_dir")))


def with_hydra(config: DictConfig) -> DictConfig:
    """The config of a job with Hydra's own node, as it was composed."""
    whole, settings = deepcopy(config), HydraConfig.instance().cfg
    assert settings is not None
    with read_write(whole), open_dict(whole):
        whole["hydra"] = deepcopy(settings.hydra)  # type: ignore[attr-defined]
    return whole
