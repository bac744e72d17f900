"""Low-rank adapters of attention: the closed form, nothing at first, and weights that go back where they belong."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from ldmlab.adapters.base import (
    adapted_layers,
    adapter_parameters,
    merge_adapter,
    scale_adapter,
    train_adapter_alone,
)
from ldmlab.adapters.lora import LoRA, LowRankLinear
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.joint_attention import JointAttention
from ldmlab.backbones.unet import UNet
from ldmlab.types import AttentionSite, Conditioning

COND = Conditioning(context=torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1)))


def dit(conditioning: str = "adaln_zero") -> nn.Module:
    torch.manual_seed(0)
    network = DiT(3, 4, 2, 16, 2, 2, context_width=12, conditioning=conditioning)
    for parameter in network.parameters():  # it starts at zero, where nothing could be seen
        nn.init.normal_(parameter, std=0.2)
    return network


def unet() -> nn.Module:
    torch.manual_seed(0)
    network = UNet(3, 4, 32, (1, 1), 1, (1, 2), head_width=16, context_width=12)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def run(network: nn.Module) -> Tensor:
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return network(x, torch.tensor([3, 700]), COND)


def learn(network: nn.Module) -> None:
    """Stands for training."""
    generator = torch.Generator().manual_seed(3)
    for parameter in adapter_parameters(network).values():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("alpha", [None, 3.0])
def test_it_computes_the_closed_form(alpha: float | None) -> None:
    """W x + alpha / r B A x (equation 3)."""
    torch.manual_seed(0)
    layer, x = nn.Linear(7, 5).double(), torch.randn(2, 3, 7, dtype=torch.float64)
    adapter = LoRA(4, alpha)
    adapted = LowRankLinear(layer, adapter.rank, adapter.alpha)
    assert torch.equal(adapted(x), layer(x))
    assert (tuple(adapted.lora_down.shape), tuple(adapted.lora_up.shape)) == ((4, 7), (5, 4))
    assert 0 < float(adapted.lora_down.detach().abs().max()) <= 7**-0.5
    adapted.lora_up.data = torch.randn(5, 4, dtype=torch.float64)
    change = (alpha or 4) / 4 * adapted.lora_up @ adapted.lora_down
    expected = x @ (layer.weight + change).T + layer.bias
    torch.testing.assert_close(adapted(x), expected, rtol=1e-12, atol=1e-12)
    adapted.scale = -0.5
    torch.testing.assert_close(adapted(x), x @ (layer.weight - 0.5 * change).T + layer.bias, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(adapted.merged()(x), adapted(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [dit, lambda: dit("in_context"), lambda: dit("cross_attention"), unet])
def test_a_backbone_is_what_it_was_until_it_learns(make: object) -> None:
    network = make()
    before, names = run(network), list(network.state_dict())
    adapter = LoRA(2)
    shapes = adapter.shapes(network)
    adapter.attach(network)
    assert torch.equal(run(network), before)
    assert {name: tensor.shape for name, tensor in adapter_parameters(network).items()} == shapes
    assert [name for name in network.state_dict() if name not in shapes] == names
    learn(network)
    changed = run(network)
    assert not torch.allclose(changed, before, atol=1e-3)
    scale_adapter(network, 0.0)
    assert torch.equal(run(network), before)
    scale_adapter(network, 1.0)
    merge_adapter(network)
    assert list(network.state_dict()) == names
    torch.testing.assert_close(run(network), changed, rtol=1e-4, atol=1e-5)


def test_only_what_is_asked_for_is_adapted() -> None:
    network = dit()
    LoRA(2, attention=["cross"], projections=["k", "out"]).attach(network)
    names = {name for name, _ in adapted_layers(network)}
    assert names == {f"blocks.{n}.cross_attention.to_{which}" for n in (0, 1) for which in ("k", "out")}
    everything = unet()
    LoRA(2).attach(everything)
    sites = [module for module in everything.modules() if getattr(module, "site", None) is not None]
    assert len(list(adapted_layers(everything))) == 4 * len(sites)


def test_words_and_picture_of_a_joint_attention_have_their_own() -> None:
    block = nn.ModuleDict({"attention": JointAttention(8, 2, site=AttentionSite("joint", "joint", (2, 2)))})
    LoRA(2, projections=["q"]).attach(block)
    assert [name for name, _ in adapted_layers(block)] == ["attention.picture.to_q", "attention.words.to_q"]


def test_training_moves_the_adapter_and_nothing_else() -> None:
    network = dit()
    LoRA(2).attach(network)
    train_adapter_alone(network)
    before = copy.deepcopy(network.state_dict())
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning == set(adapter_parameters(network))
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    for _ in range(2):  # the first step moves B alone, since B is zero
        network(torch.randn(2, 3, 4, 4), torch.tensor([3, 700]), COND).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == learning


def test_it_does_what_peft_does() -> None:
    peft = pytest.importorskip("peft")
    network = dit()
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["to_q", "to_k", "to_v", "to_out"])
    theirs = peft.get_peft_model(copy.deepcopy(network), config)
    LoRA(2, 6.0).attach(network)
    learn(network)
    state = theirs.state_dict()
    for name, parameter in adapter_parameters(network).items():
        layer, _, which = name.rpartition(".")
        own = {"lora_down": "lora_A", "lora_up": "lora_B"}[which]
        state[f"base_model.model.{layer}.{own}.default.weight"].copy_(parameter.detach())
    torch.testing.assert_close(run(theirs), run(network), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rank": 0}, r"adapter\.rank=0 is too small; give 1 or more"),
        ({"attention": ["words"]}, r"adapter\.attention=\[words\]: give some of self, cross, joint"),
        ({"projections": []}, r"adapter\.projections=\[\]: give some of q, k, v, out"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LoRA(**settings)


def test_a_backbone_without_such_attention_is_refused() -> None:
    with pytest.raises(ValueError, match=r"attention=\[joint\]: the backbone has no such.*it has cross, self"):
        LoRA(2, attention=["joint"]).attach(dit())
