"""The evaluation protocols: which figures a set of samples or of reconstructions gets, and under which names.

Every image passes the extractor once, and none is kept. Figures of an extractor carry its suffix: "FID" is the
published metric, "FID-lite0" is not. All of them depend on the number of images, so the counts are among the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.metrics.distribution import Diversity, DiversityWithin, InceptionScore, frechet_distance, require_some
from ldmlab.metrics.extractors import FeatureExtractor
from ldmlab.metrics.features import FeatureBlocks, FeatureStatistics
from ldmlab.metrics.reconstruction import mean_psnr, psnr, ssim
from ldmlab.metrics.scenes import SceneAccuracy

IS_SPLITS = 10
"""Random parts that the Inception Score is averaged over; fewer for fewer than 20 samples."""

Images = UInt8[Tensor, "_ 3 _ _"]
"""One batch; the sizes may differ from batch to batch."""
Tell = Callable[[str], None]
"""Called with a line that whoever reads the figures should know."""


def silent(line: str) -> None:
    """A `Tell` that passes nothing on."""


def reference_statistics(images: Iterable[Images], extractor: FeatureExtractor) -> FeatureStatistics:
    """What figures need of the reference images, so that these need not be kept.

    Raises:
        ValueError: no image, images that are not uint8, or features that are not finite.
    """
    statistics = FeatureStatistics()
    blocks = FeatureBlocks("real", statistics.update)
    for batch in images:
        blocks.update(extractor.features(batch))
    blocks.close()
    return statistics


def evaluate_samples(
    real: Iterable[Images] | FeatureStatistics,
    fake: Iterable[Images],
    extractor: FeatureExtractor,
    asked: Sequence[Mapping[str, Any]] | None = None,
    captions: Sequence[str] | None = None,
    seed: int = 0,
    n: int | None = None,
    tell: Tell = silent,
) -> dict[str, float]:
    """Measure generated images against real ones.

    Args:
        real: batches of the reference images, or their `reference_statistics`.
        fake: batches of the generated images.
        extractor: the network whose features are compared.
        asked: for drawn scenes what each generated image's caption says; adds the verifier's accuracies.
        captions: each generated image's caption; adds the diversity among images of one caption where one occurs
            twice.
        seed: decides the random splits of the Inception Score.
        n: how many generated images will come. Where neither this nor a list says so, they are held to be counted.
        tell: is told where there are too few images for a figure to be taken as any other.

    Returns:
        "FID", "IS", "IS_std" with the extractor's suffix; "diversity" (mean pairwise cosine distance) and perhaps
        "diversity_within_caption"; "accuracy/<attribute>" and "asked/<attribute>"; "n_real", "n_fake".

    Raises:
        ValueError: fewer than two images on a side, images that are not uint8, or lists of another length.
    """
    reference = real if isinstance(real, FeatureStatistics) else reference_statistics(real, extractor)
    require_some("real images", reference.count)
    if n is None:
        known = asked if captions is None else captions
        fake = fake if known is not None else list(fake)
        n = sum(map(len, fake)) if isinstance(fake, list) else len(known or ())
    generated = _Generated(extractor, n, captions, seed)
    scenes = SceneAccuracy()
    for batch in fake:
        before = generated.count
        generated.update(batch)
        if asked is not None:
            scenes.update(batch, asked[before : generated.count])
    for name, values in (("asked", asked), ("captions", captions)):
        _require_length(name, values, generated.count)
    return generated.figures(reference, tell) | _scene_figures(scenes)


def evaluate_reconstructions(
    pairs: Iterable[tuple[Images, Images]], extractor: FeatureExtractor, tell: Tell = silent
) -> dict[str, float]:
    """Measure an autoencoder.

    Args:
        pairs: batches of (images, their reconstructions).
        extractor: the network whose features are compared.
        tell: see `evaluate_samples`.

    Returns:
        "PSNR" (dB) and "SSIM", means over the images; "exact", how many images came back to the bit, where any did:
        their PSNR is infinite, so the mean is that of the others; "rFID" with the extractor's suffix; "n".

    Raises:
        ValueError: fewer than two images, or images that are not uint8 of equal shapes.
    """
    originals, reconstructed = FeatureStatistics(), FeatureStatistics()
    blocks = FeatureBlocks("real", originals.update), FeatureBlocks("reconstructed", reconstructed.update)
    ratios: list[float] = []
    similarity = 0.0
    for batch in pairs:
        ratios += psnr(*reversed(batch)).tolist()
        similarity += float(ssim(*reversed(batch)).sum())
        for side, images in zip(blocks, batch, strict=True):
            side.update(extractor.features(images))
    for side in blocks:
        side.close()
    decibels, exact = mean_psnr(ratios)
    label = f"rFID{extractor.suffix}"
    tell_of_few(label, originals, tell)
    return {
        "PSNR": decibels,
        **({"exact": float(exact)} if exact else {}),
        "SSIM": similarity / len(ratios),
        label: frechet_distance(originals, reconstructed),
        "n": float(len(ratios)),
    }


def tell_of_few(label: str, statistics: FeatureStatistics, tell: Tell) -> None:
    """Say so where a covariance has no full rank, because there are no more images than features."""
    width = len(statistics.mean)
    if statistics.count <= width:
        tell(
            f"{label}: {statistics.count} images for {width} features, so the covariances have no full rank; "
            "compare it with figures of as many images alone"
        )


class _Generated:
    """The figures of the images that are drawn, in one pass."""

    def __init__(self, extractor: FeatureExtractor, n: int, captions: Sequence[str] | None, seed: int) -> None:
        require_some("generated images", n)
        self.extractor = extractor
        self.parts = min(IS_SPLITS, n // 2)
        self.statistics, self.diversity = FeatureStatistics(), Diversity()
        self.score = InceptionScore(n, self.parts, seed)
        repeated = captions is not None and len(set(captions)) < len(captions)
        self.within = DiversityWithin(captions) if captions is not None and repeated else None
        self.classes = 0
        sinks = [self.statistics.update, self.diversity.update, self._classify]
        self.blocks = FeatureBlocks("generated", *sinks, *([self.within.update] if self.within else []))

    @property
    def count(self) -> int:
        return self.blocks.count

    def update(self, images: Images) -> None:
        self.blocks.update(self.extractor.features(images))

    def figures(self, reference: FeatureStatistics, tell: Tell) -> dict[str, float]:
        self.blocks.close()
        suffix = self.extractor.suffix
        tell_of_few(f"FID{suffix}", min(reference, self.statistics, key=lambda side: side.count), tell)
        size = self.count // self.parts
        if size < self.classes:
            tell(
                f"IS{suffix}: {self.parts} parts of {size} images for {self.classes} classes, and it is never above "
                f"{size}; compare it with figures of as many images alone"
            )
        mean, deviation = self.score.compute()
        return {
            f"FID{suffix}": frechet_distance(reference, self.statistics),
            f"IS{suffix}": mean,
            f"IS_std{suffix}": deviation,
            "diversity": self.diversity.compute(),
            **({} if self.within is None else {"diversity_within_caption": self.within.compute()}),
            "n_real": float(reference.count),
            "n_fake": float(self.count),
        }

    def _classify(self, features: Float[Tensor, "B F"]) -> None:
        logits = self.extractor.logits(features.float())
        self.classes = logits.shape[1]
        self.score.update(logits)


def _scene_figures(scenes: SceneAccuracy) -> dict[str, float]:
    fractions = {f"accuracy/{name}": value for name, value in scenes.fractions().items()}
    return fractions | {f"asked/{name}": float(count) for name, count in scenes.asked.items()}


def _require_length(name: str, values: Sequence[Any] | None, n: int) -> None:
    if values is not None and len(values) != n:
        raise ValueError(f"{name} has {len(values)} entries for {n} generated images; give one an image")
