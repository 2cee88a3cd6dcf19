"""Writes out what a name chooses: the keys that `gan run --set train.network.name=sngan` means.

    python -m apps.choose FILE         # JSON: [{"before": params, "after": params with settings in them, "asked": [key]}]

Prints JSON: for each, [{"key": "train.network", "value": {...}}], which `gan run` and `gan sweep` put into the params. A section
whose name was asked for gets every key of that choice. Keys that were asked for keep their value; so do those that the choice
before had too, where the new one can take them; the rest is what the choice's file says suits the data. Keys that only other
choices of the room have go. Nothing else is touched: a misspelt key is for the door to refuse.
"""

import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pydantic
import typer

from apps import answer
from gan import choices
from gan.training.config import ScheduleConfig
from stages import artifacts, command_line, params, yaml_files

SCHEDULES = {"train.loop.lr_schedule": 0.03, "train.loop.penalty_schedule": 0.1}  # the recipes' `final`; R3GAN's of its γ
Place = tuple[str | int, ...]


def written_out(before: dict, after: dict, keys: list[str], prepared: dict | None = None) -> list[dict]:
    """What the settings `asked` also mean: {key, value}. `prepared`: the card of the prepare stage, if it has run."""
    fit = fit_of(after, prepared or {})
    settings = [*_schedules(before, after, keys)]
    for place, room in sections(params.Params, after):
        if (section := _section(room, place, before, after, keys, fit)) is not None:
            settings.append({"key": _dotted(place), "value": section})
    settings += _source(before, after, keys)
    return [one for one in settings if one["value"] != _at(after, one["key"].split("."))]


def fit_of(content: dict, prepared: dict) -> choices.Fit:
    """What defaults are to suit, by params of which any may be missing or wrong, and by what is known of the prepared data."""
    size, channels = _at(content, ["prepare", "resolution"]), _at(content, ["prepare", "channels"])
    sides = size if isinstance(size, list) and len(size) == 2 else [size, size]
    whole = all(type(side) is int and side >= 8 for side in sides) and channels in (1, 3, 4)
    total = _at(content, ["train", "loop", "total_kimg"])
    return choices.Fit(
        shape=(channels, *sides) if whole else (3, 32, 32),
        device=_device(_at(content, ["train", "device"])),
        total_kimg=float(total) if type(total) in (int, float) and total > 0 else 100.0,
        num_images=(prepared.get("counts") or {}).get("train"),
        num_classes=len(prepared["classes"]) if prepared.get("classes") else None,
    )


def _device(asked: object) -> str:
    if asked != "auto":
        return "cuda" if asked == "cuda" else "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def sections(model: type[pydantic.BaseModel], content: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every section that chooses from a room, as (place, room): ("train", "penalties", 0), "penalties"."""
    for key, field in model.model_fields.items():
        if isinstance(content, dict) and key in content:
            yield from _inside(field.annotation, field.metadata, content[key], (*place, key))


def _inside(kind: Any, metadata: typing.Sequence, value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    room = next((one.name for one in metadata if isinstance(one, choices.Room)), None)
    if room is not None:
        yield place, room
        if (name := _name(value)) in choices.names(room):
            yield from sections(choices.module(room, name).Config, value, place)
    elif typing.get_origin(kind) is typing.Annotated:
        inner, *more = typing.get_args(kind)
        yield from _inside(inner, more, value, place)
    elif typing.get_origin(kind) in (list, tuple):
        for number, item in enumerate(value if isinstance(value, list) else []):
            yield from _inside(typing.get_args(kind)[0], (), item, (*place, number))
    elif isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        yield from sections(kind, value, place)


def _section(room: str, place: Place, before: dict, after: dict, keys: list[str], fit: choices.Fit) -> dict | None:
    """The whole section at a place; None where its name was not asked for, or is none that the room has.

    Where the name was there before, with all that it cannot do without, nothing is added.
    """
    dotted, section, earlier = _dotted(place), _at(after, place), _name(_at(before, place))
    name, anew = _name(section), _is_typed(dotted, keys)
    if not (anew or f"{dotted}.name" in keys) or name not in _names(room):
        return None
    section = section if isinstance(section, dict) else {}
    typed = {key for key in section if _is_typed(f"{dotted}.{key}", keys)}
    own = {*_own(room, name), *_own(room, earlier)} if earlier != name else set()
    others = {key for other in _names(room) for key in _fields(room, other)} - set(_fields(room, name))
    kept = section.keys() - typed - own - others
    defaults = choices.defaults(room, name, fit) if _fields(room, name) else {"name": name}
    if name == earlier and not anew and _needed(room, name) <= section.keys():
        defaults = {"name": name}
    whole = defaults | {key: section[key] for key in section if key in kept | typed} | {"name": name}
    return whole | {key: defaults[key] for key in _illegal(room, whole) & kept & defaults.keys()}


def _illegal(room: str, section: dict) -> set[str]:
    """The keys whose values a choice refuses; all where it is not said which."""
    fields = _fields(room, section["name"])
    try:
        choices.config(room, {key: section[key] for key in ("name", *fields) if key in section}) if fields else None
    except pydantic.ValidationError as error:
        wrong = {mistake["loc"][:1] for mistake in error.errors()}
        return set(fields) if () in wrong else {str(key) for (key,) in wrong}
    return set()


def _schedules(before: dict, after: dict, keys: list[str]) -> Iterator[dict]:
    """A schedule that was constant gets an end, and one that becomes constant has none."""
    names = typing.get_args(ScheduleConfig.model_fields["name"].annotation)
    for key, final in SCHEDULES.items():
        schedule, earlier = _at(after, key.split(".")), _name(_at(before, key.split(".")))
        name, anew = _name(schedule), _is_typed(key, keys)
        if name not in names or not (anew or (f"{key}.name" in keys and name != earlier)):
            continue
        given = schedule if isinstance(schedule, dict) else {}
        if "constant" in (name, earlier):
            given = {one: given[one] for one in given if _is_typed(f"{key}.{one}", keys)}
        yield {"key": key, "value": {"name": name} | ({} if name == "constant" else {"final": final}) | given}


def _source(before: dict, after: dict, keys: list[str]) -> Iterator[dict]:
    """The path follows another embedded example, where it named the one before."""
    key, (old, new) = "prepare.source.path", (_at(one, ["fetch", "name"]) for one in (before, after))
    if new != old and isinstance(new, str) and not _is_typed(key, keys) and _at(after, key.split(".")) == f"data/{old}":
        yield {"key": key, "value": f"data/{new}"}


def _is_typed(key: str, keys: list[str]) -> bool:
    """Whether a key was set itself, or as a part of what was."""
    return any(f"{key}.".startswith(f"{one}.") for one in keys)


def _names(room: str) -> list[str]:
    return [*choices.names(room), *(["auto"] if room == "sources" else [])]


def _fields(room: str, name: str) -> list[str]:
    return choices.fields(room, name) if name in choices.names(room) else []


def _needed(room: str, name: str) -> set[str]:
    """Keys that have no default of the Config."""
    if not _fields(room, name):
        return set()
    return {key for key, field in choices.module(room, name).Config.model_fields.items() if field.is_required()}


def _own(room: str, name: str | None) -> tuple[str, ...]:
    return getattr(choices.module(room, name), "OWN", ()) if name in choices.names(room) else ()


def _name(section: Any) -> str | None:
    """Of a section {name: …}; a bare word stands for one."""
    name = section.get("name") if isinstance(section, dict) else section
    return name if isinstance(name, str) else None


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))


def _at(content: Any, place: typing.Sequence) -> Any:
    """What stands at a place; None if nothing does."""
    for part in place:
        try:
            content = content[int(part) if isinstance(content, list) else part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return content


def _prepared() -> dict | None:
    try:
        return artifacts.card_of("prepare")
    except (OSError, ValueError):
        return None


app = command_line.program()


@app.command(epilog=command_line.examples("python -m apps.choose questions.json"))
def print_answers(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help='JSON: [{"before": params, "after": params with settings in them, "asked": [key]}].')
    ],
) -> None:
    """Write out what a name chooses: JSON with, for each question, [{"key": "train.network", "value": {...}}]."""
    questions = json.loads(file.read_text("utf-8"))
    prepared = _prepared()
    answers = []
    for question in questions:
        before, after = (yaml_files.parse(question[key], "params.yaml") for key in ("before", "after"))
        whole = isinstance(before, dict) and isinstance(after, dict)
        answers.append(written_out(before, after, question["asked"], prepared) if whole else [])
    print(json.dumps(answers))


def main(arguments: list[str]) -> int:
    return command_line.run(app, "python -m apps.choose", arguments)


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan", main, sys.argv[1:]))
