"""Training on shards that come as they are read, as a user does it."""

from __future__ import annotations

import csv
import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
Tiny = dict[str, tuple[str, ...]]


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith(("images_per_second", "cost/"))} for row in found]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server(shards: Path) -> Iterator[str]:
    """A web server of the shards."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(shards))) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_stopped_ends_as_one_that_is_not(
    tiny: Tiny, ldmlab: Command, shards: Path, tmp_path: Path, workers: int
) -> None:
    """Of what a command gives, with validation on the first samples, over the end of a round (7 batches)."""
    words = [*tiny["autoencoder"], "data=stream", f"data.urls=pipe:cat {shards}/train/{{00000..00001}}.tar"]
    words += ["data.secure=false", "data.shuffle=10", "data.val_samples=8", f"data.num_workers={workers}"]
    words += ["trainer.val_check_interval=3", "grid_every=100", "scheduler=constant"]
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for folder, steps in ((whole, 9), (parted, 4), (parted, 7), (parted, 9)):
        done = ldmlab("train", *words, f"trainer.max_steps={steps}", "ckpt_path=auto", f"output_dir={folder}")
        assert done.code == 0, done.err
    assert rows(parted) == rows(whole)
    assert (parted / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    line = ldmlab("train", *words, "data.shuffle=11", "ckpt_path=last", f"output_dir={whole}", "trainer.max_steps=12")
    assert "was trained with shuffle=10, this run has shuffle=11" in line.refusal()
    line = ldmlab("train", *tiny["autoencoder"], f"data.path={shards}", "ckpt_path=last", f"output_dir={whole}",
                  "trainer.max_steps=12")  # fmt: skip
    assert "was trained on data of another kind" in line.refusal()


@pytest.mark.slow
def test_a_run_goes_on_from_the_end_of_a_round(tiny: Tiny, ldmlab: Command, shards: Path, tmp_path: Path) -> None:
    """Where a validation is due as well, as when it was killed right behind its checkpoint."""
    words = [*tiny["autoencoder"], "data=stream", f"data.urls={shards}/train/*.tar", "data.val_samples=8"]
    words += ["trainer.val_check_interval=7", "checkpoint_every=7", "grid_every=100", "scheduler=constant"]
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for folder, steps in ((whole, 9), (parted, 8)):
        assert ldmlab("train", *words, f"trainer.max_steps={steps}", f"output_dir={folder}").code == 0
    (parted / "model.safetensors").unlink()
    (parted / "previous.ckpt").replace(parted / "last.ckpt")
    assert ldmlab("train", *words, "trainer.max_steps=9", "ckpt_path=last", f"output_dir={parted}").code == 0
    assert rows(parted) == rows(whole)
    assert (parted / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_text_to_image_from_a_web_server(
    tiny: Tiny, ldmlab: Command, autoencoder: Path, server: str, tmp_path: Path
) -> None:
    """Tokenizer, filter, held-out samples and pictures all come from the stream."""
    (tmp_path / "urls.txt").write_text(f"{server}/train/{{00000..00001}}.tar\n")
    words = [
        *tiny["dit"],
        "data=stream",
        f"data.urls={tmp_path / 'urls.txt'}",
        "filter=width >= 32 and words(caption) > 1",
    ]
    words += [f"data.heldout_urls={server}/heldout/00000.tar", "data.num_workers=1", "grid_prompts=null"]
    words += [f"autoencoder_ckpt={autoencoder / 'model.safetensors'}", f"output_dir={tmp_path / 'run'}"]
    done = ldmlab("train", *words)
    assert done.code == 0, done.err
    assert float(rows(tmp_path / "run")[-1]["val/loss"]) > 0
    assert [path.name for path in (tmp_path / "run/pictures").iterdir()] == ["step-0000004.png"]
    line = ldmlab("evaluate", f"ckpt={tmp_path / 'run/model.safetensors'}", "device=cpu").refusal()
    assert "give data.path=FOLDER to measure it on" in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no value for data.urls"),
        (("data.urls=pipe:cat x.tar",), "allow it by data.secure=false"),
        (("data.urls=gone.txt",), "data.urls=gone.txt: cannot be read"),
        (("data.urls=x.tar", "data.samples=1"), "data.samples=1 is too small"),
        (("data.urls=x.tar", "data.url=y"), "unknown key 'data.url'"),
        (("data.urls=http://127.0.0.1:1/{0..9}.tar",), "http://127.0.0.1:1/0.tar: does not answer"),
    ],
)
def test_bad_streams_are_told_in_a_line(
    tiny: Tiny, ldmlab: Command, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    given = (*tiny["autoencoder"], "data=stream", *words, f"output_dir={tmp_path}")
    assert told in ldmlab("train", *given).refusal()


def test_latents_of_a_stream_are_not_kept(tiny: Tiny, ldmlab: Command, tmp_path: Path) -> None:
    given = (*tiny["dit"], "data=stream", "data.urls=x.tar", "cache_latents=true", f"output_dir={tmp_path}")
    assert "no latents are kept of it" in ldmlab("train", *given).refusal()
