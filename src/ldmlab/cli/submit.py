"""A command line as jobs of SLURM: composed and checked here, run there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from ldmlab.cli.arguments import Arguments, parse
from ldmlab.cli.cluster import Cluster
from ldmlab.cli.command import find
from ldmlab.cli.run import Run
from ldmlab.cli.slurm_sweep import ask, asks_of_sweep, put
from ldmlab.cli.submission import Ask, Queued, require_slurm
from ldmlab.cli.sweep import Sweep
from ldmlab.configs.bounds import unbounded
from ldmlab.configs.compose import as_job, composed
from ldmlab.configs.errors import UserError


def submit(words: Sequence[str], cluster: Cluster, at_once: int | None) -> None:
    """Queue what a command line says, and print where.

    Args:
        words: the name of a command, and what follows it.
        cluster: where it runs.
        at_once: queue the jobs of a sweep as an array, of which so many may run at a time; None for a job each.

    Raises:
        UserError: anything that the command itself would refuse, or SLURM.
    """
    require_slurm()
    name, arguments = words[0], parse(words[0], words[1:])
    _require_plain(arguments)
    run = Run(name, find(name), is_for_later=True)
    with unbounded(), run.listening():
        run.loader = GlobalHydra.instance().config_loader()
        lines = [f"hydra.job.name={name}", *arguments.searched]
        config = composed(name, lines, sweeps=arguments.parsed.multirun)
        asks, root = (_jobs if arguments.parsed.multirun else _single)(run, config, arguments, cluster)
        if not asks:
            print(f"all jobs of {root} are done; `ldmlab runs {root}` shows them")
            return
        queued, live = put(asks, cluster, root, at_once)
        if not queued:
            ids = ", ".join(job.id for job in live[:5]) + (", ..." if len(live) > 5 else "")
            raise UserError(f"output_dir={root}: its jobs {ids} are in the queue or running; wait, or scancel them")
        _tell(queued, root)


def _require_plain(arguments: Arguments) -> None:
    parsed = arguments.parsed
    for flag, given in {"--cfg": parsed.cfg, "--info": parsed.info, "--experimental-rerun": parsed.experimental_rerun,
                        "-cn": parsed.config_name, "-cp": parsed.config_path}.items():  # fmt: skip
        if given:
            raise UserError(f"{flag}: is for commands that run here; leave it out of what is queued")


def _jobs(run: Run, config: DictConfig, arguments: Arguments, cluster: Cluster) -> tuple[list[Ask], Path]:
    sweep = Sweep.of(config, run)
    if sweep.jobs is None:
        raise UserError(
            "hydra/sweeper: decides on its jobs by the figures of earlier ones, so somebody has to wait for them; give "
            f"`ldmlab {run.name} -m hydra/launcher=slurm`"
        )
    folder = run._folder = sweep.claim(config, run)
    return asks_of_sweep(run, config, cluster), folder.path


def _single(run: Run, config: DictConfig, arguments: Arguments, cluster: Cluster) -> tuple[list[Ask], Path]:
    with as_job(config) as folder:
        run.check(config)
    if "output_dir" in config:
        run.claim_folder(config)
        folder = Path(config.output_dir)
    return [ask(run, config, config, arguments.overrides, folder, cluster)], folder


def _tell(queued: Sequence[Queued], root: Path) -> None:
    here = Path.cwd()

    def short(path: Path) -> str:
        with suppress(ValueError):
            return str(path.relative_to(here))
        return str(path)

    for job in queued:
        print(f"{job.id}  {short(job.folder)}  log: {short(job.log)}")
    jobs = "1 job" if len(queued) == 1 else f"{len(queued)} jobs"
    print(f"{jobs} queued; `ldmlab jobs {short(root)}` shows how far they are")
