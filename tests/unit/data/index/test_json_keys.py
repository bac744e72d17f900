"""What a conditioner reads of samples' json is found, and samples without it are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.cached_dataset import CachedLatents
from ldmlab.data.latents.latent_cache import LatentEncoder, latent_cache
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect
from ldmlab.data.shard_dataset import ShardDataset, collate

NEEDS = Needs.of({"captions", "score", "images"})


@pytest.fixture
def scored(tmp_path: Path, write_tar: Callable[..., None], png: Callable[[int], bytes]) -> Path:
    parts = []
    for name, meta in (("a", {"score": 0.5}), ("b", {"score": None}), ("c", {"score": 2}), ("d", {"label": 3})):
        parts += [(f"{name}.png", png(1)), (f"{name}.txt", b"text"), (f"{name}.json", json.dumps(meta).encode())]
    write_tar(tmp_path / "0.tar", parts)
    return tmp_path


def test_needs_follow_from_what_is_read() -> None:
    assert Needs.of({"captions", "score", "images"}) == Needs(captions=True, json=frozenset({"score"}))
    assert Needs.of({"labels"}, 7) == Needs(captions=False, classes=7)


def test_samples_without_a_key_are_left_out_and_named(scored: Path) -> None:
    index = ShardIndex.build(scored, needs=NEEDS)
    assert [entry.key for entry in index] == ["a", "c"]
    found = [(problem.defect, problem.key, problem.detail) for problem in index.problems]
    assert found == [(Defect.MISSING_KEY, "b", "score"), (Defect.MISSING_KEY, "d", "score")]
    assert len(ShardIndex.build(scored)) == 4


def test_batches_have_it(scored: Path) -> None:
    dataset = ShardDataset(ShardIndex.build(scored, needs=NEEDS), 8)
    batch = collate([dataset[1], dataset[0]])
    assert batch["score"] == [2, 0.5]  # type: ignore[typeddict-item]
    assert batch["captions"] == ["text", "text"]
    encoder = LatentEncoder(lambda images: (images[..., ::8, ::8], images[..., ::8, ::8]), 3, 8, "ae")
    cached = CachedLatents(dataset.index, latent_cache(dataset, encoder, scored / "cache"))
    assert cached.__getitems__([0, 1])["score"] == [0.5, 2]  # type: ignore[typeddict-item]
    assert "score" not in collate([ShardDataset(ShardIndex.build(scored), 8)[0]])


def test_data_without_it_are_refused(scored: Path) -> None:
    with pytest.raises(ValueError, match=r"the shards in .* have no 'mood', in KEY\.json: add it"):
        ShardIndex.build(scored, needs=Needs.of({"mood"}))
