"""What signals ask of a training run: to finish its step, to save and to end."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)

SLURMS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What SLURM sends: before preemption and at the end of a job, and the warnings that `--signal` asks for."""


class Stopped(BaseException):
    """A signal ends the run. No Exception, so that nothing on its way takes it for a failure.

    Args:
        number: of the signal.
        rest: what there is to say beside its name.
    """

    def __init__(self, number: int, rest: str = "") -> None:
        super().__init__(number, rest)
        self.number = number
        self.rest = rest

    @property
    def code(self) -> int:
        """The exit code, as shells have it."""
        return 128 + self.number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}{self.rest and f'; {self.rest}'}"


class StopSignals:
    """The handlers of this process. They raise `Stopped`; inside `deferred` they only note what is asked for."""

    def __init__(self) -> None:
        self._asked: int | None = None
        self._deferred = self._heeding = False
        self._process = os.getpid()

    def asked(self) -> Stopped | None:
        """What to raise at the next good moment, if anything."""
        return None if self._asked is None else Stopped(self._asked)

    def take(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal. Of those after the first only Ctrl-C counts, and ends at once."""
        if os.getpid() != self._process:  # a worker's; it ends with this process
            return
        first, self._asked = self._asked is None, number if self._asked is None else self._asked
        if (first and not self._deferred) or (not first and number == signal.SIGINT):
            raise Stopped(number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While work could be lost."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Handle the signals, and what happens to output that nobody reads any more. Ignored ones (nohup) stay so.

        Within another one it changes nothing, so that what was asked for before is still heeded.
        """
        if self._heeding and self._process == os.getpid():
            yield
            return
        self._asked, self._process = None, os.getpid()
        here = threading.current_thread() is threading.main_thread()
        before = {number: signal.getsignal(number) for number in SIGNALS} if here else {}
        streams = sys.stdout, sys.stderr
        try:
            for number, handler in before.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(number, self.take)
            sys.stdout, sys.stderr = (Unbreakable(stream, self.take) for stream in streams)
            self._heeding = True
            yield
        finally:
            self._heeding = False
            sys.stdout, sys.stderr = streams
            for number, handler in before.items():
                signal.signal(number, handler)

    def ignore(self) -> None:
        """Let what SLURM sends end this process no more, which does so by itself: it has nothing left to lose."""
        if threading.current_thread() is threading.main_thread():
            for number in SLURMS:
                signal.signal(number, signal.SIG_IGN)

    def hold(self) -> None:
        """Inside `heeded`, take the handlers back from a library that has set its own since."""
        if self._heeding and threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, self.take):
                    signal.signal(number, self.take)


class Unbreakable:
    """A stream that outlives its reader: where a terminal or a pipe was closed, the rest goes nowhere.

    Args:
        stream: a text file.
        take: handles SIGPIPE, which Python ignores, once where the reader of a pipe is gone.
    """

    def __init__(self, stream: Any, take: Callable[[int], None]) -> None:
        self._stream = stream
        self._take = take

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if there is a reader."""
        with self._surviving():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if there is a reader."""
        with self._surviving():
            self._stream.flush()

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if error.errno == errno.EPIPE:
                self._take(signal.SIGPIPE)


STOP = StopSignals()
"""Those of this process."""
