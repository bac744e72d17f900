"""Whether a run may write to a folder that another has written to: only if it is the same one, and goes on.

Two runs in a folder would leave a mixture of both. The record that every run writes to its folder tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from ldmlab.cli.command import Command
from ldmlab.configs.errors import UserError
from ldmlab.data.folder_lock import NAME as LOCK
from ldmlab.files import read_text
from ldmlab.run_folder import RECORD, RunFolder
from ldmlab.status import NAME as STATUS

UNSAID = ("precision=auto",)
"""What the records of earlier versions do not say."""
SWEEP = "multirun.yaml"
_RESULT = re.compile(
    r"\d{5,}.*\.png|(contact_sheet|denoising_strip|heatmaps)\.png|prompts\.txt|maps\.safetensors|metrics\.json|edits\.csv"
)
_KEY = re.compile(r"(?P<indent> *)(?P<key>'[^']*'|[^\s:'-][^:]*):(?: (?P<value>.*)|$)")
_COMMAND = re.compile(r"^  job:\n(?:    .*\n)*?    name: (\S+)$", re.MULTILINE)


def require_own(folder: RunFolder, name: str, config: str, command: Command) -> None:
    """Refuse a folder with what another run has written.

    Args:
        folder: as it was before this run.
        name: of the run's command.
        config: the run's, as yaml.
        command: the run's.

    Raises:
        UserError: naming the first setting that differs.
    """
    own = {folder.record.name, folder.log.name, LOCK, STATUS}
    rest = {name for name in folder.before if name not in own and not name.endswith(".log")}
    where = f"output_dir={folder.path}"
    if SWEEP in rest:
        raise UserError(f"{where}: holds a sweep; give another folder")
    earlier, found = _earlier(folder)
    if not rest or (earlier is None and command.resumes):
        return
    if earlier is None:
        for name in sorted(rest):
            if _RESULT.fullmatch(name):
                raise UserError(f"{where}: holds {name}, and nothing says what run wrote it; give another folder")
    elif found != name:
        raise UserError(f"{where}: holds a run of `ldmlab {found}`; give another folder")
    elif not command.resumes:
        difference = _first_difference(_settings(earlier, command.free), _settings(config, command.free))
        if difference is not None:
            raise UserError(f"{where}: holds another run ({difference}); give another folder, or run the same again")


def _earlier(folder: RunFolder) -> tuple[str | None, str | None]:
    """The config of an earlier run, as yaml, and its command."""
    config, hydras_own = (folder.record / name for name in RECORD[:2])
    if not config.is_file():
        return None, None
    match = _COMMAND.search(read_text(hydras_own)) if hydras_own.is_file() else None
    return read_text(config), match and match[1]


def _settings(config: str, free: Collection[str]) -> list[str]:
    """The lines of a config with dotted keys, as KEY=VALUE, without the keys that may differ.

    The yaml is not parsed, since it may be anything.
    """
    found, path = [], [""]
    for line in config.splitlines():
        match = _KEY.match(line)
        if match is not None:
            path[len(match["indent"]) // 2 :] = [match["key"].strip("'")]
        value = line.strip().removeprefix("- ") if match is None else match["value"]
        if value is not None and path[0] not in free:  # a section or list has none
            found.append(f"{'.'.join(path)}={value}")
    return [line for line in found if line not in UNSAID]


def _first_difference(before: list[str], now: list[str]) -> str | None:
    if before == now:
        return None
    missing = [f"it had {line}" for line in before if line not in now]
    added = [f"this one has {line}" for line in now if line not in before]
    return ", ".join([*missing[:1], *added[:1]]) or "its settings are in another order"
