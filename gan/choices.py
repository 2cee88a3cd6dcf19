"""A name in params.yaml is a file in a room; the rest of the section is that file's Config.

A room is a package of gan/ such as `networks`. Each of its modules is a choice, except those that start with an
underscore: they are shared by the room. A choice defines `class Config(choices.Config)`, and where that has keys without a
default, `defaults(fit: choices.Fit) -> dict`: what suits the data. These are written into params.yaml when the choice is named
(apps/choose.py) and never stand in for a key that is missing there. `OWN` names keys that mean something else in other choices:
their values are neither handed on nor taken over where one choice follows another.
"""

import difflib
import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pydantic

Section = dict[str, Any]  # of params.yaml: the name of a choice and the fields of its Config, or some of these


class Config(pydantic.BaseModel):
    """Frozen, refusing keys it does not know, and strict: true is no number, 1 no boolean; a whole number may stand for a float."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


@dataclass(frozen=True)
class Room:
    """In a Config's annotation: a section {name, **fields} that chooses from this room."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a choice's defaults are to suit."""

    shape: tuple[int, int, int]  # (C, H, W) of the images
    device: str = "cpu"  # cpu or cuda, where they are trained on
    total_kimg: float = 100.0  # thousand images of the training
    num_images: int | None = None  # to train on; None: not known yet
    num_classes: int | None = None  # None: not known yet

    @property
    def side(self) -> float:
        """Pixels a side of a square as large as an image."""
        return (self.shape[1] * self.shape[2]) ** 0.5


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


def config(room: str, section: Section) -> Config:
    """{"name": choice, **fields} -> that choice's Config."""
    fields = {key: value for key, value in section.items() if key != "name"}
    return module(room, section["name"]).Config.model_validate(fields)


def fields(room: str, name: str) -> list[str]:
    """The keys that a choice's section has beside its name."""
    return list(module(room, name).Config.model_fields)


def defaults(room: str, name: str, fit: Fit) -> Section:
    """The whole section of a choice by its name alone; keys that only the user can know, such as a file's hash, are left out."""
    chosen = module(room, name)
    known = {key: field.get_default() for key, field in chosen.Config.model_fields.items() if not field.is_required()}
    known |= chosen.defaults(fit) if hasattr(chosen, "defaults") else {}
    return {"name": name} | {key: known[key] for key in fields(room, name) if key in known}


def rounded(value: float) -> float | int:
    """Two significant digits: more would promise what a rule of thumb does not know."""
    short = float(f"{value:.2g}")
    return int(short) if short.is_integer() else short


def did_you_mean(word: str, valid: list[str]) -> str:
    """ "; did you mean 'x'?" for the nearest valid word, else an empty string."""
    near = difflib.get_close_matches(str(word), valid, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
