"""What a command costs before it works, in CPU time against that of `import torch`, measured in turns."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench
ROUNDS = 3
TORCH = "import torch"
LEAN = """
import ast
from importlib import import_module
from pathlib import Path
from ldmlab import lean_imports
from ldmlab.cli import launch
lean_imports.install()
module = import_module("ldmlab.cli.commands.{command}")
for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
    if isinstance(node, ast.ImportFrom):
        import_module(node.module)
"""
DRAWING = """
import os, sys
from ldmlab.cli.main import main
import torch
from ldmlab.samplers.base import Sampler
Sampler.sample = lambda *_, **__: os._exit(0)
sys.exit(main(["sample", "a red star", "n=1", "device=cpu", "output_dir=run"]))
"""
RUNS = {
    "sample, to its first step": (DRAWING, 1.7),
    "describe, imported": (LEAN.format(command="describe"), 1.5),
    "train, imported": (LEAN.format(command="train"), 2.2),
}
"""Code, and the most that it may take, in times of torch's own import."""


def cpu_seconds(code: str, folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=environment, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_start_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [TORCH, *(code for code, _ in RUNS.values())]
    times: list[list[float]] = [[] for _ in codes]
    for number in range(ROUNDS):
        for index, code in enumerate(codes):
            folder = tmp_path / f"{number}-{index}"
            folder.mkdir()
            times[index].append(cpu_seconds(code, folder))
    torch, *others = [statistics.median(each) for each in times]
    ratios = {name: taken / torch for name, taken in zip(RUNS, others, strict=True)}
    with capsys.disabled():
        print(f"\nimport torch: {torch:.2f} s", *(f"{name}: {ratio:.2f}" for name, ratio in ratios.items()), sep="\n")
    assert {name: ratio for name, ratio in ratios.items() if ratio > RUNS[name][1]} == {}
