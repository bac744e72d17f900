"""Training, and the shards to train on, as functions."""

from __future__ import annotations

from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

from ldmlab.api.trained import Trained
from ldmlab.configs.calls import Overrides, as_lines, configured, write_config
from ldmlab.configs.errors import as_user_error
from ldmlab.data.folder_lock import folder_lock
from ldmlab.ranks import is_first, launched
from ldmlab.status import telling
from ldmlab.training.signals import STOP, Stopped


def train(*overrides: str | Overrides) -> Trained:
    """Train an autoencoder or a latent diffusion model, as `ldmlab train` does with the same settings.

    Ctrl-C (in a notebook: interrupt) finishes the step, saves and ends; the same call with `ckpt_path=last` and the
    `output_dir` of the run goes on.

    Of a script that torchrun started, each process trains on a device of its own; the first one holds the folder.

    Args:
        *overrides: settings, as on the command line (`"experiment=shapes/dit"`), lists of such lines, or by key
            (`{"optimizer.lr": 1e-4}`).

    Raises:
        ValueError: in one line, as the command says it.
        KeyboardInterrupt: it was interrupted; says which checkpoint there is.
    """
    from ldmlab.configs.training import train_from

    cfg = configured("train", {}, _merged(overrides))
    _require_launched(cfg.trainer.devices, cfg.trainer.num_nodes)
    folder = Path(cfg.output_dir)
    held = folder_lock(folder, "output_dir") if is_first() else nullcontext()
    told = telling(folder, "train", str) if is_first() else nullcontext()
    try:
        with STOP.heeded(), held, told, as_user_error():
            if is_first():
                write_config(cfg, folder)
            return Trained(folder, train_from(cfg), cfg.init_ckpt if cfg.get("adapter") else None)
    except Stopped as stop:
        raise KeyboardInterrupt(str(stop)) from None


def make_dataset(
    dataset: str = "shapes",
    path: str | PathLike[str] | None = None,
    *,
    workers: int = 1,
    overrides: Overrides = (),
    **settings: Any,
) -> Path:
    """Write a data set as shards to train on, as `ldmlab data` does; what is there already is not written again.

    Args:
        dataset: the name of an option: "shapes" and "openmoji" draw pictures, "folder" reads your own.
        path: the folder of the shards; None for `data/` and a name.
        workers: processes that write; with more than one, a script needs its `if __name__ == "__main__":`.
        overrides: further settings of `ldmlab data`.
        **settings: those of the data set, such as `train=1000` or `folder="photos"`.

    Returns:
        The folder, for `data.path=`.

    Raises:
        ValueError: in one line, as the command says it.
    """
    from ldmlab.configs.datasets import write_from

    own = {f"dataset.{name}": value for name, value in settings.items()}
    cfg = configured("data", {"dataset": dataset, "data.path": path, "workers": workers, **own}, overrides)
    with as_user_error():
        print(write_from(cfg))
    return Path(cfg.data.path)


def _require_launched(devices: Any, nodes: int) -> None:
    """A program is not started again behind its back, as Lightning would for several devices."""
    if launched() is None and (nodes > 1 or str(devices) not in ("1", "-1", "auto", "None", "[0]")):
        raise ValueError(
            f"trainer.devices={devices}: one process trains on one device; start the script by torchrun, which starts "
            "one for each, or run `ldmlab train`"
        )


def _merged(overrides: tuple[str | Overrides, ...]) -> list[str]:
    """All of them as lines, in their order."""
    return [line for each in overrides for line in as_lines([each] if isinstance(each, str) else each)]
