"""The ranges of the keys that belong to a command itself. Keys of components are checked by their constructors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Path = Annotated[str, Field(min_length=1)]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp16", "tf32", "fp32"]
Compile = Literal["auto", True, False]
CHOICES = ("precision", "compile")
"""Keys that are one of few values, which their defaults do not show."""


class Keys(BaseModel):
    """Keys that no group brings in; others are refused."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class ShardFolder(Keys):
    """Where a command that writes shards puts them."""

    path: Path


class DataKeys(Keys):
    """`ldmlab data`."""

    data: ShardFolder
    shard_size: Count
    workers: Count


class TrainerKeys(BaseModel):
    """What Lightning's Trainer would take, and a run not. The rest of its keys are its own."""

    max_steps: Count


class TrainKeys(Keys):
    """`ldmlab train`. Those with a default come with model=latent_diffusion."""

    seed: Seed
    trainer: TrainerKeys
    precision: Precision
    compile: Compile
    ckpt_path: Path | None
    init_ckpt: Path | None
    allow_other_data: bool
    output_dir: Path
    checkpoint_every: Count
    grid_every: Count
    export_half: bool
    cache_latents: bool = True
    autoencoder_ckpt: Path | None = None
    min_psnr: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    conditioner_ckpt: Path | None = None
    export_autoencoder: bool = True
    grid_prompts: Annotated[list[str], Field(min_length=1)] | None = None
    grid_attention: bool = False


class ModelKeys(Keys):
    """What draws with a trained model."""

    ckpt: Path | None
    seed: Seed
    batch_size: Count
    ema: bool
    device: Device
    precision: Precision
    compile: Compile
    output_dir: Path


class SampleKeys(ModelKeys):
    """`ldmlab sample`."""

    prompts: Path | list[str] | None
    negative_prompt: str | None
    n: Count | None


class EvaluateKeys(ModelKeys):
    """`ldmlab evaluate`."""

    path: Path | None
    heldout_path: Path | None
    metric: Literal["pictures", "vlb"]
    bound_steps: Annotated[int, Field(ge=2)] | None
    n: Annotated[int, Field(ge=2)]
    pictures_per_caption: Count


class DescribeKeys(TrainKeys):
    """`ldmlab describe`."""

    depth: Count
    dtype: Literal["float32", "bfloat16", "float16"]
    json_: Annotated[bool, Field(alias="json")]


Text = Annotated[str, Field(min_length=1)]
PerWord = dict[str, Any] | list[str] | None
"""Values of words, as {WORD: VALUE} or as ["WORD: VALUE"]."""


class EditKeys(ModelKeys):
    """`ldmlab edit`. The method's own keys come with it; those that hold a mapping are named here as well."""

    model_config = ConfigDict(extra="allow")

    source: Text | None
    target: Text | None
    image: Path | None
    mask: Path | None
    n: Count
    word_tau: PerWord = None
    reweight: PerWord = None


class BenchmarkKeys(ModelKeys):
    """`ldmlab benchmark`, with the method's own keys as for `ldmlab edit`."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["swap", "insert", "delete", "reweight"]
    weight: Annotated[float, Field(allow_inf_nan=False, strict=True)]
    n: Count
    figure: Text
    word_tau: PerWord = None
    reweight: PerWord = None


class AttentionKeys(ModelKeys):
    """`ldmlab attention`."""

    prompt: Text
    words: Annotated[list[str], Field(min_length=1)] | None
    by: Literal["step", "site"] | None
    step_bins: Count
    sites: Annotated[list[str], Field(min_length=1)] | None
    scale: Literal["word", "common"]
    save_maps: bool
    half_maps: bool
    n: Count


class ImportKeys(Keys):
    """`ldmlab import`."""

    path: Path
    output: Path | None
    autoencoder_ckpt: Path | None
    conditioner_ckpt: Path | None
    tokenizer: Path | None
    image_size: Count | None
    heads: Count | None
    head_width: Count | None
    latent_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    quick_gelu: bool | None
    zero_terminal_snr: bool | None
    ema: bool
    half: bool


class ExportKeys(Keys):
    """`ldmlab export`."""

    ckpt: Path
    output: Path
    format: Literal["diffusers"]
    ema: bool
    half: bool


SCHEMAS: dict[str, type[Keys]] = {
    "data": DataKeys,
    "train": TrainKeys,
    "sample": SampleKeys,
    "edit": EditKeys,
    "benchmark": BenchmarkKeys,
    "attention": AttentionKeys,
    "evaluate": EvaluateKeys,
    "describe": DescribeKeys,
    "import": ImportKeys,
    "export": ExportKeys,
}


def takes_mapping(command: str, key: str) -> bool:
    """Whether a command's own key may hold a mapping, which the `null` of its yaml does not say."""
    fields = SCHEMAS[command].model_fields
    return key in fields and any(get_origin(part) is dict for part in get_args(fields[key].annotation))


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
