"""Shows Hydra the folder experiments/ as its config group `experiment`, and folders of the user's."""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig

from ldmlab.configs.bounds import check_yaml
from ldmlab.configs.errors import UserError
from ldmlab.paths import experiments_dir

GROUP = "experiment"


class FolderSource(FileConfigSource):
    """A folder of config groups whose files are looked at before they are read."""

    @staticmethod
    def scheme() -> str:
        """The prefix of its entry in the search path."""
        return "folder"

    def load_config(self, config_path: str) -> ConfigResult:
        """Read `GROUP/OPTION`.

        Raises:
            UserError: the file holds something else than keys of reasonable size.
        """
        path = Path(self.path, self._normalize_file_name(config_path))
        if path.exists():
            check_yaml(path)
        try:
            result = super().load_config(config_path)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
        if not isinstance(result.config, DictConfig):
            raise UserError(f"{path}: holds a list; write KEY: VALUE")
        return result


class ExperimentSource(ConfigSource):
    """A folder whose files are the configs of the group `experiment`; subfolders are part of a config's name."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider=provider, path=path)
        self._folder = FolderSource(provider, self.path)

    @staticmethod
    def scheme() -> str:
        """The prefix of its entry in the search path."""
        return "experiments"

    def load_config(self, config_path: str) -> ConfigResult:
        """Read `experiment/<study>/<variant>`."""
        return self._folder.load_config(_inside(config_path) or "")

    def available(self) -> bool:
        """Whether the folder exists."""
        return self._folder.available()

    def is_group(self, config_path: str) -> bool:
        """Whether there is a folder of that name."""
        inside = _inside(config_path)
        return config_path == "" or (inside is not None and self._folder.is_group(inside))

    def is_config(self, config_path: str) -> bool:
        """Whether there is a file of that name."""
        inside = _inside(config_path)
        return bool(inside) and self._folder.is_config(str(inside))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The folders and configs in a folder."""
        inside = _inside(config_path)
        if inside is None:
            return [GROUP] if results_filter in (None, ObjectType.GROUP) else []
        return self._folder.list(inside, results_filter)


class ExperimentsSearchPath(SearchPathPlugin):
    """Appends experiments/ to the search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra."""
        search_path.append("ldmlab", f"{ExperimentSource.scheme()}://{experiments_dir()}")


def register() -> None:
    """Tell Hydra; to be called before it composes. Again does no harm."""
    plugins = Plugins.instance()
    plugins.register(FolderSource)
    plugins.register(ExperimentSource)
    plugins.register(ExperimentsSearchPath)


def _inside(config_path: str) -> str | None:
    """The path below `experiment`, or None where it lies elsewhere."""
    head, _, tail = config_path.strip("/").partition("/")
    return tail if head == GROUP else None
