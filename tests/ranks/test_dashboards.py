"""What several ranks log and keep is what one does: losses by timestep, figures of evaluation, one run of W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ldmlab.studio.wandb_history import WandbHistory, history

from .jobs import rows, train, train_until_one_rank_is_asked_to_stop
from .together import together

pytestmark = pytest.mark.ranks
WORDS = (
    "callbacks=[default,evaluation,best]",
    "figure=eval/accuracy/caption",
    "callbacks.best.save_top_k=2",  # of which both are equal
    "callbacks.evaluation.n=6",  # which ranks share unevenly
    "callbacks.evaluation.batch_size=2",
    "callbacks.evaluation.every_n_steps=2",
    "logger=[csv,wandb]",
)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_ranks_log_what_one_does(
    strategy: str, tiny: dict[str, Any], shards: Path, autoencoder: Path, tmp_path: Path
) -> None:
    data = (f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    runs: list[WandbHistory] = []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        own = (f"trainer.devices={ranks}", f"output_dir={folder}", f"strategy={strategy if ranks > 1 else 'auto'}")
        together(train, *tiny["dit"], *WORDS, *data, *own, ranks=ranks, patience=300)
        found = history(folder)
        assert found is not None
        assert len(list(folder.glob("wandb/offline-run-*"))) == 1
        runs.append(found)
        assert sorted(path.name for path in (folder / "best").iterdir()) == ["step-0000002.ckpt", "step-0000004.ckpt"]
    one, two = runs
    assert len(one.rows) == len(two.rows) == 4
    assert {"eval/FID-lite0", "eval/accuracy/shape_error"} <= one.rows[1].keys()
    for alone, shared in zip(one.rows, two.rows, strict=True):
        assert alone.keys() == shared.keys()
        for name, value in alone.items():
            if name.startswith("eval/"):
                assert shared[name] == pytest.approx(value, rel=1e-3)
            elif name.startswith(("train/", "val/")):
                assert shared[name] == pytest.approx(value, rel=1e-5)


def test_ranks_break_a_measurement_off_together_and_go_on_with_the_same_curves(
    tiny: dict[str, Any], shards: Path, autoencoder: Path, tmp_path: Path
) -> None:
    words = (*tiny["dit"], *WORDS[:-1], f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    words += ("checkpoint_every=100", "callbacks.evaluation.n=12", "trainer.devices=2")  # three batches of each rank
    run, whole = (f"output_dir={tmp_path / name}" for name in ("run", "whole"))
    told = together(train_until_one_rank_is_asked_to_stop, *words, run, ranks=2, patience=300)
    assert all("stopped by SIGTERM; the last good checkpoint is" in each for each in told), told
    assert not any(row.get("eval/FID-lite0") for row in rows(tmp_path / "run"))
    together(train, *words, run, "ckpt_path=last", ranks=2, patience=300)
    together(train, *words, whole, ranks=2, patience=300)
    curves = [[row["eval/FID-lite0"] for row in rows(tmp_path / name)] for name in ("run", "whole")]
    assert curves[0] == curves[1]
    assert [bool(value) for value in curves[0]] == [False, True, False, True]
