"""`ldmlab train` as a whole, with its data, logs and averages, beside the bare step that it repeats."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ldmlab.cli.main import main
from ldmlab.models.checkpoints import export_weights
from side_by_side.bench import Bench
from side_by_side.networks import CLASSES, decoder_of, our_autoencoder
from side_by_side.row import Row
from side_by_side.shards import write_labelled
from side_by_side.sizes import CommandSize, DecoderSize, DiTSize
from side_by_side.training import ours

LOGGED = 8
"""Times that a run says how fast it is; the first two are left out."""


def section(bench: Bench) -> None:
    """A class-conditional run on cached latents, uncompiled, against the same step on one batch that stays."""
    size = bench.sizes.command
    how = f"{bench.sizes.precision}, eager, with averages"
    work = f"{size.network.name}, batch {size.batch}"
    bare = bench.measure(
        "The whole command", work, how, {"its bare step": ours(bench, size.network, size.batch).averaged}
    )
    bench.tidy()
    with TemporaryDirectory() as folder:
        whole = size.batch / _images_per_second(size, bench, Path(folder))
    seconds = {"ldmlab train": whole, **bare.figures}
    compared = whole / seconds["its bare step"]
    bench.keep(Row("The whole command", work, how, seconds, compared, "images/s", size.batch))


def _images_per_second(size: CommandSize, bench: Bench, folder: Path) -> float:
    """As the run's own log says."""
    autoencoder = _autoencoder(size.network)
    write_labelled(folder / "data", autoencoder.side, size.batch * size.steps, CLASSES)
    path = folder / "autoencoder.safetensors"
    _export(path, autoencoder)
    code = main(
        [
            "train",
            "experiment=published/dit_s_2",
            f"data.path={folder}/data",
            f"data.image_size={autoencoder.side}",
            f"data.batch_size={size.batch}",
            f"data.num_workers={size.workers}",
            f"autoencoder_ckpt={path}",
            "min_psnr=0",
            *(f"backbone.{key}={getattr(size.network, key)}" for key in ("width", "depth", "heads")),
            f"precision={bench.sizes.precision}",
            "compile=false",
            "sampler.steps=2",
            f"trainer.accelerator={'gpu' if bench.device.type == 'cuda' else 'cpu'}",
            f"trainer.max_steps={size.steps}",
            f"trainer.val_check_interval={size.steps}",
            f"trainer.log_every_n_steps={max(1, size.steps // LOGGED)}",
            f"output_dir={folder}/run",
        ]
    )
    if code:
        raise RuntimeError(f"ldmlab train ended with code {code}")
    with (folder / "run/metrics.csv").open() as file:
        speeds = [float(row["images_per_second"]) for row in csv.DictReader(file) if row.get("images_per_second")]
    return median(speeds[2:])


def _autoencoder(network: DiTSize) -> DecoderSize:
    """One that is quick: latents are made once, before the run, so it does not matter how."""
    usual = decoder_of(network)
    return replace(usual, features=(32,) * len(usual.features))


def _export(path: Path, size: DecoderSize) -> None:
    """Write it, untrained."""
    section = {
        "_target_": "ldmlab.autoencoders.kl.AutoencoderKL",
        "channels": size.features[0],
        "multipliers": [1] * len(size.features),
    }
    state = {f"autoencoder.{name}": value for name, value in our_autoencoder(size).state_dict().items()}
    config = {"model": "autoencoder", "autoencoder": section, "image_size": size.side}
    export_weights(path, state, config, ema=True)
