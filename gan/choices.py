"""A name in params.yaml is a file in a room; the rest of the section is that file's Config.

A room is a package of gan/ such as `networks`. Each of its modules is a choice, except those that start with an
underscore: they are shared by the room. A choice defines `class Config(choices.Config)`.
"""

import difflib
import importlib
import pkgutil
from types import ModuleType

import pydantic


class Config(pydantic.BaseModel):
    """Frozen, refusing keys it does not know, and strict: true is no number, 1 no boolean; a whole number may stand for a float."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def names(room: str) -> list[str]:
    """The choices of a room, sorted: names("networks") -> ["dcgan", "r3gan"]."""
    package = importlib.import_module(f".{room}", __package__)
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))


def module(room: str, name: str) -> ModuleType:
    """The module of a choice; LookupError lists the valid names if there is none."""
    valid = names(room)
    if name not in valid:
        raise LookupError(f"{name!r} is no choice of {room}; it has {', '.join(valid)}{did_you_mean(name, valid)}")
    return importlib.import_module(f".{room}.{name}", __package__)


def config(room: str, section: dict) -> Config:
    """{"name": choice, **fields} -> that choice's Config."""
    fields = {key: value for key, value in section.items() if key != "name"}
    return module(room, section["name"]).Config.model_validate(fields)


def did_you_mean(word: str, valid: list[str]) -> str:
    """"; did you mean 'x'?" for the nearest valid word, else an empty string."""
    near = difflib.get_close_matches(str(word), valid, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
