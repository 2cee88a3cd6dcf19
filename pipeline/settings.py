"""Puts "train.loss.name=hinge" into the text of a YAML file: that value changes, and no other character.

A key that is not there yet (or a value of many lines) is written by the YAML library: comments stay, columns may move.
"""

import io
import re
from typing import Any

from stages import yaml_files

from .errors import Mistake

MOST_SHOWN = 200  # characters of a setting that is wrong
COMMENT_COLUMN = 32  # where the recipes' comments stand


def put(text: str, settings: list[str]) -> str:
    """The text of a params file with every setting in it; Mistake if one names nothing or its value is not YAML."""
    if settings and not isinstance(_read(text, "params.yaml"), dict):
        raise Mistake("params.yaml holds no sections; copy a recipe: gan run --recipe digits")
    for setting in settings:
        text = _put(text, setting)
    return text


def get(text: str, key: str) -> Any:
    """The value of a key in YAML text; None if it is not there."""
    try:
        return _at(_read(text, "params.yaml"), key.split("."))
    except (KeyError, TypeError, IndexError):
        return None


def annotate(text: str, key: str, words: str) -> str:
    """YAML text with these words as the comment behind a key's value, in place of the one that stood there."""
    node = _find(text, key.split("."), key)
    if node is None:
        raise Mistake(f"{key} has no value of one line that a comment could stand behind")
    start, end = text.rfind("\n", 0, node.end_mark.index) + 1, text.find("\n", node.end_mark.index)
    line = text[start : end if end >= 0 else len(text)]
    kept, column = re.sub(r"\s+#.*$", "", line), re.search(r"(?<=\s)#", line)
    blanks = max(1, (column.start() if column else COMMENT_COLUMN) - len(kept))
    return f"{text[:start]}{kept}{' ' * blanks}# {words}{text[start + len(line) :]}"


def _put(text: str, setting: str) -> str:
    key, sign, typed = setting.partition("=")
    if not sign or not key:
        raise Mistake(f"--set {setting!r} is no setting; write key=value, as in --set train.loss.name=hinge")
    value = _load(typed, setting)
    path = key.split(".")
    node = _find(text, path, setting)
    new = _spelled(typed, value)
    edited = _written_anew(text, path, new) if node is None else _written_in_place(text, node, new)
    try:
        arrived = _at(_yaml("safe", pure=False).load(edited), path) == value
    except Exception:  # the new text is no YAML any more
        arrived = False
    if not arrived:
        raise Mistake(f"--set {setting}: the value cannot stand there as it is; quote it, as in --set '{key}=\"…\"'")
    return edited


def _yaml(kind: str, pure: bool = True) -> Any:
    """`pure` False: as DVC reads it, which is stricter."""
    from ruamel.yaml import YAML

    yaml = YAML(typ=kind, pure=pure)
    yaml.preserve_quotes = True
    yaml.width = 4096  # never fold a long line
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _load(typed: str, setting: str) -> Any:
    try:
        return _read(typed, "the value")
    except Mistake as mistake:
        shown = setting if len(setting) <= MOST_SHOWN else f"{setting[:MOST_SHOWN]}…"
        raise Mistake(f"--set {shown}: {mistake}; quote it if it is text") from None


def _read(text: str, name: str) -> Any:
    try:
        return yaml_files.parse(text, name)
    except yaml_files.Unreadable as unreadable:
        raise Mistake(str(unreadable)) from None


def _spelled(typed: str, value: Any) -> str:
    """Numbers as every YAML reader takes them: 1e-5 is text to some, 1.0e-05 is a number to all."""
    if not isinstance(value, float):
        return typed.strip()
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))


def _find(text: str, path: list[str], setting: str) -> Any:
    """The node of a key's value if it can be replaced where it stands; None if it is not there, or has many lines."""
    node = _yaml("rt").compose(text)
    for depth, part in enumerate(path):
        node = _child(node, part, setting, ".".join(path[:depth]))
        if node is None:
            return None
    return node if node.id == "scalar" and node.style not in ("|", ">") or getattr(node, "flow_style", False) else None


def _child(node: Any, part: str, setting: str, section: str) -> Any:
    if node.id == "mapping":
        return next((value for key, value in node.value if key.value == part), None)
    if node.id == "sequence":
        if part.isdecimal() and int(part) < len(node.value):
            return node.value[int(part)]
        raise Mistake(f"--set {setting}: {part!r} names no item of {section}, a list of {len(node.value)}; they count from 0")
    raise Mistake(f"--set {setting}: {section} is {node.value}, a value that holds no {part!r}; name a section")


def _written_in_place(text: str, node: Any, new: str) -> str:
    """The comment behind the value keeps its column if there is room."""
    start, end = node.start_mark.index, node.end_mark.index
    gap = re.match(r" +(?=#)", text[end:])
    if gap is None:
        return text[:start] + new + text[end:]
    blanks = max(1, len(gap[0]) + (end - start) - len(new))
    return text[:start] + new + " " * blanks + text[end + len(gap[0]) :]


def _written_anew(text: str, path: list[str], new: str) -> str:
    """A missing section is made too, so that the door can say what is valid there."""
    yaml = _yaml("rt")
    content, value = yaml.load(text), yaml.load(new)
    place = content
    for part in path[:-1]:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    if isinstance(place, list):
        place[int(path[-1])] = value
    else:
        place[path[-1]] = value
    out = io.StringIO()
    yaml.dump(content, out)
    return out.getvalue()


def _at(content: Any, path: list[str]) -> Any:
    for part in path:
        content = content[int(part)] if isinstance(content, list) else content[part]
    return content
