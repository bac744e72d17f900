"""What Lightning's Trainer takes beyond what the defaults of its yaml show, and what a config does not hand on."""

from __future__ import annotations

from typing import Any, Literal

Batches = int | float | None
TRAINER_TYPES: dict[str, Any] = {
    "max_time": str | dict[str, int] | None,
    "min_steps": int | None,
    "min_epochs": int | None,
    "devices": list[int] | str | int,
    "precision": Literal[16, 32, 64] | str | None,
    "gradient_clip_val": int | float | None,
    "gradient_clip_algorithm": str | None,
    "limit_train_batches": Batches,
    "limit_val_batches": Batches,
    "overfit_batches": int | float,
    "val_check_interval": int | float | str | dict[str, int] | None,
    "check_val_every_n_epoch": int | None,
    "log_every_n_steps": int | None,
    "deterministic": bool | Literal["warn"] | None,
    "benchmark": bool | None,
    "profiler": str | None,
}
"""What keys of Lightning's Trainer take that their defaults do not show. Importing Lightning would take seconds."""

SET_BY_LDMLAB: dict[str, str] = {
    "trainer.logger": "choose one by logger=csv or logger=wandb",
    "trainer.callbacks": "grid_every and checkpoint_every say when pictures and checkpoints are made",
    "trainer.plugins": "precision says what they are for",
    "trainer.fast_dev_run": "use trainer.max_steps=1 trainer.limit_val_batches=1",
    "trainer.max_epochs": "a run is trainer.max_steps long",
    "trainer.limit_test_batches": "training tests nothing; see ldmlab evaluate",
    "trainer.limit_predict_batches": "training predicts nothing; see ldmlab sample",
    "trainer.num_sanity_val_steps": "the first validation is at trainer.val_check_interval",
    "trainer.enable_checkpointing": "checkpoint_every says how often",
    "trainer.enable_progress_bar": "there is a bar on a terminal, and lines elsewhere",
    "trainer.enable_model_summary": "see ldmlab describe",
    "trainer.barebones": "it takes away the checkpoints",
    "trainer.sync_batchnorm": "there is one device",
    "trainer.use_distributed_sampler": "ldmlab reads the data in an order of its own",
    "trainer.reload_dataloaders_every_n_epochs": "ldmlab reads the data in an order of its own",
    "trainer.default_root_dir": "use output_dir",
    "trainer.enable_autolog_hparams": "the whole config is logged",
    "trainer.model_registry": "checkpoints stay in output_dir",
}
"""Keys that Lightning has and a config does not, and what to do instead."""
