"""Progress reads well on terminals of any width, and in log files."""

from __future__ import annotations

import contextlib
import os
import pty
import sys
from collections.abc import Iterator
from fcntl import ioctl
from struct import pack
from termios import TIOCSWINSZ

import pytest
import torch
from torch import nn

from ldmlab import pace, progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a test sets."""
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def slowly(count: int, seconds: float, clock: list[float]) -> Iterator[int]:
    """Items that take a while each."""
    for item in range(count):
        clock[0] += seconds
        yield item


class Slow(list[int]):
    """Knows its length, as loaders do."""

    def __init__(self, count: int, seconds: float, clock: list[float]) -> None:
        super().__init__(range(count))
        self.seconds, self.clock = seconds, clock

    def __iter__(self) -> Iterator[int]:
        return slowly(len(self), self.seconds, self.clock)


def test_log_has_first_line_early_then_one_in_a_while(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """With count, speed and time left; 100 s of work is told in seven lines."""
    assert list(progress.track(Slow(50, 2.0, clock), "encoding")) == list(range(50))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "encoding: 1/50, 2 s each, 0:01:38 left"
    assert lines[1] == "encoding: 11/50, 2 s each, 0:01:18 left"
    assert lines[-1] == "encoding: 50/50 in 0:01:40"
    assert len(lines) == 6


def test_short_job_is_one_line(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    list(progress.track(Slow(5, 0.3, clock), "reading"))
    assert capsys.readouterr().err == "reading: 5/5 in 1.5 s\n"
    list(progress.track(Slow(5, 0.1, clock), "reading"))
    assert capsys.readouterr().err == ""


def test_unknown_length_has_no_time_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    list(progress.track(slowly(8, 0.5, clock), "scanning"))
    assert capsys.readouterr().err.splitlines() == ["scanning: 4, 2 a second", "scanning: 8 in 4.0 s"]


def test_what_was_done_before_says_nothing_about_the_speed(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """A dataset of which 90 samples are there already."""
    with progress.progress("writing", 100, 90) as advance:
        clock[0] += 5
        advance(5)
    assert capsys.readouterr().err.splitlines()[0] == "writing: 95/100, 1 a second, 0:00:05 left"


def test_failure_ends_without_a_line_of_success(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), progress.progress("sampling", 3) as advance:
        advance(1 // 0)
    assert capsys.readouterr().err == ""


def test_passes_are_counted_and_the_network_left_as_it_was(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    network = nn.Linear(1, 1)
    with progress.passes(network, "drawing"):
        for _ in range(3):
            network(torch.zeros(1))
        clock[0] += 1
    network(torch.zeros(1))
    assert capsys.readouterr().err == "drawing, in passes: 3 in 1.0 s\n"


def drained(master: int) -> str:
    """All that was written to a pseudo-terminal, which gives it in pieces."""
    os.set_blocking(master, False)
    pieces = []
    with contextlib.suppress(BlockingIOError):
        while True:
            pieces.append(os.read(master, 1 << 16))
    return b"".join(pieces).decode()


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_bar_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a pseudo-terminal: no frame is longer than a line."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    master, slave = pty.openpty()
    ioctl(slave, TIOCSWINSZ, pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert list(progress.track([1, 2, 3], "encoding images")) == [1, 2, 3]
        terminal.flush()
        shown = drained(master)
    os.close(master)
    assert "3/3" in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(("term", "bars"), [("xterm", True), ("dumb", False)])
def test_dumb_terminals_get_lines(term: str, bars: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, os.fdopen(master):
        assert pace.draws_bars(terminal) is bars
