"""Where a run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldmlab.training.export import MODEL
from ldmlab.training.resume import find_start, last_good


def test_where_nothing_is_a_run_begins(tmp_path: Path) -> None:
    assert find_start(tmp_path, "auto") is None
    (tmp_path / "metrics.csv").touch()
    assert find_start(tmp_path, None) is find_start(tmp_path, "auto") is None
    with pytest.raises(ValueError, match=r"ckpt_path=last: no such file as .*ckpt_path=auto"):
        find_start(tmp_path, "last")


@pytest.mark.parametrize("ckpt_path", [None, "auto", "elsewhere/last.ckpt"])
def test_a_model_whose_checkpoints_are_gone_is_not_written_over(ckpt_path: str | None, tmp_path: Path) -> None:
    (tmp_path / MODEL).touch()
    with pytest.raises(ValueError, match=f"output_dir={tmp_path}: holds {MODEL} .* another folder"):
        find_start(tmp_path, ckpt_path)


def test_where_nothing_is_saved_what_else_there_is_to_do(tmp_path: Path) -> None:
    assert last_good(tmp_path, "begin anew") == "nothing is saved yet: begin anew"
