from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ldmlab.training.export import Export


@pytest.mark.parametrize("half", [False, True])
def test_a_model_is_known_by_what_its_file_keeps(half: bool, tmp_path: Path) -> None:
    """In fp16 weights are rounded, and whole numbers and scalars are not."""
    checkpoint, export = tmp_path / "last.ckpt", Export(tmp_path, half)

    def save(seen: int) -> None:
        state = {"w": torch.tensor([0.1]), "scale": torch.tensor(0.1), "seen": torch.tensor(seen)}
        named = {f"autoencoder.{name}": value for name, value in state.items()}
        torch.save({"config": {"model": "autoencoder"}, "state_dict": named}, checkpoint)

    save(seen=100_001)
    assert not export.is_written(checkpoint)
    assert export.write(checkpoint) == export.path
    assert export.is_written(checkpoint)
    save(seen=100_002)
    assert not export.is_written(checkpoint)
