"""What a method needs that replaces the null condition."""

from __future__ import annotations

from ldmlab.guidance.base import Guidance
from ldmlab.guidance.classifier_free import ClassifierFree


def require_null(guidance: Guidance, inversion: str) -> ClassifierFree:
    """Return the guidance, if it leads away from a null condition that can be replaced.

    Args:
        guidance: how strongly the prompt leads.
        inversion: the method's name, for the message.

    Raises:
        ValueError: it does not, or not with this scale.
    """
    if not isinstance(guidance, ClassifierFree):
        name = type(guidance).__module__.rpartition(".")[2]
        raise ValueError(
            f"inversion={inversion}: replaces the null condition, and guidance={name} has none; use "
            "guidance=classifier_free or inversion=ddim"
        )
    if guidance.scale == 1:
        raise ValueError(
            f"inversion={inversion}: replaces the null condition, which a neutral guidance.scale leaves out; raise it "
            "or use inversion=ddim"
        )
    return guidance
