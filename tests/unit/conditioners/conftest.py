"""Captions and a small prompt model that is ready to use."""

from __future__ import annotations

import pytest
import torch

from ldmlab.conditioners.text import TextTransformer

CAPTIONS = ["a small red circle left of a big blue square", "a big green star", "a pink triangle at the top"] * 4


@pytest.fixture(scope="session")
def captions() -> list[str]:
    return list(CAPTIONS)


@pytest.fixture
def text() -> TextTransformer:
    torch.manual_seed(0)
    model = TextTransformer(vocabulary=320, length=24, width=16, depth=2, heads=2)
    model.prepare(list(CAPTIONS))
    return model.eval()
