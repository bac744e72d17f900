from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ldmlab.cli.export_run import export_run, is_exported


@pytest.mark.parametrize("half", [False, True])
def test_a_model_is_known_by_what_its_file_keeps(half: bool, tmp_path: Path) -> None:
    """In fp16 weights are rounded, and whole numbers and scalars are not."""
    checkpoint = tmp_path / "last.ckpt"
    whole: Any = SimpleNamespace(name="autoencoder")
    cfg: Any = SimpleNamespace(output_dir=str(tmp_path), export_half=half, model=whole, get=lambda _, other: other)

    def save(seen: int) -> None:
        state = {"w": torch.tensor([0.1]), "scale": torch.tensor(0.1), "seen": torch.tensor(seen)}
        named = {f"autoencoder.{name}": value for name, value in state.items()}
        torch.save({"config": {"model": "autoencoder"}, "state_dict": named}, checkpoint)

    save(seen=100_001)
    assert not is_exported(cfg, checkpoint)
    export_run(cfg, checkpoint)
    assert is_exported(cfg, checkpoint)
    save(seen=100_002)
    assert not is_exported(cfg, checkpoint)
