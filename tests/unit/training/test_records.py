"""What loggers learn of the code that a run is computed by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ldmlab.training import records
from ldmlab.training.records import LARGEST, begin_record, end_record, write_diff


class Logger:
    """Takes everything."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.kept: list[Path] = []
        self.ended: list[Path] = []

    def log_hyperparams(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def keep(self, path: Path) -> None:
        self.kept.append(path)

    def keep_artifacts(self, folder: Path) -> None:
        self.ended.append(folder)


def test_loggers_get_settings_commit_versions_and_the_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_diff", lambda: b"- old\n+ new\n")
    monkeypatch.setattr(records, "git_commit", lambda: "0f1e-dirty")
    logger = Logger()
    simple = SimpleNamespace(log_hyperparams=lambda settings: None)
    trainer: Any = SimpleNamespace(is_global_zero=True, loggers=[simple, logger], fast_dev_run=False)
    begin_record(trainer, tmp_path, {"seed": 3})
    assert logger.settings["seed"] == 3
    assert logger.settings["commit"] == "0f1e-dirty"
    assert {"python", "torch", "ldmlab"} <= logger.settings["versions"].keys()
    assert logger.kept == [tmp_path / "code.diff"]
    assert (tmp_path / "code.diff").read_bytes() == b"- old\n+ new\n"
    end_record(trainer, tmp_path)
    assert logger.ended == [tmp_path]


def test_only_the_first_rank_tells(tmp_path: Path) -> None:
    logger = Logger()
    begin_record(SimpleNamespace(is_global_zero=False, loggers=[logger]), tmp_path, {"seed": 3})  # type: ignore[arg-type]
    assert logger.settings == {}


@pytest.mark.parametrize("diff", [b"", b"x" * (LARGEST + 1)])
def test_no_difference_and_a_huge_one_leave_no_file(
    diff: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code.diff").write_text("of an earlier start")
    monkeypatch.setattr(records, "_diff", lambda: diff)
    assert write_diff(tmp_path) is None
    assert not (tmp_path / "code.diff").exists()
