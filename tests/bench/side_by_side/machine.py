"""Where something was measured."""

from __future__ import annotations

import gc
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

ROOT = Path(__file__).parents[3]


def description(device: torch.device, commit: str | None = None) -> dict[str, str]:
    """Device, day, versions and commit, if not given that of the checkout: what makes two measurements comparable."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "torch": torch.__version__,
        "diffusers": _version("diffusers"),
        "commit": commit or checkout(),
    }


def processor() -> str:
    """The CPU's name, and the threads that PyTorch uses."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    threads = torch.get_num_threads()
    return f"{(names or [platform.processor()])[0]}, {threads} thread{'s' if threads > 1 else ''}"


def tidy(device: torch.device) -> None:
    """Give back memory and compiled programs."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def checkout() -> str:
    """Of the checkout, with a plus where files differ from it; "unknown" outside one."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=7", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
