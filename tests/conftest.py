"""What all tests share. What only some do is in the conftest.py of their folder.

| fixture | what it is |
| --- | --- |
| `ldmlab` | (words...) -> how `ldmlab WORDS...` ended, run in this process; `.refusal()` is the one line of bad input |
| `shards` | a folder with 64 training and 16 held-out drawn scenes of 32 px |
| `autoencoder`, `dit`, `unet` | the folders of runs of four steps on them: `model.safetensors`, `last.ckpt`, logs |
| `tiny` | overrides that make an experiment's training that small (`tiny.py`) |
| `shared` | (name, make) -> a folder that is made once for all workers; the ones above are |
| `pixels` | (path) -> the bytes of a picture's pixels, whatever its file says |
| `on_ranks` | (world, function of `Ranks`) -> what it returns on each rank, all of them forks of this process |
| `heeding`, `full_disk` | for child processes that are interrupted; for writing where there is no space |
| `small_disk` | a folder on a disk of eight megabytes, which can be filled; skipped where none can be mounted |

Folders of fixtures are not to be written to: copy them, or train with an `output_dir` of the test's own. Tests run in
one thread each, those of slow files first (`order.py`), and coverage traces the tests of the core's rooms alone.
"""

from __future__ import annotations

import gc
import io
import os
import pkgutil
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage
from filelock import FileLock
from PIL import Image

from ldmlab.data.writing.dataset_writer import write_shards
from ldmlab.worlds.shapes.dataset import ShapesSource

from .forked import on_ranks as forked_ranks
from .order import slowest_first
from .quick_hydra import quick_hydra
from .small_disk import SmallDisk, small_disk
from .tiny import AUTOENCODER, DIT, SIZE, UNET, VQ

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of what tests start; a worker is one of several on this machine

CORE = {"attention", "backbones", "diffusion", "guidance", "samplers"}
"""Rooms whose coverage is measured, by the tests of their folders in tests/unit."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Collect, which makes millions of objects that all stay, and leave these out of what is looked at for garbage."""
    for room in CORE if Coverage.current() else ():  # while it is measured
        for module in pkgutil.walk_packages(import_module(f"ldmlab.{room}").__path__, f"ldmlab.{room}."):
            import_module(module.name)
    gc.disable()
    try:
        with unmeasured():
            return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(700, 10, 50)  # of what tests make little is left: looking at all of it, less often
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slowest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with nullcontext() if item.path.parent.name in CORE else unmeasured():
        return (yield)


@contextmanager
def unmeasured() -> Iterator[None]:
    """Pause coverage: Hydra composes a config at half its speed while it is traced."""
    measured = Coverage.current()
    if measured is not None:
        measured.stop()
    try:
        yield
    finally:
        if measured is not None:
            measured.start()


@pytest.fixture(scope="session", autouse=True)
def _composing_quickly() -> Iterator[None]:
    with quick_hydra():
        yield


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def refusal(self) -> str:
        """What is said of bad input: exit code 2, and one line beginning with the program's name."""
        lines = [line for line in self.err.splitlines() if line.startswith("ldmlab: ")]
        assert (self.code, len(lines)) == (2, 1), self.err
        assert "Traceback" not in self.err
        assert self.err.endswith(f"{lines[0]}\n")
        return lines[0]


def run_command(*argv: object) -> Done:
    """Run `ldmlab ARGV...` in this process, which has imported everything already."""
    from ldmlab.cli.main import main

    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main([str(word) for word in argv])
    return Done(code, out.getvalue(), err.getvalue())


def must_run(*argv: object) -> Done:
    """Run a command that has to succeed."""
    done = run_command(*argv)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="session")
def ldmlab() -> Callable[..., Done]:
    """(words...) -> how the command ended."""
    return run_command


def pixels_of(path: Path) -> bytes:
    """What a picture shows, without what its file says of how it was drawn."""
    with Image.open(path) as image:
        return image.tobytes()


@pytest.fixture(scope="session")
def pixels() -> Callable[[Path], bytes]:
    """(path) -> the bytes of a picture's pixels."""
    return pixels_of


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """(name, make) -> the folder that `make` filled, in the first of the workers that asked for it."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    root.mkdir(exist_ok=True)

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        path, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)
                make(path)
                done.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def on_ranks() -> Callable[..., list[Any]]:
    """(world, function of `Ranks`) -> what the function returns on each of so many ranks."""
    return forked_ranks


@pytest.fixture(scope="session")
def shards(shared: Callable[..., Path]) -> Path:
    """64 training and 16 held-out scenes of 32 px."""
    scenes = ShapesSource(image_size=SIZE, train=64, heldout=16)
    return shared("shards", lambda folder: write_shards(scenes, folder, shard_size=32, progress=False))


@pytest.fixture(scope="session")
def autoencoder(shards: Path, shared: Callable[..., Path]) -> Path:
    """The folder of an autoencoder trained for four steps."""
    words = (*AUTOENCODER, f"data.path={shards}")
    return shared("autoencoder", lambda folder: must_run("train", *words, f"output_dir={folder}"))


@pytest.fixture(scope="session")
def dit(shards: Path, autoencoder: Path, shared: Callable[..., Path]) -> Path:
    """The folder of a DiT trained for four steps."""
    words = (*DIT, f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    return shared("dit", lambda folder: must_run("train", *words, f"output_dir={folder}"))


@pytest.fixture(scope="session")
def unet(shards: Path, autoencoder: Path, shared: Callable[..., Path]) -> Path:
    """The folder of a UNet trained for four steps."""
    words = (*UNET, f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    return shared("unet", lambda folder: must_run("train", *words, f"output_dir={folder}"))


@pytest.fixture(scope="session")
def tiny() -> dict[str, tuple[str, ...]]:
    """Overrides that make the experiments of shapes/, and the autoencoder with a codebook, tiny."""
    return {"autoencoder": AUTOENCODER, "vq": VQ, "dit": DIT, "unet": UNET}


def heed_interrupts() -> None:
    """For a child process: tests in a shell's background job inherit that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def heeding() -> Callable[[], None]:
    """What a process that is to be interrupted runs first."""
    return heed_interrupts


@contextmanager
def limited_file_size(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def full_disk() -> Callable[..., object]:
    """(bytes) -> a context in which no file can be longer."""
    return limited_file_size


@pytest.fixture(name="small_disk")
def mounted_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of eight megabytes."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk
