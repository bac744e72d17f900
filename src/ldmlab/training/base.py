"""What trainings of autoencoders and of diffusion models share: optimizers, learning rates, what a checkpoint says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ldmlab.draws import Draws
from ldmlab.reduction import sum_over_ranks
from ldmlab.training.dev_run import run_length
from ldmlab.training.failures import LossWatch, check_finite_state
from ldmlab.training.learning_rate import LearningRate, constant, scheduler_names
from ldmlab.training.memory_format import keep_kernels, lay_out_states
from ldmlab.training.optimizers import optimizer_names, parameter_groups
from ldmlab.training.randomness import finished_batches, step_draws

OptimizerFactory = Callable[[list[Any]], Optimizer]


class Training(L.LightningModule):
    """A model while it is trained.

    Args:
        optimizer: from parameters to an optimizer.
        learning_rate: how its rate changes; constant if not given.
        decay_vectors: False spares norms and biases the weight decay.
        nan_check_every: losses between two looks whether they are finite, see `LossWatch`.
        model_config: what built the model, stored in every checkpoint as it is.
        seed: of everything that is random in training, see `ldmlab.training.randomness`.

    Attributes:
        trained_on: the data, see `ldmlab.models.checkpoints.Checkpoint`; stored in every checkpoint as well.
        leaves_parameters_out: whether a loss may depend on a part of the parameters alone, as ranks have to know.
    """

    leaves_parameters_out = False

    def __init__(
        self,
        optimizer: OptimizerFactory,
        learning_rate: LearningRate | None = None,
        nan_check_every: int = 50,
        model_config: Mapping[str, Any] | None = None,
        decay_vectors: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.decay_vectors = decay_vectors
        self.make_optimizer = optimizer
        self.learning_rate = learning_rate or LearningRate()
        self.watch = LossWatch(nan_check_every)
        self.model_config = dict(model_config or {})
        self.trained_on: dict[str, Any] | None = None
        self._validated: dict[str, Float[Tensor, " 2"]] = {}

    @property
    def world(self) -> int:
        """How many ranks train."""
        return self.trainer.world_size if self._trainer else 1

    def draws(self, samples: Tensor) -> Draws:
        """The draws for this rank's samples (B, ...) of the batch that is trained on, on their device."""
        batch = finished_batches(self._trainer)
        return step_draws(self.seed, batch, len(samples), self.global_rank, self.world, samples.device)

    def note_validation(self, name: str, values: Float[Tensor, " N"]) -> None:
        """Take in a figure of each of this rank's samples of a batch; the mean over all is logged at the end."""
        sums = torch.stack([values.sum(), torch.full_like(values, 1.0).sum()])
        self._validated[name] = self._validated[name] + sums if name in self._validated else sums

    def on_validation_epoch_start(self) -> None:
        """Forget a validation that was broken off."""
        self._validated = {}

    def on_validation_epoch_end(self) -> None:
        """Log the means over the samples of all ranks, which need not have equally many."""
        for name, sums in self._validated.items():
            total, count = sum_over_ranks(sums)
            if bool(count):
                self.log(name, total / count, prog_bar=True, batch_size=1, sync_dist=True)

    def new_optimizers(self) -> list[Optimizer]:
        """The optimizers without a state; the first is the one whose learning rate changes."""
        raise NotImplementedError

    def new_optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """One of them."""
        return self.make_optimizer(parameter_groups(parameters, self.decay_vectors))

    def new_schedulers(self, optimizers: list[Optimizer], steps: int) -> list[LRScheduler]:
        """A learning-rate scheduler for each optimizer, for a run of so many steps.

        Args:
            optimizers: the first follows the schedule, the others a constant.
            steps: of the first optimizer.

        Raises:
            ValueError: the schedule needs more steps than there are.
        """
        first, *others = optimizers
        return [self.learning_rate.schedule(first, steps), *map(constant, others)]

    def configure_optimizers(self) -> Any:
        """Optimizers and schedulers, which `step_schedulers` steps: a run then goes on exactly from any step."""
        optimizers = self.new_optimizers()
        schedulers = self.new_schedulers(optimizers, run_length(self.trainer))
        extra = {"reduce_on_plateau": False} if self.automatic_optimization else {}  # otherwise Lightning asks no more
        return optimizers, [{"scheduler": each, "interval": "step", **extra} for each in schedulers]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Do nothing: Lightning counts epochs' last steps after a checkpoint may have been written."""

    def step_schedulers(self, step: int) -> None:
        """After a step of the optimizer, before anything is saved.

        Args:
            step: how many are done.
        """
        self.learning_rate.step(self._changing(), step, self.current_epoch + 1, self.trainer.is_last_batch)

    def on_validation_end(self) -> None:
        """Let a scheduler that looks at a figure look."""
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self.learning_rate.look(self._changing(), self.trainer.callback_metrics)

    def on_train_start(self) -> None:
        """Go on also from a checkpoint of a machine that laid tensors out, or stepped them, otherwise."""
        keep_kernels(self.trainer.optimizers)
        lay_out_states(self.trainer.optimizers)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what the model is and was trained on, and by what; refuse weights that are not finite."""
        self.watch.look()
        check_finite_state(checkpoint["state_dict"], self.global_step)
        checkpoint["state_dict"] = self.stored(checkpoint["state_dict"])
        checkpoint["config"] = self.model_config
        checkpoint["data"] = self.trained_on
        checkpoint["optimizers"] = optimizer_names(self.trainer.optimizers)
        checkpoint["schedulers"] = scheduler_names(each.scheduler for each in self.trainer.lr_scheduler_configs)

    def stored(self, state: dict[str, Any]) -> dict[str, Any]:
        """What of a state a checkpoint holds: all, unless a part is somewhere else and never changes."""
        return state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take what is not stored from what is there. Each start of a run has the whole of `trainer.max_time`."""
        if getattr(self.trainer, "max_time", None) is not None:
            checkpoint.get("callbacks", {}).pop(Timer.__qualname__, None)
        own = self.state_dict()
        elsewhere = own.keys() - self.stored(own).keys()
        checkpoint["state_dict"] |= {name: own[name] for name in elsewhere}

    def _changing(self) -> list[LRScheduler]:
        """The first optimizer's scheduler."""
        return [each.scheduler for each in self.trainer.lr_scheduler_configs[:1]]


def counted(batch: Mapping[str, Any], count: int) -> int:
    """How many of a batch's `count` samples are no fillers, see `ldmlab.data.order.loaders.FixedLoader`."""
    return count - int(batch.get("fillers", 0))
