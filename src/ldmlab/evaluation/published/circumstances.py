"""What decides whether two figures may be compared, of a measurement of ours and of a published row."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ldmlab.evaluation.published.rows import PublishedRow


@dataclass(frozen=True)
class Topic:
    """Something in which two measurements may differ.

    Attributes:
        mark: stands for it in a table; a capital where figures that differ in it do not compare, a small letter where
            they do, but of pictures that were drawn otherwise.
        column: of `CIRCUMSTANCES`.
        words: what it is.
    """

    mark: str
    column: str
    words: str

    @property
    def bars(self) -> bool:
        """Whether figures that differ in it do not compare."""
        return self.mark.isupper()


TOPICS = (
    Topic("N", "n", "pictures measured"),
    Topic("E", "extractor", "extractor"),
    Topic("P", "image_size", "size in pixels"),
    Topic("Z", "resize", "resize, how pictures were made to fit"),
    Topic("B", "conditions", "balance of classes"),
    Topic("R", "reference", "reference"),
    Topic("s", "sampler", "sampler"),
    Topic("t", "steps", "steps"),
    Topic("g", "guidance", "guidance"),
    Topic("w", "guidance_scale", "guidance scale"),
    Topic("c", "guided_channels", "guided channels"),
)
"""In the order in which they are told."""


class KnownReference(NamedTuple):
    """What is known of a file that papers name as their reference.

    Attributes:
        holds: what its statistics are of.
        fitted: how pictures were made to fit.
        pictures: how many it has, of `side` x `side` pixels.
    """

    holds: str
    fitted: str
    pictures: int
    side: int


KNOWN_REFERENCES = {
    "VIRTUAL_imagenet256_labeled.npz": KnownReference("ImageNet training set", "ADM centre crop", 10_000, 256),
}
"""By the names under which they were published."""
INCEPTION = "inception-2015"
GUIDANCES = {"ClassifierFree": "classifier-free", "Interval": "classifier-free in an interval", "NoGuidance": "none"}


def circumstances(manifest: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, str]:
    """How a measurement of ours came about, in the words of published rows; what is not known is left out.

    Args:
        manifest: of a record, see `Manifest`.
        labels: for each figure of a table that was measured the name that it has there, see `label_of`.
    """
    found = {
        "n": manifest.get("n"),
        "extractor": _extractor(manifest, labels),
        "image_size": _side(manifest.get("picture_size")),
        "conditions": manifest.get("conditions"),
        **_reference(manifest),
        **_drawn(manifest),
    }
    return {name: written(value) for name, value in found.items() if value is not None}


def differences(own: Mapping[str, str], row: PublishedRow) -> list[Topic]:
    """In what a measurement differs from a published one, as far as both tell."""
    theirs = row.circumstances
    return [
        topic
        for topic in TOPICS
        if {topic.column} <= own.keys() & theirs.keys() and own[topic.column] != theirs[topic.column]
    ]


def written(value: Any) -> str:
    """A circumstance as it stands in a table."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def label_of(figure: str, labels: Collection[str]) -> str | None:
    """The label under which a figure of a table was measured: its name, or that with the suffix of another network."""
    if figure in labels:
        return figure
    return next((label for label in labels if re.fullmatch(rf"{re.escape(figure)}-.+", label)), None)


def _extractor(manifest: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    """The network that figures are of: names without a suffix belong to the Inception of 2015 alone."""
    suffixes = {label.removeprefix(figure) for figure, label in labels.items()}
    if suffixes == {""}:
        return INCEPTION
    if len(suffixes) == 1 and manifest.get("extractor") not in (None, INCEPTION):
        return str(manifest["extractor"])
    return " and ".join(sorted(suffix.removeprefix("-") or INCEPTION for suffix in suffixes)) or None


def _side(size: Sequence[int] | None) -> str | None:
    """Height and width as one number where they are equal."""
    return None if size is None else " x ".join(str(side) for side in dict.fromkeys(size))


def _reference(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What was compared with, and how pictures were made to fit."""
    name, kind, size = (manifest.get(key) for key in ("reference", "reference_kind", "resized_to"))
    if name is None:
        return {}
    known = _known(manifest)
    fitted = known.fitted if known else f"as they are in {Path(name).name}"
    if kind == "shards":
        fitted = "ldmlab's centre crop, bicubic"
    elif size is not None:
        fitted = f"ldmlab's centre crop to {size} pixels, bicubic"
    count = "" if manifest.get("n_reference") is None else f"{manifest['n_reference']} "
    kept = f"{count}{'held-out ' if kind == 'shards' else ''}pictures of {name}"
    return {"reference": known.holds if known else kept, "resize": fitted}


def _known(manifest: Mapping[str, Any]) -> KnownReference | None:
    """What is known of the reference, if it is what its name says as far as can be seen."""
    found = KNOWN_REFERENCES.get(Path(manifest["reference"]).name)
    if found is None or manifest.get("n_reference") != found.pictures:
        return None
    return found if _side(manifest.get("reference_size")) == str(found.side) else None


def _drawn(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """How pictures were drawn; nothing where they were not drawn here."""
    if manifest.get("sampler") is None:
        return {}
    return {"sampler": manifest["sampler"], "steps": manifest.get("steps"), **_guidance(manifest)}


def _guidance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    config = manifest.get("guidance_config") or {}
    name = str(config.get("_target_", "")).rpartition(".")[2]
    scale = manifest.get("guidance_scale", 1.0) + (config.get("convention") == "one_plus_w")
    if name == "NoGuidance" or scale == 1:
        return {"guidance": "none"}
    channels = config.get("guided_channels")
    return {
        "guidance": GUIDANCES.get(name, name),
        "guidance_scale": float(scale),
        "guided_channels": "all" if channels is None else channels,
    }
