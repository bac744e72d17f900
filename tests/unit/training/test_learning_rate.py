from __future__ import annotations

import pytest
import torch

from ldmlab.training.learning_rate import Schedule, learning_rate_factor


def test_warm_up_rises_in_equal_steps_to_one() -> None:
    factor = learning_rate_factor(4, 100, "constant")
    assert [factor(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_without_warm_up_it_starts_at_one() -> None:
    assert learning_rate_factor(0, 100, "constant")(0) == 1.0


def test_cosine_falls_from_one_over_a_half_to_about_nothing_and_stays_positive() -> None:
    factor = learning_rate_factor(10, 110, "cosine")
    assert factor(10) == 1.0
    assert factor(60) == pytest.approx(0.5)
    assert factor(35) == pytest.approx(0.5 + 0.5**1.5)  # (1 + cos 45 deg) / 2
    assert 0 < factor(110) < 1e-6
    assert factor(10_000) == factor(110)


def test_an_unknown_decay_is_refused() -> None:
    with pytest.raises(ValueError, match="learning_rate_decay=linear: choose one of constant, cosine"):
        learning_rate_factor(1, 10, "linear")


@pytest.mark.parametrize("total", [-1, 10])
def test_a_cosine_without_an_end_is_refused(total: int) -> None:
    with pytest.raises(ValueError, match=f"trainer.max_steps={total}"):
        learning_rate_factor(10, total, "cosine")


def test_a_resumed_run_keeps_its_place_and_takes_its_own_rate() -> None:
    def make(rate: float) -> tuple[torch.optim.Optimizer, Schedule]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
        return optimizer, Schedule(optimizer, learning_rate_factor(4, 20, "cosine"))

    def go_on(optimizer: torch.optim.Optimizer, schedule: Schedule, steps: int) -> list[float]:
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return rates

    whole = go_on(*make(0.3), 15)
    optimizer, schedule = make(0.3)
    go_on(optimizer, schedule, 6)
    stored = optimizer.state_dict(), schedule.state_dict()
    for rate, expected in ((0.3, whole[6:]), (0.1, [value / 3 for value in whole[6:]])):
        optimizer, schedule = make(rate)
        optimizer.load_state_dict(stored[0])
        schedule.load_state_dict(stored[1])
        rates = go_on(optimizer, schedule, 9)
        assert rates == expected if rate == 0.3 else rates == pytest.approx(expected)
