"""What `ldmlab evaluate` makes of the pictures that a user names, and of where they are to be written."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from ldmlab.configs.build import build_metrics
from ldmlab.configs.filters import build_filter
from ldmlab.data.folders import heldout_folder, require_heldout
from ldmlab.data.needs import Needs
from ldmlab.evaluation.given.opening import open_pictures, open_reference
from ldmlab.evaluation.given.picture_set import GivenPictures
from ldmlab.evaluation.given.statistics import GivenStatistics
from ldmlab.evaluation.given_pictures import evaluate_given
from ldmlab.evaluation.held_out import HeldOut, held_out
from ldmlab.evaluation.published.rows import AUTO, table_of
from ldmlab.evaluation.reference_cache import ReferenceCache
from ldmlab.evaluation.saving import SAVED
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.metrics.base import Metric
from ldmlab.precision import pick_precision

DEFAULT_N = 1000


def evaluate_pictures(cfg: DictConfig, tell: Callable[[str], None] = print, shares: Shares = SINGLE) -> dict[str, Any]:
    """Measure the pictures that `cfg.pictures` names; see `ldmlab.evaluation.given_pictures`.

    Args:
        cfg: of `ldmlab evaluate`, whole.
        tell: called with a line that the user should know before figures are there.
        shares: among which ranks the work is shared, and where what is done is kept.

    Returns:
        "metrics", "errors", "notes" and "manifest".

    Raises:
        ValueError: bad input.
    """
    device = pick_precision("fp32", cfg.device).device
    metrics, called = build_metrics(cfg.get("metric") or {}, "samples", device)
    extractor = instantiate(cfg.extractor).to(device)
    pictures = open_pictures(Path(cfg.pictures), "pictures", cfg.n, cfg.batch_size, cfg.image_size)
    return evaluate_given(
        pictures,
        given_reference(cfg) or _held_out(cfg, pictures, tell),
        metrics | saving_metric(cfg),
        extractor,
        device=device,
        seed=cfg.seed,
        image_size=cfg.image_size,
        called=called,
        fields=named_fields(cfg, pictures.names - {"keys"}),
        shares=shares,
        cache=reference_cache(cfg),
        tell=tell,
    )


def named_fields(cfg: DictConfig, reads: Collection[str]) -> dict[str, Any]:
    """What a manifest says of the protocol, and of the published table that figures stand beside.

    Args:
        cfg: whole, with the name of the protocol.
        reads: what pictures are drawn from, such as "captions".
    """
    return {"protocol": cfg.get("protocol"), "table": table_of(reads) if cfg.table == AUTO else cfg.table}


def given_reference(cfg: DictConfig) -> GivenPictures | GivenStatistics | None:
    """What `cfg.reference` names; None for held-out shards."""
    if cfg.reference is None:
        return None
    return open_reference(Path(cfg.reference), "reference", cfg.n_reference, cfg.batch_size, cfg.image_size)


def reference_cache(cfg: DictConfig) -> ReferenceCache | None:
    """Where what metrics take of a reference is kept, if it is to be."""
    return ReferenceCache.of_user() if cfg.reference_cache else None


def saving_metric(cfg: DictConfig) -> dict[str, Metric]:
    """What writes pictures to `cfg.output_dir`, if they are to be written."""
    return {} if cfg.save_pictures is None else {"save_pictures": SAVED[cfg.save_pictures](Path(cfg.output_dir))}


def _held_out(cfg: DictConfig, pictures: GivenPictures, tell: Callable[[str], None]) -> HeldOut | None:
    """The held-out samples of the data set that a user names, of the size of the pictures."""
    if cfg.data.path is None and cfg.data.heldout_path is None:
        return None
    height, width = pictures.size
    if height != width:
        raise ValueError(
            f"{pictures.name}: pictures are {width} x {height}, and held-out ones square; give image_size="
        )
    folder = require_heldout(heldout_folder(cfg.data.path or "", cfg.data.heldout_path))
    wanted, needs = cfg.n_reference or pictures.n, Needs(captions=False)
    filter, choice, choice_seed = build_filter(cfg), cfg.data.subset, cfg.data.subset_seed
    return held_out(folder, needs, height, wanted, cfg.seed, cfg.batch_size, tell, False, filter, choice, choice_seed)
