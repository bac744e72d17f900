"""The variational bound of held-out latents, as papers of likelihoods report it."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.likelihood import bits_per_dim
from ldmlab.diffusion.objectives import every_level
from ldmlab.metrics.base import Metric
from ldmlab.metrics.standard_errors import NO_VALUES, joined, mean_error, with_values
from ldmlab.samplers.ddpm import DDPM
from ldmlab.types import Conditioning, Level

BOUNDS = ("fixed_small", "fixed_large", "learned", "prior")
"""As `bits_per_dim` names them."""


class VariationalBound(Metric):
    """Means over held-out latents of the bound in bits per dimension; see `bits_per_dim`.

    Args:
        steps: of the chain whose bound it is; None for every timestep, as in papers.

    Raises:
        ValueError: fewer than 2 steps.
    """

    higher_is_better = False

    def __init__(self, steps: int | None = None) -> None:
        super().__init__()
        if steps is not None and steps < 2:
            raise ValueError(f"metric.vlb.steps={steps}: a chain has at least 2 steps")
        self.steps = steps
        for name in BOUNDS:
            self.add_state(name, NO_VALUES, dist_reduce_fx=joined)

    def update(
        self,
        denoiser: Denoiser,
        latents: Float[Tensor, "B C H W"],
        cond: Conditioning,
        noise: Callable[[], Float[Tensor, "B C H W"]],
    ) -> None:
        """Take in the bound of a batch of held-out latents.

        Args:
            denoiser: the model.
            latents: clean, of unit variance.
            cond: what is known of them.
            noise: draws N(0, 1) noise like the latents.

        Raises:
            ValueError: more steps than the model has.
        """
        for name, values in bits_per_dim(denoiser, latents, cond, self._levels(denoiser), noise).items():
            setattr(self, name, with_values(getattr(self, name), values))

    def compute(self) -> dict[str, float]:
        """ "bits_per_dim/VARIANCE" for each variance of the reverse step, and "bits_per_dim/prior"."""
        return {name: float(moments[1]) for name, moments in self._told().items()}

    def errors(self) -> dict[str, float]:
        """The standard errors of these means."""
        return {name: mean_error(moments) for name, moments in self._told().items()}

    def passes(self, denoiser: Denoiser) -> int:
        """Passes of the denoiser for a batch: one a step of the chain."""
        return len(self._levels(denoiser)) - 1

    def _told(self) -> dict[str, Tensor]:
        """The moments of each figure; a model need not have learned a variance."""
        moments: dict[str, Tensor] = {f"bits_per_dim/{name}": getattr(self, name) for name in BOUNDS}
        return {name: each for name, each in moments.items() if each[0]}

    def _levels(self, denoiser: Denoiser) -> Level:
        schedule = denoiser.schedule
        if self.steps is None:
            return every_level(schedule)
        if self.steps > len(schedule):
            raise ValueError(
                f"metric.vlb.steps={self.steps}: the model has {len(schedule)} timesteps; give at most as many"
            )
        return DDPM(self.steps, "linspace").levels(schedule)
