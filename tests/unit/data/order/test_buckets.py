"""Aspect-ratio buckets: which sizes, which samples, which batches."""

import itertools

import numpy as np
import pytest

from ldmlab.data.order.batch_order import GlobalBatches
from ldmlab.data.order.bucket_sizes import automatic_sizes, bucket_sizes, nearest_bucket, without_small
from ldmlab.data.order.buckets import Buckets
from ldmlab.data.order.loaders import fixed_loader
from ldmlab.data.order.views import View
from ldmlab.ranks import Ranks

SIZES = ((8, 16), (12, 12), (16, 8))


def of_counts(*counts, seed=0):
    numbers = np.random.default_rng(seed).permutation(sum(counts))
    ends = np.cumsum(counts)
    rows = (np.sort(numbers[end - count : end]) for count, end in zip(counts, ends, strict=True))
    return Buckets(SIZES, tuple(rows))


def test_automatic_sizes_are_of_about_as_many_pixels_both_ways_up():
    sizes = automatic_sizes(512)
    assert len(sizes) == 9
    assert sizes[:5] == ((256, 1024), (320, 768), (384, 640), (448, 576), (512, 512))
    assert all(side % 64 == 0 for size in sizes for side in size)
    assert all(0.9 * 512**2 < height * width <= 512**2 for height, width in sizes)
    assert {(width, height) for height, width in sizes} == {*sizes}
    assert automatic_sizes(64)[0] == (32, 128)


@pytest.mark.parametrize(
    "wrong", ["many", 64, [], [[64]], [[64, 0]], [[64, 64.0]], [[64, 64], [64, 64]], [[True, 64]], [["a", "b"]]]
)
def test_what_are_no_buckets_is_refused(wrong):
    with pytest.raises(ValueError, match=r"data\.buckets=.*: give auto, or a list \[\[HEIGHT,WIDTH\],\.\.\.\]"):
        bucket_sizes(wrong, 64)


def test_automatic_sizes_are_multiples_of_what_is_wanted():
    assert automatic_sizes(512, 64) == automatic_sizes(512)
    assert automatic_sizes(256, 64) == ((128, 512), (192, 320), (256, 256), (320, 192), (512, 128))
    assert automatic_sizes(64, 16) == ((32, 128), (48, 80), (64, 64), (80, 48), (128, 32))
    assert automatic_sizes(100)[0] == (60, 156)
    assert automatic_sizes(64, 64) == ((64, 64),)
    assert bucket_sizes([[8, 16], [16, 8]], 100, 64) == ((8, 16), (16, 8)), "those that are listed are left alone"


def test_a_picture_goes_where_its_aspect_ratio_is_nearest():
    widths, heights = np.array([200.0, 130, 100, 40, np.nan, 4000, 1]), np.array([100.0, 100, 130, 100, 5, 8, 0])
    assert nearest_bucket(widths, heights, SIZES).tolist() == [0, 1, 1, 2, 1, 0, 0]


def test_small_buckets_are_joined_to_the_nearest():
    sizes = ((1, 4), (1, 2), (1, 1), (2, 1), (4, 1))
    assert without_small(np.array([9, 9, 9, 9, 9]), sizes, 8).tolist() == [0, 1, 2, 3, 4]
    assert without_small(np.array([3, 9, 9, 0, 9]), sizes, 8).tolist() == [1, 1, 2, 3, 4]
    assert without_small(np.array([3, 4, 9, 9, 2]), sizes, 8).tolist() == [2, 2, 2, 3, 3]
    assert without_small(np.array([1, 1, 0, 0, 0]), sizes, 8).tolist() == [1, 1, 2, 3, 4]


def test_a_batch_is_of_one_bucket_and_a_sample_comes_once():
    buckets = of_counts(23, 41, 9)
    length = 5 + 10 + 2
    batches = GlobalBatches(73, 4, seed=5, buckets=buckets)
    assert len(batches) == length
    seen = []
    for epoch in range(6):
        views = [batches.batch(epoch * length + place) for place in range(length)]
        assert all(len({view.size for view in batch}) == 1 for batch in views)
        for view in (rows := [*itertools.chain(*views)]):
            assert view.row in buckets.rows[SIZES.index(view.size)]
        assert len({view.row for view in rows}) == 4 * length
        seen += [view.row for view in rows]
    assert {*seen} == {*range(73)}, "what an epoch leaves out comes in another"
    assert seen[: 4 * length] != seen[4 * length : 8 * length]


@pytest.mark.parametrize("stop", [0, 7, 40])
def test_any_ranks_and_any_stop_give_the_same_batches(stop):
    made = {"size": 73, "batch_size": 4, "seed": 5, "buckets": of_counts(23, 41, 9), "flip": 0.5, "random_crops": True}
    whole = [GlobalBatches(**made).batch(number) for number in range(stop, stop + 17)]
    for world in (1, 2, 4):
        ranks = [GlobalBatches(**made, rank=rank, world=world, start=stop) for rank in range(world)]
        assert [[*itertools.chain(*parts)] for parts in zip(*ranks, strict=True)] == whole


def test_buckets_come_by_their_share_and_reads_stay_local():
    count, batch = 1 << 20, 256
    rows = np.arange(count)
    wide = rows % 4 == 0
    buckets = Buckets(SIZES[:2], (rows[wide], rows[~wide]))
    batches = GlobalBatches(count, batch, buckets=buckets)
    views = [batches.batch(number) for number in range(1024)]
    shares = np.array([view[0].size == SIZES[0] for view in views]).reshape(4, -1).mean(1)
    assert abs(shares - 0.25).max() < 0.2
    blocks = {view.row // 256 for batch in views[:256] for view in batch}
    assert len(blocks) <= 16 * 64 * 3, "of 16 windows of 64 blocks each, of which a few lie across"


def test_the_cost_of_a_batch_does_not_grow_with_its_place():
    rows = Endless(1 << 40)
    batches = GlobalBatches(1 << 41, 64, seed=1, buckets=Buckets(SIZES[:2], (rows, rows)), start=1 << 33)
    (first,) = itertools.islice(batches, 1)
    assert len({view.row for view in first}) == 64


class Endless:
    """Stands for a mapped file of as many rows, each its own number."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, places):
        return places


def test_too_few_samples_for_any_batch_are_refused():
    with pytest.raises(ValueError, match=r"batch_size=16 is more than any bucket of the 20 samples holds: lower it"):
        GlobalBatches(20, 16, buckets=of_counts(9, 9, 2))


def test_validation_has_batches_of_one_size_on_each_rank():
    buckets = of_counts(7, 5, 1, seed=3)
    views = buckets.views(10)
    assert sorted(view.row for view in views) == [*range(10)]
    found = []
    for rank in range(2):
        loader = fixed_loader(Sizes(), as_batch, 2, 0, False, views, Ranks(rank, 2))
        found.append([*loader])
        assert len(found[-1]) == len(loader)
        assert all(len({view.size for view in batch["views"]}) == 1 for batch in found[-1])
    assert len(found[0]) == len(found[1]), "ranks have equally many batches"
    counted = [b["views"][: len(b["views"]) - b.get("fillers", 0)] for b in itertools.chain(*found)]
    assert sorted(itertools.chain(*counted)) == sorted(views), "each sample is counted once"


class Sizes:
    def __len__(self):
        return 13

    def __getitem__(self, view):
        assert isinstance(view, View)
        return view


def as_batch(views):
    return {"views": list(views)}
