"""What is measured can be written as other programs read it, piece by piece, on any rank, and after a kill."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib import format as npy

from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.drawing.drawing import Drawing
from ldmlab.evaluation.class_requests import ClassRequests
from ldmlab.evaluation.evaluate import evaluate
from ldmlab.evaluation.given.opening import open_pictures
from ldmlab.evaluation.given_pictures import evaluate_given, measure_given
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.measurement import Measurement
from ldmlab.evaluation.requests import Unasked
from ldmlab.evaluation.saving import SAVED, SavedNpz, SavedPictures
from ldmlab.evaluation.shares import Kept, Shares
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.base import Metric
from ldmlab.metrics.distribution.frechet import FrechetDistance
from ldmlab.metrics.fidelity.psnr import PooledPSNR
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.ranks import Ranks
from ldmlab.samplers.ddim import DDIM

from .stand_in import StandIn

N = 10


class KilledError(Exception):
    """As by a signal."""


class Fatal(Metric):
    """Is killed by a picture."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.add_sum("count")

    def update(self, images: Any, numbers: list[int]) -> None:
        if self.number in numbers:
            raise KilledError

    def compute(self) -> dict[str, float]:
        return {}


@pytest.fixture
def pixels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (N, 12, 16, 3), np.uint8)


@pytest.fixture
def given(pixels: Any, tmp_path: Path) -> Path:
    np.savez(tmp_path / "given.npz", pixels, np.arange(N) % 3)
    return tmp_path / "given.npz"


def save(given: Path, folder: Path, how: str, ranks: Ranks = Ranks(), fatal: int = N) -> SavedPictures:  # noqa: B008
    saver = SAVED[how](folder)
    evaluate_given(
        open_pictures(given, "pictures", batch_size=3),
        None,
        {"save_pictures": saver, "fatal": Fatal(fatal)},
        StandIn(),
        device=torch.device("cpu"),
        shares=Shares(ranks, Kept(folder / "measured")),
    )
    return saver


def adm_batches(path: Path, name: str) -> list[Any]:
    """As the evaluator of ADM (openai/guided-diffusion) reads an array: out of the zip, some rows at a time."""
    with zipfile.ZipFile(path) as file, file.open(f"{name}.npy") as content:
        assert npy.read_magic(content) == (1, 0)
        shape, columns_first, dtype = npy.read_array_header_1_0(content)
        assert not columns_first
        row = int(np.prod(shape[1:], dtype=int)) * dtype.itemsize
        return [np.frombuffer(content.read(row), dtype).reshape(shape[1:]) for _ in range(shape[0])]


def test_an_npz_file_is_read_by_numpy_and_as_adm_reads_it(given: Path, pixels: Any, tmp_path: Path) -> None:
    path = save(given, tmp_path / "out", "npz").path
    assert path == tmp_path / "out/pictures.npz"
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays.files == ["arr_0", "arr_1"]
        assert [arrays[name].dtype for name in arrays.files] == [np.uint8, np.int64]
        assert (arrays["arr_0"] == pixels).all()
        assert (arrays["arr_1"] == np.arange(N) % 3).all()
    assert (np.stack(adm_batches(path, "arr_0")) == pixels).all()
    assert zipfile.ZipFile(path).testzip() is None
    assert open_pictures(path, "pictures").n == N
    assert sorted(each.name for each in path.parent.iterdir()) == ["measured", "pictures.npz"]


def test_png_files_are_read_by_torch_fidelity(given: Path, pixels: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity", exc_type=ImportError)
    from torch_fidelity.datasets import ImagesPathDataset
    from torch_fidelity.utils import glob_samples_paths

    folder = save(given, tmp_path / "out", "png").path
    files = glob_samples_paths(str(folder), False, "png", verbose=False)
    assert [Path(file).name for file in files] == [f"{number:05d}.png" for number in range(N)]
    found = torch.stack([ImagesPathDataset(files)[number] for number in range(N)])
    assert (found.permute(0, 2, 3, 1).numpy() == pixels).all()


def test_captions_stand_beside_png_files(tmp_path: Path, pixels: Any) -> None:
    saver = SAVED["png"](tmp_path)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    saver.update(images, range(N), captions=[f"a star, {number}, é's" for number in range(N)])
    assert open_pictures(saver.path, "pictures").known({"captions"})["captions"][4] == "a star, 4, é's"


@pytest.mark.parametrize("how", SAVED)
def test_saving_goes_on_after_a_kill(given: Path, pixels: Any, tmp_path: Path, how: str) -> None:
    with pytest.raises(KilledError):
        save(given, tmp_path / "out", how, fatal=7)
    assert not (tmp_path / "out/pictures.npz").exists()
    written = list((tmp_path / "out").glob("*/*"))
    again = save(given, tmp_path / "out", how)
    saved = open_pictures(again.path, "pictures")
    assert (saved.pictures(range(N))["images"].permute(0, 2, 3, 1).numpy() == pixels).all()
    assert written
    done = save(given, tmp_path / "out", how)  # killed after all was written
    assert open_pictures(done.path, "pictures").fingerprint == saved.fingerprint


def test_ranks_write_one_file(given: Path, pixels: Any, tmp_path: Path, on_ranks: Callable[..., list[Any]]) -> None:
    on_ranks(3, lambda ranks: save(given, tmp_path / "out", "npz", ranks).compute())
    with np.load(tmp_path / "out/pictures.npz") as arrays:
        assert (arrays["arr_0"] == pixels).all()
        assert (arrays["arr_1"] == np.arange(N) % 3).all()


def test_what_a_model_draws_is_written_without_any_data(
    make_model: Callable[[str], LatentDiffusion], given: Path, tmp_path: Path
) -> None:
    plain = make_model("drawer")
    classes = LatentDiffusion(plain.autoencoder, plain.denoiser, ClassLabel(3, 8), 8).eval()
    asked = {"plain": (plain, Unasked(7, 0, 3)), "classes": (classes, ClassRequests(3, 7, "balanced", 0, 3))}
    for name, (model, requests) in asked.items():
        saver, reference = SavedNpz(tmp_path / name), open_pictures(given, "reference", image_size=16)
        planned = Measurement(
            {"fid": FrechetDistance(), "save_pictures": saver},
            StandIn(),
            Precision("fp32", torch.device("cpu")),
            requests=requests,
            reference=reference,
            drawing=Drawing(DDIM(steps=1), NoGuidance(), ()),
        )
        found = evaluate(model, planned)
        saver.finish()
        saved = open_pictures(saver.path, "pictures", batch_size=3)
        again = measure_given(saved, reference, {"fid": FrechetDistance()}, StandIn())
        assert again == found
        assert saved.known({"labels"}) == requests.known({"labels"})


def test_labels_that_some_lack_are_left_out(tmp_path: Path, pixels: Any) -> None:
    saver = SavedNpz(tmp_path)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    saver.update(images[:4], range(4), labels=[1, 2, 3, 4])
    saver.update(images[4:], range(4, N), labels=[1, 2, None, 4, 5, 6])
    saver.finish()
    with np.load(saver.path) as arrays:
        assert arrays.files == ["arr_0"]


def test_missing_pictures_are_told(tmp_path: Path, pixels: Any) -> None:
    saver = SavedNpz(tmp_path)
    saver.update(torch.from_numpy(pixels).permute(0, 3, 1, 2)[:4], range(4))
    saver.count = torch.tensor(N)
    with pytest.raises(ValueError, match="is too short; hosts that share the work need a common output_dir"):
        saver.finish()
    assert not saver.path.exists()


def test_of_pictures_drawn_again_the_models_are_written(
    make_model: Callable[[str], LatentDiffusion], thirteen: HeldOut, tmp_path: Path
) -> None:
    saver, drawing = SavedNpz(tmp_path), Drawing(DDIM(steps=1), NoGuidance(), ())
    metrics: dict[str, Metric] = {"psnr": PooledPSNR(), "save_pictures": saver}
    precision = Precision("fp32", torch.device("cpu"))
    planned = Measurement(metrics, StandIn(), precision, thirteen, drawing=drawing)
    found = evaluate(make_model("restorer"), planned)
    saver.finish()
    saved = torch.from_numpy(np.load(saver.path)["arr_0"]).permute(0, 3, 1, 2)
    error = (saved.double() - thirteen.pictures(range(13))["images"].double()).square().mean()
    assert found.figures["PSNR"] == pytest.approx(10 * float(torch.log10(255**2 / error)))
    assert found.figures["naive/PSNR"] != found.figures["PSNR"]


def test_the_naive_answer_is_not_written(tmp_path: Path, pixels: Any) -> None:
    twin = SAVED["png"](tmp_path).twin()
    twin.update(torch.from_numpy(pixels).permute(0, 3, 1, 2), range(N))
    assert not list(tmp_path.iterdir())
