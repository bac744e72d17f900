from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from ldmlab.cli.main import main
from ldmlab.training.signals import SIGNALS, Stopped, StopSignals


@pytest.fixture
def stop() -> Iterator[StopSignals]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield StopSignals()
    signal.signal(signal.SIGINT, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_what_can_be_done_again_at_once(
    stop: StopSignals, number: signal.Signals, request: pytest.FixtureRequest
) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # under nohup SIGHUP is ignored, which stays so
    request.addfinalizer(lambda: signal.signal(number, before))
    with pytest.raises(Stopped, match=f"^stopped by {number.name}$") as raised, stop.heeded():
        send(number)
    assert raised.value.code == 128 + number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_where_work_could_be_lost_it_is_noted_alone(stop: StopSignals) -> None:
    with stop.heeded(), stop.deferred():
        assert stop.asked() is None
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
            send(number)
        assert str(stop.asked()) == "stopped by SIGUSR1"
        with pytest.raises(Stopped, match="SIGINT"):
            send(signal.SIGINT)


def test_the_first_ctrl_c_is_noted_and_the_second_ends_at_once(stop: StopSignals) -> None:
    with stop.heeded(), stop.deferred():
        send(signal.SIGINT)
        with pytest.raises(Stopped, match="SIGINT"):
            send(signal.SIGINT)


def test_what_was_ignored_stays_ignored(stop: StopSignals) -> None:
    """As under nohup, and for Ctrl-C in a shell's background jobs."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop.heeded():
            stop.hold()
            send(signal.SIGHUP)
            assert stop.asked() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_taken_back_from_a_library(stop: StopSignals) -> None:
    with stop.heeded(), stop.deferred():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        stop.hold()
        send(signal.SIGTERM)
        assert stop.asked() is not None


def test_a_worker_leaves_it_to_its_parent(stop: StopSignals, monkeypatch: pytest.MonkeyPatch) -> None:
    with stop.heeded():
        monkeypatch.setattr(os, "getpid", lambda: -1)
        stop.take(signal.SIGTERM)
        assert stop.asked() is None


def test_output_that_nobody_reads_stops_a_run_like_a_signal(stop: StopSignals, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with stop.heeded(), stop.deferred():
            print("read", flush=True)
            os.close(reader)
            for _ in range(3):
                print("not read", flush=True)
            assert str(stop.asked()) == "stopped by SIGPIPE"
            assert sys.stdout.fileno() == writer
        assert sys.stdout is stream


def test_the_command_line_says_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def end(argv: list[str]) -> None:
        raise Stopped(signal.SIGHUP, "go on with this")

    monkeypatch.setattr("ldmlab.cli.main._dispatch", end)
    assert main(["train"]) == 129
    assert capsys.readouterr().err == "ldmlab: stopped by SIGHUP; go on with this\n"
