"""Whether a run may write to a folder that another has written to: only if it is the same one, and goes on.

Two runs in a folder would leave a mixture of both. The record that every run writes to its folder tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from ldmlab.cli.command import Command
from ldmlab.configs.errors import UserError
from ldmlab.data.folder_lock import NAME as LOCK
from ldmlab.run_folder import RECORD, RunFolder
from ldmlab.status import NAME as STATUS
from ldmlab.studio.run_records import flat_settings


class OtherRunError(UserError):
    """A folder holds what another run has written."""


UNSAID = ("precision=auto",)
"""What the records of earlier versions do not say."""
SWEEP = "multirun.yaml"
_RESULT = re.compile(
    r"\d{5,}.*\.png|(contact_sheet|denoising_strip|heatmaps)\.png|prompts\.txt|maps\.safetensors|metrics\.json|edits\.csv"
)
_COMMAND = re.compile(r"^  job:\n(?:    .*\n)*?    name: (\S+)$", re.MULTILINE)


def require_own(folder: RunFolder, name: str, config: str, command: Command, swept: Collection[str] = ()) -> None:
    """Refuse a folder with what another run has written.

    Args:
        folder: as it was before this run.
        name: of the run's command.
        config: the run's, as yaml.
        command: the run's.
        swept: keys and groups that no run may change in its folder, as they tell the jobs of a sweep apart.

    Raises:
        OtherRunError: naming the first setting that differs.
    """
    own = {folder.record.name, folder.log.name, LOCK, STATUS}
    rest = {name for name in folder.before if name not in own and not name.endswith(".log")}
    where = f"output_dir={folder.path}"
    if SWEEP in rest:
        raise OtherRunError(f"{where}: holds a sweep; give another folder")
    earlier, found = _earlier(folder)
    if not rest or (earlier is None and command.resumes):
        return
    if earlier is None:
        for name in sorted(rest):
            if _RESULT.fullmatch(name):
                raise OtherRunError(f"{where}: holds {name}, and nothing says what run wrote it; give another folder")
    elif found != name:
        raise OtherRunError(f"{where}: holds a run of `ldmlab {found}`; give another folder")
    else:
        settings = (_settings(text, command.free) for text in (earlier, config))
        if command.resumes:
            settings = ([line for line in lines if _belongs(line, swept)] for lines in settings)
        difference = _first_difference(*settings)
        if difference is not None:
            raise OtherRunError(
                f"{where}: holds another run ({difference}); give another folder, or run the same again"
            )


def is_same(folder: RunFolder, config: str, command: Command) -> bool:
    """Whether an earlier run in a folder was one with the same settings, from wherever it went on."""
    earlier = _earlier(folder)[0]
    free = {"output_dir", *(line.partition("=")[0] for line in command.when_requeued)}
    return earlier is not None and _settings(earlier, free) == _settings(config, free)


def _belongs(line: str, keys: Collection[str]) -> bool:
    """Whether a setting is one of these keys, or in one of these groups."""
    key = line.partition("=")[0]
    return any(key == each or key.startswith(f"{each}.") for each in keys)


def _earlier(folder: RunFolder) -> tuple[str | None, str | None]:
    """The config of an earlier run, as yaml, and its command."""
    config, hydras_own = (folder.earlier.get(name, b"").decode(errors="replace") for name in RECORD[:2])
    if not config:
        return None, None
    match = _COMMAND.search(hydras_own)
    return config, match and match[1]


def _settings(config: str, free: Collection[str]) -> list[str]:
    """The lines of a config with dotted keys, as KEY=VALUE, without the keys that may differ."""
    lines = [f"{key}={value}" for key, value in flat_settings(config) if key.partition(".")[0] not in free]
    return [line for line in lines if line not in UNSAID]


def _first_difference(before: list[str], now: list[str]) -> str | None:
    if before == now:
        return None
    missing = [f"it had {line}" for line in before if line not in now]
    added = [f"this one has {line}" for line in now if line not in before]
    return ", ".join([*missing[:1], *added[:1]]) or "its settings are in another order"
