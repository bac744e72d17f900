"""The manual answers at once, and nothing heavy is imported before a config has been found right."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from ldmlab.cli.command import names

HEAVY = ("torch", "lightning", "numpy", "PIL", "wandb", "rich")
PAGES_ARGV = [[], ["--help"], *([name, "--help"] for name in names()), ["train", "--help", "backbone"]]


def run_cli(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ldmlab", *argv], capture_output=True, text=True, check=False)


def imported_by(*lines: list[str]) -> set[str]:
    """The modules that command lines leave imported."""
    each = f"for argv in {lines!r}: main(argv)"
    code = f"import sys; from ldmlab.cli.main import main\n{each}\nprint('MODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES ")[2].split())


@pytest.fixture(scope="module")
def compiled() -> None:
    """What every page imports has been read and compiled once."""
    run_cli("train", "--help", "backbone")


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("argv", PAGES_ARGV, ids=" ".join)
def test_help_takes_less_than_half_a_second(argv: list[str]) -> None:
    """Processor time, which other processes on the machine do not stretch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_cli(*argv)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert done.stderr == ""
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_help_imports_neither_hydra_nor_anything_heavy() -> None:
    assert not imported_by(*PAGES_ARGV) & {*HEAVY, "hydra", "omegaconf"}


@pytest.mark.parametrize("argv", [["train", "+nonsense=1"], ["sample", "--cfg", "job"], ["train", "backbone=dti"]])
def test_validation_imports_nothing_heavy(argv: list[str]) -> None:
    modules = imported_by(argv)
    assert "hydra" in modules
    assert not modules & set(HEAVY)


def test_reader_that_leaves_early_is_no_error() -> None:
    script = f"{sys.executable} -m ldmlab train --help | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
