"""What tests of whole commands share: a tiny dataset, tiny models, and commands run in this process."""

from __future__ import annotations

import io
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from ldmlab.data.dataset_writer import write_shards
from ldmlab.worlds.shapes.dataset import ShapesSource

SIZE = 32
TRAINING = (
    f"data.image_size={SIZE}",
    "data.batch_size=8",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.max_steps=4",
    "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=1",
    "training.warmup_steps=2",
    "checkpoint_every=2",
    "grid_every=4",
)
AUTOENCODER = (
    "experiment=shapes/autoencoder",
    *TRAINING,
    "autoencoder.channels=8",
    "autoencoder.norm_groups=4",
    "autoencoder.patch=4",
    "autoencoder.multipliers=[1,1]",
)
VQ = (
    "experiment=autoencoder_regularization/vq",
    *AUTOENCODER[1:],
    "autoencoder.codes=16",
    "autoencoder.restart_after=2",
)
DIFFUSION = (
    *TRAINING,
    "conditioner.length=64",
    "conditioner.width=32",
    "conditioner.depth=1",
    "conditioner.heads=2",
    "grid_prompts=[a red star]",
    "min_psnr=0",
    "sampler.steps=2",
)
DIT = ("experiment=shapes/dit", *DIFFUSION, "backbone.width=32", "backbone.depth=1", "backbone.heads=2")
UNET = (
    "experiment=shapes/unet",
    "conditioner_ckpt=null",
    *DIFFUSION,
    "backbone.model_channels=32",
    "backbone.residual_blocks=1",
)


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
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 training and 16 held-out scenes of 32 px, not to be written to."""
    root = tmp_path_factory.mktemp("shards")
    write_shards(ShapesSource(image_size=SIZE, train=64, heldout=16), root, shard_size=32, progress=False)
    return root


@pytest.fixture(scope="session")
def autoencoder(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an autoencoder trained for four steps."""
    folder = tmp_path_factory.mktemp("runs") / "autoencoder"
    must_run("train", *AUTOENCODER, f"data.path={shards}", f"output_dir={folder}")
    return folder


def _diffusion(overrides: tuple[str, ...], shards: Path, autoencoder: Path, folder: Path) -> Path:
    ckpt = autoencoder / "model.safetensors"
    must_run("train", *overrides, f"data.path={shards}", f"autoencoder_ckpt={ckpt}", f"output_dir={folder}")
    return folder


@pytest.fixture(scope="session")
def dit(shards: Path, autoencoder: Path) -> Path:
    """The folder of a DiT trained for four steps."""
    return _diffusion(DIT, shards, autoencoder, autoencoder.parent / "dit")


@pytest.fixture(scope="session")
def unet(shards: Path, autoencoder: Path) -> Path:
    """The folder of a UNet trained for four steps."""
    return _diffusion(UNET, shards, autoencoder, autoencoder.parent / "unet")


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
