from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ldmlab.cli.export_run import MODEL
from ldmlab.cli.resume import find_start, last_good


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """(ckpt_path) -> as much of a config as says where a run goes on."""
    return lambda ckpt_path: SimpleNamespace(output_dir=str(tmp_path), ckpt_path=ckpt_path)


def test_where_nothing_is_a_run_begins(config: Any, tmp_path: Path) -> None:
    assert find_start(config("auto")) is None
    (tmp_path / "metrics.csv").touch()
    assert find_start(config(None)) is find_start(config("auto")) is None
    with pytest.raises(ValueError, match=r"ckpt_path=last: no such file as .*ckpt_path=auto"):
        find_start(config("last"))


@pytest.mark.parametrize("ckpt_path", [None, "auto", "elsewhere/last.ckpt"])
def test_a_model_whose_checkpoints_are_gone_is_not_written_over(ckpt_path: str, config: Any, tmp_path: Path) -> None:
    (tmp_path / MODEL).touch()
    with pytest.raises(ValueError, match=f"output_dir={tmp_path}: holds {MODEL} .* another folder"):
        find_start(config(ckpt_path))


def test_where_nothing_is_saved_what_else_there_is_to_do(tmp_path: Path) -> None:
    assert last_good(tmp_path, "begin anew") == "nothing is saved yet: begin anew"
