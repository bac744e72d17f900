"""The jobs of a sweep: all that are known are checked before the first one starts; others when they start."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ldmlab.cli.reuse import require_own
from ldmlab.configs.bounds import bounded, unbounded
from ldmlab.configs.compose import as_job
from ldmlab.configs.errors import UserError
from ldmlab.configs.overrides import parse
from ldmlab.configs.quoting import quoted
from ldmlab.configs.user_files import expand_paths, require_files
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
        knows: its jobs are known, because Hydra's own sweeper makes them; others decide on the way.
        fallen: by the number of a job, the keys that fall away of its config.
        jobs: by the number of a job, its folder and its config as yaml.
        folders: by the number of a job, its folder as it was, where it was there.
    """

    first: DictConfig
    knows: bool
    fallen: dict[int, list[str]] = field(default_factory=dict)
    jobs: dict[int, tuple[Path, str]] = field(default_factory=dict)
    folders: dict[int, RunFolder] = field(default_factory=dict)

    @classmethod
    def of(cls, config: DictConfig, run: Run) -> Sweep:
        """Check its jobs.

        Args:
            config: what they have in common.
            run: of which it is the sweep.

        Raises:
            UserError: the first thing that is wrong with one of them.
        """
        knows = str(config.hydra.sweeper._target_).endswith(f".{BasicSweeper.__name__}")
        sweep = cls(config, knows)
        run._sweep = sweep
        if not knows:
            with as_job(config, 0):
                run.check(config, complete=False)
            return sweep
        with unbounded(), bounded():
            lines = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
            params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
            (jobs,) = BasicSweeper.split_arguments(parse([*params, *map(str, lines or ())]), None)
        checked = [sweep._check(number, list(job), config, run) for number, job in enumerate(jobs)]
        for number, whole in enumerate(checked):  # a wrong value of a later job is told before a missing file
            with as_job(whole, number):
                require_files(run.command, whole)
        return sweep

    def _check(self, number: int, lines: list[str], config: DictConfig, run: Run) -> DictConfig:
        assert run.loader is not None
        with unbounded(), bounded():
            job = run.loader.load_sweep_config(config, lines)
            with as_job(job, number) as folder:
                self.fallen[number] = run.check(job, files=False)
                self.jobs[number] = folder, _as_written(job, folder)
                if number == 0:
                    self.first = job
        return job

    def claim(self, config: DictConfig, run: Run) -> RunFolder:
        """The folder of the sweep, in which no job has a folder of another run.

        Raises:
            UserError: one has, or it cannot be written to.
        """
        with as_job(self.first, 0):
            given = str(self.first.hydra.sweep.dir)
            folder = run.claim(self.first, Path(expand_home(given)).absolute(), "sweep")
        if str(folder.path) != str(Path(given).absolute()):
            with read_write(config.hydra):
                config.hydra.sweep.dir = str(folder.path)
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(str(folder.path))}")
        try:
            self._require_own(folder, run)
        except BaseException:
            folder.take_back()
            raise
        return folder

    def _require_own(self, folder: RunFolder, run: Run) -> None:
        if not self.knows and any(folder.path.glob("*/.hydra/config.yaml")):
            raise UserError(f"output_dir={folder.path}: holds a sweep; give another folder")
        if folder.path in folder.made:
            return
        for number, (path, written) in self.jobs.items():
            if path.is_dir():
                self.folders[number] = RunFolder.claim(path, folder.record.name, folder.log.name)
                require_own(self.folders[number], run.name, written, run.command)

    def prepare(self, config: DictConfig, run: Run) -> RunFolder | None:
        """Make the config of a job ready to be run, in the process of the job; returns its folder as it was.

        Raises:
            UserError: of a job that was not known before, what is wrong with its config.
        """
        settings = HydraConfig.get()
        number = settings.job.num
        fallen = self.fallen[number] if self.knows else run.check(with_hydra(config))
        drop(config, fallen)
        tell_fallen(fallen)
        if "output_dir" in config:
            config.output_dir = settings.runtime.output_dir
        expand_paths(config)
        if settings.output_subdir is not None:
            record = Path(settings.runtime.output_dir, settings.output_subdir, "config.yaml")
            record.write_text(OmegaConf.to_yaml(config))
        return self.folders.get(number)


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


def _as_written(job: DictConfig, folder: Path) -> str:
    """The record that a job will have written."""
    own = OmegaConf.masked_copy(job, [str(key) for key in job if key != "hydra"])
    if "output_dir" in own:
        own.output_dir = str(folder)
    expand_paths(own)
    return OmegaConf.to_yaml(own)
