"""A file of a room has what the room's protocol says: a type checker cannot see that, since files are opened by their names."""

import inspect
import typing

import pytest

from gan import choices, play
from gan.extractors import _fitting
from gan.sources import _inputs

PROTOCOLS = {
    "networks": play.Architecture,
    "latents": play.Space,
    "losses": play.Loss,
    "extractors": _fitting.Extractor,
    "sources": _inputs.Source,
    "tasks": play.TaskFile,
}


def parameters(function) -> list[tuple[str, object]]:
    """Name and kind of each, without self."""
    return [(one.name, one.kind) for one in inspect.signature(function).parameters.values() if one.name != "self"]


@pytest.mark.parametrize(("room", "name"), [(room, name) for room in PROTOCOLS for name in choices.names(room)])
def test_a_choice_has_what_its_room_asks_for(room, name):
    module, protocol = choices.module(room, name), PROTOCOLS[room]
    assert issubclass(module.Config, choices.Config)
    for constant, kind in inspect.get_annotations(protocol).items():
        assert type(getattr(module, constant)) is (typing.get_origin(kind) or kind), constant
    functions = {key: value for key, value in vars(protocol).items() if inspect.isfunction(value) and not key.startswith("_")}
    assert functions
    for key, asked in functions.items():
        assert parameters(getattr(module, key)) == parameters(asked), f"{room}/{name}: {key}"


@pytest.mark.parametrize("name", choices.names("tasks"))
def test_a_task_has_what_a_game_is_played_by(name):
    module = choices.module("tasks", name)
    for key, asked in vars(play.Task).items():
        if inspect.isfunction(asked) and not key.startswith("_"):
            assert parameters(getattr(module.Task, key)) == parameters(asked), f"{name}: {key}"
