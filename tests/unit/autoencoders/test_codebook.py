"""The codebook: nearest codes, the loss and where its gradients go, the count of use, restarts of dead codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from ldmlab.autoencoders import codebook as module
from ldmlab.autoencoders.codebook import VectorQuantizer, perplexity


def spread(count: int = 12, channels: int = 3, restart_after: int | None = None) -> VectorQuantizer:
    """A codebook whose vectors are far apart."""
    torch.manual_seed(0)
    quantizer = VectorQuantizer(count, channels, 0.25, restart_after)
    torch.nn.init.normal_(quantizer.codes)
    return quantizer


def latents(seed: int = 1, requires_grad: bool = False) -> Tensor:
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)).requires_grad_(requires_grad)


def brute_force(z: Tensor, codes: Tensor) -> Tensor:
    """Numbers (B, H, W) of the nearest codes, from all differences in float64."""
    differences = z.double().permute(0, 2, 3, 1)[..., None, :] - codes.double()
    return differences.square().sum(-1).argmin(-1)


@pytest.mark.parametrize("held", [1, 50, 2**24])
def test_the_nearest_code_whatever_is_held_at_once(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DISTANCES", held)
    quantizer, z = spread(), latents()
    wanted = brute_force(z, quantizer.codes)
    assert torch.equal(quantizer.nearest(z), wanted)
    assert torch.equal(quantizer(z).codes, wanted)
    assert len(wanted.unique()) > 5


def test_the_nearest_code_under_autocast_is_that_of_full_precision() -> None:
    quantizer, z = spread(2048), latents()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer.nearest(z), brute_force(z, quantizer.codes))


def test_codes_begin_uniform_in_the_papers_range() -> None:
    torch.manual_seed(0)
    codes = VectorQuantizer(50, 400).codes.detach()
    assert float(codes.abs().max()) == pytest.approx(1 / 50, rel=1e-3)
    assert float(codes.std()) == pytest.approx(1 / 50 / 3**0.5, rel=0.02)


def test_what_comes_out_are_codes() -> None:
    quantizer, z = spread(), latents()
    out = quantizer(z)
    torch.testing.assert_close(out.latents, quantizer.lookup(out.codes))
    torch.testing.assert_close(out.latents[1, :, 2, 3], quantizer.codes[out.codes[1, 2, 3]])


def test_the_straight_through_gradient_is_the_identity() -> None:
    quantizer, z = spread(), latents(requires_grad=True)
    weights = latents(seed=2)
    (weights * quantizer(z).latents).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, weights)
    assert quantizer.codes.grad is None


def test_the_commitment_pulls_the_latents_and_the_rest_the_codes() -> None:
    """Gradients of means over n values: beta 2 (z - e) / n at a latent, the sum of 2 (e - z) / n at a code."""
    quantizer, z = spread(), latents(requires_grad=True)
    out = quantizer(z)
    out.loss.backward()
    assert z.grad is not None
    assert quantizer.codes.grad is not None
    difference = (z - quantizer.lookup(out.codes)).detach()
    torch.testing.assert_close(z.grad, 0.25 * 2 * difference / z.numel())
    wanted = torch.zeros_like(quantizer.codes).index_add_(
        0, out.codes.flatten(), -2 / z.numel() * difference.permute(0, 2, 3, 1).flatten(0, 2)
    )
    torch.testing.assert_close(quantizer.codes.grad, wanted)


@pytest.mark.parametrize(("use", "wanted"), [([5, 5, 5, 5], 4), ([0, 7, 0, 0], 1), ([1, 1, 0, 0], 2), ([0, 0, 0], 0)])
def test_perplexity_counts_the_codes_in_use(use: list[int], wanted: float) -> None:
    assert float(perplexity(torch.tensor(use))) == pytest.approx(wanted)


def test_use_is_counted_in_training_alone() -> None:
    quantizer = spread()
    quantizer.eval()(latents())
    assert not quantizer.frequency.any()
    quantizer.train()
    counts = torch.zeros(12)
    for seed in range(3):
        counts = counts * 0.99 + torch.bincount(quantizer(latents(seed)).codes.flatten(), minlength=12) / 40 * 0.01
    torch.testing.assert_close(quantizer.frequency, counts)


def test_codes_without_use_become_dead_after_the_window_and_live_again_with_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "USE_WINDOW", 3)
    quantizer = spread(4)
    at_two = quantizer.codes.detach()[2][None, :, None, None].expand(1, 3, 2, 2)
    seen = []
    for _ in range(4):
        quantizer(at_two)
        seen.append(int(quantizer.dead))
    assert seen == [0, 0, 3, 3]
    assert quantizer.idle.tolist() == [4, 4, 0, 4]
    quantizer(quantizer.codes.detach()[:2].T[None, :, :, None])
    assert int(quantizer.dead) == 1


def test_dead_codes_are_moved_onto_latents_of_the_batch_and_are_used_at_once() -> None:
    quantizer = spread(restart_after=2)
    z = latents() * 0.01 + 100  # one code is nearest to all
    assert len({int(quantizer(z).codes.unique()) for _ in range(2)}) == 1
    before = quantizer.codes.detach().clone()
    used = len(quantizer(z).codes.unique())
    assert used == 12 - 1  # the one that was in use is now farther than they
    moved = (quantizer.codes.detach() != before).any(dim=1)
    assert int(moved.sum()) == 12 - 1
    vectors = z.permute(0, 2, 3, 1).flatten(0, 2)
    assert all((vectors == code).all(dim=1).any() for code in quantizer.codes[moved])
    assert len(quantizer.codes[moved].unique(dim=0)) == 12 - 1


def test_no_more_codes_restart_than_there_are_latents() -> None:
    quantizer = spread(500, restart_after=1)
    quantizer(latents())
    before = quantizer.codes.detach().clone()
    quantizer(latents())
    assert int((quantizer.codes != before).any(dim=1).sum()) == 40


def test_without_restarts_nothing_moves() -> None:
    quantizer = spread()
    before = quantizer.codes.detach().clone()
    for _ in range(5):
        quantizer(latents() + 100)
    assert torch.equal(quantizer.codes, before)


def test_restarts_draw_from_torchs_generator_and_go_on_from_the_state() -> None:
    through, first = spread(restart_after=2), spread(restart_after=2)
    for seed in range(3):
        first(latents(seed))
    second = spread(restart_after=2)
    second.load_state_dict(first.state_dict())
    torch.manual_seed(5)
    second(latents(3))
    for seed in range(4):
        if seed == 3:
            torch.manual_seed(5)
            through.load_state_dict(first.state_dict())
            through(latents(seed))
    for name, value in through.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    quantizer = spread(restart_after=1)
    torch.manual_seed(rank)  # ranks draw differently
    for step in range(3):
        quantizer(latents(10 * rank + step) + 3 * rank)
    torch.save(quantizer.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_several_processes_count_together_and_keep_one_codebook(tmp_path: Path) -> None:
    mp.start_processes(_process, (str(tmp_path),), nprocs=2, start_method="fork")
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert not torch.equal(one["codes"], spread().codes)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "autoencoder.codes=0: a codebook needs at least one"),
        ((4, 3, -1.0), "autoencoder.commitment=-1.0: the weight must not be negative"),
        ((4, 3, 0.25, 0), "autoencoder.restart_after=0: give at least 1, or null"),
    ],
)
def test_bad_values_are_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VectorQuantizer(*arguments)  # type: ignore[arg-type]
