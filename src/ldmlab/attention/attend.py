"""Attention apart from its projections: what every network's queries, keys and values go through.

Shapes: B batch, h heads, N queries, M keys, d head width.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.attention.backends import Backend, Mask, attention_probs, sdpa
from ldmlab.precision import exact_arithmetic
from ldmlab.types import AttentionControl, AttentionSite


def attend(
    q: Float[Tensor, "B h N d"],
    k: Float[Tensor, "B h M d"],
    v: Float[Tensor, "B h M d"],
    mask: Mask = None,
    site: AttentionSite | None = None,
    control: AttentionControl | None = None,
    grid: tuple[int, int] | None = None,
    backend: Backend = sdpa,
) -> Float[Tensor, "B h N d"]:
    """softmax(q k^T / sqrt(d)) v, by a backend, or written out where a control wants to see the probabilities.

    Args:
        q: the picture's tokens first; where others follow, a control is shown the rows of the picture's alone.
        k: in the order that `AttentionSite` gives.
        v: as the keys.
        mask: True where a key may be attended to.
        site: where this is; None where no control ever looks.
        control: sees the probabilities, and returns those to use.
        grid: rows and columns of the picture's tokens in this pass; the site's own if not given.
        backend: computes what no control wants.
    """
    if control is None or site is None:  # and nothing is read of the site, so that compiled blocks share a program
        return backend(q, k, v, mask)
    here = site if grid is None else site.on(grid)
    return _edited(q, k, v, mask, here, control) if control.wants(here) else backend(q, k, v, mask)


def _edited(q: Tensor, k: Tensor, v: Tensor, mask: Mask, site: AttentionSite, control: AttentionControl) -> Tensor:
    """In float32 at least, whatever the precision around it: what a control compares and sums are small shares."""
    exact = torch.promote_types(q.dtype, torch.float32)
    with exact_arithmetic(q.device):
        probs = attention_probs(q.to(exact), k.to(exact), mask)
        shown, rest = probs.tensor_split([site.tokens], dim=2)
        out = torch.cat([control.edit(shown, site), rest], dim=2) @ v.to(exact)
    return out.to(v.dtype)


def sites_of(module: nn.Module) -> list[AttentionSite]:
    """The sites in a network, in the order of its modules."""
    found = (getattr(part, "site", None) for part in module.modules())
    return [site for site in found if isinstance(site, AttentionSite)]
