"""A network without its weights is refused when the config is composed, in one line that says where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ldmlab.cli.command import find
from ldmlab.configs.compose import validate

CKPT = "ckpt=shapes/unet"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("extractor=inception",), "weights is null; give the path of weights-inception-2015"),
        (("extractor=clip",), "weights is null; give the path of open_clip's weights of ViT-B-32-quickgelu"),
        (("extractor=dinov2", "extractor.model=vits14"), "give the path of dinov2_vits14_pretrain.pth"),
        (("extractor=timm", "extractor.model=resnet18"), "give the path of timm's weights of resnet18"),
        (("metric=[psnr,lpips]",), "weights is null; save the state dict of torchvision's vgg16 there"),
        (("metric=clip_score",), "weights is null; give the path of open_clip's weights of ViT-B-32-quickgelu"),
        (("metric=cmmd",), "weights is null; give the path of open_clip's weights of ViT-L-14-336-quickgelu"),
        (("metric=fd_dinov2",), "weights is null; give the path of dinov2_vitl14_pretrain.pth"),
        (("metric=cmmd", "metric.cmmd.extractor.weights=/nowhere/clip.pt"), "file '/nowhere/clip.pt' does not exist"),
    ],
)
def test_absent_weights_are_refused(overrides: tuple[str, ...], message: str, refused: Callable[..., str]) -> None:
    said = refused("evaluate", CKPT, *overrides)
    assert message in said
    group, _, option = overrides[0].partition("=")
    wanted = group if group == "extractor" else f"metric.{option.strip('[]').split(',')[-1]}"
    assert f"(in '{wanted}" in said


def test_networks_that_are_there_or_that_no_metric_reads_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "clip.pt").touch()
    validate(
        "evaluate", [CKPT, "metric=cmmd", f"metric.cmmd.extractor.weights={tmp_path}/clip.pt"], checks=find("evaluate")
    )
    validate("evaluate", [CKPT, "metric=[lpips_lite0,psnr]"], checks=find("evaluate"))
