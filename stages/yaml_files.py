"""YAML as DVC reads it, within bounds: of params, recipes, the graph, and what DVC writes.

DVC compares params.yaml by its own parser, so that one decides here too: what it holds for a number, a text or a boolean is what
a stage gets (`off` and `12:30` are texts, `1e-3` is a number, `017` is seventeen; YAML 1.1 has it otherwise). What would not end,
or end in a library's exception, is refused before anything is built from it. It imports nothing of ours, since both stages and pipeline
read by it.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MOST_BYTES = 1_000_000  # of a file that people write; a recipe has ten thousand
MOST_VALUES = 20_000  # with those that aliases stand for; a recipe has three hundred
DEEPEST = 100  # sections in one another; a recipe has five
LONGEST_NUMBER = 100  # characters
_NUMBER = re.compile(r"[-+]?\.?[0-9][0-9a-fA-FoOxX_.eE+-]*")


class Unreadable(ValueError):
    """A sentence: the file, the place in it, what is wrong and the way out."""


def read(path: Path, called: Path | None = None) -> Any:
    """What a YAML file holds, as plain values; None if it is empty. Unreadable, with the name it is `called` by, says what is wrong."""
    written_by_dvc = path.name == "dvc.lock" or path.suffix == ".dvc"  # lists a large set's files where its remote has versions
    name = called or path
    try:
        size = path.stat().st_size
        if size > MOST_BYTES and not written_by_dvc:
            raise Unreadable(f"{name} has {size} bytes, and {MOST_BYTES} are the most: it holds settings, no data")
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{name} cannot be read: {error.strerror}") from None
    return parse(decoded(content, name), name, sys.maxsize if written_by_dvc else MOST_VALUES)


def decoded(content: bytes, name: Any) -> str:
    """UTF-8 as text; Unreadable names the line and the byte that is none."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"{name}, line {line}: byte 0x{content[error.start]:02x} is no UTF-8; save the file as UTF-8") from None


def parse(text: str, name: Any, most_values: int = MOST_VALUES) -> Any:
    """YAML text as plain values; `name` is what Unreadable calls it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if half := re.search("[\ud800-\udfff]", text):
        raise Unreadable(f"{name} holds {half[0]!a}, half a character; write it in UTF-8")
    try:
        _measure(YAML(typ="safe").parse(text), name, most_values)
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        problem = f"{getattr(error, 'context', None)}, {problem}" if problem.startswith("but ") else problem
        way_out = "; put text that holds a colon in quotes" if "':'" in problem else ""
        raise Unreadable(f"{name}{place}: DVC cannot read this: {problem}{way_out}") from None
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # of what makes numbers and dates
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"{name}{_first_false_value(text)}; put text that looks like a number or a date in quotes") from None


def _measure(events: Iterable[Any], name: Any, most_values: int) -> None:
    """Unreadable where there are too many values, or too deep ones, or a section stands in itself, or a number is too long."""
    sizes: dict[str | None, int] = {}  # anchor -> values that it stands for
    opened: list[tuple[str | None, int]] = []  # sections that are not closed yet: anchor, values before it
    count = 0
    for event in events:
        kind, anchor = type(event).__name__.removesuffix("Event"), getattr(event, "anchor", None)
        if kind == "Alias" and any(one == anchor for one, _ in opened):
            raise Unreadable(f"{_at(name, event)}: *{anchor} stands inside what it stands for; write out what is meant")
        if kind == "Scalar" and len(event.value) > LONGEST_NUMBER and (event.tag or not event.style) and _NUMBER.fullmatch(event.value):
            words = f"a number of {len(event.value)} characters, and {LONGEST_NUMBER} are the most"
            raise Unreadable(f"{_at(name, event)}: {words}; put text that looks like a number in quotes")
        if kind in ("Alias", "Scalar", "MappingStart", "SequenceStart"):
            count += sizes.get(anchor, 1) if kind == "Alias" else 1
            if count > most_values:
                how = f"with what *{anchor} and other aliases stand for, " if kind == "Alias" else ""
                raise Unreadable(f"{_at(name, event)}: {how}more than {most_values} values; settings are few, write them out")
        if kind == "Scalar":
            sizes[anchor] = 1
        elif kind in ("MappingStart", "SequenceStart"):
            opened.append((anchor, count - 1))
            if len(opened) > DEEPEST:
                raise Unreadable(f"{_at(name, event)}: more than {DEEPEST} sections in one another; settings have a few")
        elif kind in ("MappingEnd", "SequenceEnd"):
            closed, before = opened.pop()
            sizes[closed] = count - before


def _first_false_value(text: str) -> str:
    """ ", line 3: 2026-13-01 is none (month must be in 1..12)": the first scalar that cannot be made a value of its kind."""
    from ruamel.yaml import YAML

    for event in YAML(typ="safe").parse(text):
        if type(event).__name__ == "ScalarEvent" and (event.tag or not event.style):
            try:
                YAML(typ="safe").load(f"{f'!<{event.tag}> ' if event.tag else ''}{event.value}")
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                kind = f"{event.tag.rpartition(':')[2]}" if event.tag else "number or date"
                return f"{_at('', event)}: {event.value} is no {kind} ({str(error).splitlines()[0]})"
    return ": a value is not of its kind"


def _at(name: Any, event: Any) -> str:
    return f"{name}, line {event.start_mark.line + 1}"
