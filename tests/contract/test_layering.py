"""Which room may import which, read from the source. A room that is not in the table fails."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/ldmlab"

MODELS = {
    *("attention", "diffusion", "backbones", "adapters", "autoencoders", "conditioners", "guidance", "samplers"),
    *("compiling", "draws", "precision", "reduction", "types"),
}
TABLE = SOURCE.parents[1] / "docs/architecture.md"
"""Its rows say what each room may import."""


def table(text: str) -> dict[str, set[str]]:
    """The rooms of a table, and what stands in its last column; "the model rooms" are `MODELS`."""
    found = re.findall(r"^\| `(\w+)(?:/|\.py)` \|.*\| ([^|]+) \|$", text, re.MULTILINE)
    every = {room for room, _ in found}
    rooms = {}
    for room, cell in found:
        names = {name.strip() for name in cell.removeprefix("all but ").split(",")} - {"-", "all"}
        named = names - {"the model rooms"} | (MODELS if "the model rooms" in names else set())
        assert named <= every, f"{room} may import {named - every}, which are no rooms"
        rooms[room] = every - named if cell.startswith("all") else named
    return rooms


ROOMS = table(TABLE.read_text())

OUTSIDE: dict[str, set[str]] = {
    "hydra": {"configs", "cli"},
    "omegaconf": {"configs", "cli"},
    "lightning": {"data", "training", "cli"},
    "pytorch_lightning": set(),
    "lightning_fabric": set(),
}

USED_WHERE_NEEDED = {
    *("diffusers", "matplotlib", "open_clip", "scipy", "timm", "torchmetrics", "torchvision", "transformers"),
    *("datasets", "pyarrow", "wandb", "xformers"),
}
"""Packages that take long to import, and that only some runs need: imported inside functions."""
WITHOUT_THEIR_ROOT = {"metrics/base.py": {"torchmetrics"}}
"""Files that import a module of such a package whose root `lean_imports` keeps empty, which is quick."""


def room_of(path: Path) -> str:
    """The first part of a module's name below ldmlab."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Absolute names of all modules imported anywhere in a file, for typing and inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def violations(path: Path) -> list[str]:
    """What a file imports that its room may not."""
    room = room_of(path)
    package = ["ldmlab", *path.relative_to(SOURCE).parent.parts]
    wrong = []
    for name in imports(parsed(path), package):
        top, _, rest = name.partition(".")
        inner = rest.partition(".")[0]
        if top in OUTSIDE and room not in OUTSIDE[top]:
            wrong.append(name)
        if top == "ldmlab" and inner in ROOMS and inner not in ROOMS[room] | {room, "__init__"}:
            wrong.append(name)
    return wrong


FILES = sorted(SOURCE.rglob("*.py"))


def test_every_room_is_in_the_table() -> None:
    assert {room_of(path) for path in FILES} <= set(ROOMS)


def found(wrong: Callable[[Path], object]) -> dict[str, object]:
    """What is wrong with each file, but for those with nothing."""
    return {str(path.relative_to(SOURCE)): told for path in FILES if (told := wrong(path))}


def test_imports() -> None:
    assert found(violations) == {}


def imported_at_once(path: Path) -> set[str]:
    """Large packages that are imported when a module is, for which every command would wait."""
    statements = [node for node in parsed(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name.partition(".")[0] for node in statements for name in imports(node, [])}
    return names & USED_WHERE_NEEDED - WITHOUT_THEIR_ROOT.get(str(path.relative_to(SOURCE)), set())


def test_large_packages_are_imported_where_they_are_used() -> None:
    assert found(imported_at_once) == {}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("backbones/a.py", "from ldmlab.samplers.ddim import DDIM"),
        ("backbones/a.py", "from ldmlab import samplers"),
        ("backbones/a.py", "from ..samplers import ddim"),
        ("backbones/a.py", "from .. import samplers"),
        ("backbones/a.py", "import ldmlab.training.autoencoder as x"),
        ("backbones/a.py", "def f():\n    from ldmlab.cli import main"),
        ("samplers/a.py", "from lightning.pytorch import Trainer"),
        ("training/a.py", "import hydra"),
        ("data/a.py", "if TYPE_CHECKING:\n    from omegaconf import DictConfig"),
        ("training/a.py", "import pytorch_lightning"),
        ("types.py", "from ldmlab.attention import backends"),
    ],
)
def test_violations_are_seen(file: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    assert violations(path)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("backbones/a.py", "from ldmlab.backbones.attention_layers import Attention\nfrom .embeddings import x"),
        ("backbones/a.py", "from ldmlab import __version__"),
        ("training/a.py", "import lightning.pytorch as pl"),
        ("cli/a.py", "import hydra\nfrom ..training import autoencoder"),
    ],
)
def test_allowed_imports_pass(file: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    assert violations(path) == []
