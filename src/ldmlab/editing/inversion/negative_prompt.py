"""Negative-prompt inversion (Miyake et al. 2023): null-text inversion's answer, taken without optimising."""

from __future__ import annotations

from dataclasses import replace

from ldmlab.editing.inversion.base import InversionTask, Inverted
from ldmlab.editing.inversion.ddim import DDIMInversion
from ldmlab.editing.inversion.guided import require_null


class NegativePrompt(DDIMInversion):
    """Guidance leads away from the source prompt, so that the source itself is drawn as if unguided.

    Args:
        iterations: network calls a step of the walk back; one is DDIM inversion as published, more solve each step.
    """

    def invert(self, task: InversionTask) -> Inverted:
        """Walk back along the conditional estimate, and lead away from the source prompt at every step.

        Raises:
            ValueError: the guidance leads away from no null condition.
        """
        require_null(task.guidance, "negative_prompt")
        return replace(super().invert(task), unconds=[task.conditions.cond] * (len(task.levels) - 1))
