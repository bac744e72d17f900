"""Every command line that README, docs/, experiments/ and the demo show does run, in the order of its page.

A page has a folder of its own, where later lines find what earlier ones wrote. `lines.py` makes each line do little;
files of the reader's own that a page names are made when they are first named (`named.py`, `conftest.py`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

from .lines import Line, files_of, line_of, lines_of, smaller
from .named import Named

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "experiments").rglob("*.md"))]
DEMO = "make demo"


def recipe(target: str) -> list[Line]:
    """The commands that a target of the Makefile runs."""
    command = ["make", "--dry-run", "--always-make", target]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = re.sub(r"\\\n\s*", "", told).splitlines()
    return [line_of(line.partition("/bin/")[2]) for line in lines if line.startswith(".venv/bin/ldmlab ")]


PAGES = {path.relative_to(ROOT).as_posix(): [*lines_of(path.read_text())] for path in TEXTS} | {DEMO: recipe("demo")}

FIRST_READ = "README.md"
"""The page whose lines are composed and checked with every `make test`; the demo runs, and slow tests run all."""
COMPOSED = ("experiment=published/dit_xl_2", "experiment=published/dit_s_2", "autoencoder=kl_f8", "dataset=openmoji")
"""Words of lines that are composed and checked, and not run: networks of published sizes at 256 px, 4,000 pictures."""
MEANT = {
    "ldmlab COMMAND --help": "ldmlab sample --help",
    "ldmlab COMMAND --help GROUP": "ldmlab sample --help sampler",
    "ldmlab sample 3 7 ckpt=...": "ldmlab sample 3 7 ckpt=dit.safetensors",
    "ldmlab train ... output_dir=runs/mine ckpt_path=last": "ldmlab train autoencoder_ckpt=runs/ae/model.safetensors"
    " data.path=/laion data.heldout_path=/laion-heldout output_dir=runs/mine ckpt_path=last",
    "ldmlab sample 'a red star' ... seed=7 sampler.steps=20": "ldmlab sample 'a red star' seed=7 sampler.steps=20",
    "ldmlab sample prompts=FILE": "ldmlab sample prompts=prompts.txt",
    "ldmlab import PATH output=model.safetensors": "ldmlab import stable-diffusion-v1-5/ output=model.safetensors",
    "ldmlab train experiment=STUDY/VARIANT seed=1": "ldmlab train experiment=shapes/dit seed=1 data.path=data/shapes",
    "ldmlab describe experiment=published/NAME": "ldmlab describe experiment=published/ldm_8_text",
    "ldmlab edit method=image_to_image": "ldmlab edit method=image_to_image --cfg job",
    "ldmlab evaluate n=200 sampler.steps=25 precision=...": "ldmlab evaluate n=200 precision=bf16",
    "ldmlab train ... adapter_ckpt=FILE": "ldmlab train experiment=own/lora init_ckpt=runs/dit/model.safetensors"
    " data.path=data/pictures adapter_ckpt=runs/lora/adapter.safetensors",
    "ldmlab runs FOLDER": "ldmlab runs runs/rates",
    "ldmlab evaluate metric=vlb": "ldmlab evaluate metric=vlb metric.vlb.steps=2",
}
"""A command for each form, in which a word stands for others or some are left out."""
ELSEWHERE = {
    "submit": "tests/unit/cli/test_submit.py",
    "backbone.conditioning=mm_dit": "tests/contract/test_add_an_mm_dit_block.py",
    "ckpt=runs/mm_dit/model.safetensors": "tests/contract/test_add_an_mm_dit_block.py",
}
"""Words of lines that need code beside them, and the test that runs them with it."""
ALSO = {
    "DiT-XL-2-256x256.pt": ["heads=4"],  # our small stand-in lacks what tells them
    "experiments/editing/regions.py": ["--n", "8", "--steps", "2"],
}
"""Words that are added beside one."""


class Page:
    """Runs command lines in the current folder.

    Attributes:
        failures: each line that did not succeed, and what it said.
        runs: whether commands run; otherwise they are composed and checked, but for sweeps.
    """

    def __init__(self, ldmlab: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, runs: bool) -> None:
        self.ldmlab, self.monkeypatch, self.runs = ldmlab, monkeypatch, runs
        self.failures: list[str] = []

    def run(self, line: Line) -> None:
        for name, value in line.variables.items():
            self.monkeypatch.setenv(name, value)
        if "PYTHONPATH" in line.variables:
            self.monkeypatch.syspath_prepend(Path(line.variables["PYTHONPATH"]).resolve())
        line = replace(line, words=(*line.words, *(more for word in line.words for more in ALSO.get(word, []))))
        how = {"ldmlab": self.command, "make": self.target, "python": self.script}.get(line.program, self.program)
        told = how(line)
        if told:
            self.failures.append(f"{line}\n    {told}")

    def command(self, line: Line) -> str:
        if not self.runs and "-m" in line.words:
            return ""
        composed = "--help" not in line.words and (not self.runs or bool({*line.words} & {*COMPOSED}))
        done = self.ldmlab(*smaller([*line.words, *["--cfg", "job"] * composed]))
        return "" if done.code == 0 else str(done.err.splitlines()[-1])

    def target(self, line: Line) -> str:
        makefile = (ROOT / "Makefile").read_text()
        forms = [rf"^{_key(word)} \?=" if "=" in word else rf"^{word}:.*## " for word in line.words]
        return (
            "" if all(re.search(form, makefile, re.MULTILINE) for form in forms) else "the Makefile has no such target"
        )

    def script(self, line: Line) -> str:
        """A script of the project, in this process."""
        path, *words = line.words
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [path, *words])
            try:
                run_path(str(ROOT / path), run_name="__main__")
            except (Exception, SystemExit) as error:
                return repr(error)
        return ""

    def program(self, line: Line) -> str:
        return "" if os.access(ROOT / line.program, os.X_OK) else "there is no such program"


def _key(word: str) -> str:
    return word.partition("=")[0]


def meant(line: Line) -> Line | None:
    """What to run: the line, or what stands for it; None for the name of a command and for what runs elsewhere."""
    if str(line) in MEANT:
        return line_of(MEANT[str(line)])
    return None if line.is_a_name or {*line.words} & ELSEWHERE.keys() else line


@pytest.fixture
def follow(
    ldmlab: Callable[..., Any],
    named: Named,
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str, bool], list[str]]:
    """(page, whether its lines run) -> what failed."""

    def follow(name: str, runs: bool) -> list[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PWD", str(tmp_path))
        if not any(str(line).startswith("ldmlab data dataset=shapes") for line in PAGES[name]):
            shutil.copytree(scenes, "data/shapes")
        for path, body in files_of((ROOT / name).read_text()) if name != DEMO else ():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(body)
        page = Page(ldmlab, monkeypatch, runs)
        for line in filter(None, map(meant, PAGES[name])):
            here = line.in_this_folder()
            named.make(here)
            page.run(here)
        return page.failures

    return follow


def _page(name: str) -> Any:
    return pytest.param(name, marks=() if name == DEMO else pytest.mark.slow)


@pytest.mark.parametrize("name", [_page(name) for name, lines in PAGES.items() if lines])
def test_every_command_line_runs(name: str, follow: Callable[[str, bool], list[str]]) -> None:
    assert follow(name, True) == []


def test_what_is_read_first_is_composed(follow: Callable[[str, bool], list[str]]) -> None:
    assert "\n".join(follow(FIRST_READ, False)) == ""


def test_what_is_said_of_lines_is_said_of_lines_that_are_there() -> None:
    lines = [line for lines in PAGES.values() for line in lines]
    words = {word for line in lines for word in line.words}
    assert {*MEANT} <= {str(line) for line in lines}
    assert {*ELSEWHERE, *COMPOSED, *ALSO} <= words
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())
