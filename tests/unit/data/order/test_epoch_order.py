import tracemalloc

import numpy as np
import pytest

from ldmlab.data.order.crops import crops
from ldmlab.data.order.epoch_order import WINDOW, EpochOrder
from ldmlab.data.order.flips import flips

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given
from hypothesis import strategies as st


def whole(size, seed, epoch, *blocks):
    return EpochOrder(size, seed, epoch, *blocks)[0:size]


def as_tables(size, seed, epoch, block=64, window=4096):
    """The order by definition, which runs of up to 2^16 blocks have always had: all of it, sorted at once."""
    words = np.random.Philox(key=np.array([seed, epoch], np.uint64))
    blocks = -(-size // block)
    starts = np.argsort(words.random_raw(blocks), kind="stable") * block
    order = (starts[:, None] + np.arange(block)).ravel()
    order = order[order < size]
    return order[np.lexsort((words.random_raw(size), np.arange(size) // window))]


@given(st.integers(1, 700), st.integers(0, 2**64 - 1), st.integers(0, 50), st.integers(1, 40), st.integers(1, 9))
def test_order_is_a_permutation_and_repeats(size, seed, epoch, block, blocks):
    order = whole(size, seed, epoch, block, block * blocks)
    assert sorted(order) == list(range(size))
    assert (order == as_tables(size, seed, epoch, block, block * blocks)).all()


def test_order_is_the_same_on_every_machine_and_version():
    assert whole(8, 3, 5).tolist() == [5, 1, 0, 2, 3, 6, 7, 4]


@pytest.mark.parametrize(("size", "block", "window"), [(50_001, 64, 4096), (65_536, 1, 64), (2 * 65_536 - 1, 2, 64)])
def test_any_stretch_is_that_of_the_whole_order(size, block, window):
    order = as_tables(size, 7, 3, block, window)
    asked = EpochOrder(size, 7, 3, block, window)
    for start in (0, 1, window - 1, 5 * window + 3, size // 2, size - window - 9, size - 70):
        assert (asked[start : start + 70] == order[start : start + 70]).all()


@pytest.mark.parametrize(("size", "block"), [(65_537, 1), (2 * 70_000 - 1, 2), (3 * 65_537 - 2, 3)])
def test_a_long_order_is_a_permutation_too(size, block):
    window = 12_288
    order = whole(size, 1, 2, block, window)
    assert (np.bincount(order, minlength=size) == 1).all()
    assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 0.02
    assert (order != whole(size, 1, 3, block, window)).mean() > 0.99
    assert np.flatnonzero(order == size - 1) < size - window, "the last block, which is short, may come anywhere"
    blocks = np.unique(order[:window] // block)
    assert len(blocks) == window // block, "blocks stay together"


@pytest.mark.parametrize("size", [10**6, 4 * 10**8, 10**12])
def test_a_stretch_costs_the_memory_of_a_window_wherever_it_is(size):
    tracemalloc.start()
    try:
        for start in (0, size // 2, size - 300):
            rows = EpochOrder(size, 0, 1)[start : start + 300]
            assert len(np.unique(rows)) == 300
            assert 0 <= rows.min() <= rows.max() < size
        assert tracemalloc.get_traced_memory()[1] < 40 * WINDOW * 8
    finally:
        tracemalloc.stop()


def test_order_depends_on_seed_and_epoch():
    orders = {tuple(whole(100, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_order_is_uniform_within_a_window():
    firsts = np.array([whole(10, 0, epoch) for epoch in range(4000)])
    counts = np.array([np.bincount(column, minlength=10) for column in firsts.T])
    assert abs(counts - 400).max() < 5 * np.sqrt(400)


def test_reads_stay_local():
    size, block, window = 64_000, 64, 640
    order = whole(size, 0, 0, block, window)
    touched = [len(set(order[at : at + window] // block)) for at in range(0, size, window)]
    assert max(touched) == window // block
    assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 0.1, "the blocks themselves are permuted"


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_as_many_are_flipped_as_are_asked_for(probability):
    found = [flips(seed, epoch, 0, 4000, probability) for seed in (0, 1) for epoch in (0, 1)]
    assert all(abs(each.mean() - probability) < 0.03 for each in found)
    assert probability in (0, 1) or not any((found[0] == other).all() for other in found[1:])


def test_flips_are_those_that_runs_have_always_had():
    words = np.random.Philox(key=np.array([9, 2**64 - 1 - 4], np.uint64)).random_raw(500)
    known = (words >> np.uint64(11)) * 2.0**-53 < 0.3
    assert (flips(9, 4, 0, 500, 0.3) == known).all()
    assert (flips(9, 4, 123, 50, 0.3) == known[123:173]).all()


def test_crops_belong_to_places_and_are_spread_evenly():
    found = crops(3, 0, 0, 4000)
    assert (crops(3, 0, 1001, 7) == found[1001:1008]).all()
    assert found.shape == (4000, 2)
    assert (found != crops(3, 1, 0, 4000)).all()
    counts = np.histogram2d(*found.T, bins=4, range=[[0, 1], [0, 1]])[0]
    assert abs(counts - 250).max() < 5 * np.sqrt(250)
