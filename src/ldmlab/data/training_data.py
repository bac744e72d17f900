"""What a run asks of the data that it trains on, whether they lie in a folder of shards or come in a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from ldmlab.data.decoding.decoders import Decoder, decoder_of
from ldmlab.data.filters.filter import Filter
from ldmlab.data.index.scanning import Progress
from ldmlab.data.needs import Needs
from ldmlab.data.order.order_facts import Facts
from ldmlab.data.samples import Samples, Texts
from ldmlab.data.shard_dataset import signed
from ldmlab.ranks import ALONE, Ranks


class TrainingData(LightningDataModule, ABC):
    """Training and held-out batches of a run; the Trainer needs `use_distributed_sampler=False`.

    Args:
        batch_size: samples in a batch of all ranks together.
        image_size: side of the images in pixels.
        num_workers: processes a rank that decode images; 0 decodes in the training process.
        seed: chooses the order of the training samples.
        decoder: of the images; the quickest if not given.
        filter: which samples are taken; None for all.

    Attributes:
        needs: what every sample must have; to be set before the first is read.
        progress: wraps the iteration over shards that are read before training, as a progress bar does.
        allow_other_data: go on from a checkpoint although the samples are no longer the same.
        sizes: (height, width) in pixels of the pictures of training, each batch of one; None where all are square.
        multiple: what sides are to be multiples of where the data chooses `sizes`; to be set before these are read.
    """

    multiple: int = 1

    @property
    def sizes(self) -> tuple[tuple[int, int], ...] | None:
        """Sizes of the pictures of training, none but the square where this is None."""
        return None

    def __init__(
        self,
        batch_size: int,
        image_size: int,
        num_workers: int,
        seed: int,
        decoder: Decoder | None = None,
        filter: Filter | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (("num_workers", num_workers, 0), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"{name}={value} is too small: give {least} or more")
        self.batch_size = batch_size
        self.image_size = image_size
        self.num_workers = num_workers
        self.seed = seed
        self.decoder = decoder or decoder_of()
        self.filter = filter
        self.needs = Needs()
        self.progress: Progress = iter
        self.allow_other_data = False

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the samples are, as the user said it."""

    @property
    @abstractmethod
    def overrides(self) -> str:
        """The settings of the command line that name these data, at their image size."""

    @property
    @abstractmethod
    def fingerprint(self) -> str | None:
        """Which samples these are, in which order; None where that is not known before they are read."""

    @property
    @abstractmethod
    def train_set(self) -> Samples:
        """Training samples to look at before training: all of them, or some. ValueError where there are none."""

    @property
    @abstractmethod
    def heldout_set(self) -> Samples:
        """The held-out samples. ValueError where there are none."""

    @property
    @abstractmethod
    def has_heldout(self) -> bool:
        """Whether there are held-out samples."""

    @property
    @abstractmethod
    def captions(self) -> Texts:
        """Captions of `train_set`, or of more samples, to make a vocabulary of. ValueError where there are none."""

    @property
    @abstractmethod
    def epoch_batches(self) -> int | None:
        """Batches of an epoch of training; None where that is not known."""

    @abstractmethod
    def require_source(self) -> None:
        """Raise ValueError where there is nothing that looks like training samples; none is read yet."""

    @abstractmethod
    def summary(self) -> str:
        """One line for the log: how much there is, and what is wrong with it; "" where that was told already."""

    @abstractmethod
    def write_problems(self, folder: Path, ranks: Ranks = ALONE) -> None:
        """Name whatever is wrong with the data in a folder, in a table: now, or as it is found. All ranks call it.

        Args:
            folder: of the run.
            ranks: the place of this process among those of the run.
        """

    @abstractmethod
    def replaced(self) -> str:
        """One line on what training found to be unusable when it came to it; "" where it found nothing."""

    @abstractmethod
    def require_same_order(self, state_dict: Mapping[str, Any]) -> bool:
        """Refuse to go on where this run would order its batches otherwise than the one that was saved.

        Returns:
            Whether the samples are others, which `allow_other_data` allows.

        Raises:
            ValueError: what has changed.
        """

    @abstractmethod
    def _order_facts(self) -> Facts:
        """What the order of the batches depends on."""

    def require_shares(self, world: int) -> None:
        """Raise ValueError where so many processes do not divide a batch."""
        if self.batch_size % world:
            raise ValueError(
                f"data.batch_size={self.batch_size}: {world} processes do not divide it; give a multiple of {world}"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of finished training batches, and what they depend on."""
        return {"batches": self._finished(), **self._order_facts()} if self._fitting() else {}

    def transfer_batch_to_device(self, batch: dict[str, Any], device: torch.device, dataloader_idx: int) -> Any:
        """Move the tensors, and make floats of images there; captions and keys stay as they are."""
        moved = {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
        if "images" in moved and moved["images"].dtype == torch.uint8:
            moved["images"] = signed(moved["images"])
        return moved

    def _share_size(self) -> int:
        return max(1, self.batch_size // self._rank_and_world()[1])

    def _fitting(self) -> bool:
        return self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING

    def _finished(self) -> int:
        trainer: Any = self.trainer
        return int(trainer.fit_loop.epoch_loop.batch_progress.total.processed)

    def _rank_and_world(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _pin_memory(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
