"""Bad input on a real command line: one line on stderr, exit code 2, nothing written."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

slow = partial(pytest.param, marks=pytest.mark.slow)


def run_cli(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ldmlab", *argv]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["trian"], "did you mean 'train'?"),
        (["train", "backbone=dti"], "did you mean 'dit'?"),
        slow(["train", "backbone.detph=3"], "did you mean 'backbone.depth'?"),
        slow(["train", "+backbone.detph=3"], "did you mean 'backbone.depth'?"),
        (["train", "-m", "seed=0,x"], "seed=x: this key takes a whole number"),
        slow(["train", "unet"], "did you mean 'backbone=unet'?"),
        slow(["data", "dataset=shaeps"], "did you mean 'shapes'?"),
        (["data", "shard_size=0"], "shard_size=0"),
        (["sample", "n=many"], "n=many: input should be a valid integer"),
        (["sample", "a star", "n=(3"], "cannot read 'n=(3'"),
        slow(["evaluate", "extractor=incption"], "did you mean 'inception'?"),
        slow(["describe", "experiment=nowhere/at-all"], "has no option 'nowhere/at-all'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(argv: list[str], told: str, tmp_path: Path) -> None:
    done = run_cli(*argv, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ldmlab: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert not list(tmp_path.iterdir())


SLOW_COMMAND = """
import sys, time
from dataclasses import replace
from ldmlab.cli.commands import sample
def run(config):
    print("running", flush=True)
    time.sleep(60)
sample.COMMAND = replace(sample.COMMAND, run=run)
from ldmlab.cli.main import main
sys.exit(main(["sample"]))
"""


def test_interrupt(heeding: Callable[[], None], tmp_path: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heeding}
    with subprocess.Popen([sys.executable, "-c", SLOW_COMMAND], text=True, cwd=tmp_path, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "ldmlab: stopped by SIGINT\n"
