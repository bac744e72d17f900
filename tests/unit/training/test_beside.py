from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from ldmlab.models.checkpoints import read_lightning
from ldmlab.training.callbacks.beside import beside_training
from ldmlab.training.callbacks.last import LastCheckpoint
from ldmlab.training.callbacks.progress import ProgressLines
from ldmlab.training.callbacks.throughput import Throughput


class Failing(L.Callback):
    """Fails at whatever it does."""

    def __init__(self) -> None:
        self.calls = 0

    def on_train_start(self, *_: Any) -> None:
        raise OSError(28, "No space left on device")

    def on_train_batch_end(self, *_: Any) -> None:
        self.calls += 1
        raise RuntimeError("two\nlines")


def test_trouble_is_told_once_and_the_callback_is_asked_again(
    autoencoder_training: Callable[..., Any],
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    callback = beside_training("the test")(Failing)()
    assert fit(autoencoder_training(), batches(3), [callback]).global_step == 3
    assert callback.calls == 3
    told = [record.getMessage() for record in caplog.records if record.name.startswith("ldmlab")]
    assert told == [
        "the test failed at step 0, and training goes on (OSError: [Errno 28] No space left on device)",
    ]


def test_an_interrupt_ends_training_all_the_same(
    autoencoder_training: Callable[..., Any], batches: Any, fit: Any
) -> None:
    class Interrupting(L.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        fit(autoencoder_training(), batches(3), [beside_training("the test")(Interrupting)()])


def test_speed_and_progress_stand_beside_training(
    autoencoder_training: Callable[..., Any], batches: Any, fit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal that is gone, for example."""

    def gone(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("builtins.print", gone)
    module = autoencoder_training()
    monkeypatch.setattr(module, "log", gone)
    monkeypatch.setattr(module, "log_dict", lambda *_, **__: None)
    assert fit(module, batches(3), [ProgressLines(seconds=0), Throughput()]).global_step == 3


def test_a_run_whose_time_is_over_is_saved(
    autoencoder_training: Callable[..., Any], batches: Any, fit: Any, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    last = LastCheckpoint(100, path)

    class TimeIsOver(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
            trainer.should_stop = trainer.global_step == 2
            last.on_train_batch_end(trainer, module)

    fit(autoencoder_training(), batches(4), [TimeIsOver()])
    assert read_lightning(path)["global_step"] == 2
