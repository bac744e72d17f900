"""The evaluation protocols: which figures a set of samples or of reconstructions gets, and under which names.

Every image passes the extractor once. Figures of an extractor carry its suffix: "FID" is the published metric,
"FID-lite0" is not. All of them depend on the number of images, so the counts are among the results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.metrics.distribution import diversity, frechet_distance, inception_score
from ldmlab.metrics.extractors import FeatureExtractor
from ldmlab.metrics.features import FeatureBank
from ldmlab.metrics.reconstruction import psnr, ssim
from ldmlab.metrics.scenes import SceneAccuracy

IS_SPLITS = 10
"""Random parts that the Inception Score is averaged over; fewer for fewer than 20 samples."""

Images = UInt8[Tensor, "_ 3 _ _"]
"""One batch; the sizes may differ from batch to batch."""


def evaluate_samples(
    real: Iterable[Images],
    fake: Iterable[Images],
    extractor: FeatureExtractor,
    asked: Sequence[Mapping[str, Any]] | None = None,
    captions: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Measure generated images against real ones.

    Args:
        real: batches of the reference images.
        fake: batches of the generated images.
        extractor: the network whose features are compared.
        asked: for drawn scenes what each generated image's caption says; adds the verifier's accuracies.
        captions: each generated image's caption; adds the diversity among images of one caption where one occurs
            twice.
        seed: decides the random splits of the Inception Score.

    Returns:
        "FID", "IS", "IS_std" with the extractor's suffix; "diversity" (mean pairwise cosine distance) and perhaps
        "diversity_within_caption"; "accuracy/<attribute>" and "asked/<attribute>"; "n_real", "n_fake".

    Raises:
        ValueError: fewer than two images on a side, images that are not uint8, or lists of another length.
    """
    scenes = SceneAccuracy()
    reference, generated = FeatureBank(), FeatureBank()
    for batch in real:
        reference.update(extractor.features(batch))
    drawn = 0
    for batch in fake:
        generated.update(extractor.features(batch))
        if asked is not None:
            scenes.update(batch, asked[drawn : drawn + len(batch)])
        drawn += len(batch)
    _require_length("asked", asked, drawn)
    _require_length("captions", captions, drawn)
    figures = _sample_figures(reference.collect(), generated.collect(), extractor, captions, seed)
    return figures | _scene_figures(scenes)


def evaluate_reconstructions(pairs: Iterable[tuple[Images, Images]], extractor: FeatureExtractor) -> dict[str, float]:
    """Measure an autoencoder.

    Args:
        pairs: batches of (images, their reconstructions).
        extractor: the network whose features are compared.

    Returns:
        "PSNR" (dB) and "SSIM", means over the images; "rFID" with the extractor's suffix; "n".

    Raises:
        ValueError: fewer than two images, or images that are not uint8 of equal shapes.
    """
    originals, reconstructed = FeatureBank(), FeatureBank()
    ratios: list[Tensor] = []
    similarities: list[Tensor] = []
    for images, reconstructions in pairs:
        ratios.append(psnr(reconstructions, images))
        similarities.append(ssim(reconstructions, images))
        originals.update(extractor.features(images))
        reconstructed.update(extractor.features(reconstructions))
    distance = frechet_distance(originals.collect(), reconstructed.collect())
    return {
        "PSNR": float(torch.cat(ratios).mean()),
        "SSIM": float(torch.cat(similarities).mean()),
        f"rFID{extractor.suffix}": distance,
        "n": float(sum(map(len, ratios))),
    }


def _sample_figures(
    real: Tensor, fake: Tensor, extractor: FeatureExtractor, captions: Sequence[str] | None, seed: int
) -> dict[str, float]:
    distance = frechet_distance(real, fake)
    logits = torch.cat([extractor.logits(part.float()).cpu() for part in fake.split(1024)])
    score, deviation = inception_score(logits, splits=min(IS_SPLITS, len(fake) // 2), seed=seed)
    figures = {
        f"FID{extractor.suffix}": distance,
        f"IS{extractor.suffix}": score,
        f"IS_std{extractor.suffix}": deviation,
        "diversity": diversity(fake),
    }
    if captions is not None and len(set(captions)) < len(captions):
        figures["diversity_within_caption"] = diversity(fake, captions)
    return figures | {"n_real": float(len(real)), "n_fake": float(len(fake))}


def _scene_figures(scenes: SceneAccuracy) -> dict[str, float]:
    fractions = {f"accuracy/{name}": value for name, value in scenes.fractions().items()}
    return fractions | {f"asked/{name}": float(count) for name, count in scenes.asked.items()}


def _require_length(name: str, values: Sequence[Any] | None, n: int) -> None:
    if values is not None and len(values) != n:
        raise ValueError(f"{name} has {len(values)} entries for {n} generated images; give one an image")
