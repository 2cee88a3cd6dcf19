"""The scores there are: the files of stages/evaluation/scores, what they say of themselves, and how their figures are written."""

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Literal, overload

from stages.evaluation import scores


@dataclass(frozen=True)
class Says:
    """How a score is called, which is better, and what it says in a line."""

    name: str
    better: Literal["lower", "higher"]
    meaning: str


@cache
def every() -> tuple[ModuleType, ...]:
    """The files of this room, by rank."""
    names = [info.name for info in pkgutil.iter_modules(scores.__path__)]
    return tuple(sorted((importlib.import_module(f"{scores.__name__}.{name}") for name in names), key=lambda module: module.RANK))


def says() -> dict[str, Says]:
    """Every score by its key in metrics.json, in the order of tables."""
    return {key: said for module in every() for key, said in module.SAYS.items()}


def fights() -> dict[str, ModuleType]:
    """The scores that a gate may ask for, by key."""
    return {next(iter(module.SAYS)): module for module in every() if hasattr(module, "fight")}


@overload
def rounded(value: float) -> float: ...
@overload
def rounded(value: dict[str, float]) -> dict[str, float]: ...
def rounded(value: float | dict[str, float]) -> float | dict[str, float]:
    """Six significant digits: the rest differs between processors that agree on every image."""
    return {key: rounded(one) for key, one in value.items()} if isinstance(value, dict) else float(f"{value:.6g}")
