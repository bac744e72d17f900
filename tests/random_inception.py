"""A file laid out as that of the Inception of 2015, with random weights: for machines without the known one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


def write_random_inception(path: Path) -> Path:
    """Write one; the known checksum has to be replaced by that of the file."""
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = fidelity.FeatureExtractorInceptionV3("random", ["2048"])
    torch.save(network.state_dict(), path)
    return path
