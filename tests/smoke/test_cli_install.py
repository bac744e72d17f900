"""conf/ and experiments/ are found from a wheel and from an editable install, not only from a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
STUDY = "# @package _global_\nseed: 77\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a study of its own."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("src", "conf", "experiments"):
        ignore = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / name, copy / name, ignore=ignore, symlinks=True)
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    (copy / "README.md").write_text("ldmlab\n")
    (copy / "experiments/study").mkdir()
    (copy / "experiments/study/variant.yaml").write_text(STUDY)
    return copy


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a fresh environment that sees the packages of this one, but not ldmlab."""
    venv.create(tmp_path / "venv", with_pip=False)
    site = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    (site / "packages.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    return tmp_path / "venv/bin/python"


def install(python: Path, *what: str) -> None:
    command = [*PIP, "--python", str(python), "install", "--no-deps", "--no-build-isolation", "--no-index", *what]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": ""})


def composed(python: Path, cwd: Path, *argv: str) -> str:
    command = [str(python.parent / "ldmlab"), *argv]
    environment = os.environ | {"PYTHONPATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel(source: Path, python: Path, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    wheel = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run(wheel, check=True, capture_output=True)
    install(python, str(next(tmp_path.glob("ldmlab-*.whl"))))
    assert "seed: 77" in composed(python, tmp_path, "train", "experiment=study/variant", "--cfg", "job")
    assert "study/variant" in composed(python, tmp_path, "train", "--help")


def test_editable_install_reads_the_checkout(source: Path, python: Path, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    pytest.importorskip("editables")
    install(python, "-e", str(source))
    later = source / "experiments/study/later.yaml"
    later.write_text(STUDY.replace("77", "78"))
    assert "seed: 78" in composed(python, tmp_path, "train", "experiment=study/later", "--cfg", "job")
