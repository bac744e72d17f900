"""Direct inversion (Ju et al. 2023): the picture is put back on its trajectory after each step."""

from __future__ import annotations

from dataclasses import replace

from ldmlab.editing.inversion.base import InversionTask, Inverted
from ldmlab.editing.inversion.ddim import DDIMInversion


class Direct(DDIMInversion):
    """A walk back, to which the source is returned after each step, so that its latents come out exactly.

    Args:
        iterations: network calls a step of the walk back; one is DDIM inversion as published, more solve each step.
        both: move the target by the same correction, so that the same prompt gives the same picture; the paper
            corrects the source alone.
    """

    def __init__(self, iterations: int = 1, both: bool = False) -> None:
        super().__init__(iterations)
        self.both = both

    def invert(self, task: InversionTask) -> Inverted:
        """Walk back along the conditional estimate; drawing then puts the source back on that walk after each step.

        Any guidance will do.
        """
        return replace(super().invert(task), corrects_source=True, corrects_target=self.both)
