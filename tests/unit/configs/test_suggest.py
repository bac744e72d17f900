from __future__ import annotations

import pytest

from ldmlab.configs.suggest import hint, nearest


@pytest.mark.parametrize(
    ("word", "options", "expected"),
    [
        ("ddmi", ["ddpm", "ddim"], "ddim"),
        ("smaple", ["data", "sample", "train"], "sample"),
        ("backbone.detph", ["backbone.depth", "backbone.width", "seed"], "backbone.depth"),
        ("steps", ["sampler.steps", "seed", "sampler.eta"], "sampler.steps"),
        ("sampler.scale", ["guidance.scale", "batch_size", "n"], "guidance.scale"),
        ("zzz", ["ddpm", "ddim"], None),
        ("anything", [], None),
    ],
)
def test_nearest(word: str, options: list[str], expected: str | None) -> None:
    assert nearest(word, options) == expected


def test_hint_lists_few_options_when_none_is_near() -> None:
    assert hint("zzz", ["b", "a"]) == "; choose one of a, b"


def test_hint_is_silent_when_none_is_near_among_many() -> None:
    assert hint("zzz", [f"option{i}" for i in range(50)]) == ""
