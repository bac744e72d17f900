"""Streams in training: each sample once a round whoever reads it, resumed at any batch, every bad one named."""

from __future__ import annotations

import csv
import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, islice, pairwise, takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from ldmlab.data.needs import Needs
from ldmlab.data.problems import PROBLEMS
from ldmlab.data.streams import source as sources
from ldmlab.data.streams.stream_datamodule import StreamDataModule
from ldmlab.data.streams.stream_state import StreamState

COUNTS = [7, 5, 9, 3, 6]
SAMPLES, BATCH = sum(COUNTS), 4
Make = Callable[..., StreamDataModule]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_shards: Callable[..., Path]) -> Path:
    return write_shards(tmp_path_factory.mktemp("stream"), COUNTS)


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """Settings -> a stream of five shards; its processes are ended."""
    made: list[StreamDataModule] = []

    def stream(urls: str | list[str] = f"{folder}/{{00000..00004}}.tar", rank: int = 0, world: int = 1, **given: Any):
        settings = {"batch_size": BATCH, "image_size": 8, "num_workers": 0, "shuffle": 6, "seed": 3} | given
        made.append(StreamDataModule(urls, **settings))
        if world > 1:
            root, state = SimpleNamespace(root_device=torch.device("cpu")), SimpleNamespace(fn=None)
            made[-1].trainer = SimpleNamespace(global_rank=rank, world_size=world, strategy=root, state=state)  # type: ignore[assignment]
        return made[-1]

    yield stream
    for each in made:
        each.teardown("fit")


def flat(batches: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def keys(stream: StreamDataModule, batches: int | None = None) -> list[list[int]]:
    """Those of the next batches, or of the next epoch."""
    loader = stream.train_dataloader() if stream._loader is None else stream._loader
    return [[int(key) for key in batch["keys"]] for batch in islice(loader, batches)]


@pytest.mark.parametrize("workers", [0, 1, 3, pytest.param(7, marks=pytest.mark.slow)])
def test_every_sample_comes_once_a_round(make: Make, workers: int) -> None:
    stream = make(num_workers=workers)
    rounds = [keys(stream), keys(stream)]
    for batches in rounds:
        assert sorted(flat(batches)) == list(range(SAMPLES))
        assert [len(batch) for batch in batches] == [BATCH] * 7 + [2]
    assert rounds[0] != rounds[1]


@pytest.mark.parametrize(("world", "workers"), [(2, 0), (4, 0), (2, 3), (4, 2)])
def test_ranks_share_each_round(make: Make, world: int, workers: int) -> None:
    rounds: list[Counter[int]] = [Counter(), Counter()]
    for rank in range(world):
        loader = make(rank=rank, world=world, num_workers=workers).train_dataloader()
        assert not loader.rounds_end
        for reader in loader.readers:
            read = (sample for chunk in reader for sample in chunk.samples)
            for seen in rounds:
                round = takewhile(lambda each: each.sample is not None, read)
                seen.update(int(each.sample.key) for each in round if each.sample is not None)
    assert rounds == [Counter(range(SAMPLES))] * 2


def test_ranks_have_full_batches_without_end(make: Make) -> None:
    for rank in range(2):
        assert [len(batch) for batch in keys(make(rank=rank, world=2), 30)] == [BATCH // 2] * 30


def test_workers_in_processes_read_as_the_training_process_does(make: Make) -> None:
    assert keys(make(num_workers=1), 9) == keys(make(num_workers=0), 9)


def test_the_seed_decides_and_a_window_of_one_mixes_nothing(make: Make) -> None:
    assert keys(make(seed=3), 5) == keys(make(seed=3), 5) != keys(make(seed=4), 5)
    numbers = flat(keys(make(shuffle=1)))
    assert sum(b - a == 1 for a, b in pairwise(numbers)) >= SAMPLES - len(COUNTS)


@pytest.mark.parametrize(
    ("workers", "samples"), [(0, None), (0, 12), (2, None), pytest.param(7, 12, marks=pytest.mark.slow)]
)
def test_it_goes_on_at_any_batch(make: Make, workers: int, samples: int | None) -> None:
    settings = {"num_workers": workers, "samples": samples, "flip": 0.5, "crop": "random"}

    def images(stream: StreamDataModule, batches: int) -> Iterator[Any]:
        loader = stream.train_dataloader()
        for _ in range(batches):
            yield from ((batch, loader.state_after(loader.batches)) for batch in loader)

    whole = list(islice(images(make(**settings), 20), 18))
    for done in range(1, 17) if not workers else (5, 8):
        stream = make(**settings)
        stream._start = StreamState.read([whole[done - 1][1].plain()], 0, max(1, workers)), done
        for (batch, state), (then, was) in zip(islice(images(stream, 20), 18 - done), whole[done:], strict=True):
            assert batch["keys"] == then["keys"]
            assert torch.equal(batch["images"], then["images"])
            assert state == was


def test_an_epoch_has_the_samples_that_it_is_given(make: Make) -> None:
    stream = make(samples=13)
    assert (stream.epoch_batches, len(stream.train_dataloader())) == (3, 3)
    parts = [flat(keys(stream)) for _ in range(5)]
    assert [len(part) for part in parts] == [12] * 5
    assert sorted(flat(parts)[:SAMPLES]) == list(range(SAMPLES))


class Tiny(LightningModule):
    """Remembers the keys that it is trained and validated on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.trained: list[list[int]] = []
        self.validated: list[int] = []

    def training_step(self, batch: Any, number: int) -> torch.Tensor:
        self.trained.append([int(key) for key in batch["keys"]])
        assert batch["images"].dtype == torch.float32
        return self.layer(batch["images"].mean().view(1, 1)).sum()

    def validation_step(self, batch: Any, number: int) -> None:
        self.validated += [int(key) for key in batch["keys"]]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trained(stream: StreamDataModule, folder: Path, steps: int, ckpt: Path | None = None, **settings: Any) -> Tiny:
    module = Tiny()
    saving = ModelCheckpoint(dirpath=folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    trainer = Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", logger=False, callbacks=[saving], default_root_dir=folder,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, num_sanity_val_steps=0,
        check_val_every_n_epoch=1, **settings,
    )  # fmt: skip
    trainer.fit(module, stream, ckpt_path=ckpt)
    return module


def test_a_trainer_goes_on_from_its_checkpoint(make: Make, tmp_path: Path) -> None:
    """In mid-round, at the end of a round and in another; validation is on samples that are not trained on."""
    settings = {"val_samples": 2, "num_workers": 1}
    whole = trained(make(**settings), tmp_path / "whole", 12)
    assert not {0, 1} & {*flat(whole.trained)}
    assert sorted(flat(whole.trained[:7])) == list(range(2, SAMPLES))
    assert whole.validated[:2] == [0, 1]
    for step in (3, 7):
        rest = trained(make(**settings), tmp_path / "rest", 12, tmp_path / f"whole/step={step}.ckpt")
        assert rest.trained == whole.trained[step:]


def test_a_shortened_epoch_loses_no_batch(make: Make, tmp_path: Path) -> None:
    """The trainer takes a batch ahead, to see whether there is one."""
    whole = trained(make(), tmp_path, 9)
    assert trained(make(), tmp_path, 9, limit_train_batches=3).trained == whole.trained


def test_going_on_as_before_or_not_at_all(make: Make, tmp_path: Path) -> None:
    trained(make(), tmp_path, 3)
    ckpt = tmp_path / "step=3.ckpt"
    for settings, line in (
        ({"num_workers": 2}, "trained with num_workers=1, this run has num_workers=2: .*allow_other_data=true"),
        ({"seed": 9}, "trained with seed=3, this run has seed=9: resume with the same, or start a new run$"),
        ({"shuffle": 7}, "trained with shuffle=6, this run has shuffle=7"),
    ):
        with pytest.raises(ValueError, match=line):
            trained(make(**settings), tmp_path / "other", 6, ckpt)
    other = make(num_workers=2)
    other.allow_other_data = True
    other.write_problems(tmp_path)
    (tmp_path / PROBLEMS).write_text("problem,shard,key,detail\nmissing image,a.tar,1,\n")
    rest = trained(other, tmp_path / "other", 11, ckpt)
    assert len(rest.trained) == 8
    assert len((tmp_path / PROBLEMS).read_text().splitlines()) == 2
    assert sorted(flat(rest.trained)) == list(range(SAMPLES))
    with pytest.raises(ValueError, match="does not say where its stream was"):
        StreamState.read([[[0, 0, 0], [1, 2, "3", 4]]], 0, 1)


def test_bad_samples_are_named_once(
    make: Make, tmp_path: Path, members: Callable[..., Any], write_tar: Callable[..., Path]
) -> None:
    good = [members(number) for number in range(8)]
    png, meta, text = good[2]
    spoiled = {
        2: [(png[0], png[1][:45]), meta, text],
        3: [good[3][0], (good[3][1][0], b"{"), good[3][2]],
        4: [*good[4][:2], (good[4][2][0], "schön".encode("latin-1"))],
        5: good[5][1:],
    }
    content = [member for number, sample in enumerate(good) for member in spoiled.get(number, sample)]
    first = write_tar(tmp_path / "a.tar", [*content, *good[0], ("9.npy", b"x")])
    damaged = bytearray(write_tar(tmp_path / "b.tar", [m for n in range(10, 14) for m in members(n)]).read_bytes())
    damaged[512 * 2 + 5] ^= 1
    (tmp_path / "b.tar").write_bytes(damaged)
    (tmp_path / "c.tar").write_text("<html>no such shard</html>")
    stream = make([str(first), f"{tmp_path}/b.tar", f"{tmp_path}/c.tar", f"{tmp_path}/gone.tar"], num_workers=2)
    stream.needs = Needs()
    stream.write_problems(tmp_path)
    for _ in range(2):
        assert sorted(flat(keys(stream))) == [0, 1, 6, 7, 10, 11, 12, 13]
    with (tmp_path / PROBLEMS).open(newline="") as file:
        named = Counter((row["problem"], row["shard"][-6:], row["key"]) for row in csv.DictReader(file))
    assert named == Counter(
        {
            ("undecodable image", "/a.tar", "000000002"): 1,
            ("broken json", "/a.tar", "000000003"): 1,
            ("caption that is not utf-8", "/a.tar", "000000004"): 1,
            ("missing image", "/a.tar", "000000005"): 1,
            ("duplicate key", "/a.tar", "000000000"): 1,
            ("ignored member", "/a.tar", "9.npy"): 1,
            ("damaged tar header", "/b.tar", "byte 1024"): 1,
            ("shard that is no tar", "/c.tar", ""): 1,
            ("shard that cannot be read", "ne.tar", ""): 2,
        }
    )
    assert "left out of training: 10 problems" in stream.replaced()


def test_a_bad_shard_may_end_the_run(make: Make, folder: Path) -> None:
    stream = make([f"{folder}/00000.tar", f"{folder}/gone.tar"], on_bad_shard="stop")
    with pytest.raises(ValueError, match=r"data.on_bad_shard=stop: .*gone.tar: no such file"):
        keys(stream)


def test_the_table_of_problems_goes_back_with_the_run(make: Make, tmp_path: Path) -> None:
    from ldmlab.data.problems import Defect, Problem

    stream = make()
    stream.write_problems(tmp_path)
    for key in ("a", "b\n,c", "d"):
        stream._problems.add(Problem(Defect.MISSING_IMAGE, "s.tar", key))
    stream._problems.go_back_to(2)
    with (tmp_path / PROBLEMS).open(newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == ["a", "b\n,c"]
    stream.train_dataloader()  # of a run that begins anew
    assert (tmp_path / PROBLEMS).read_text() == "problem,shard,key,detail\n"


class Breaking(SimpleHTTPRequestHandler):
    """Gives files, and breaks off the first answer for 00002.tar in its middle."""

    broken = 0

    def do_GET(self) -> None:
        if not self.path.endswith("00002.tar") or Breaking.broken:
            super().do_GET()
            return
        Breaking.broken += 1
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    handler = functools.partial(Breaking, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_servers_and_commands_give_what_files_give(
    make: Make, folder: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a connection breaks off: the shard is read on from there."""
    monkeypatch.setattr(sources, "PAUSES", (0.01,))
    plain = keys(make(), 9)
    assert keys(make(f"{server}/{{00000..00004}}.tar"), 9) == plain
    assert Breaking.broken == 1
    piped = make(f"pipe:cat {folder}/{{00000..00004}}.tar", secure=False, num_workers=1)
    assert keys(piped, 9) == plain


def test_object_stores_are_read_by_their_own_program(
    make: Make, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "gsutil"
    program.write_text(f'#!/bin/sh\n[ "$1" = cat ] && exec cat "{folder}/${{2#gs://bucket/}}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert keys(make("gs://bucket/{00000..00004}.tar"), 9) == keys(make(), 9)


def test_what_does_not_answer_is_told_in_a_line(make: Make, server: str) -> None:
    for url, line in (
        (
            "http://127.0.0.1:1/{0..3}.tar",
            r"^data.urls=http://127.0.0.1:1/0.tar: does not answer \(connection ref",
        ),
        (f"{server}/gone{{0..2}}.tar", r"no usable sample in its 3 shards \(3 problems: .*refused by its server"),
    ):
        with pytest.raises(ValueError, match=line) as caught:
            make(url).setup("fit")
        assert "\n" not in str(caught.value)


def test_a_stream_without_samples_is_refused(make: Make, tmp_path: Path, write_tar: Callable[..., Path]) -> None:
    empty = write_tar(tmp_path / "empty.tar", [])
    with pytest.raises(ValueError, match=r"no usable sample in its 1 shard \(1 problem: 1 empty shard"):
        make(str(empty)).setup("fit")
    with pytest.raises(ValueError, match="no usable sample in a whole round"):
        list(make(str(empty)).train_dataloader())


def test_samples_that_are_set_aside_are_not_trained_on(make: Make) -> None:
    stream = make(val_samples=9)
    assert [sample.key for sample in stream.heldout_set.samples] == [f"{n:09d}" for n in range(9)]
    assert sorted(flat(keys(stream))) == list(range(9, SAMPLES))
    assert stream.train_set[0]["key"] == "000000009"
    with pytest.raises(ValueError, match=r"data.val_samples: sets all samples of .* aside; give fewer"):
        make(val_samples=40).setup("fit")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"shuffle": 0}, "data.shuffle=0 is too small: give 1 or more"),
        ({"samples": 3}, "data.samples=3 is too small: give 4 or more"),
        ({"on_bad_shard": "mend"}, "data.on_bad_shard=mend: give skip or stop"),
        ({"num_workers": -1}, "num_workers=-1 is too small"),
    ],
)
def test_settings_are_refused_by_name(make: Make, settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        make(**settings)


def test_commands_are_run_only_if_that_is_asked_for(make: Make, tmp_path: Path) -> None:
    from ldmlab.data.streams.webdataset_urls import opener_of_urls

    with pytest.raises(ValueError, match=r"allow it by data.secure=false"):
        make(f"pipe:touch {tmp_path}/run")
    opener = opener_of_urls(secure=True)
    with pytest.raises(ValueError, match="cannot open pipe URLs"):
        opener.gopen(f"pipe:touch {tmp_path}/run")
    assert not (tmp_path / "run").exists()
