import itertools
import json
import multiprocessing
import os
import signal
import time

import pytest
import torch
from torch.utils.data import Dataset

from ldmlab.data.order.batch_order import GlobalBatches
from ldmlab.data.order.loaders import ResumableLoader, fixed_loader
from ldmlab.data.order.views import as_view
from ldmlab.ranks import Ranks


class Numbers(Dataset):
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, sample):
        return as_view(sample).row


class Samples(Numbers):
    """A dataset of its own numbers, which `collated` makes batches of as those of shards are: dicts."""


def collated(numbers):
    return {"numbers": list(numbers)}


def _loader(size, batch_size, workers=0, start=0, seed=0, finished=None):
    return ResumableLoader(
        Numbers(size), GlobalBatches(size, batch_size, seed, start=start), list, workers, finished=finished
    )


def _stream(size, batch_size, count, seed=0):
    batches = GlobalBatches(size, batch_size, seed)
    return [[view.row for view in batches.batch(number)] for number in range(count)]


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


def test_ranks_have_equally_many_batches_and_fill_the_last_one_up():
    loaders = [fixed_loader(Samples(7), collated, 2, 0, False, None, Ranks(rank, 3)) for rank in range(3)]
    found = [[(batch["numbers"], batch.get("fillers", 0)) for batch in loader] for loader in loaders]
    assert found == [[([0, 3], 0), ([6], 0)], [([1, 4], 0), ([0], 1)], [([2, 5], 0), ([0], 1)]]
    few = fixed_loader(Samples(2), collated, 2, 0, False, None, Ranks(2, 3))
    assert [(batch["numbers"], batch["fillers"]) for batch in few] == [([0], 1)]


def test_fixed_loader_says_how_many_samples_a_full_batch_has():
    assert fixed_loader(Numbers(5), list, 2, 0, pin_memory=False).full_batch == 2


class Killed:
    """A run that notes each batch of all its ranks when it is done, and is killed."""

    def __init__(self, path):
        self.path = path

    def run(self, workers, world, batches):
        """Go on with so many workers and ranks, and be killed with all workers after so many batches."""
        until = len(self.noted()) + batches
        process = multiprocessing.get_context("fork").Process(target=self._train, args=(workers, world))
        process.start()
        while len(self.noted()) < until:
            assert process.is_alive()
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.join()

    def noted(self):
        """The lines that are whole: a kill may leave a part of one."""
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def _train(self, workers, world):
        os.setpgid(0, 0)
        done = self.noted()
        self.path.write_text("".join(json.dumps(line) + "\n" for line in done))
        ranks = [self._stream(workers, world, rank, len(done)) for rank in range(world)]
        with self.path.open("a") as file:
            for parts in zip(*ranks, strict=True):
                file.write(json.dumps([*itertools.chain(*parts)]) + "\n")
                file.flush()

    def _stream(self, workers, world, rank, start):
        loader = ResumableLoader(Numbers(61), GlobalBatches(61, 4, 9, rank, world, start), list, workers)
        while True:
            yield from loader


FEW = [(0, 1), (1, 2), (0, 4), (4, 1), (2, 2), (0, 1)]
ALL = [*itertools.product([0, 1, 2, 4], [1, 2, 4])]


@pytest.mark.parametrize("starts", [FEW, pytest.param(ALL, marks=pytest.mark.slow)], ids=["few", "all"])
def test_a_run_goes_on_with_one_order_after_kills_and_with_any_workers_and_ranks(tmp_path, starts):
    killed = Killed(tmp_path / "batches")
    for workers, world in starts:
        killed.run(workers, world, batches=9)
    assert killed.noted() == _stream(61, 4, len(killed.noted()), seed=9)
    assert len(killed.noted()) > 3 * (61 // 4), "more than three epochs"
