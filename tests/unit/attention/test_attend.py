"""Attention apart from its projections: what a control is shown, in which precision, and where the words are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ldmlab.attention.attend import attend, sites_of
from ldmlab.attention.backends import explicit
from ldmlab.types import AttentionSite, Uncontrolled

GRID = (2, 3)
JOINT = AttentionSite("blocks.0.joint", "joint", GRID)


class Shown(Uncontrolled):
    """Keeps what it is shown, and gives back what a function makes of it."""

    def __init__(self, function: Callable[[Tensor], Tensor] = lambda probs: probs) -> None:
        self.function = function
        self.sites: list[AttentionSite] = []
        self.probs: list[Tensor] = []

    def wants(self, site: AttentionSite) -> bool:
        return True

    def edit(self, probs: Tensor, site: AttentionSite) -> Tensor:
        self.sites.append(site)
        self.probs.append(probs)
        return self.function(probs)


def qkv(tokens: int = 10, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, tokens, 4, generator=generator).to(dtype) for _ in range(3))
    return q, k, v


def test_without_a_control_or_a_site_the_backend_is_asked() -> None:
    asked = []

    def backend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        asked.append(mask)
        return explicit(q, k, v, mask)

    mask = torch.ones(2, 1, 1, 10, dtype=torch.bool)
    q, k, v = qkv()
    wanted = explicit(q, k, v, mask)
    for control, site in ((None, JOINT), (Shown(), None), (Uncontrolled(), JOINT)):
        assert torch.equal(attend(q, k, v, mask, site, control, backend=backend), wanted)
    assert len(asked) == 3


def test_only_the_pictures_rows_are_shown_and_all_rows_come_back() -> None:
    control = Shown(lambda probs: torch.eye(10)[9].expand_as(probs))  # every token of the picture reads the last
    q, k, v = qkv()
    out = attend(q, k, v, None, JOINT, control)
    assert control.probs[0].shape == (2, 2, 6, 10)
    torch.testing.assert_close(out[:, :, :6], v[:, :, 9:].expand(-1, -1, 6, -1))
    torch.testing.assert_close(out[:, :, 6:], explicit(q, k, v, None)[:, :, 6:])


@pytest.mark.parametrize("autocast", [True, False])
def test_a_control_sees_float32_whatever_the_precision(autocast: bool) -> None:
    """Rows of bfloat16 would sum to one within 1 in 256; the result is rounded once, at the end."""
    control = Shown()
    q, k, v = qkv(dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = attend(q, k, v, None, JOINT, control)
    assert (control.probs[0].dtype, out.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(control.probs[0].sum(dim=-1), torch.ones(2, 2, 6), rtol=0, atol=1e-6)
    assert torch.equal(out, explicit(q.float(), k.float(), v.float(), None).bfloat16())


def test_double_precision_stays() -> None:
    control = Shown()
    attend(*qkv(dtype=torch.float64), None, JOINT, control)
    assert control.probs[0].dtype == torch.float64


def test_a_control_looks_on_where_there_is_no_autocast() -> None:
    q, k, v = (each.to("meta") for each in qkv(dtype=torch.bfloat16))
    assert attend(q, k, v, None, JOINT, Shown()).dtype == torch.bfloat16


def test_a_site_says_which_keys_are_words() -> None:
    keys = list(range(20))
    assert keys[JOINT.words(4)] == [6, 7, 8, 9]
    assert keys[AttentionSite("x", "cross", GRID).words(4)] == [0, 1, 2, 3]
    assert [AttentionSite("x", kind, GRID).attends_to_words for kind in ("self", "cross", "joint")] == [
        False,
        True,
        True,
    ]


def test_a_site_on_another_grid_is_the_same_each_time() -> None:
    assert JOINT.on(GRID) is JOINT
    assert JOINT.on((4, 4)) is JOINT.on((4, 4))
    assert JOINT.on((4, 4)) == AttentionSite("blocks.0.joint", "joint", (4, 4))
    control = Shown()
    attend(*qkv(), None, JOINT, control, grid=(2, 2))
    assert (control.sites[0].grid, control.probs[0].shape[2]) == ((2, 2), 4)


def test_the_sites_of_a_network() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.Module())
    network[1].site = JOINT
    assert sites_of(network) == [JOINT]
