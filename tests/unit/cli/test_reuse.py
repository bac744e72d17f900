from __future__ import annotations

from pathlib import Path

import pytest

from ldmlab.cli.command import find
from ldmlab.cli.reuse import require_own
from ldmlab.configs.errors import UserError
from ldmlab.run_folder import RunFolder

BEFORE = "seed: 0\nbatch_size: 16\ndevice: auto\n"
"""The config of a run from before there were the keys `precision` and `compile`."""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of an earlier `ldmlab edit`."""
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/config.yaml").write_text(BEFORE)
    (tmp_path / ".hydra/hydra.yaml").write_text("hydra:\n  job:\n    name: edit\n")
    (tmp_path / "contact_sheet.png").touch()
    return RunFolder.claim(tmp_path, ".hydra", "edit.log")


@pytest.mark.parametrize("compiled", ["auto", "true", "false"])
def test_a_run_from_before_there_were_precisions_is_the_same_by_default(folder: RunFolder, compiled: str) -> None:
    require_own(folder, "edit", f"{BEFORE}precision: auto\ncompile: {compiled}\n", find("edit"))
    with pytest.raises(UserError, match="this one has seed=1"):
        require_own(folder, "edit", f"{BEFORE.replace('0', '1', 1)}compile: {compiled}\n", find("edit"))


def test_another_precision_is_another_run(folder: RunFolder) -> None:
    with pytest.raises(UserError, match=r"holds another run \(this one has precision=bf16\)"):
        require_own(folder, "edit", f"{BEFORE}precision: bf16\ncompile: auto\n", find("edit"))
