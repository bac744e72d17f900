"""Why nothing can be sent to W&B, told without sending anything."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ldmlab.configs.login import why_offline


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that says nothing of W&B."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return monkeypatch


def test_no_key_and_a_mode_are_told_first(nothing: pytest.MonkeyPatch) -> None:
    assert why_offline() == "no key for Weights & Biases; run `wandb login` or set WANDB_API_KEY"
    nothing.setenv("WANDB_MODE", "offline")
    assert why_offline() == "WANDB_MODE=offline"


def test_a_server_is_asked_for_and_not_more(nothing: pytest.MonkeyPatch) -> None:
    nothing.setenv("WANDB_API_KEY", "x" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        nothing.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        assert why_offline() is None
    told = why_offline()
    assert told is not None
    assert told.startswith("no network: 127.0.0.1 cannot be reached (Connection refused)")
