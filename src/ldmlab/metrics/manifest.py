"""What a figure was measured on and with, so that it can be compared and repeated."""

from __future__ import annotations

import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import ldmlab
from ldmlab.metrics.measured import Measured

PACKAGES = (
    "torch",
    "torchvision",
    "torchmetrics",
    "torch-fidelity",
    "open_clip_torch",
    "timm",
    "lightning",
    "numpy",
    "pillow",
    "safetensors",
)
GUIDANCE_CONVENTIONS = {
    "scale": "uncond + scale * (cond - uncond); 1 is neutral",
    "one_plus_w": "(1 + scale) * cond - scale * uncond; 0 is neutral",
}


def sampling_fields(sampler: Mapping[str, Any], guidance: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a manifest that say how pictures were drawn.

    Args:
        sampler: the sampler's settings, plain, with its `_target_`.
        guidance: the guidance's settings, plain.
    """
    return {
        "sampler": sampler["_target_"].rpartition(".")[2],
        "steps": sampler["steps"],
        "eta": sampler.get("eta"),
        "spacing": sampler.get("spacing"),
        "guidance_scale": guidance.get("scale", 1.0),
        "guidance_convention": GUIDANCE_CONVENTIONS.get(guidance.get("convention", "scale")),
        "sampler_config": dict(sampler),
        "guidance_config": dict(guidance),
    }


def device_name(device: torch.device | str) -> str:
    """Return the name of a GPU's model, or the processor's with its thread count."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()} CPU, {torch.get_num_threads()} threads"


def package_versions() -> dict[str, str]:
    """Return the versions of Python, ldmlab and of the packages that decide figures, as far as installed."""
    versions = {"python": platform.python_version(), "ldmlab": ldmlab.__version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """Return the commit that ldmlab runs from, with "-dirty" after it if files differ; None outside a checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@dataclass(frozen=True)
class Manifest:
    """The circumstances of a measurement. Fields that do not apply (an autoencoder has no sampler) are None.

    Attributes:
        n: images measured.
        metric: what was measured: "pictures" for what suits the model, "edits", or the names of metrics.
        bound_steps: of the chain whose bound it is, for "vlb".
        seed: of the noise; what metrics draw at random has seeds of its own in `metric_config`.
        conditions: what was asked for: what held-out samples say ("heldout"), or classes, "balanced" or "drawn".
        protocol: what the choice of settings is called, from which single ones may differ.
        table: the published table that the figures stand beside.
        extractor: the network whose features were compared, and its weights.
        networks: those that metrics have of their own: the SHA-256 of the weights by metric and network.
        pictures: the folder or file that was measured, where no model was; `pictures_fingerprint` and `pictures_chosen`
            say which of its pictures.
        picture_size: height and width of the pictures that were measured.
        resized_to: side in pixels that given pictures, and those of a given reference, were cropped and scaled to.
        reference: the folder or file that was compared with, of a `reference_kind` ("shards", "folder", "npz",
            "statistics"); `reference_chosen` says which of its pictures, `n_reference` how many.
        reference_fingerprint: of shards as `ShardIndex.fingerprint`, of a file its SHA-256, of a folder one over all.
        checkpoint_sha256: of the file that the model came from.
        adapter: file, digest and scale of the adapter that the model had.
        parameters: how many weights the model has, without those of a drawing model's autoencoder.
        ema: whether the averaged weights were used.
        precision: what the model computed in; what measures it computes in fp32.
        metric_config: settings of metrics, by the metric's name.
        sampler_config: every key of the sampler.
        guidance_config: every key of the guidance.
        edit_config: the kind of edits, the method and all of its keys, for "edits".
    """

    n: int
    seed: int
    device: str
    extractor: str | None = None
    extractor_sha256: str | None = None
    networks: Mapping[str, Mapping[str, str]] | None = None
    reference_fingerprint: str | None = None
    reference: str | None = None
    reference_kind: str | None = None
    reference_chosen: str | None = None
    reference_size: Sequence[int] | None = None
    pictures: str | None = None
    pictures_fingerprint: str | None = None
    pictures_chosen: str | None = None
    picture_size: tuple[int, int] | None = None
    resized_to: int | None = None
    metric: str = "pictures"
    bound_steps: int | None = None
    n_reference: int | None = None
    checkpoint: str | None = None
    checkpoint_sha256: str | None = None
    autoencoder_sha256: str | None = None
    adapter: Mapping[str, str | float] | None = None
    parameters: int | None = None
    ema: bool | None = None
    precision: str | None = None
    sampler: str | None = None
    steps: int | None = None
    eta: float | None = None
    spacing: str | None = None
    guidance_scale: float | None = None
    pictures_per_caption: int | None = None
    conditions: str | None = None
    protocol: str | None = None
    table: str | None = None
    guidance_convention: str | None = None
    metric_config: Mapping[str, Mapping[str, Any]] | None = None
    sampler_config: Mapping[str, Any] | None = None
    guidance_config: Mapping[str, Any] | None = None
    edit_config: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=package_versions)
    commit: str | None = field(default_factory=git_commit)
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def record(found: Measured, manifest: Manifest, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return figures as plain JSON data, by section; an infinite one becomes None.

    Args:
        found: figures with their standard errors and notes.
        manifest: how they came about.
        notes: what else to know before they are compared, a line each; they come first.

    Returns:
        "metrics", the figures by name; "errors", their standard errors; "notes", a line each; "higher_is_better", by
        name, where that is known; "manifest".

    Raises:
        ValueError: a figure is NaN.
    """
    if undefined := [name for name, value in found.figures.items() if math.isnan(value)]:
        raise ValueError(f"figure '{undefined[0]}' is NaN; look for NaN in the images that were measured")
    return {
        "metrics": {name: value if math.isfinite(value) else None for name, value in found.figures.items()},
        "errors": {name: value for name, value in found.errors.items() if math.isfinite(value)},
        "notes": [*notes, *found.notes],
        "higher_is_better": dict(found.higher_is_better),
        "manifest": asdict(manifest),
    }
