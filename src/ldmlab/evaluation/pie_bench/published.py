"""The rows of PIE-Bench's paper beside a measurement of ours, and why both compare or do not.

The rows are those of `published/pie_bench.csv`, as the repository of the paper's authors shows them
(github.com/cure-lab/PnPInversion), and the settings those of its runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ldmlab.evaluation.published.circumstances import TOPICS, circumstances, differences
from ldmlab.evaluation.published.rows import PublishedRow, published

FACTORS = {"structure_distance": 1e3, "LPIPS": 1e3, "MSE": 1e4, "SSIM": 1e2}
"""By which figures are multiplied in the paper's table."""
NETWORKS = {
    "structure_distance": "structure_distance-dino-vitb8",
    "LPIPS": "LPIPS-squeeze",
    "CLIP_similarity": "CLIP_similarity-clip-ViT-L-14-quickgelu",
}
"""The published figures that a network gives, as ours are called if theirs is the same."""
MODEL = "Stable Diffusion 1.4"
TAU, SELF_TAU = 0.4, 0.6
"""Of prompt-to-prompt."""


def published_rows() -> Sequence[PublishedRow]:
    """The rows, in the paper's order."""
    return published("pie_bench").rows


def published_figures(row: PublishedRow) -> dict[str, float]:
    """The figures of a row by their names without a network's suffix, not multiplied."""
    found = {}
    for heading, value in row.figures.items():
        name = heading.partition(" ")[0]
        found[name] = float(value) / FACTORS.get(name, 1.0)
    return found


def reasons(
    manifest: Mapping[str, Any], names: Sequence[str], methods: Mapping[str, Mapping[str, Any]], words: bool
) -> list[str]:
    """Why a measurement does not compare with the published rows, a line each.

    Args:
        manifest: of the measurement, see `Manifest`.
        names: of the figures.
        methods: the settings of each, plain, by what they are called.
        words: whether prompt-to-prompt was told the words that are edited.
    """
    own = circumstances(manifest, {})
    found = [f"model: {Path(manifest['checkpoint']).name} here, {MODEL} there"]
    for topic in TOPICS:
        there = [row.circumstances[topic.column] for row in published_rows() if topic in differences(own, row)]
        found += [f"{topic.words}: {own[topic.column]} here, {there[0]} there"] if there else []
    settings = {(each["tau"], each["self_tau"]) for each in methods.values() if "tau" in each}
    if settings - {(TAU, SELF_TAU)}:
        found.append(f"prompt-to-prompt: method.tau={TAU} method.self_tau={SELF_TAU} there")
    if settings and not words:
        found.append("prompt-to-prompt: is told the words that are edited there (words=true)")
    return found + _other_networks(names)


def base_of(name: str) -> str:
    """The name of a figure without the suffix that says of which network it is."""
    return name.partition("-")[0]


def _other_networks(names: Sequence[str]) -> list[str]:
    own = {base_of(name): name for name in names}
    return [
        f"network: {own[base]} here, {name} there" for base, name in NETWORKS.items() if own.get(base, name) != name
    ]
