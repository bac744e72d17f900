"""Bounds of what a config may take to compose: a few lines of YAML can stand for more than any machine holds."""

from __future__ import annotations

import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import yaml

from ldmlab.configs.errors import UserError
from ldmlab.files import read_text

MOST_BYTES = 2**18
"""Of a yaml."""
MOST_VALUES = 100_000
"""In a yaml, once its aliases are written out."""
SECONDS = 20
"""Of processor time for a config, which composes in under one; long prompts on a slow machine take several."""
MEMORY = 2**30
"""Bytes for a config, beside what the process holds already."""
INTERVAL = 0.1
"""Seconds between two looks at them."""


def check_yaml(path: Path) -> None:
    """Refuse a file that cannot be read as a config of reasonable size.

    Raises:
        OSError: it is no regular file, or a long one.
        UserError: it stands for too many values, or for itself.
        YAMLError: it is no YAML.
    """
    text = read_text(path, MOST_BYTES)
    if "&" not in text:
        return
    try:
        count = _count(yaml.compose(text, Loader=yaml.SafeLoader), {})
    except RecursionError as error:
        raise UserError(f"{path}: is nested too deeply, or in itself") from error
    if count > MOST_VALUES:
        raise UserError(f"{path}: its aliases stand for {count:.0e} values; write at most {MOST_VALUES:,}")


@contextmanager
def bounded() -> Iterator[None]:
    """Compose and resolve configs within bounds of time and memory inside the block.

    Raises:
        UserError: they were not enough.
    """
    try:
        with _watched():
            yield
    except RecursionError as error:
        raise UserError(f"the config is nested too deeply, or refers to itself; {_LOOK}") from error
    except (_ExcessError, MemoryError) as error:
        raise UserError(
            f"the config takes more than {SECONDS} s or {MEMORY / 2**30:g} GiB to compose; {_LOOK}"
        ) from error


_LOOK = "look for options, aliases and ${...} that stand for each other"


class _ExcessError(BaseException):
    """Past the handlers of the libraries in between."""


@dataclass
class _Watch:
    """What a block may take until it has to end."""

    deadline: float
    limit: int

    def look(self, number: int, frame: FrameType | None) -> None:
        """Called every now and then."""
        if time.process_time() > self.deadline or _held() > self.limit:
            raise _ExcessError


@contextmanager
def _watched() -> Iterator[None]:
    """Look at time and memory every now and then, in processor time, which other programs do not take.

    Only the main thread can be stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _Watch(time.process_time() + SECONDS, _held() + MEMORY).look)
    signal.setitimer(signal.ITIMER_VIRTUAL, INTERVAL, INTERVAL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def unbounded() -> Iterator[None]:
    """Inside a bounded block, what is no composing: importing a component takes what its packages take."""
    interval = signal.setitimer(signal.ITIMER_VIRTUAL, 0)[1]
    started, held = time.process_time(), _held()
    try:
        yield
    finally:
        look = signal.getsignal(signal.SIGVTALRM)
        watch = getattr(look, "__self__", None)
        if isinstance(watch, _Watch):
            watch.deadline += time.process_time() - started
            watch.limit += _held() - held
            signal.setitimer(signal.ITIMER_VIRTUAL, interval, interval)


def _held() -> int:
    """Bytes of memory that this process holds, where the system says so."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _count(node: yaml.Node | None, known: dict[int, int]) -> int:
    """The values under a node with its aliases written out; infinitely many recurse without end."""
    if isinstance(node, yaml.ScalarNode) or node is None:
        return 1
    if id(node) not in known:
        children = [each for pair in node.value for each in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_count(child, known) for child in children)
    return known[id(node)]
