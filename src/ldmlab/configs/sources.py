"""How Hydra reads config files here: within bounds, once while they stay the same, and named where they are wrong."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig

from ldmlab.configs.bounds import check_yaml
from ldmlab.configs.errors import UserError


class FileConfigSource(file_config_source.FileConfigSource):
    """A folder of configs whose files are looked at before they are read.

    It has the name of Hydra's own, which a process that joblib starts registers beside it.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """Read `GROUP/OPTION`.

        Raises:
            UserError: the file holds something else than keys of reasonable size.
        """
        path = Path(self.path, self._normalize_file_name(config_path))
        if not path.exists():
            return super().load_config(config_path)  # which says so
        seen = path.stat()
        result = deepcopy(_read(self.path, config_path, path, seen.st_mtime_ns, seen.st_size))
        result.provider = self.provider
        return result


@lru_cache(maxsize=1024)
def _read(folder: str, config_path: str, path: Path, time: int, size: int) -> ConfigResult:
    check_yaml(path)
    try:
        result = file_config_source.FileConfigSource("", folder).load_config(config_path)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(result.config, DictConfig):
        raise UserError(f"{path}: holds a list; write KEY: VALUE")
    return result


def bound_files() -> None:
    """Let Hydra read files so, from now on."""
    Plugins.instance()  # registers Hydra's own first
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
