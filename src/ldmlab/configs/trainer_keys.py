"""What components take, and a run not: it is made by other keys."""

from __future__ import annotations

SET_BY_LDMLAB: dict[str, str] = {
    "trainer.callbacks": "choose them by callbacks=[default,early_stopping], and your own by --config-dir",
    "trainer.logger": "choose them by logger=[csv,wandb]",
    "trainer.default_root_dir": "use output_dir",
    "trainer.enable_checkpointing": "a run is exported from its last checkpoint; checkpoint_every says how often",
    "trainer.barebones": "it takes away the checkpoints",
    "trainer.use_distributed_sampler": "ldmlab reads the data in an order of its own",
}
"""Keys that Lightning has and a run cannot, and what to do instead."""
SET_ELSEWHERE: dict[str, str] = {
    "data.filter": "choose it by filter=NAME or filter=EXPRESSION",
    "data.seed": "use seed",
}
"""Keys of the data that come from elsewhere in the config, and from where."""
