"""What other programs of the field call the keys of a command and the options of its groups."""

from __future__ import annotations

import re
from collections.abc import Collection

_LENGTH = ("trainer.max_steps", "sampler.steps")
_DEVICES = ("trainer.devices", "device")
_PRECISION = ("precision", "trainer.precision", "half", "export_half", "dtype")
_SCALE = ("guidance.scale",)
_RATE = ("optimizer.lr",)
_BATCH = ("data.batch_size", "batch_size")
_DATA = ("data.path",)
_SIZE = ("data.image_size", "dataset.image_size", "image_size")
_CONTINUE = ("ckpt_path", "ckpt")
_CKPT = ("ckpt", "init_ckpt", "ckpt_path", "path")
_PROMPT = ("prompts", "prompt", "target", "grid_prompts")
_OUTPUT = ("output_dir", "output", "data.path")
_COUNT = ("n", "dataset.train")
_AUTOENCODER = ("autoencoder_ckpt", "autoencoder")

_MEANINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("trainer.max_epochs", *_LENGTH), "epochs max_epochs num_epochs n_epochs num_train_epochs"),
    (_LENGTH, "iterations num_iterations max_iters max_iter"),
    (_LENGTH, "max_steps num_steps n_steps steps total_steps train_steps num_train_steps max_train_steps"),
    (("sampler.steps",), "num_inference_steps inference_steps sampling_steps ddim_steps n_sampling_steps"),
    (_DEVICES, "gpus gpu num_gpus n_gpus gpu_ids num_devices devices nproc_per_node cuda use_cuda"),
    (("trainer.accelerator", "device"), "accelerator device"),
    (("trainer.num_nodes",), "nodes num_nodes nnodes"),
    (_PRECISION, "precision mixed_precision fp16 bf16 amp use_fp16 dtype half"),
    (_SCALE, "cfg cfg_scale guidance_scale guidance_weight unconditional_guidance_scale scale"),
    (_RATE, "lr learning_rate base_lr base_learning_rate"),
    (("optimizer.weight_decay",), "weight_decay wd"),
    (("optimizer.betas",), "betas adam_betas"),
    (_BATCH, "batch batch_size bs train_batch_size global_batch_size"),
    (("data.num_workers", "workers"), "workers num_workers n_workers dataloader_num_workers"),
    (("workers",), "processes processes_count num_processes num_proc"),
    (_SIZE, "image_size img_size resolution res size"),
    (_DATA, "path data_path data_dir dataset_path data_root dataroot root train_data_dir dataset data"),
    (("data.flip",), "flip hflip horizontal_flip random_flip mirror"),
    (("data.crop",), "crop random_crop center_crop"),
    (("data.buckets",), "buckets aspect_ratio_bucketing enable_bucket bucketing aspect_buckets multi_aspect"),
    (("data.heldout_path",), "heldout val_path val_data validation_path heldout_path"),
    (("logger=wandb",), "wandb use_wandb report_to tracker log_with"),
    (("logger.wandb.offline", "logger=wandb"), "offline wandb_offline"),
    (("logger.wandb.project", "logger=wandb"), "project wandb_project"),
    (_CONTINUE, "resume resume_from resume_from_checkpoint restart continue continue_from last"),
    (_CKPT, "ckpt ckpt_path checkpoint checkpoint_path model_path model_ckpt weights pretrained load_from init_from"),
    (_AUTOENCODER, "vae vae_path vae_ckpt first_stage first_stage_ckpt"),
    (_PROMPT, "prompt prompts text caption captions"),
    (("negative_prompt",), "negative neg_prompt negative_prompts uc"),
    (_OUTPUT, "output out output_dir outdir out_dir output_path save_dir save_path logdir log_dir results_dir"),
    (_COUNT, "n num_samples n_samples num_images n_images samples num n_iter num_pictures count"),
    (("seed", "dataset.seed"), "random_seed manual_seed global_seed rng_seed"),
    (("trainer.accumulate_grad_batches",), "grad_accum gradient_accumulation_steps accumulate_grad_batches"),
    (("trainer.gradient_clip_val",), "clip grad_clip clip_grad max_grad_norm gradient_clip gradient_clip_val"),
    (("training.ema_decay",), "ema ema_rate ema_decay"),
    (("scheduler.warmup_steps",), "warmup warmup_steps lr_warmup lr_warmup_steps"),
    (("training.condition_dropout",), "cfg_dropout condition_dropout uncond_prob class_dropout_prob"),
    (("checkpoint_every",), "save_every save_interval save_steps checkpoint_interval checkpointing_steps ckpt_every"),
    (("trainer.log_every_n_steps",), "log_every log_interval log_steps logging_steps"),
    (("trainer.val_check_interval",), "val_every eval_every eval_interval validation_steps"),
    (("grid_every",), "sample_every sample_interval image_every"),
    (("training.activation_checkpointing",), "gradient_checkpointing use_checkpoint checkpointing grad_checkpointing"),
    (("compile",), "torch_compile use_compile compiled compile_model"),
    (("backbone",), "network net arch architecture unet denoiser transformer"),
    (("conditioner",), "text_encoder cond_stage conditioning"),
    (("scheduler",), "learning_rate_decay lr_scheduler lr_schedule lr_decay scheduler_type"),
    (("schedule", "sampler"), "scheduler noise_schedule beta_schedule noise_scheduler"),
    (("parameterization",), "prediction_type predict pred"),
    (("sampler.eta",), "ddim_eta eta"),
    (("urls", "dataset.urls"), "url_list"),
    (("dataset.url_column",), "url_col"),
    (("dataset.caption_column",), "caption_col"),
    (("dataset.columns",), "save_additional_columns additional_columns"),
    (("dataset.threads",), "thread_count num_threads"),
    (("dataset.quality",), "encode_quality"),
    (("dataset.image_format",), "encode_format"),
    (("metric.vlb.steps", "metric=vlb"), "bound_steps"),
    (("pictures",), "sample_batch sample_path input1 fake fake_path generated fdir"),
    (("reference",), "ref ref_batch ref_path reference_path input2 real real_path"),
    (("save_pictures",), "save_samples save_images save_npz"),
    (("method.strength",), "denoising_strength strength"),
    (("methods",), "method edit_method_list tgt_methods editing_methods"),
    (("categories",), "category edit_category_list category_list"),
)
_OPTIONS: tuple[tuple[str, str], ...] = (
    ("frechet_distance", "fid rfid frechet_inception_distance fd"),
    ("spatial_frechet_distance", "sfid spatial_fid"),
    ("inception_score", "is isc"),
    ("kernel_distance", "kid kernel_inception_distance mmd"),
    ("precision_recall", "prc precision recall improved_precision_recall"),
    ("density_coverage", "prdc density coverage"),
    ("clip_score", "clip clip_similarity"),
    ("fd_dinov2", "fdd dinov2 fd_dino fid_dinov2"),
)
_KEYS = {word.replace("_", ""): keys for keys, words in _MEANINGS for word in words.split()}
_CHOICES = {word.replace("_", ""): option for option, words in _OPTIONS for word in words.split()}


def option_synonym(word: str, options: Collection[str]) -> str | None:
    """The option of a group that papers and other programs call by another name.

    Args:
        word: as given.
        options: those that there are.
    """
    option = _CHOICES.get(re.sub("[-_]", "", word.lower()))
    return option if option in options else None


def synonym(word: str, known: Collection[str]) -> str | None:
    """The key or group that another program's word stands for.

    Args:
        word: as given, dotted or not.
        known: the keys and groups that there are.
    """
    keys = _KEYS.get(re.sub("[-_]", "", word.rpartition(".")[2].lower()), ())
    return next((key for key in keys if key.partition("=")[0] in known and key != word), None)
