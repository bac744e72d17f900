"""What Lightning's Trainer takes beyond what the defaults of its yaml show, and what a config does not hand on."""

from __future__ import annotations

from typing import Any, Literal

Batches = int | float | None
TRAINER_TYPES: dict[str, Any] = {
    "max_steps": int,
    "max_epochs": int | None,
    "max_time": str | dict[str, int] | None,
    "min_steps": int | None,
    "min_epochs": int | None,
    "devices": list[int] | str | int,
    "precision": Literal[16, 32, 64] | str | None,
    "gradient_clip_val": int | float | None,
    "gradient_clip_algorithm": str | None,
    "fast_dev_run": int | bool,
    "limit_train_batches": Batches,
    "limit_val_batches": Batches,
    "overfit_batches": int | float,
    "val_check_interval": int | float | str | dict[str, int] | None,
    "check_val_every_n_epoch": int | None,
    "num_sanity_val_steps": int | None,
    "log_every_n_steps": int | None,
    "enable_progress_bar": bool | None,
    "enable_model_summary": bool | None,
    "deterministic": bool | Literal["warn"] | None,
    "benchmark": bool | None,
    "profiler": str | None,
}
"""What keys of Lightning's Trainer take that their defaults do not show. Importing Lightning would take seconds."""

SET_BY_LDMLAB: dict[str, str] = {
    "trainer.logger": "choose them by logger=[csv,wandb]",
    "trainer.default_root_dir": "use output_dir",
    "trainer.enable_checkpointing": "a run is exported from its last checkpoint; checkpoint_every says how often",
    "trainer.barebones": "it takes away the checkpoints",
    "trainer.use_distributed_sampler": "ldmlab reads the data in an order of its own",
}
"""Keys that Lightning has and a run cannot, and what to do instead."""
