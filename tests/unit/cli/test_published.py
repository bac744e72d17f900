"""The setting that a named backbone was published in."""

from __future__ import annotations

import pytest

from ldmlab.cli.published import in_published_setting
from ldmlab.configs.errors import UserError


@pytest.mark.parametrize("given", [["backbone=dit_xl_2"], ["seed=3", "backbone=sd_1", "depth=1"]])
def test_a_name_alone_brings_its_setting(given: list[str]) -> None:
    name = next(word for word in given if word.startswith("backbone=")).removeprefix("backbone=")
    assert in_published_setting(given) == [f"experiment=published/{name}", *given]


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["backbone=dit"],
        ["backbone=nothing_like_it"],
        ["backbone.width=32"],
        ["experiment=shapes/dit", "backbone=dit_xl_2"],
        ["backbone=dit,unet"],
        ["experiment=published/dit_s_2,published/dit_xl_2"],
        ["backbone=dit_l_4", "conditioner=text"],
    ],
)
def test_everything_else_is_left_alone(given: list[str]) -> None:
    assert in_published_setting(given) == given


def test_none_is_wanted() -> None:
    assert in_published_setting(["backbone=dit_xl_2", "experiment=null"]) == ["backbone=dit_xl_2"]


def test_a_sweep_over_published_networks_is_one_over_experiments() -> None:
    with pytest.raises(UserError, match="describe published networks by experiment=published/NAME"):
        in_published_setting(["backbone=dit_s_2,dit_xl_2"])
