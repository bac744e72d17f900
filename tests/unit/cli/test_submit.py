"""`ldmlab submit` and `ldmlab jobs` beside commands that stand in for those of SLURM."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from ldmlab.cli.cluster import Cluster
from ldmlab.cli.errors import explain
from ldmlab.cli.launch import launch
from ldmlab.configs.errors import UserError
from ldmlab.status import Status, read_status

submitit = pytest.importorskip("submitit")

Body = Callable[..., None]
SBATCH = """#!/bin/sh
number=$(cat "$SLURM_HERE/number" 2>/dev/null || echo 100)
if grep -q 'partition=nope' "$1"; then
  echo "sbatch: error: invalid partition specified: nope" >&2
  exit 1
fi
cp "$1" "$SLURM_HERE/$number.sh"
echo $((number + 1)) > "$SLURM_HERE/number"
echo "Submitted batch job $number"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a SLURM keeps the scripts of jobs, `queue` (what squeue prints) and `past` (sacct)."""
    here, path = tmp_path / "slurm", tmp_path / "bin"
    here.mkdir()
    path.mkdir()
    shown = {"squeue": 'cat "$SLURM_HERE/queue"', "sacct": 'cat "$SLURM_HERE/past"', "sinfo": "echo debug; echo gpu"}
    for name, text in {"sbatch": SBATCH, "srun": "", **{k: f"#!/bin/sh\n{v}\n" for k, v in shown.items()}}.items():
        (path / name).write_text(text)
        (path / name).chmod(0o755)
    for name in ("queue", "past"):
        (here / name).touch()
    monkeypatch.setenv("SLURM_HERE", str(here))
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return here


def asked(script: Path) -> dict[str, str]:
    """The options of sbatch in a script."""
    lines = (line.removeprefix("#SBATCH --") for line in script.read_text().splitlines() if line.startswith("#SBATCH"))
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def words_of(folder: Path, job: str) -> tuple[str, ...]:
    """What a job in the queue will run, after `ldmlab`."""
    return tuple(submitit.core.utils.DelayedSubmission.load(folder / f"slurm/{job}_submitted.pkl").args[0])


def test_a_job_is_queued_with_what_the_cluster_says(slurm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (slurm / "data").mkdir()
    words = ["train", f"data.path={slurm}/data", "trainer.devices=4", "trainer.num_nodes=2", "seed=3", "output_dir=a b"]
    launch("submit", ["cluster=gpu", *words, "cluster.time=36:00:30"])
    options = asked(slurm / "100.sh")
    wanted = {"partition": "gpu", "account": "my-project", "nodes": "2", "ntasks-per-node": "4", "gpus-per-node": "4",
              "cpus-per-task": "16", "mem": "491520M", "time": "2161", "signal": "USR2@120", "requeue": "",
              "constraint": "a100|h100", "job-name": "ldmlab-train"}  # fmt: skip
    assert {name: options.get(name) for name in wanted} == wanted
    assert "module load cuda/12.4\n" in (slurm / "100.sh").read_text()
    folder = slurm.parent / "a b"
    assert words_of(folder, "100") == (
        *("train", f"data.path={slurm}/data", "trainer.devices=4", "trainer.num_nodes=2", "seed=3"),
        *("ckpt_path=auto", f'output_dir="{folder}"'),
    )
    assert capsys.readouterr().out.splitlines() == [
        "100  a b  log: a b/slurm/100_0_log.out",
        "1 job queued; `ldmlab jobs a b` shows how far they are",
    ]


def test_a_hundred_jobs_are_one_array_in_five_seconds(slurm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (slurm / "data").mkdir()
    words = [
        "train",
        "experiment=shapes/dit",
        f"data.path={slurm}/data",
        "-m",
        "seed=range(50)",
        "optimizer.lr=1e-4,1e-3",
    ]
    begun = time.process_time()
    launch("submit", ["--array", "at_once=8", *words, "output_dir=out"])
    assert time.process_time() - begun < 5
    assert asked(slurm / "100.sh")["array"] == "0-99%8"
    out = capsys.readouterr().out.splitlines()
    assert (out[0], out[99]) == (
        "100_0  out/0  log: out/slurm/100_0_0_log.out",
        "100_99  out/99  log: out/slurm/100_99_0_log.out",
    )
    assert {"seed=49", "optimizer.lr=0.001"} <= {*words_of(Path("out"), "100_99")}


def test_what_is_queued_runs_as_the_command_would(slurm: Path, body: Body) -> None:
    seen: list[DictConfig] = []
    body(seen.append)
    launch("submit", ["sample", "a red star", "-m", "seed=1,2", "output_dir=out", "hydra.verbose=true"])
    for job in ("100", "101"):
        submitit.core.utils.DelayedSubmission.load(Path(f"out/slurm/{job}_submitted.pkl")).result()
    assert [(config.seed, config.output_dir, list(config.prompts)) for config in seen] == [
        (seed, f"{slurm.parent}/out/{seed - 1}", ["a red star"]) for seed in (1, 2)
    ]
    assert read_status(Path("out/1")).state == "done"
    launch("submit", ["sample", "a red star", "-m", "seed=1,2,3", "output_dir=out"])  # two are done
    assert not (slurm / "103.sh").exists()
    assert "seed=3" in words_of(Path("out"), "102")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cluster.partition=nope", "sample"], "cluster.partition=nope: SLURM refuses it (invalid partition specified: "
                                               "nope); there is debug, gpu"),
        (["cluster=gup", "sample"], "group 'cluster' has no option 'gup'; did you mean 'gpu'?"),
        (["cluster.partitio=gpu", "sample"], "unknown key 'cluster.partitio'; did you mean 'cluster.partition'?"),
        (["cluster.time=soon", "sample"], "cluster.time=soon: give HOURS:MINUTES:SECONDS"),
        (["cluster.gpus_per_task=-1", "sample"], "cluster.gpus_per_task=-1: give 0 or more"),
        (["smaple"], "unknown command 'smaple'; did you mean 'sample'?"),
        ([], "which command? write it behind"),
        pytest.param(["sample", "sed=1"], "unknown key 'sed'; did you mean 'seed'?", marks=pytest.mark.slow),
        (["sample", "-m", "seed=1,2,-3"], "seed=-3: input should be greater than or equal to 0"),
        (["sample", "--cfg", "job"], "--cfg: is for commands that run here"),
        (["sample", "-m", "hydra/sweeper=optuna", "seed=choice(1,2)"], "hydra/sweeper: decides on its jobs"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_is_queued(words: list[str], told: str, slurm: Path) -> None:
    with pytest.raises((ValueError, InstantiationException)) as raised:
        launch("submit", [*words, *(["output_dir=out"] if len(words) > 1 else [])])
    assert explain(raised.value).startswith(told)
    assert not [*slurm.glob("*.sh")]
    assert not Path("out").exists()


def test_where_there_is_no_slurm_or_no_submitit(monkeypatch: pytest.MonkeyPatch, slurm: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    with pytest.raises(UserError, match=r"submitit is not installed, .* pip install 'ldmlab\[slurm\]'"):
        launch("submit", ["sample"])
    monkeypatch.undo()
    monkeypatch.chdir(slurm)
    monkeypatch.setenv("PATH", str(slurm))
    for words in (["submit", "sample"], ["sample", "-m", "hydra/launcher=slurm", "output_dir=out"]):
        with pytest.raises(UserError, match=r"^sbatch and srun: no such command; jobs are queued on the login node"):
            launch(words[0], words[1:])
    assert not Path("out").exists()


def test_jobs_in_the_queue_are_not_queued_again(slurm: Path) -> None:
    launch("submit", ["sample", "output_dir=out"])
    (slurm / "queue").write_text("100|PENDING\n")
    with pytest.raises(UserError, match="out: its jobs 100 are in the queue or running; wait, or scancel them"):
        launch("submit", ["sample", "output_dir=out"])
    (slurm / "queue").write_text("")
    launch("submit", ["sample", "output_dir=out"])
    assert [each["id"] for each in json.loads(Path("out/jobs.json").read_text())["queued"]] == ["101"]


def test_the_launcher_waits_and_hands_figures_on(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")

    def run(queued: list) -> None:
        for job in queued:
            words = next((slurm.parent / "out/slurm").glob(f"{job.id}_submitted.pkl"))
            scale = next(float(w.split("=")[1]) for w in words_of(words.parents[1], job.id) if w.startswith("guidance"))
            job.folder.mkdir()
            Status("sample", "done", figure={"name": "figure", "value": (scale - 2) ** 2}).write(job.folder)

    monkeypatch.setattr("ldmlab.cli.slurm_sweep._wait", run)
    optuna = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2", "output_dir=out"]
    words = ["hydra/launcher=slurm", "cluster=container", "cluster.partition=debug", "at_once=1", "cluster.more.nice=7"]
    launch("sample", ["-m", *words, *optuna, "guidance.scale=interval(1,3)"])
    assert OmegaConf.load("out/optimization_results.yaml").best_value < 0.1
    options = asked(slurm / "101.sh")
    assert (options["partition"], options["array"], options["nice"]) == ("debug", "0-1%1", "7")
    assert "--container-image=/shared/images/ldmlab.sqsh --container-mounts=" in (slurm / "101.sh").read_text()


def test_jobs_tells_how_far_they_are(slurm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("submit", ["--array", "sample", "-m", "seed=range(6)", "output_dir=runs/a"])
    (slurm / "queue").write_text("100_0|RUNNING\n100_1|PENDING\n")
    (slurm / "past").write_text("100_2|TIMEOUT\n100_3|COMPLETED\n100_4|FAILED\n100_5|CANCELLED by 1\n")
    figure = {"name": "val/loss", "value": 0.125}
    told = {0: Status("train", "running", "training", 30, 120, 7230, figure=figure), 2: Status("train", "stopped")}
    told |= {3: Status("train", "done", step=7, steps=7), 4: Status("train", "failed", error="seed=4: no")}
    for number, status in told.items():
        folder = Path(f"runs/a/{number}")
        folder.mkdir()
        (folder / ".lock").touch()
        status.write(folder)
    capsys.readouterr()
    launch("jobs", [])
    out = capsys.readouterr().out
    out = re.sub(r"2:00:[23]\d", "2:00:2 ", out)  # by then
    rows = [re.split(r" *[│┃] *", line)[1:-1] for line in out.splitlines() if line[:1] == "│"]
    assert rows == [
        ["100_0", "a/0", "running", "30/120", "2:00:2", "val/loss 0.125"],
        ["100_1", "a/1", "pending", "", "", ""],
        ["100_2", "a/2", "stopped", "", "", ""],
        ["100_4", "a/4", "failed", "", "", ""],
        ["100_5", "a/5", "cancelled", "", "", ""],
    ]
    assert "100_4: seed=4: no\n" in out
    assert re.search(r"^100_5: log: .*/runs/a/slurm/100_5_0_log.err$", out, re.MULTILINE)
    assert out.endswith("1 done; 5 of 6 jobs shown\n")
    launch("jobs", ["runs/a", "all=true"])
    assert "done" in capsys.readouterr().out


@pytest.mark.parametrize(("time", "minutes"), [("24:00:00", 1440), ("1-02:03:04", 1564), ("00:30", 30), (90, 90)])
def test_times(time: str | int, minutes: int) -> None:
    assert Cluster(time=time).minutes == minutes
