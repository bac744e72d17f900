"""Builds a component that plain data name, from the model rooms alone and from arguments that fit its signature."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ldmlab.models.plain_data import shown
from ldmlab.models.trusted import how_to_trust, is_trusted

ROOMS = tuple(f"ldmlab.{room}." for room in ("adapters", "autoencoders", "backbones", "conditioners", "diffusion"))
"""What a stored config may name a class of."""
TARGET = "_target_"
STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
TROUBLE = (TypeError, ArithmeticError, RuntimeError, LookupError, AssertionError, MemoryError)
"""How constructors fail on values that none of their checks foresaw."""


def build_component(section: Any, kind: type, where: str, **given: Any) -> Any:
    """What a section of a config describes: `_target_`, the class, beside its arguments by name.

    Nothing is resolved, evaluated or opened: `_target_` is the only name that is looked up, and the class that it
    names must be defined in a model room, or in a module that the user trusts. Arguments that
    are components themselves are built in the same way.

    Args:
        section: plain data.
        kind: the class or protocol that is asked for.
        where: the section's name, for messages.
        given: further arguments, which the section may not set.

    Raises:
        ValueError: another target, an argument that is unknown, missing, of another type or that the constructor
            refuses; its name and value are in the message.
    """
    if not isinstance(section, Mapping):
        raise ValueError(f"{where}: is {shown(section)}, where a section with a {TARGET} belongs")
    factory = _resolve(section.get(TARGET), kind, where)
    settings = {name: value for name, value in section.items() if name != TARGET}
    arguments = {name: _argument(factory, name, value, where) for name, value in settings.items()}
    lacking = _required(factory) - {*settings, *given}
    if lacking:
        raise ValueError(f"{where}: lacks '{min(lacking)}', without which {factory.__name__} is not built")
    twice = given.keys() & settings.keys()
    if twice:
        raise ValueError(f"{where}.{min(twice)}: follows from the other parts, so a config does not say it")
    try:
        return factory(**arguments, **given)
    except TROUBLE as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{where}: a value does not fit {factory.__name__} ({reason})") from error


def with_defaults(option: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """A stored component's config with those of some keys that it lacks, because they came later, at their defaults.

    Args:
        option: of a component that this process has built, so that its target is known to be what it says.
        keys: those of its config of now.
    """
    module, _, name = str(option[TARGET]).rpartition(".")
    parameters = inspect.signature(getattr(import_module(module), name)).parameters
    later = {key: parameters[key].default for key in keys if key in parameters and key not in option}
    return {**option, **later}


def _resolve(target: Any, kind: type, where: str) -> Any:
    """The class or function of that name, which is defined where the name says and gives what is asked for.

    Being reachable is not enough: `ldmlab.autoencoders.perceptual.Path` is.
    """
    if not isinstance(target, str):
        raise ValueError(f"{where}: its {TARGET} is {shown(target)}, where the name of a class belongs")
    module, _, name = target.rpartition(".")
    found = None
    own = is_trusted(module)
    if (own or module.startswith(ROOMS)) and all(part.isidentifier() for part in target.split(".")):
        try:
            found = vars(import_module(module)).get(name)
        except ImportError as error:
            if own:
                raise ValueError(
                    f"{where}: {module} cannot be imported ({error}); put its folder into PYTHONPATH"
                ) from error
    if getattr(found, "__module__", None) != module or not _makes(found, kind):
        raise ValueError(
            f"refused, because its config would build {shown(target)} as {where}, which is not ldmlab's"
            f"{'' if own else how_to_trust(module)}"
        )
    return found


def _makes(found: Any, kind: type) -> bool:
    if isinstance(found, type):
        return issubclass(found, kind) and not inspect.isabstract(found)
    return isinstance(found, FunctionType) and inspect.signature(found, eval_str=True).return_annotation is kind


def _argument(factory: Any, name: str, value: Any, where: str) -> Any:
    """A value of the type that the signature asks for; a section where it asks for a component."""
    parameters = _parameters(factory)
    if name not in parameters:
        raise ValueError(f"{where}.{name}: {factory.__name__} has no such argument; it has {', '.join(parameters)}")
    here, wanted = f"{where}.{name}", parameters[name].annotation
    choices = get_args(wanted) or (wanted,)
    if wanted is inspect.Parameter.empty:  # of a user's own class, which need not say it
        return value
    if isinstance(value, Mapping):
        component = next((kind for kind in choices if getattr(kind, "__module__", "").startswith(ROOMS)), None)
        if component is not None:
            return build_component(value, component, here)
    if Path in choices and value is not None:
        raise ValueError(f"{here}={shown(value)}: names a file, which a stored config may not")
    numbers = value if isinstance(value, list) else [value]
    if float not in choices and any(isinstance(number, int) and number < 0 for number in numbers):
        raise ValueError(f"{here}={shown(value)}: no size of a model is below 0")
    try:
        return TypeAdapter(wanted, config=STRICT).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Input ")
        raise ValueError(f"{here}={shown(value)}: {reason}") from error


@cache
def _parameters(factory: Any) -> dict[str, inspect.Parameter]:
    """Without *args and **kwargs, which a class without a constructor of its own inherits."""
    found = inspect.signature(factory, eval_str=True).parameters
    return {name: p for name, p in found.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _required(factory: Any) -> set[str]:
    return {name for name, parameter in _parameters(factory).items() if parameter.default is parameter.empty}
