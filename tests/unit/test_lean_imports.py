"""Roots of large packages run when they are needed, and no command imports what it does not use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, reload
from pathlib import Path

import pytest

from ldmlab import lean_imports

HEAVY = [
    *("lightning", "torchmetrics", "scipy", "torchvision", "transformers", "diffusers", "open_clip", "timm", "wandb"),
    "matplotlib",
]
LIGHT_COMMANDS = ["sample", "describe", "edit", "attention", "benchmark", "data", "export", "import_"]
SCRIPT = f"""
import ast, sys
from importlib import import_module
from pathlib import Path
from ldmlab.cli import launch
from ldmlab import lean_imports

lean_imports.install()
def run_imports(command):
    # What a command imports when it is run.
    module = import_module(f"ldmlab.cli.commands.{{command}}")
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.ImportFrom):
            import_module(node.module)

for command in {LIGHT_COMMANDS}:
    run_imports(command)
loaded = [name for name in {HEAVY} if name in sys.modules]
assert not loaded, f"for {LIGHT_COMMANDS}: {{loaded}}"
from ldmlab.models.loading import load_latent_diffusion
load_latent_diffusion(None)
assert "torch._dynamo" not in sys.modules, "a model is built without PyTorch's compiler"
run_imports("evaluate")
run_imports("train")
import ldmlab.training.csv_log
loaded = {{name for name in {HEAVY} if name in sys.modules}} - {{"lightning", "torchmetrics"}}
assert not loaded, f"for train: {{loaded}}"
import torchmetrics
from importlib.metadata import version
assert torchmetrics.__version__ == version("torchmetrics")  # Lightning asks for it
assert "torchmetrics.functional" not in sys.modules
from torchmetrics.image.fid import FrechetInceptionDistance
assert "transformers" not in sys.modules
assert issubclass(FrechetInceptionDistance, torchmetrics.Metric)
assert issubclass(torchmetrics.MeanMetric, torchmetrics.Metric)  # not in the table: makes the root run
assert type(torchmetrics) is type(sys)
"""


def test_commands_import_what_they_use() -> None:
    """One process for all, since each costs the import of torch."""
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package whose root imports much, under the finder."""
    name = "ldmlab_large_package"
    root = tmp_path / name
    (root / "inner").mkdir(parents=True)
    (root / "__init__.py").write_text(
        "from .inner.deep import figure\nfrom .costly import Costly\n__all__ = ['Costly']\n"
    )
    (root / "inner/__init__.py").write_text("raise RuntimeError('the inner root ran')\n")
    (root / "inner/deep.py").write_text("figure = 7\n")
    (root / "costly.py").write_text("class Costly: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    table = {name: {"number": f"{name}.inner.deep"}, f"{name}.inner": {}}
    monkeypatch.setattr(lean_imports, "ROOTS", table)
    lean_imports.install()
    yield name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def test_submodules_come_without_their_root(package: str) -> None:
    """At two depths, and named as an attribute or after `from`."""
    assert import_module(f"{package}.inner.deep").figure == 7
    assert f"{package}.costly" not in sys.modules
    assert sys.modules[package].inner is sys.modules[f"{package}.inner"]


def test_root_runs_when_a_name_of_its_own_is_asked_for(package: str) -> None:
    """As if it had run at once."""
    root = import_module(package)
    assert f"{package}.costly" not in sys.modules
    assert root.Costly is sys.modules[f"{package}.costly"].Costly
    assert root.figure == 7
    assert type(root) is type(sys)
    with pytest.raises(AttributeError):
        _ = root.absent


def test_everything_is_what_it_would_have_been(package: str) -> None:
    """`import *` takes `__all__`."""
    names: dict[str, object] = {}
    exec(f"from {package} import *", names)
    assert names["Costly"] is sys.modules[package].Costly


def test_root_can_be_reloaded(package: str) -> None:
    """Before it has run, and after."""
    root = import_module(package)
    assert reload(root) is root
    assert f"{package}.costly" not in sys.modules
    root.figure, before = 8, root.Costly
    assert reload(root).figure == 7
    assert root.Costly is before


def test_name_from_the_table_comes_from_its_module(package: str) -> None:
    """And a root that fails tells its own error."""
    root = import_module(package)
    sys.modules[package].__dict__["inner"] = import_module(f"{package}.inner")
    vars(import_module(f"{package}.inner.deep"))["number"] = 8
    assert root.number == 8
    assert f"{package}.costly" not in sys.modules
    with pytest.raises(RuntimeError, match="the inner root ran"):
        _ = root.inner.absent


def test_missing_package_is_missing(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in the table that is not installed."""
    monkeypatch.setattr(lean_imports, "ROOTS", {"ldmlab_absent": {}})
    with pytest.raises(ModuleNotFoundError):
        import_module("ldmlab_absent")
