from __future__ import annotations

import pytest
import torch
from torch._subclasses import FakeTensorMode

from ldmlab.configs.training import build_optimizer
from ldmlab.training.optimizers import parameter_groups

ADAMW = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.1, "betas": [0.9, 0.99], "fused": None}


def test_the_factory_makes_an_optimizer() -> None:
    optimizer = build_optimizer({**ADAMW, "fused": True})([torch.nn.Parameter(torch.ones(1))])
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["fused"] is True


def test_one_kernel_updates_all_parameters_on_a_gpu_alone() -> None:
    make = build_optimizer(ADAMW)
    assert make([torch.nn.Parameter(torch.ones(1))]).defaults["fused"] is None
    with FakeTensorMode():
        assert make([torch.nn.Parameter(torch.ones(1, device="cuda"))]).defaults["fused"] is True


def test_norms_and_biases_are_spared_the_decay() -> None:
    parameters = [torch.nn.Parameter(torch.ones(size)) for size in ((2, 2), (2,), (3, 1, 1))]
    make = build_optimizer({**ADAMW, "weight_decay": 0.1})
    optimizer = make(parameter_groups(parameters, decay_vectors=False))
    decays = {tuple(p.shape): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {(2, 2): 0.1, (3, 1, 1): 0.1, (2,): 0.0}


def test_a_null_that_an_optimizer_does_not_know_is_left_out() -> None:
    assert "fused" not in build_optimizer({**ADAMW, "_target_": "torch.optim.NAdam"}).keywords


@pytest.mark.parametrize(
    ("target", "changes", "told"),
    [
        (
            "NAdam",
            {"fused": True},
            r"optimizer\.fused=True: torch\.optim\.NAdam takes no fused; use optimizer\.fused=null",
        ),
        (
            "RMSprop",
            {},
            r"optimizer\.betas=.*: torch\.optim\.RMSprop takes no betas; write the keys .* --config-dir DIR",
        ),
    ],
)
def test_a_key_that_an_optimizer_does_not_know(target: str, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        build_optimizer({**ADAMW, **changes, "_target_": f"torch.optim.{target}"})
