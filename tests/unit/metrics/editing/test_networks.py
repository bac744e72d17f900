"""Figures of edits that networks give, against the same features compared in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ldmlab.metrics.editing.background_lpips import BackgroundLPIPS
from ldmlab.metrics.editing.clip_similarity import CLIPSimilarity
from ldmlab.metrics.editing.structure_distance import StructureDistance
from ldmlab.metrics.feed import Feed
from ldmlab.pretrained.efficientnet import WEIGHTS_SHA256, EfficientNetLite0

from ....colours import Colours


@pytest.fixture(scope="module")
def edits() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (4, 3, 6, 6), generator=generator, dtype=torch.uint8)
    images, truth = interpolate(pictures, (48, 48), mode="nearest").chunk(2)
    mask = torch.zeros(2, 48, 48, dtype=torch.bool)
    mask[0, 10:30, 10:30] = True
    return {"images": images, "truth": truth, "mask": mask}


def cosines(places: np.ndarray) -> np.ndarray:
    """(T, D) -> (T, T)."""
    unit = places / np.linalg.norm(places, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def test_structure_distance_compares_cosines_of_places(edits: dict[str, Tensor]) -> None:
    metric = StructureDistance()
    metric.update(edits["images"], edits["truth"])
    network, wanted = EfficientNetLite0(), []
    for pair in zip(edits["images"], edits["truth"], strict=True):
        large = interpolate(torch.stack(pair).float(), (224, 224), mode="bicubic", antialias=True)
        maps = network.stages(large / 127.5 - 1)[-1].double().flatten(2).mT.numpy()
        wanted.append(((cosines(maps[0]) - cosines(maps[1])) ** 2).mean())
    assert metric.of_each[:, 0].tolist() == pytest.approx(wanted, rel=1e-4)
    assert [*metric.compute()] == ["structure_distance-lite0"]
    assert [*metric.networks().values()] == [WEIGHTS_SHA256]


def test_structure_stays_where_nothing_changes(edits: dict[str, Tensor]) -> None:
    metric = StructureDistance()
    metric.update(edits["truth"], edits["truth"])
    assert metric.of_each.abs().max() == 0


def test_lpips_of_lite0_sees_black_inside_the_mask(edits: dict[str, Tensor]) -> None:
    metric = BackgroundLPIPS()
    metric.update(**edits)
    assert [*metric.compute()] == ["LPIPS-lite0"]
    black = {name: torch.where(edits["mask"][:, None], 0, edits[name]).to(torch.uint8) for name in ("images", "truth")}
    again = BackgroundLPIPS()
    again.update(**black, mask=edits["mask"])
    assert torch.equal(metric.of_each, again.of_each)
    maps = [EfficientNetLite0().stages(black[name].float() / 127.5 - 1) for name in ("images", "truth")]
    unit = [[each.double() / each.double().norm(dim=1, keepdim=True) for each in stages] for stages in maps]
    stages = [(a - b).square().sum(1).mean((1, 2)) for a, b in zip(*unit, strict=True)]
    assert metric.of_each[:, 0].tolist() == pytest.approx(torch.stack(stages).mean(0).tolist(), rel=1e-3)


def test_clip_similarity_sees_the_whole_and_what_is_inside_the_mask(edits: dict[str, Tensor]) -> None:
    metric, captions = CLIPSimilarity(Colours()), ["a red star", "a blue star"]
    feed = Feed("edits", [metric.update])
    feed.update(**edits, captions=captions)
    feed.close()
    texts = Colours().text_features(captions).double().numpy()
    black = torch.where(edits["mask"][:, None], edits["images"], 0).to(torch.uint8)
    for column, pictures in enumerate((edits["images"], black)):
        features = Colours().features(pictures).double().numpy()
        lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(texts, axis=1)
        wanted = 100 * (features * texts).sum(axis=1) / np.maximum(lengths, 1e-12)
        assert metric.of_each[:, column].tolist() == pytest.approx(wanted.tolist(), rel=1e-6)
    assert [*metric.compute()] == ["CLIP_similarity-c", "CLIP_similarity_edited-c"]


def test_features_that_are_no_numbers_are_refused(edits: dict[str, Tensor]) -> None:
    class Broken(Colours):
        def features(self, images: Tensor) -> Tensor:
            return super().features(images) / 0

    with pytest.raises(ValueError, match="the features of edit 0 hold NaN or infinite values"):
        Feed("edits", [CLIPSimilarity(Broken()).update]).update(**edits, captions=["a", "b"])


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match=r"no such file; give DINO's own file dino_vitbase8_pretrain.pth"):
        StructureDistance(weights="nowhere.pth")
    with pytest.raises(ValueError, match="save the state dict of torchvision's squeezenet1_1"):
        BackgroundLPIPS(weights="nowhere.pth")


def test_lpips_is_torchmetrics(edits: dict[str, Tensor], tmp_path: Path) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1()
    torch.save(network.state_dict(), tmp_path / "squeeze.pth")
    metric = BackgroundLPIPS(tmp_path / "squeeze.pth")
    metric.update(**edits)
    reference = _LPIPS(net="squeeze", pnet_rand=True)
    features = {key: value for key, value in network.state_dict().items() if key.startswith("features")}
    reference.net.load_state_dict(dict(zip(reference.net.state_dict(), features.values(), strict=True)))
    pair = (edits[name] / 255 * ~edits["mask"][:, None] for name in ("images", "truth"))
    wanted = reference(*(each * 2 - 1 for each in pair)).flatten()
    assert [*metric.compute()] == ["LPIPS-squeeze"]
    assert metric.of_each[:, 0].tolist() == pytest.approx(wanted.tolist(), rel=1e-4)
