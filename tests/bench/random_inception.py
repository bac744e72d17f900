"""A file laid out as that of the Inception of 2015, with random weights: for machines without the known one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn


def write_random_inception(path: Path) -> Path:
    """Write one; the known checksum has to be replaced by that of the file."""
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = fidelity.FeatureExtractorInceptionV3("random", ["2048"])
        network.apply(_draw)
    torch.save(network.state_dict(), path)
    return path


@torch.no_grad()
def _draw(layer: nn.Module) -> None:
    """Draw weights of a size that leaves pictures apart: those that PyTorch begins with hardly do."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight)
    elif isinstance(layer, nn.BatchNorm2d):
        for values, low, high in ((layer.weight, 0.8, 1.2), (layer.bias, -0.1, 0.1), (layer.running_var, 0.8, 1.2)):
            nn.init.uniform_(values, low, high)
        nn.init.normal_(layer.running_mean, std=0.1)
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.1)
