from __future__ import annotations

from pathlib import Path

from ldmlab.configs.compose import validate


def test_a_file_is_read_again_once_it_has_changed(tmp_path: Path) -> None:
    option = tmp_path / "optimizer/mine.yaml"
    option.parent.mkdir()
    words = (f"hydra.searchpath=[file://{tmp_path}]", "optimizer=mine")
    for rate in (0.5, 0.25):
        option.write_text(f"_target_: torch.optim.SGD\n_partial_: true\nlr: {rate}\n")
        for _ in range(2):
            assert validate("train", words, complete=False).optimizer.lr == rate


def test_a_config_that_is_changed_leaves_the_next_as_it_was() -> None:
    first = validate("train", (), complete=False)
    first.data.batch_size = 3
    assert validate("train", (), complete=False).data.batch_size != 3
