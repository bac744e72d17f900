import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from ldmlab.data.order.batch_order import GlobalBatches, ResumableLoader, epoch_flips, epoch_order, fixed_loader
from ldmlab.data.order.views import as_view
from ldmlab.ranks import Ranks

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given
from hypothesis import strategies as st


class Numbers(Dataset):
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, sample):
        return as_view(sample).row


def _loader(size, batch_size, workers=0, start=0, seed=0, finished=None):
    return ResumableLoader(
        Numbers(size), GlobalBatches(size, batch_size, seed, start=start), list, workers, finished=finished
    )


def _stream(size, batch_size, count, seed=0):
    batches = GlobalBatches(size, batch_size, seed)
    return [_rows(batches.batch(number)) for number in range(count)]


def _rows(views):
    return [view.row for view in views]


@given(st.integers(1, 700), st.integers(0, 2**64 - 1), st.integers(0, 50), st.integers(1, 40), st.integers(1, 9))
def test_order_is_a_permutation_and_repeats(size, seed, epoch, block, blocks):
    order = epoch_order(size, seed, epoch, block, block * blocks)
    assert sorted(order) == list(range(size))
    assert (order == epoch_order(size, seed, epoch, block, block * blocks)).all()


def test_order_is_the_same_on_every_machine_and_version():
    assert epoch_order(8, 3, 5).tolist() == [5, 1, 0, 2, 3, 6, 7, 4]


def test_order_depends_on_seed_and_epoch():
    orders = {tuple(epoch_order(100, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_order_is_uniform_within_a_window():
    firsts = np.array([epoch_order(10, 0, epoch) for epoch in range(4000)])
    counts = np.array([np.bincount(column, minlength=10) for column in firsts.T])
    assert abs(counts - 400).max() < 5 * np.sqrt(400)


def test_reads_stay_local():
    size, block, window = 64_000, 64, 640
    order = epoch_order(size, 0, 0, block, window)
    touched = [len(set(order[at : at + window] // block)) for at in range(0, size, window)]
    assert max(touched) == window // block
    assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 0.1, "the blocks themselves are permuted"


@given(st.integers(1, 90), st.integers(1, 6), st.sampled_from([1, 2, 3]), st.integers(0, 12), st.integers(0, 2**32))
def test_any_ranks_and_any_stop_give_the_same_global_order(size, share, world, stop, seed):
    batch_size = share * world
    if size < batch_size:
        size += batch_size
    length = size // batch_size
    whole = _stream(size, batch_size, stop + length, seed)
    ranks = [GlobalBatches(size, batch_size, seed, rank, world, start=stop) for rank in range(world)]
    assert {len(rank) for rank in ranks} == {length}
    resumed = [_rows(itertools.chain(*parts)) for parts in zip(*ranks, strict=True)]
    assert resumed == whole[stop:]


def test_every_sample_once_an_epoch():
    for epoch in range(3):
        batches = _stream(100, 10, 30)[epoch * 10 : epoch * 10 + 10]
        assert sorted(itertools.chain(*batches)) == list(range(100))


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("stop", [0, 3, 7, 12])
def test_loader_resumes_exactly_with_any_workers(workers, stop):
    size, batch_size = 31, 4
    first = _loader(size, batch_size)
    seen = []
    while len(seen) < stop:
        for batch in first:
            seen.append(batch)
            if len(seen) == stop:
                break
    second = _loader(size, batch_size, workers)
    second.load_state_dict(first.state_dict())
    seen += [*second, *second]
    assert seen == _stream(size, batch_size, stop + 14)


def test_state_counts_what_was_handed_out_not_what_was_prefetched():
    loader = _loader(40, 4, workers=2)
    iterator = iter(loader)
    next(iterator)
    assert loader.state_dict() == {"batches": 1}
    assert _loader(40, 4, finished=lambda: 5).state_dict() == {"batches": 5}


def test_abandoned_epoch_goes_on_with_the_next_batch():
    loader = _loader(40, 4, workers=2)
    seen = []
    for _ in range(4):
        seen += itertools.islice(loader, 3)
    assert seen == _stream(40, 4, 12)


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_leave_the_global_random_state_alone(workers):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(_loader(12, 4, workers))
    list(fixed_loader(Numbers(12), list, 4, workers, pin_memory=False))
    assert torch.equal(torch.get_rng_state(), before)


def test_fixed_loader_keeps_order_and_the_last_short_batch():
    assert list(fixed_loader(Numbers(5), list, 2, 2, pin_memory=False)) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 3, "batch_size": 4}, "batch_size=4 is more than the 3 samples: lower it, or add samples"),
        ({"size": 9, "batch_size": 4, "world": 3}, "batch_size=4 must be a positive multiple of the 3 processes"),
        ({"size": 9, "batch_size": 0}, "batch_size=0 must be a positive multiple"),
        ({"size": 9, "batch_size": 3, "seed": -1}, "seed=-1 is negative"),
    ],
)
def test_impossible_batches_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        GlobalBatches(**arguments)


def test_flips_belong_to_places_in_the_run_and_leave_the_order_alone():
    plain = [GlobalBatches(22, 4, seed=3).batch(n) for n in range(40)]
    flipped = [GlobalBatches(22, 4, seed=3, flip=0.5).batch(n) for n in range(40)]
    assert [[view._replace(mirrored=False) for view in batch] for batch in flipped] == plain
    late = GlobalBatches(22, 4, seed=3, start=17, flip=0.5)
    assert list(late) == flipped[17 : 17 + len(late)]
    halves = [GlobalBatches(22, 4, seed=3, rank=rank, world=2, flip=0.5).batch(9) for rank in (0, 1)]
    assert halves[0] + halves[1] == flipped[9]
    share = sum(view.mirrored for batch in flipped for view in batch) / 160
    assert 0.35 < share < 0.65
    assert all(view.mirrored for view in GlobalBatches(22, 4, flip=1.0).batch(0))


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_as_many_are_flipped_as_are_asked_for(probability):
    flips = [epoch_flips(4000, seed, epoch, probability) for seed in (0, 1) for epoch in (0, 1)]
    assert all(abs(each.mean() - probability) < 0.03 for each in flips)
    assert probability in (0, 1) or not any((flips[0] == other).all() for other in flips[1:])


def test_ranks_have_equally_many_batches_and_fill_the_last_one_up():
    loaders = [fixed_loader(Samples(7), collated, 2, 0, False, None, Ranks(rank, 3)) for rank in range(3)]
    found = [[(batch["numbers"], batch.get("fillers", 0)) for batch in loader] for loader in loaders]
    assert found == [[([0, 3], 0), ([6], 0)], [([1, 4], 0), ([0], 1)], [([2, 5], 0), ([0], 1)]]
    few = fixed_loader(Samples(2), collated, 2, 0, False, None, Ranks(2, 3))
    assert [(batch["numbers"], batch["fillers"]) for batch in few] == [([0], 1)]


class Samples(Numbers):
    """A dataset of its own numbers, which `collated` makes batches of as those of shards are: dicts."""


def collated(numbers):
    return {"numbers": list(numbers)}
