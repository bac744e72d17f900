"""Whether the shipped models' pictures are read as well in halves as in fp32: the verifier's shares of captions."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from ldmlab.cli.main import main
from side_by_side.bench import Bench
from side_by_side.row import Row

MODELS = ("shapes/dit", "shapes/unet")


def section(bench: Bench) -> None:
    """Every attribute of drawn scenes, from the same captions and seeds."""
    half, (models, count, _) = bench.sizes.precision, bench.sizes.reading
    with TemporaryDirectory() as folder:
        _run("data", f"data.path={folder}/data", "workers=1", "dataset.train=1", f"dataset.heldout={count}")
        for name in MODELS[:models]:
            read = {precision: _read(bench, name, precision, Path(folder)) for precision in (half, "fp32")}
            for attribute in read["fp32"]:
                shares = {precision: found[attribute] for precision, found in read.items()}
                bench.keep(Row("Read by the verifier", f"{name}, {count} captions", attribute, shares, unit="%"))


def _read(bench: Bench, name: str, precision: str, folder: Path) -> dict[str, float]:
    out = folder / f"{name.replace('/', '-')}-{precision}"
    _, count, steps = bench.sizes.reading
    settings = (f"n={count}", f"sampler.steps={steps}", f"device={bench.device.type}")
    _run(
        "evaluate", f"ckpt={name}", f"data.path={folder}/data", *settings, f"precision={precision}", f"output_dir={out}"
    )
    metrics = json.loads((out / "metrics.json").read_text())["metrics"]
    return {key.partition("/")[2]: value for key, value in metrics.items() if key.startswith("accuracy/")}


def _run(*words: str) -> None:
    code = main(words)
    if code:
        raise RuntimeError(f"ldmlab {words[0]} ended with code {code}")
