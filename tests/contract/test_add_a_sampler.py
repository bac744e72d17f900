"""A new sampler is one .py and one .yaml, wherever they lie; docs/architecture.md shows these two."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SAMPLER_PY = '''
from ldmlab.samplers.base import Sampler


class StraightLines(Sampler):
    """Follows the tangent of the probability flow, in y = x / alpha over the noise ratio r = sigma / alpha."""

    def step(self, denoise, x, level, next_level, hooks):
        alpha, sigma = level.like(x)
        next_alpha, next_sigma = next_level.like(x)
        slope = (x / alpha - denoise(x, level)) / (sigma / alpha)
        return next_alpha * (x / alpha + (next_sigma / next_alpha - sigma / alpha) * slope)
'''
SAMPLER_YAML = """
_target_: straight_lines.StraightLines
steps: 50
spacing: trailing
last_level: clean
"""


def pictures(folder: Path) -> np.ndarray[Any, Any]:
    return np.stack([np.asarray(Image.open(path)).astype(int) for path in sorted(folder.glob("0*.png"))])


def test_a_sampler_in_a_folder_of_its_own(dit: Path, ldmlab: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "straight_lines.py").write_text(SAMPLER_PY)
    (tmp_path / "conf/sampler").mkdir(parents=True)
    (tmp_path / "conf/sampler/straight_lines.yaml").write_text(SAMPLER_YAML)
    common = [
        "a red star",
        f"ckpt={dit / 'last.ckpt'}",
        "n=3",
        "sampler.steps=7",
        "sampler.spacing=leading",
        "device=cpu",
    ]
    added = ["--config-dir", str(tmp_path / "conf"), "sampler=straight_lines", f"output_dir={tmp_path / 'added'}"]
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-m", "ldmlab", "sample", *common, *added],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ldmlab("sample", *common, f"output_dir={tmp_path / 'ddim'}").code == 0
    drawn, known = pictures(tmp_path / "added"), pictures(tmp_path / "ddim")
    assert drawn.shape == (3, 32, 32, 3)
    assert np.abs(drawn - known).max() <= 1  # DDIM with eta 0 is the same method, written differently
    assert drawn.std() > 1
