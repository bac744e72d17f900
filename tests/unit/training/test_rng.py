from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import torch

from ldmlab.training.callbacks.rng import RngState


def draws() -> list[Any]:
    return [torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), random.gauss(0, 1)]


def test_the_generators_go_on_where_they_were_saved() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    draws()
    np.random.randn()  # leaves a second normal number cached
    file = io.BytesIO()
    torch.save(RngState().state_dict(), file)
    expected = [np.random.randn(), *draws()]
    draws()
    callback = RngState()
    file.seek(0)
    callback.load_state_dict(torch.load(file, weights_only=True))
    disturbed = draws()
    callback.on_train_start(None, None)  # type: ignore[arg-type]
    assert [np.random.randn(), *draws()] == expected
    callback.on_train_start(None, None)  # type: ignore[arg-type]  # only once
    assert draws() not in (expected[1:], disturbed)
