"""What a run is said to cost: speed by a clock that a test moves, operations by formulas, and a real run's table."""

from __future__ import annotations

import copy
import csv
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.profilers import PassThroughProfiler
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from ldmlab.attention.backends import explicit
from ldmlab.autoencoders.discriminator import PatchDiscriminator
from ldmlab.autoencoders.perceptual import PerceptualLoss
from ldmlab.autoencoders.reconstruction import ReconstructionLoss
from ldmlab.autoencoders.vq import AutoencoderVQ
from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.counting.description import describe
from ldmlab.training import data_wait
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.callbacks import cost, throughput
from ldmlab.training.callbacks.cost import Cost
from ldmlab.training.callbacks.throughput import Throughput
from ldmlab.training.csv_log import csv_logger
from ldmlab.training.data_wait import DataWait
from ldmlab.training.flops import autoencoder_flops, recomputed_flops, training_flops
from ldmlab.training.peak import PEAKS, arithmetic, peak_flops
from ldmlab.training.wandb_run import wandb_logger

BATCH = {"images": torch.empty(8, 3, 2, 2)}

NEXT = "[_TrainingEpochLoop].train_dataloader_next"
A100 = "NVIDIA A100-SXM4-80GB"


class Clock:
    """Stands still unless it is told otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        for module in (throughput, data_wait):
            monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(cost.time, "process_time", lambda: 1.5 * self.now)
        monkeypatch.setattr(cost.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=2**21))

    def run(self, seconds: float) -> None:
        self.now += seconds


class Run:
    """What the callbacks see of a trainer and a module: steps, and what is logged."""

    def __init__(
        self,
        callback: Throughput,
        logged_every: int,
        device: str = "cpu",
        precision: str = "32-true",
        accumulated: int = 1,
    ) -> None:
        self.callback = callback
        self.batches = 0
        self.trainer: Any = SimpleNamespace(
            global_step=0,
            profiler=PassThroughProfiler(),
            precision=precision,
            loggers=[],
            accumulate_grad_batches=accumulated,
            log_every_n_steps=logged_every,
            world_size=1,
        )
        self.logged: dict[str, list[float]] = {}
        self.module: Any = SimpleNamespace(log=self._log, device=torch.device(device))
        callback.setup(self.trainer, self.module, "fit")

    def _log(self, name: str, value: float, **_: Any) -> None:
        self.logged.setdefault(name, []).append(value)

    def step(self) -> None:
        """A batch, and a step if it is the last of those that are accumulated."""
        self.batches += 1
        self.trainer.global_step = self.batches // self.trainer.accumulate_grad_batches
        self.callback.on_train_batch_end(self.trainer, self.module, None, BATCH, self.batches - 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two TFLOP an image."""
    monkeypatch.setattr(
        cost, "training_flops", lambda module, batch: {"backbone": 15 * 10**11, "autoencoder": 5 * 10**11}
    )


def test_speed_is_of_all_steps_since_it_was_logged(clock: Clock) -> None:
    """8 images in half a second; the first step, which loads kernels, counts for nothing."""
    run = Run(Throughput(), 4)
    for seconds in (9, *[0.5] * 3, *[0.25] * 4):
        clock.run(seconds)
        run.step()
    assert run.logged == {"images_per_second": [16.0, 32.0]}


def test_speed_is_of_whole_steps_where_batches_are_accumulated(clock: Clock) -> None:
    """16 images in two batches of half a second each; the first step counts for nothing, nor does half of it."""
    run = Run(Throughput(), 1, accumulated=2)
    for seconds in (9, 9, *[0.5] * 4):
        clock.run(seconds)
        run.step()
    assert run.logged == {"images_per_second": [16.0, 16.0]}


def test_the_clock_stands_still_while_a_run_validates(clock: Clock) -> None:
    run = Run(Throughput(), 1)
    run.step()
    run.callback.on_validation_start(run.trainer, run.module)
    clock.run(60)
    run.callback.on_validation_end(run.trainer, run.module)
    clock.run(2)
    run.step()
    assert run.logged == {"images_per_second": [4.0]}


@pytest.mark.usefixtures("counted")
def test_waiting_for_data_is_a_share_of_the_time(clock: Clock) -> None:
    """Three of four seconds, then none, by the hooks that Lightning calls around the loader."""
    run = Run(Cost(), 2)
    for wait, work in ((7, 1), (3, 1), (0, 2), (0, 2)):
        with run.trainer.profiler.profile(NEXT):
            clock.run(wait)
        with run.trainer.profiler.profile("run_training_batch"):
            clock.run(work)
        run.step()
    assert run.logged["cost/data_wait"] == [0.75, 0.0]


@pytest.mark.usefixtures("counted")
def test_operations_and_utilisation_follow_from_the_speed(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """32 images of 2 TFLOP in a second are 64 TFLOP/s, of the 312 that an A100 has in bf16."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: A100)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 2**32)
    run = Run(Cost(), 1, "cuda", "bf16-mixed")
    run.step()
    clock.run(0.25)
    run.step()
    assert {name: values[0] for name, values in run.logged.items()} == {
        "images_per_second": 32.0,
        "cost/data_wait": 0.0,
        "cost/cpu_cores": 1.5,
        "cost/host_memory_gib": 2.0,
        "cost/tflops": 64.0,
        "cost/mfu": pytest.approx(64 / 312),
        "cost/memory_gib": 3.0,
        "cost/memory_reserved_gib": 4.0,
    }


@pytest.mark.usefixtures("counted")
def test_utilisation_is_left_out_where_the_peak_is_unknown(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(Cost(), 1)
    with caplog.at_level(logging.INFO, logger=cost.__name__):
        for _ in range(4):
            clock.run(1)
            run.step()
    assert "cost/mfu" not in run.logged
    assert len(run.logged["cost/tflops"]) == 3
    assert caplog.text.count("cost/mfu is left out: nothing is known of the most that 'cpu' reaches in fp32") == 1
    assert caplog.text.count("training takes 2000 GFLOP an image: backbone 1500, autoencoder 500") == 1


def test_what_cannot_be_counted_is_left_out(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(Cost(), 1)
    for _ in range(3):
        clock.run(1)
        run.step()
    assert set(run.logged) == {"images_per_second", "cost/data_wait", "cost/cpu_cores", "cost/host_memory_gib"}
    assert caplog.text.count("its operations cannot be counted") == 1


@pytest.mark.parametrize(
    ("device", "numbers", "tera"),
    [
        (A100, "bf16", 312),
        (A100, "tf32", 156),
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4),
        ("NVIDIA H100 PCIe", "fp32", 51),
        ("NVIDIA H200", "fp16", 989.4),
        ("Tesla V100-SXM2-16GB", "bf16", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "bf16", None),
        ("NVIDIA A10G", "bf16", None),
        ("cpu", "fp32", None),
    ],
)
def test_peaks(device: str, numbers: str, tera: float | None) -> None:
    assert peak_flops(device, numbers) == (None if tera is None else tera * 1e12)


def test_peaks_are_of_dense_products() -> None:
    """TF32 is half of bf16 but on L4 and L40S, whose sheets round, and no arithmetic is faster than a shorter one."""
    for _, rates in PEAKS:
        assert rates["fp32"] <= rates.get("tf32", rates["fp32"]) <= rates["fp16"]
        if "tf32" in rates:
            assert rates["tf32"] == pytest.approx(rates["bf16"] / 2, rel=0.02)


def test_arithmetic_follows_from_the_precision() -> None:
    assert [arithmetic(name) for name in ("bf16-mixed", "bf16-true", "16-mixed", "32-true")] == [
        "bf16",
        "bf16",
        "fp16",
        "fp32",
    ]
    try:
        torch.set_float32_matmul_precision("high")
        assert arithmetic("32-true") == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_diffusion_counts_three_passes_of_what_learns(diffusion_training: Callable[..., Any], batches: Any) -> None:
    module = diffusion_training()
    [batch] = batches(1)
    model = module.model
    cond = model.conditioner.null(1)
    backbone = describe(model.denoiser.backbone, torch.empty(1, 4, 4, 4), torch.zeros(1, dtype=torch.long), cond)
    encoding = describe(model.autoencoder, torch.empty(1, 3, 16, 16), method="moments").root.flops
    parts = training_flops(module, batch)
    conditioner = describe(model.conditioner, 1, method="null").root.flops
    assert parts == {"backbone": 3 * backbone.root.flops, "conditioner": 3 * conditioner, "autoencoder": encoding}
    cached = training_flops(module, {"moments": torch.empty(8, 8, 4, 4), "captions": batch["captions"]})
    assert cached == {name: parts[name] for name in ("backbone", "conditioner")}
    assert recomputed_flops(module, parts) == 0
    model.denoiser.backbone.checkpointing = True
    assert recomputed_flops(module, parts) == backbone.root.flops
    model.conditioner.requires_grad_(False)
    assert training_flops(module, batch)["conditioner"] == conditioner


def test_a_conditioner_that_encodes_counts(diffusion_training: Callable[..., Any], batches: Any) -> None:
    module = diffusion_training(Inpainting())
    [batch] = batches(1)
    encoding = describe(module.model.autoencoder, torch.empty(1, 3, 16, 16), method="moments").root.flops
    assert training_flops(module, batch)["autoencoder"] == 2 * encoding
    moments = {**batch, "moments": torch.empty(8, 8, 4, 4)}
    assert training_flops(module, moments)["autoencoder"] == encoding


def operations(loss: Callable[[], Tensor]) -> int:
    """Those that PyTorch runs, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        loss().backward()
    return counter.get_total_flops()


def test_the_count_is_what_a_step_of_diffusion_runs(diffusion_training: Callable[..., Any], batches: Any) -> None:
    """But for the gradients of what the first layers read, which nobody computes."""
    module = diffusion_training(condition_dropout=0.0)
    for part in module.modules():
        if hasattr(part, "backend"):
            part.backend = explicit
    [batch] = batches(1)
    module.log = lambda *_, **__: None
    run = operations(lambda: module.training_step(batch, 0)) / 8
    assert 0.9 <= run / sum(training_flops(module, batch).values()) <= 1


def test_the_count_is_what_a_step_of_an_autoencoder_runs(
    autoencoder_training: Callable[..., Any], batches: Any
) -> None:
    """With a discriminator: judged once with gradients through it, twice to learn, and weighed by two gradients."""
    module = autoencoder_training(discriminator_start=1)
    [batch] = batches(1)
    images = batch["images"]

    def plain() -> Tensor:
        result = module.autoencoder(images)
        return module.loss(result.images, images)

    assert 0.9 <= operations(plain) / 8 / sum(autoencoder_flops(module, batch, False).values()) <= 1
    assert set(training_flops(module, batch)) == {"autoencoder"}  # it has not started yet

    passes = describe(module.discriminator, torch.empty(1, 3, 16, 16)).root.flops
    assert autoencoder_flops(module, batch, True)["discriminator"] == 9 * passes


def test_a_codebook_that_restarts_its_codes_is_counted(batches: Any) -> None:
    """Though what it does depends on data; and the weights, buffers and random numbers stay as they are."""
    vq = AutoencoderVQ(channels=8, multipliers=(1, 2), residual_blocks=1, norm_groups=4, codes=16, restart_after=2)
    adam = partial(torch.optim.Adam, lr=1e-2)
    module = AutoencoderTraining(vq, ReconstructionLoss("l2", PerceptualLoss()), PatchDiscriminator(4, 1), adam)
    before, random = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    [batch] = batches(1)
    parts = autoencoder_flops(module, batch, True)
    assert set(parts) == {"autoencoder", "perceptual", "discriminator"}
    assert autoencoder_flops(module, batch, False)["perceptual"] == parts["perceptual"] * 3 / 4
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


def test_a_run_logs_what_it_costs(
    diffusion_training: Callable[..., Any], batches: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=4,
        max_epochs=-1,
        logger=csv_logger(str(tmp_path)),
        callbacks=[Cost()],
        log_every_n_steps=2,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
    )
    with caplog.at_level(logging.INFO, logger=cost.__name__):
        trainer.fit(diffusion_training(), DataLoader(batches(2), batch_size=None))
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["images_per_second"]]
    assert [row["step"] for row in rows] == ["1", "3"]
    for row in rows:
        assert float(row["cost/tflops"]) > 0
        assert 0 < float(row["cost/data_wait"]) < 1
        assert "cost/mfu" not in row
        assert "cost/memory_gib" not in row
    assert trainer.progress_bar_metrics.keys() >= {"images_per_second", "cost/tflops", "cost/data_wait"}
    assert caplog.text.count("GFLOP an image: backbone") == 1


def test_what_is_compiled_is_counted_as_written(diffusion_training: Callable[..., Any], batches: Any) -> None:
    """Without making a program for tensors that have no data."""
    module, [batch] = diffusion_training(), batches(1)
    wanted = training_flops(module, batch)
    for part in (module.model.denoiser.backbone, *module.model.denoiser.backbone.blocks):
        part.compile(backend=lambda graph, inputs: pytest.fail("compiled"))
    assert training_flops(module, batch) == wanted


@pytest.mark.gpu
def test_a_run_on_a_gpu_logs_its_memory(diffusion_training: Callable[..., Any], batches: Any, tmp_path: Path) -> None:
    trainer = L.Trainer(
        accelerator="gpu",
        devices=1,
        max_epochs=1,
        logger=csv_logger(str(tmp_path)),
        callbacks=[Cost()],
        log_every_n_steps=2,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(diffusion_training(), DataLoader(batches(4), batch_size=None))
    with open(tmp_path / "metrics.csv", newline="") as file:
        row = [row for row in csv.DictReader(file) if row["images_per_second"]][-1]
    assert 0 < float(row["cost/memory_gib"]) <= float(row["cost/memory_reserved_gib"])
    known = peak_flops(torch.cuda.get_device_name(), arithmetic(str(trainer.precision))) is not None
    assert ("cost/mfu" in row) == known


def test_a_wandb_run_notes_the_operations_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[dict[str, Any]] = []
    run: Any = SimpleNamespace(config=SimpleNamespace(update=lambda facts, allow_val_change: noted.append(facts)))
    logger = wandb_logger(str(tmp_path))
    monkeypatch.setattr(logger, "_experiment", run)
    parts = {"backbone": 6, "conditioner": 3}
    cost._tell(parts, 2, [csv_logger(str(tmp_path)), logger])
    by_part = {f"flops_per_image_by_part/{name}": flops for name, flops in parts.items()}
    facts = {"flops_per_image": 9, **by_part, "recomputed_flops_per_image": 2}
    assert noted == [facts]


def test_a_users_profiler_still_hears_of_everything() -> None:
    heard: list[tuple[str, str]] = []

    class Listening(PassThroughProfiler):
        def start(self, action_name: str) -> None:
            heard.append(("start", action_name))

        def stop(self, action_name: str) -> None:
            heard.append(("stop", action_name))

        def summary(self) -> str:
            return "heard"

    profiler = DataWait(Listening())
    with profiler.profile(NEXT):
        pass
    assert heard == [("start", NEXT), ("stop", NEXT)]
    assert profiler.summary() == "heard"
