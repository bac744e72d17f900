"""The entry point: finds the command, and turns every way of ending into an exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from ldmlab import __version__
from ldmlab.cli import completion, manual
from ldmlab.cli.command import find
from ldmlab.cli.errors import EndedError, explain, is_lost_rank
from ldmlab.ranks import is_first, slurm_job
from ldmlab.training.signals import SLURMS, STOP, Stopped

HELP = {"-h", "--help"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ldmlab ARGV...`; return 0 when done, 1 for a bug, 2 for bad input, 128 + n when signal n ended it."""
    logging.raiseExceptions = False  # a log for which a full disk has no room is worth no trace
    try:
        with _heeding_slurm() if slurm_job() is not None else nullcontext():
            _dispatch(list(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Exception, KeyboardInterrupt, SystemExit, Stopped) as error:
        return _report(error)
    return 0


@contextmanager
def _heeding_slurm() -> Iterator[None]:
    """Heed the warnings of SLURM from the first moment on, and none once all is done."""
    with STOP.heeded():
        yield
    STOP.ignore()


def _dispatch(argv: list[str]) -> None:
    if not argv or argv[0] in HELP:
        print(manual.overview(), end="", flush=True)
    elif argv[0] == "--version":
        print(f"ldmlab {__version__}")
    elif argv[0] in completion.WORDS:
        completion.complete(argv)
    elif "--version" in argv[1:]:
        _dispatch(["--version"])
    elif find(argv[0]) and HELP & set(argv[1:]):
        print(_manual(*argv), end="", flush=True)
    else:
        from ldmlab.cli.launch import launch

        launch(argv[0], argv[1:])


def _manual(command: str, *words: str) -> str:
    """The page of a command, or what it says of the groups and options named after --help."""
    asked = next(place for place, word in enumerate(words) if word in HELP)
    topics = [word for word in words[asked + 1 :] if not word.startswith("-")]
    return "\n".join(manual.topic(command, topic) for topic in topics) if topics else manual.page(command)


def _report(error: BaseException) -> int:
    """Tell the user, end or leave what else there is of a job, and return the exit code."""
    stop = error if isinstance(error, Stopped) else STOP.asked() if is_lost_rank(error) else None
    if stop is not None:  # or the others have heeded what was asked for already
        if is_first():
            print(f"ldmlab: {stop}", file=sys.stderr)
        _go_on_later(stop)
        return stop.code if is_first() else 0  # or srun may kill the first, which is still closing its files
    from ldmlab.cli.together import end_together, let_the_first_tell

    let_the_first_tell()
    code = _tell(error)
    end_together()
    return code


def _tell(error: BaseException) -> int:
    """Tell the user, and return the exit code."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        print("ldmlab: interrupted", file=sys.stderr)
        return 130
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    line = explain(error)
    if isinstance(error, EndedError):
        if line is not None:
            print(f"ldmlab: {line}", file=sys.stderr)
        return error.code
    if line is None or os.environ.get("LDMLAB_TRACE", "0") not in ("", "0"):
        traceback.print_exception(error)
    if line is not None:
        print(f"ldmlab: {line}", file=sys.stderr)
    return 1 if line is None else 2


def _go_on_later(stop: Stopped) -> None:
    """Have a job of SLURM queued again."""
    from ldmlab.training.requeue import SlurmJob

    job = SlurmJob.current() if stop.number in SLURMS else None
    refused = None if job is None else job.go_on_later()
    if refused is not None:
        print(f"ldmlab: {refused}", file=sys.stderr)
