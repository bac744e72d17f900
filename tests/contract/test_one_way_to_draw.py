"""Everything that is drawn goes through one loop, and conditions are made by one rule; read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/ldmlab"
PLACES = {
    "sampler.sample": {"drawing/sampling_plan.py", "editing/regions/blended.py"},
    "opposite": {"drawing/conditions.py"},
    "null_beside": {"drawing/conditions.py", "conditioners/base.py"},
    "PictureNoise": {"drawing/loop.py", "evaluation/latents.py"},
}
"""Who may call what: the last names of the function. `evaluation/latents.py` draws no picture, but has noise."""


def calls(source: str, name: str) -> bool:
    """Whether a function of that name is called anywhere in a file."""
    if name not in source:
        return False
    functions = [ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return any(f".{function}".endswith(f".{name}") for function in functions)


def places(folder: Path, name: str) -> set[str]:
    """The files of a folder with such a call."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if calls(path.read_text(), name)}


@pytest.mark.parametrize("name", PLACES)
def test_each_is_called_where_it_should_be_and_nowhere_else(name: str) -> None:
    assert places(SOURCE, name) == PLACES[name]


@pytest.mark.parametrize(
    "line", ["sampler.sample(x)", "self.sampler.sample(\n  x,\n)", "def f():\n  a.sampler.sample(x)"]
)
def test_a_second_way_is_seen(line: str, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(line)
    assert places(tmp_path, "sampler.sample") == {"other.py"}
