"""A rank of a command on this host, as `local_ranks.py` starts it: python -m ldmlab.cli.rank COMMAND FOLDER PARENT."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf

from ldmlab import lean_imports
from ldmlab.cli.command import find
from ldmlab.cli.errors import explain
from ldmlab.cli.local_ranks import CONFIG, HYDRA, Ending
from ldmlab.cli.run import run_here
from ldmlab.ranks import launched
from ldmlab.training.signals import Stopped

PR_SET_PDEATHSIG = 1


def main(name: str, folder: Path, parent: int) -> int:
    """Run a command with the config in a folder, and leave there how it ended; return the exit code."""
    _end_with(parent)
    place = launched()
    assert place is not None
    code, line, trace, figure = 0, None, None, None
    try:
        figure = _run(name, folder)
    except Stopped as stop:
        code, line = stop.code, stop.rest
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        line = explain(error)
        code = 1 if line is None else 2
        if line is None or os.environ.get("LDMLAB_TRACE", "0") not in ("", "0"):
            trace = traceback.format_exc()
    Ending(place.rank, time.time(), code, line, trace, figure).write(folder)
    return code


def _run(name: str, folder: Path) -> float | None:
    lean_imports.install()
    setup_globals()
    typed = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf)})
    OmegaConf.set_struct(typed.hydra, False)
    settings, config = OmegaConf.merge(typed, OmegaConf.load(folder / HYDRA)), OmegaConf.load(folder / CONFIG)
    assert isinstance(settings, DictConfig)
    assert isinstance(config, DictConfig)
    HydraConfig.instance().set_config(settings)
    OmegaConf.set_struct(config, True)
    configure_log(settings.hydra.job_logging, settings.hydra.verbose)
    return run_here(name, find(name), config)


def _end_with(parent: int) -> None:
    """Let the system end this process, as SIGTERM does, where its parent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
