"""What `make bench-gpu` measures, in tiny sizes on a CPU: every section runs and says something of both sides."""

from __future__ import annotations

import gc
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from side_by_side import __main__ as command
from side_by_side.record import BEGIN, END
from side_by_side.sections import SECTIONS as NAMED

COMPARED = {"Drawing", "Training", "The whole command", "Passes"}
SECTIONS = COMPARED | {"Matrix products", "Attention", "Read by the verifier"}


@pytest.fixture
def as_written() -> Iterator[None]:
    """Compiled modules run as they are written: what compilers make of them is not for this test."""
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.fixture
def soon_tidy() -> Iterator[None]:
    """Memory is tidied before each row, which need not look through all that was imported."""
    pytest.importorskip("diffusers", exc_type=ImportError)
    for place in NAMED.values():
        importlib.import_module(f"side_by_side.{place.partition('.')[0]}")
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return path


@pytest.mark.usefixtures("as_written", "soon_tidy")
@pytest.mark.slow
def test_every_section_runs(tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert command.main(["--device", "cpu", "--size", "tiny", "--out", str(out), "--page", str(page)]) == 0
    where, *rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert set(where) == {"device", "day", "torch", "diffusers", "commit"}
    assert [row["notes"] for row in rows if row["notes"]] == []
    assert {row["section"] for row in rows} == SECTIONS
    assert all(row["ratio"] > 0 for row in rows if row["section"] in COMPARED)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert all(f"### {section}\n" in text for section in SECTIONS)


def test_without_a_gpu_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_section_that_is_not_there_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--device", "cpu", "--size", "tiny", "--sections", "drawing,nothing"]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("bench-gpu: there is no section nothing; choose of drawing, training,")
