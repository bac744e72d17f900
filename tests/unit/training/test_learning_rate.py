from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from ldmlab.training.learning_rate import LearningRate, Schedule, constant, cosine, linear
from ldmlab.training.stepping import require_same_stepping

Made = tuple[torch.optim.Optimizer, LRScheduler]


def made(make: Any, steps: int, rate: float = 1.0) -> Made:
    """An optimizer and its scheduler, in a run of so many steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    return optimizer, LearningRate(make).schedule(optimizer, steps)


def rates(optimizer: torch.optim.Optimizer, scheduler: LRScheduler, count: int) -> list[float]:
    """Those of the next so many steps."""
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_warm_up_rises_in_equal_steps_to_one() -> None:
    assert rates(*made(partial(constant, warmup_steps=4), 100), 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_without_warm_up_it_starts_at_one() -> None:
    assert rates(*made(constant, 100), 2) == [1.0, 1.0]


def test_cosine_falls_from_one_over_a_half_to_about_nothing_and_stays_positive() -> None:
    found = rates(*made(partial(cosine, warmup_steps=10), 110), 200)
    assert found[10] == 1.0
    assert found[60] == pytest.approx(0.5)
    assert found[35] == pytest.approx(0.5 + 0.5**1.5)  # (1 + cos 45 deg) / 2
    assert 0 < found[110] < 1e-6
    assert found[199] == found[110]


def test_linear_falls_in_equal_steps() -> None:
    found = rates(*made(partial(linear, warmup_steps=2), 6), 8)
    assert found == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 1e-8, 1e-8]


@pytest.mark.parametrize("total", [-1, 10])
@pytest.mark.parametrize("make", [linear, cosine])
def test_a_fall_without_an_end_is_refused(make: Any, total: int) -> None:
    with pytest.raises(ValueError, match=rf"trainer\.max_steps={total} must be above scheduler\.warmup_steps=10"):
        made(partial(make, warmup_steps=10), total)


def test_a_resumed_run_keeps_its_place_and_takes_its_own_rate() -> None:
    make = partial(cosine, warmup_steps=4)
    whole = rates(*made(make, 20, 0.3), 15)
    optimizer, scheduler = made(make, 20, 0.3)
    rates(optimizer, scheduler, 6)
    stored = optimizer.state_dict(), scheduler.state_dict()
    for rate, expected in ((0.3, whole[6:]), (0.1, [value / 3 for value in whole[6:]])):
        optimizer, scheduler = made(make, 20, rate)
        optimizer.load_state_dict(stored[0])
        scheduler.load_state_dict(stored[1])
        found = rates(optimizer, scheduler, 9)
        assert found == expected if rate == 0.3 else found == pytest.approx(expected)


def test_schedulers_of_pytorch_get_the_length_of_the_run() -> None:
    found = rates(*made(CosineAnnealingLR, 8), 9)
    assert (found[4], found[8]) == (pytest.approx(0.5), pytest.approx(0))
    one_cycle = made(partial(OneCycleLR, max_lr=1.0), 10)[1]
    assert isinstance(one_cycle, OneCycleLR)
    assert one_cycle.total_steps == 10
    assert rates(*made(partial(CosineAnnealingLR, T_max=2), 8), 3)[2] == pytest.approx(0)


def test_an_argument_that_a_scheduler_does_not_take_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"scheduler: .*unexpected keyword argument 'gama'"):
        made(partial(ExponentialLR, gama=0.5), 10)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]),
        ({"frequency": 2}, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"interval": "epoch"}, [1, 1, 1, 0.5, 0.5, 0.5]),
        ({"interval": "epoch", "frequency": 2}, [1, 1, 1, 1, 1, 1]),
    ],
    ids=str,
)
def test_a_scheduler_is_stepped_when_its_settings_say(
    when: dict[str, Any], expected: list[float], diffusion_training: Any, batches: Any, fit: Any
) -> None:
    """Epochs of three steps; the rate that each of six steps takes."""
    seen: list[float] = []
    module = diffusion_training(learning_rate=LearningRate(partial(ExponentialLR, gamma=0.5), **when))
    module.make_optimizer = lambda parameters: noting(parameters, seen)
    fit(module, batches(6), limit_train_batches=3, max_epochs=2)
    assert seen == expected


def noting(parameters: Any, seen: list[float]) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    optimizer.register_step_pre_hook(lambda each, *_: seen.append(each.param_groups[0]["lr"]))
    optimizer.param_groups[0]["lr"] = 1.0
    return optimizer


@pytest.mark.parametrize("kind", ["diffusion_training", "autoencoder_training"])
def test_a_rate_falls_where_a_figure_gets_no_better(
    kind: str, batches: Any, fit: Any, request: pytest.FixtureRequest
) -> None:
    """After each validation, of which the first sets the mark."""
    name = "val/loss" if kind == "diffusion_training" else "val/psnr"
    never = partial(ReduceLROnPlateau, factor=0.5, patience=0, threshold=1e9, threshold_mode="abs")
    module = request.getfixturevalue(kind)(learning_rate=LearningRate(never, monitor=name))
    data = batches(6)
    trainer = fit(module, data, validation=data[:1], val_check_interval=2)
    assert trainer.lr_scheduler_configs[0].scheduler.get_last_lr() == [0.01 / 4]


@pytest.mark.parametrize(
    ("learning_rate", "told"),
    [
        (lambda: LearningRate(interval="batch"), r"scheduler\.interval=batch: choose one of step, epoch"),
        (lambda: LearningRate(frequency=0), r"scheduler\.frequency=0: give 1 or more"),
        (lambda: made(ReduceLROnPlateau, 4), r"scheduler\.monitor=null: name the logged figure"),
        (
            lambda: LearningRate(monitor="loss").look([made_plateau()], {"val/loss": 1.0}),
            r"scheduler\.monitor=loss: is not logged; choose one of val/loss",
        ),
    ],
)
def test_settings_that_say_nothing_are_refused(learning_rate: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        learning_rate()


def made_plateau() -> ReduceLROnPlateau:
    return ReduceLROnPlateau(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0))


def test_a_run_goes_on_with_the_scheduler_that_it_had(diffusion_training: Any, tmp_path: Any) -> None:
    """Ours may change their shape, and checkpoints that name none had ours."""

    def module(make: Any) -> Any:
        return diffusion_training(learning_rate=LearningRate(make))

    def content(make: Any, **more: Any) -> dict[str, Any]:
        had = module(make)
        optimizers = had.new_optimizers()
        schedulers = had.new_schedulers(optimizers, 10)
        states = {"optimizer_states": [o.state_dict() for o in optimizers]}
        return {**states, "lr_schedulers": [s.state_dict() for s in schedulers], **more}

    names = [f"{StepLR.__module__}.StepLR"]
    step = content(partial(StepLR, step_size=3, gamma=0.5), schedulers=names)
    require_same_stepping(module(partial(linear, warmup_steps=1)), content(cosine), tmp_path, 10)
    require_same_stepping(module(partial(StepLR, step_size=3, gamma=0.5)), step, tmp_path, 20)
    refused = {
        rf"trained with {StepLR.__module__}\.StepLR, this run has .*Schedule; resume with the same scheduler": cosine,
        r"trained with scheduler\.gamma=0\.5, this run has 0\.1": partial(StepLR, step_size=3, gamma=0.1),
    }
    for told, make in refused.items():
        with pytest.raises(ValueError, match=told):
            require_same_stepping(module(make), step, tmp_path, 10)
    assert isinstance(made(constant, 1)[1], Schedule)
