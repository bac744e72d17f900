"""Pictures that are there already, measured without a model."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from ldmlab.api.arguments import refuse_unread
from ldmlab.api.figures import Figures
from ldmlab.configs.calls import Overrides, configured
from ldmlab.configs.errors import as_user_error
from ldmlab.configs.given import evaluate_pictures


def evaluate_given(
    pictures: str | PathLike[str],
    path: str | PathLike[str] | None = None,
    *,
    ckpt: str | PathLike[str] | None = None,
    reference: str | PathLike[str] | None = None,
    n: int | None = None,
    metric: str | Sequence[str] | None = None,
    extractor: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    overrides: Overrides = (),
) -> Figures:
    """Measure pictures beside others.

    Args:
        pictures: a folder of them, or an .npz file with `arr_0`.
        path: a dataset with a `heldout/` in it to compare with, where there is no `reference`.
        ckpt: refused, since no model is asked.
        reference: a folder or an .npz file to compare with.
        n: how many of the pictures; None for all.
        metric: the name of an option or several; None for what samples are measured by.
        extractor: the network whose features are compared.
        seed: of whatever a metric draws.
        device: where networks compute.
        overrides: further settings of `ldmlab evaluate`.

    Raises:
        ValueError: in one line, as the command says it.
    """
    refuse_unread(overrides)
    named = {"pictures": pictures, "reference": reference, "data.path": path, "ckpt": ckpt}
    own = {"metric": metric, "extractor": extractor, "n": n, "seed": seed, "device": device}
    cfg = configured("evaluate", {**own, **named}, overrides)
    with as_user_error():
        return Figures(evaluate_pictures(cfg))
