from __future__ import annotations

import signal
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ldmlab.cli.errors import RankError
from ldmlab.cli.local_ranks import Ending, _failure, run_on_ranks
from ldmlab.training.signals import Stopped


def test_the_first_to_end_is_told_of(tmp_path: Path) -> None:
    Ending(0, 2.0, 2, "gone: the connection").write(tmp_path)
    Ending(1, 1.0, 2, "no space left").write(tmp_path)
    first, later = Ending.read_all(tmp_path)
    error = _failure(first, {}, {0: 2, 1: 2}, 2, {later.line})
    assert isinstance(error, RankError)
    assert (error.line, error.code) == ("no space left (on rank 1 of 2)", 2)


def test_what_all_say_is_told_once() -> None:
    error = _failure(Ending(1, 1.0, 2, "no such file"), {}, {0: 2, 1: 2}, 2, {"no such file"})
    assert isinstance(error, RankError)
    assert error.line == "no such file"


def test_a_rank_that_was_killed() -> None:
    peer = Ending(0, 2.0, 1, None, "Traceback ...")
    error = _failure(peer, {1: signal.SIGKILL}, {0: 1, 1: -9}, 4, set())
    assert isinstance(error, RankError)
    assert error.code == 137
    assert "rank 1 of 4 was killed (SIGKILL)" in (error.line or "")


def test_a_signal_stays_one() -> None:
    stopped = _failure(Ending(0, 1.0, 143, "go on with it"), {}, {0: 143, 1: -15}, 2, {"go on with it"})
    assert isinstance(stopped, Stopped)
    assert (stopped.number, stopped.rest) == (signal.SIGTERM, "go on with it")


def test_ranks_start_no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    with pytest.raises(ValueError, match="torchrun or srun already"):
        run_on_ranks(2, "train", OmegaConf.create())
