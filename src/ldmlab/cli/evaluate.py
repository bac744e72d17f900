"""`ldmlab evaluate`: a trained model against held-out shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from jaxtyping import UInt8
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from ldmlab.atomic import write_json
from ldmlab.autoencoders.base import Autoencoder
from ldmlab.autoencoders.codebook import perplexity
from ldmlab.autoencoders.vq import AutoencoderVQ
from ldmlab.cli.restoration import restorations
from ldmlab.cli.tables import print_table
from ldmlab.conditioners.image import ImageConditioner, complete_each
from ldmlab.configs.build import CONDITION_KEYS, build_drawing, resolved
from ldmlab.configs.unread import refuse_choices
from ldmlab.data.index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.shard_dataset import ShardDataset, collate
from ldmlab.diffusion.likelihood import bits_per_dim
from ldmlab.diffusion.objectives import every_level
from ldmlab.drawing.computing import ready_to_draw, ready_to_measure
from ldmlab.drawing.conditions import Subject, conditions
from ldmlab.drawing.samples import sample
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.extractors import FeatureExtractor
from ldmlab.metrics.manifest import Manifest, device_name, record, sampling_fields
from ldmlab.metrics.protocol import Tell, evaluate_reconstructions, evaluate_samples, reference_statistics
from ldmlab.metrics.restoration import evaluate_restorations
from ldmlab.models.latent_diffusion import LatentDiffusion, to_uint8
from ldmlab.models.loading import Loaded, load_model
from ldmlab.precision import Precision, pick_precision
from ldmlab.progress import counting, progress, track
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.noise import PictureNoise, picture_seeds
from ldmlab.training.trained_on import heldout_reference, tell_of_seen


def run(cfg: DictConfig) -> None:
    """Measure, print a table, write metrics.json."""
    precision = pick_precision(cfg.precision, cfg.device)
    device = precision.device
    loaded = load_model(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    if isinstance(loaded.model, Autoencoder):
        refuse_choices(("sampler", "guidance", "pictures_per_caption"), "an autoencoder is measured by what it returns")
    loaded.model.to(device)
    size = loaded.checkpoint.config["image_size"]
    needs = _needs(loaded.model)
    folder = heldout_reference(cfg.ckpt, loaded, needs, print, cfg.path, cfg.heldout_path)
    index = ShardIndex.build(folder, needs=needs, progress=partial(track, what="reading shards"))
    heldout = ShardDataset(index, size)
    extractor: FeatureExtractor = instantiate(cfg.extractor).to(device)
    n = min(cfg.n, len(heldout))
    if n < 2:
        raise ValueError(f"path={folder}: {n} held-out sample is too few to measure; give at least 2")
    if n < cfg.n:
        print(f"n={cfg.n}: there are {n} held-out samples, so {n} are measured")
    notes: list[str] = []
    tell_of_seen(loaded, index, notes.append)
    with Precision("fp32", device).arithmetic():  # of what measures; the model computes in its own
        figures = _figures(cfg, loaded.model, heldout, extractor, n, notes.append)
    result = record(figures, _manifest(cfg, loaded, heldout, extractor, n, precision), notes)
    folder = Path(cfg.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", result)
    print_table(result["metrics"], f"{loaded.path}, {n} held-out samples")
    for note in notes:
        print(note)
    print(f"metrics: {folder / 'metrics.json'}")


def _needs(model: LatentDiffusion | Autoencoder) -> Needs:
    if isinstance(model, Autoencoder):
        return Needs(captions=False)
    return Needs.of(model.conditioner.reads, model.conditioner.classes)


def _figures(
    cfg: DictConfig,
    model: LatentDiffusion | Autoencoder,
    heldout: ShardDataset,
    extractor: FeatureExtractor,
    n: int,
    tell: Tell,
) -> dict[str, float]:
    if isinstance(model, Autoencoder):
        if cfg.metric == "vlb":
            raise ValueError("metric=vlb: the bound is that of a latent diffusion model; give ckpt= of one")
        return _autoencoder(cfg, model, heldout, extractor, n, tell)
    if cfg.metric == "vlb":
        _check_bound_steps(cfg, model)
        return _variational_bound(cfg, model, heldout, n)
    if isinstance(model.conditioner, ImageConditioner):
        batches = track(_batches(heldout, n, cfg.batch_size), "sampling")
        return evaluate_restorations(restorations(cfg, model, batches, n), extractor, tell)
    return _text_to_image(cfg, model, heldout, extractor, n, tell)


@torch.no_grad()
def _variational_bound(cfg: DictConfig, model: LatentDiffusion, heldout: ShardDataset, n: int) -> dict[str, float]:
    """Means over the held-out latents, which are the autoencoder's means."""
    schedule = model.denoiser.schedule
    levels = every_level(schedule) if cfg.bound_steps is None else DDPM(cfg.bound_steps, "linspace").levels(schedule)
    bits: dict[str, float] = {}
    seeds = iter(picture_seeds(cfg.seed, n))
    batches = _batches(heldout, n, cfg.batch_size)
    passes = len(batches) * (len(levels) - 1)
    precision = pick_precision(cfg.precision, cfg.device)
    ready_to_measure(model, precision, cfg.compile, passes)
    with progress("bounding", passes) as advance, precision.running(model.denoiser.backbone):
        for batch in batches:
            images = batch["images"].to(model.device)
            own = list(islice(seeds, len(images)))
            latents = model.autoencoder.moments(images)[0]
            shown = Subject(complete_each(model.conditioner, batch, own))
            cond = conditions(model, NoGuidance(), shown, range(len(own))).cond
            noise = PictureNoise(own, latents.shape[1:], latents.device)
            counted = partial(counting, advance)
            for name, values in bits_per_dim(model.denoiser, latents, cond, levels, noise.draw, counted).items():
                bits[name] = bits.get(name, 0.0) + float(values.double().sum())
    return {f"bits_per_dim/{name}": total / n for name, total in bits.items()} | {"n": float(n)}


def _autoencoder(
    cfg: DictConfig, model: Autoencoder, heldout: ShardDataset, extractor: FeatureExtractor, n: int, tell: Tell
) -> dict[str, float]:
    codebook = model.codebook if isinstance(model, AutoencoderVQ) else None
    use = torch.zeros(0 if codebook is None else len(codebook.codes), dtype=torch.long)

    batches = _batches(heldout, n, cfg.batch_size)
    precision = pick_precision(cfg.precision, cfg.device)
    ready_to_measure(model, precision, cfg.compile, len(batches))

    @torch.no_grad()
    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in track(batches, "reconstructing"):
            images = batch["images"].to(precision.device)
            with precision.running(model):
                raw = model.posterior(images).mean
                reconstructions = to_uint8(model.reconstruct(raw)).cpu()
            if codebook is not None:
                use.add_(torch.bincount(codebook.nearest(raw).flatten().cpu(), minlength=len(use)))
            yield to_uint8(images).cpu(), reconstructions

    figures = evaluate_reconstructions(pairs(), extractor, tell)
    return figures if codebook is None else figures | _code_figures(use)


def _code_figures(use: Tensor) -> dict[str, float]:
    """Perplexity of the codes that a set of images takes, and the share of all codes that is among them."""
    return {"perplexity": float(perplexity(use)), "used_codes": float((use > 0).float().mean())}


def _text_to_image(
    cfg: DictConfig, model: LatentDiffusion, heldout: ShardDataset, extractor: FeatureExtractor, n: int, tell: Tell
) -> dict[str, float]:
    conditions: dict[str, list[Any]] = {}
    read = _noted(track(_batches(heldout, n, cfg.batch_size), "reading"), conditions)
    reference = reference_statistics(read, extractor)
    rows = [picture // cfg.pictures_per_caption for picture in range(n)]
    columns = {key: _pick(values, rows) for key, values in conditions.items() if len(values) == n}
    asked = [meta.get("asked") for meta in columns.pop("meta")]
    scenes = asked if all(asked) else None
    samples = _samples(cfg, model, columns, n)
    return evaluate_samples(reference, samples, extractor, scenes, columns.get("captions"), cfg.seed, n, tell)


def _noted(
    batches: Iterable[Mapping[str, Any]], conditions: dict[str, list[Any]]
) -> Iterator[UInt8[Tensor, "B 3 H W"]]:
    """The pictures of batches one by one, while what else was said of them is put down."""
    for batch in batches:
        for key in (*CONDITION_KEYS, "meta"):
            conditions.setdefault(key, []).extend(batch.get(key, ()))
        yield to_uint8(batch["images"])


def _pick(values: list[Any], rows: list[int]) -> list[Any]:
    return [values[row] for row in rows]


def _samples(cfg: DictConfig, model: LatentDiffusion, condition: Mapping[str, list[Any]], n: int) -> Iterator[Tensor]:
    """Pictures for n conditions, a batch at a time."""
    precision = pick_precision(cfg.precision, cfg.device)
    drawing = ready_to_draw(model, build_drawing(cfg, model, picture_seeds(cfg.seed, n), precision), cfg.compile)
    parts = [slice(start, min(start + cfg.batch_size, n)) for start in range(0, n, cfg.batch_size)]
    chunks = sum(math.ceil((part.stop - part.start) / drawing.rows(model)) for part in parts)
    with progress("sampling", chunks * drawing.sampler.steps) as advance:
        for part in parts:
            batch = {key: values[part] for key, values in condition.items()}
            yield sample(model, drawing.of(drawing.seeds[part]), batch, lambda *_: advance(1))


def _batches(heldout: ShardDataset, n: int, batch_size: int) -> DataLoader[Any]:
    return DataLoader(Subset(heldout, range(n)), batch_size, collate_fn=collate)


def _manifest(
    cfg: DictConfig, loaded: Loaded, heldout: ShardDataset, extractor: FeatureExtractor, n: int, precision: Precision
) -> Manifest:
    model = loaded.model
    return Manifest(
        metric=cfg.metric,
        n=n,
        seed=cfg.seed,
        extractor=extractor.name,
        extractor_sha256=extractor.weights_sha256,
        reference_fingerprint=heldout.index.fingerprint,
        n_reference=n,
        device=device_name(precision.device),
        checkpoint=str(loaded.path),
        checkpoint_sha256=loaded.checkpoint.sha256,
        autoencoder_sha256=loaded.autoencoder_sha256,
        adapter=loaded.adapter_record,
        ema=loaded.checkpoint.ema,
        precision=precision.name,
        **(_sampling(cfg, model) if isinstance(model, LatentDiffusion) else {}),
    )


def _sampling(cfg: DictConfig, model: LatentDiffusion) -> dict[str, Any]:
    """What the manifest says of how the model was used."""
    if cfg.metric == "vlb":
        return {"bound_steps": cfg.bound_steps or len(model.denoiser.schedule)}
    return {
        **sampling_fields(resolved(cfg.sampler), resolved(cfg.guidance)),
        "pictures_per_caption": cfg.pictures_per_caption,
    }


def _check_bound_steps(cfg: DictConfig, model: LatentDiffusion) -> None:
    timesteps = len(model.denoiser.schedule)
    if cfg.bound_steps is not None and cfg.bound_steps > timesteps:
        raise ValueError(f"bound_steps={cfg.bound_steps}: the model has {timesteps} timesteps; give at most as many")
