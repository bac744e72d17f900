"""No package beyond the project's own dependencies is needed to collect the tests, nor for anything of the library.

A test module asks for such a package by `pytest.importorskip` before it imports it. So where one is missing, as on a
machine that is lent with a GPU, its tests are skipped and all others run.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = {"scikit-image": "skimage", "pytest-cov": "pytest_cov", "pytest-xdist": "xdist", "pre-commit": "pre_commit"}
"""Of packages that are not imported by the name that they are installed by."""
RUNNER = {"pytest", "filelock"}
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LIBRARY = sorted((ROOT / "src").rglob("*.py"))


def extras() -> set[str]:
    """What the project's extras add, by the names of imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for extra in project["optional-dependencies"].values() for line in extra]
    found = {re.split(r"[\[<>=!~; ]", line)[0] for line in lines}
    return {NAMES.get(name, name.replace("-", "_")) for name in found} - RUNNER


EXTRAS = extras()


def roots(statement: ast.stmt) -> Iterator[str]:
    """The packages that an import statement names."""
    if isinstance(statement, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        yield statement.module.partition(".")[0]


def asked_for(statement: ast.stmt) -> Iterator[str]:
    """The packages that a statement lets pytest look for."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
            yield ast.literal_eval(node.args[0]).partition(".")[0]


def unasked(source: str) -> set[str]:
    """Optional packages that a module imports when it is read, without having asked for them."""
    known, found = set(), set()
    for statement in ast.parse(source).body:
        found |= (set(roots(statement)) & EXTRAS) - known
        known |= set() if isinstance(statement, ast.FunctionDef | ast.ClassDef) else set(asked_for(statement))
    return found


def test_modules_are_read_where_optional_packages_are_missing() -> None:
    found = {path: unasked(path.read_text()) for path in [*TESTS, *LIBRARY]}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_conftest_skips_nothing_when_it_is_read() -> None:
    """That would leave out a whole folder; its fixtures ask for what they need."""
    for path in (path for path in TESTS if path.name == "conftest.py"):
        statements = ast.parse(path.read_text()).body
        assert [s for s in statements if not isinstance(s, ast.FunctionDef | ast.ClassDef) and [*asked_for(s)]] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import diffusers", {"diffusers"}),
        ("import pytest\nfrom skimage.metrics import psnr", {"skimage"}),
        ("import diffusers\npytest.importorskip('diffusers')", {"diffusers"}),
        ("def f():\n    pytest.importorskip('diffusers')\nimport diffusers", {"diffusers"}),
        ("pytest.importorskip('diffusers.schedulers', exc_type=ImportError)\nimport diffusers as library", set()),
        ("hypothesis = pytest.importorskip('hypothesis')\nfrom hypothesis import given", set()),
        ("import torch\ndef f():\n    import diffusers", set()),
    ],
)
def test_what_is_not_asked_for_is_seen(source: str, found: set[str]) -> None:
    assert unasked(source) == found
