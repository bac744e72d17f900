"""A manifest says what a figure was measured with, in plain JSON."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

import ldmlab
from ldmlab.metrics import manifest
from ldmlab.metrics.base import settings_of
from ldmlab.metrics.distribution.inception_score import InceptionScore
from ldmlab.metrics.distribution.precision_recall import PrecisionRecall
from ldmlab.metrics.fidelity.ssim import SSIM
from ldmlab.metrics.manifest import GUIDANCE_CONVENTIONS, Manifest, device_name, git_commit, package_versions, record
from ldmlab.metrics.measured import Measured


@pytest.fixture
def measured() -> Manifest:
    return Manifest(
        n=10,
        seed=0,
        extractor="efficientnet-lite0",
        extractor_sha256="57",
        reference_fingerprint="ab",
        device=device_name("cpu"),
        sampler="DDIM",
        steps=50,
        eta=0.0,
        guidance_scale=2.0,
        guidance_convention=GUIDANCE_CONVENTIONS["scale"],
        ema=True,
    )


def test_the_record_survives_json(measured: Manifest) -> None:
    told = record(
        Measured({"FID-lite0": 1.5, "PSNR": float("inf")}, {"FID-lite0": 0.25}, ["a note"]), measured, ["first"]
    )
    found = json.loads(json.dumps(told, allow_nan=False))
    assert (found["errors"], found["notes"]) == ({"FID-lite0": 0.25}, ["first", "a note"])
    assert found["metrics"] == {"FID-lite0": 1.5, "PSNR": None}
    assert Manifest(**found["manifest"]) == measured
    assert found["manifest"]["guidance_convention"].endswith("1 is neutral")
    assert found["manifest"]["versions"]["torch"] == metadata.version("torch")
    assert found["manifest"]["autoencoder_sha256"] is None


def test_a_nan_is_refused(measured: Manifest) -> None:
    with pytest.raises(ValueError, match="figure 'IS' is NaN"):
        record(Measured({"IS": float("nan")}), measured)


def test_versions_name_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "PACKAGES", ("torch", "surely-not-installed"))
    versions = package_versions()
    assert versions["ldmlab"] == ldmlab.__version__
    assert "torch" in versions
    assert "surely-not-installed" not in versions


def test_the_commit_is_that_of_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = tmp_path / "src" / "ldmlab" / "metrics" / "manifest.py"
    module.parent.mkdir(parents=True)
    module.touch()
    monkeypatch.setattr(manifest, "__file__", str(module))
    assert git_commit() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "one"], check=True)
    commit = git_commit()
    assert commit is not None
    assert re.fullmatch(r"[0-9a-f]{40}", commit)
    module.write_text("changed")
    assert git_commit() == f"{commit}-dirty"


def test_settings_are_those_that_metrics_were_made_with() -> None:
    metrics = {"prc": PrecisionRecall(k=4), "ssim": SSIM(), "is": InceptionScore(part_size=50)}
    assert settings_of(metrics) == {
        "prc": {"k": 4, "parts": 12},
        "is": {"splits": 10, "seed": 2020, "part_size": 50},
    }
    assert settings_of({"ssim": SSIM()}) is None
