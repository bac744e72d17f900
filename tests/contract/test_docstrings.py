"""Public docstrings are understood alone: no fragment that needs the one above it, no bare reference to another."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/ldmlab"
FRAGMENT = re.compile(r"(Of|Those|Likewise|As above|As there|Same|See|The same|The other's|Nothing)\b")
"""What begins a docstring that leans on its neighbours."""

Defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(node: ast.AST, path: str = "") -> Iterator[tuple[str, str | None]]:
    """The dotted name and the docstring of everything public that is defined in a module or class."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Defined) and not child.name.startswith("_"):
            yield f"{path}{child.name}", ast.get_docstring(child)
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{path}{child.name}.")


def unclear(text: str) -> list[str]:
    """The names in a module whose docstring is missing, of one word, or a fragment."""
    found = public(ast.parse(text))
    return [name for name, doc in found if doc is None or len(doc.split()) < 2 or FRAGMENT.match(doc)]


def test_public_docstrings_are_understood_alone() -> None:
    files = {str(path.relative_to(SOURCE)): unclear(path.read_text()) for path in SOURCE.rglob("*.py")}
    assert {path: names for path, names in files.items() if names} == {}


@pytest.mark.parametrize(
    ("doc", "found"),
    [
        ("The latents of a picture.", False),
        ("Offsets of tensors in a file.", False),
        ("Of the prompts alone.", True),
        ("See `Sampler.step`.", True),
        ("The same of tensors by name.", True),
        ("Decode.", True),
    ],
)
def test_a_fragment_is_seen(doc: str, found: bool) -> None:
    text = f'class A:\n    """One method."""\n    def run():\n        """{doc}"""\n    def _hidden(): ...\n'
    assert unclear(text) == (["A.run"] if found else [])


def test_a_missing_docstring_is_seen() -> None:
    assert unclear("def run(): ...\n") == ["run"]
