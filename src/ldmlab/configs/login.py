"""Whether Weights & Biases would let a run in, found out without a network. Imports nothing heavy."""

from __future__ import annotations

import netrc
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from ldmlab.configs.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
OFFLINE = ("offline", "dryrun", "disabled")


def require_login(config: DictConfig) -> None:
    """Refuse a run that W&B would ask for a key in its midst.

    Raises:
        UserError: it is to be online, and there is no key.
    """
    from omegaconf import OmegaConf

    loggers = OmegaConf.select(config, "logger", default=None) or {}
    online = [
        name
        for name, each in loggers.items()
        if each and str(each.get("_target_")).endswith(".wandb_logger") and not each.get("offline", True)
    ]
    if not online or os.environ.get("WANDB_MODE") in OFFLINE:
        return
    if not _has_key():
        raise UserError(
            f"logger.{online[0]}.offline=false: there is no key for Weights & Biases; run `wandb login`, set "
            f"WANDB_API_KEY, or leave logger.{online[0]}.offline=true and upload later by `wandb sync`"
        )


def why_offline(seconds: float = 5.0) -> str | None:
    """Why nothing can be sent to W&B; None where there is a key for it and a network.

    Args:
        seconds: to wait for the network.
    """
    if os.environ.get("WANDB_MODE") in OFFLINE:
        return f"WANDB_MODE={os.environ['WANDB_MODE']}"
    if not _has_key():
        return "no key for Weights & Biases; run `wandb login` or set WANDB_API_KEY"
    url = urlparse(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai")
    address = url.hostname or "", url.port or (80 if url.scheme == "http" else 443)
    try:
        with socket.create_connection(address, timeout=seconds):
            return None
    except OSError as error:
        return f"no network: {url.hostname} cannot be reached ({error.strerror or error})"


def _has_key() -> bool:
    return any(map(os.environ.get, KEYS)) or _in_netrc()


def _in_netrc() -> bool:
    paths = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    own = urlparse(os.environ.get("WANDB_BASE_URL", "")).hostname
    for path in map(os.path.expanduser, paths):
        if Path(path).is_file():
            try:
                hosts = netrc.netrc(path).hosts
            except (OSError, netrc.NetrcParseError):
                continue
            if own in hosts or (own is None and any("wandb" in host for host in hosts)):
                return True
    return False
