import itertools

import pytest

from ldmlab.data.order import crops, epoch_order, flips
from ldmlab.data.order.batch_order import GlobalBatches

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given
from hypothesis import strategies as st


def _stream(size, batch_size, count, seed=0):
    batches = GlobalBatches(size, batch_size, seed)
    return [_rows(batches.batch(number)) for number in range(count)]


def _rows(views):
    return [view.row for view in views]


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


@pytest.mark.parametrize("options", [{"flip": 0.5}, {"random_crops": True}, {"flip": 0.25, "random_crops": True}])
def test_how_a_sample_is_seen_belongs_to_places_in_the_run_and_leaves_the_order_alone(options):
    plain = [GlobalBatches(22, 4, seed=3).batch(n) for n in range(40)]
    seen = [GlobalBatches(22, 4, seed=3, **options).batch(n) for n in range(40)]
    assert [_rows(batch) for batch in seen] == [_rows(batch) for batch in plain]
    assert seen != plain
    late = GlobalBatches(22, 4, seed=3, start=17, **options)
    assert list(late) == seen[17 : 17 + len(late)]
    halves = [GlobalBatches(22, 4, seed=3, rank=rank, world=2, **options).batch(9) for rank in (0, 1)]
    assert halves[0] + halves[1] == seen[9]


def test_flips_and_crops_are_of_places_and_not_of_each_other():
    both = [GlobalBatches(22, 4, seed=3, flip=0.5, random_crops=True).batch(n) for n in range(40)]
    flipped = [GlobalBatches(22, 4, seed=3, flip=0.5).batch(n) for n in range(40)]
    cropped = [GlobalBatches(22, 4, seed=3, random_crops=True).batch(n) for n in range(40)]
    assert [[v._replace(down=0.5, across=0.5) for v in batch] for batch in both] == flipped
    assert [[v._replace(mirrored=False) for v in batch] for batch in both] == cropped
    assert 0.35 < sum(view.mirrored for view in itertools.chain(*flipped)) / 160 < 0.65
    assert len({(view.down, view.across) for view in itertools.chain(*cropped)}) == 160
    assert all(view.mirrored for view in GlobalBatches(22, 4, flip=1.0).batch(0))


def test_the_first_batch_after_a_resume_costs_the_same_wherever_it_is(monkeypatch):
    drawn = []
    words = epoch_order.random_words

    def counted(seed, number, start, count, stream=0):
        drawn.append(count)
        return words(seed, number, start, count, stream)

    for module in (epoch_order, flips, crops):
        monkeypatch.setattr(module, "random_words", counted)
    costs = []
    for start in (0, 1, 1953, 3905, 39_000, 3_900_001):  # of a million samples, and of a thousand epochs of them
        drawn.clear()
        batch = next(iter(GlobalBatches(1_000_000, 256, start=start, flip=0.5, random_crops=True)))
        assert len({view.row for view in batch}) == 256
        costs.append(sum(drawn))
    assert max(costs) <= 2 * 4096 + 3 * 256, "words of the windows that the batch lies in, and of its own places"
