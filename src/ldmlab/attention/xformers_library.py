"""xFormers with its compiled part, and what is missing where that does not load.

xFormers' wheel (0.0.35, stable ABI) is linked against CUDA 12, whose runtime today's torch no longer brings. That
runtime is a package of 3.5 MB and lives beside CUDA 13's in one process: the two libraries differ in name, each symbol
carries its library's version, and both work in the driver's one primary context, whose memory and streams they share.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from importlib import metadata

import torch
from torch import Tensor

RUNTIME = "nvidia-cuda-runtime-cu12"
LIBRARY = "libcudart.so.12"
INSTEAD = "or use attention=sdpa"


_loaded: list[Callable[..., Tensor]] = []
"""At most one function. A list, because `torch.compile` looks through `functools.cache` and would trace the loading."""


def memory_efficient_attention() -> Callable[..., Tensor]:
    """`xformers.ops.memory_efficient_attention`, ready to run.

    Raises:
        ValueError: what is missing, in one line with the way to get it.
    """
    if not _loaded:
        _loaded.append(_load())
    return _loaded[0]


def _load() -> Callable[..., Tensor]:
    require_installed()
    _load_cuda_12()
    try:
        from xformers import _cpp_lib
        from xformers.ops import memory_efficient_attention
    except ImportError as error:
        reason = f"does not go with torch {torch.__version__}: {_line(error)}"
        raise _broken(reason, "pip install -U xformers") from error
    failed = _cpp_lib._cpp_library_load_exception
    if failed is not None:
        raise _broken(f"cannot load its kernels: {_line(failed.__cause__ or failed)}", _remedy(failed)) from failed
    return memory_efficient_attention


def is_ready() -> bool:
    """Whether xFormers is installed and its compiled part loads."""
    try:
        memory_efficient_attention()
    except ValueError:
        return False
    return True


def require_installed() -> None:
    """Refuse to go on without xFormers.

    Raises:
        ValueError: the package is not installed.
    """
    if importlib.util.find_spec("xformers") is None:
        raise _broken("is not installed", "pip install xformers")


def _load_cuda_12() -> None:
    """Load the runtime where its package is; a CUDA 12 of the system's may be found by the linker itself."""
    try:
        package = metadata.distribution(RUNTIME)
    except metadata.PackageNotFoundError:
        return
    for file in package.files or ():
        if file.name == LIBRARY:
            ctypes.CDLL(str(package.locate_file(file)))


def _remedy(failed: BaseException) -> str:
    if torch.version.cuda is None:
        return "install a torch with CUDA"
    if LIBRARY in f"{failed} {failed.__cause__}":
        return f"pip install {RUNTIME}"
    return "pip install -U xformers"


def _broken(what: str, remedy: str) -> ValueError:
    return ValueError(f"attention backend 'xformers' {what}; {remedy}, {INSTEAD}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
