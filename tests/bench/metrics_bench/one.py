"""`python -m metrics_bench.one SIDE EXTRACTOR ONE OTHER`: one side's measurement, in a process of its own.

Prints a line of JSON: seconds on the clock and of CPU, the most memory that the process took in MiB, and the figures.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from random_inception import write_random_inception

FIGURES = ("FID", "IS", "KID", "precision", "recall")
METRICS = ("frechet_distance", "inception_score", "kernel_distance", "precision_recall")
Side = Callable[[str, Path, Path], dict[str, float]]


def ours(extractor: str, one: Path, other: Path) -> dict[str, float]:
    """By `ldmlab evaluate`, which also tells how sure each figure is."""
    from ldmlab.cli.main import main as command

    suffix = "" if extractor == "inception" else "-lite0"
    words = [f"pictures={one}", f"reference={other}", f"metric=[{','.join(METRICS)}]", *_network(extractor, one)]
    with TemporaryDirectory() as out:
        assert command(["evaluate", *words, "reference_cache=false", "device=cpu", f"output_dir={out}"]) == 0
        found = json.loads((Path(out) / "metrics.json").read_text())["metrics"]
    return {figure: found[f"{figure}{suffix}"] for figure in FIGURES}


def _network(extractor: str, one: Path) -> list[str]:
    if extractor == "lite0":
        return []
    from ldmlab.pretrained import inception
    from ldmlab.pretrained.weights import sha256_of

    weights = _weights(one)
    inception.WEIGHTS_SHA256 = sha256_of(weights)
    return ["extractor=inception", f"extractor.weights={weights}"]


def theirs(extractor: str, one: Path, other: Path) -> dict[str, float]:
    """By torch-fidelity, with its own settings."""
    import torch_fidelity
    from torch_fidelity.registry import register_feature_extractor

    from metrics_bench.networks import LITE0, Lite0

    network = {"feature_extractor": "inception-v3-compat", "feature_extractor_weights_path": str(_weights(one))}
    if extractor == "lite0":
        register_feature_extractor(LITE0, Lite0)
        network = {"feature_extractor": LITE0}
    found = torch_fidelity.calculate_metrics(
        input1=str(one), input2=str(other), cuda=False, isc=True, fid=True, kid=True, prc=True, cache=False,
        verbose=False, kid_subset_size=min(1000, len([*one.iterdir()])), **network,
    )  # fmt: skip
    names = ("frechet_inception_distance", "inception_score_mean", "kernel_inception_distance_mean")
    return dict(zip(FIGURES, (found[name] for name in (*names, "precision", "recall")), strict=True))


def _weights(one: Path) -> Path:
    path = one.parent / "inception.pth"
    return path if path.exists() else write_random_inception(path)


SIDES: dict[str, Side] = {"ours": ours, "theirs": theirs}


def main(side: str, extractor: str, one: Path, other: Path) -> None:
    """Measure."""
    import torch  # before the clock starts, as what both need  # noqa: F401

    start, cpu = time.perf_counter(), _cpu()
    figures = SIDES[side](extractor, one, other)
    told = {"seconds": time.perf_counter() - start, "cpu": _cpu() - cpu}
    told["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("\n" + json.dumps({**told, "figures": figures}), flush=True)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
