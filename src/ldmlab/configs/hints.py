"""The end of a line about a key or a group that is not there: what was meant."""

from __future__ import annotations

from collections.abc import Collection

from ldmlab.configs import catalogue
from ldmlab.configs.suggest import hint, nearest
from ldmlab.configs.synonyms import option_synonym, synonym
from ldmlab.configs.yaml_files import SETTERS

ALL = "; --cfg job prints all keys"


def instead_of_key(command: str, wrong: str, keys: Collection[str]) -> str:
    """What else does it, the same in ldmlab's words, the choice that brings it in, or what it is most like.

    Args:
        command: whose keys they are.
        wrong: the key that is not there.
        keys: the dotted keys that are.
    """
    if wrong == "experiment":
        return "; begin its file with the line '# @package _global_', so that its keys are the command's"
    groups = [group.name for group in catalogue.groups(command)]
    known = [key for key in keys if not key.endswith("_")] + groups
    meant = _deeper(wrong, known) or synonym(wrong, known)
    if meant is not None:
        return f"; did you mean '{meant}'?"
    section = wrong.partition(".")[0]
    is_there = any(key.startswith(f"{section}.") for key in keys)
    return (
        ("" if is_there else _whence(command, section))
        or _in_options(command, wrong, keys)
        or _beside(wrong, known)
        or ALL
    )


def instead_of_group(command: str, wrong: str) -> str:
    """The choice that brings it in, the key that does it here, or the nearest group."""
    if any(group.name == wrong and not group.where for group in catalogue.groups(command)):
        return f"; a config of your own (-cn) has it where it begins with 'defaults: [{command}, _self_]'"
    meant = synonym(wrong, [key.name for key in catalogue.keys(command)])
    if meant is not None:
        return f"; did you mean '{meant}'?"
    return _whence(command, wrong) or hint(wrong, [group.name for group in catalogue.groups(command)])


def instead_of_option(command: str, group: str, wrong: str, options: Collection[str]) -> str:
    """Our word for it, the nearest option, the group that has one of that name, or all options where they are few."""
    meant = option_synonym(wrong, options)
    if meant is not None:
        return f"; did you mean '{meant}'?"
    if nearest(wrong, options) is None:
        for other in catalogue.groups(command):
            if wrong in catalogue.options(other.name) and other.name != group:
                return f"; did you mean '{other.name}={wrong}'?"
    return hint(wrong, options)


def _deeper(wrong: str, known: Collection[str]) -> str | None:
    """The key of that name in a section of the same section: `metric.cmmd.extractor.weights`."""
    section, _, name = wrong.rpartition(".")
    return next((key for key in known if section and key.startswith(f"{section}.") and key.endswith(f".{name}")), None)


def _beside(wrong: str, known: Collection[str]) -> str:
    """The key or section most like it that stands in the same section; else of all."""
    section, _, name = wrong.rpartition(".")
    names = {key.removeprefix(f"{section}.").partition(".")[0] for key in known if key.startswith(f"{section}.")}
    found = nearest(name, names)
    return hint(name if names else wrong, known) if found is None else f"; did you mean '{section}.{found}'?"


def _in_options(command: str, wrong: str, keys: Collection[str]) -> str:
    """The options of a group that have a key of that name, where the chosen one has none."""
    section, _, name = wrong.rpartition(".")
    if any(key.rpartition(".")[2] == name for key in keys):
        return ""
    for group in catalogue.groups(command):
        if group.name in SETTERS or section not in ("", group.name):
            continue
        with_it = [each for each in catalogue.options(group.name) if _has(group.name, each, name)]
        if with_it:
            return f"; '{group.name}.{name}' comes with {' or '.join(f'{group.name}={each}' for each in with_it)}"
    return ""


def _has(group: str, option: str, name: str) -> bool:
    return any(key.name == name for key in catalogue.option_keys(group, option))


def _whence(command: str, name: str) -> str:
    known: list[catalogue.Group | catalogue.Key] = [*catalogue.groups(command), *catalogue.keys(command)]
    found = next((each for each in known if each.name == name and each.where), None)
    if found is None:
        return ""
    called = catalogue.place(found) if isinstance(found, catalogue.Group) else name
    return f"; '{called}' comes with {found.where.replace(', ', ' or ')}"


def instead_of_section(command: str, section: str) -> str:
    """How the options of a group are chosen that stand in a section, or how a section is set."""
    places = (catalogue.place(group) for group in catalogue.groups(command))
    chosen = next((place for place in places if place.partition("@")[2] == section), None)
    return f"set its keys as {section}.KEY=VALUE" if chosen is None else f"choose its options by {chosen}=NAME"
