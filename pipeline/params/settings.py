"""Puts "train.loss.name=hinge" into the text of a YAML file: that value changes, and no other character.

A key that is not there yet becomes a line of its own at the end of its section; a value of many lines becomes one of one line.
"""

import json
import re
from typing import Any

from stages import yaml_files

from ..errors import Mistake

MOST_SHOWN = 200  # characters of a setting that is wrong
COMMENT_COLUMN = 32  # where the recipes' comments stand
NO_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")  # to one YAML or another


def put_settings(text: str, settings: list[str]) -> str:
    """The text of a params file with every setting in it; Mistake if one names nothing or its value is not YAML."""
    if settings and not isinstance(_read(text, "params.yaml"), dict):
        raise Mistake("params.yaml holds no sections; copy a recipe: gan run --recipe digits")
    for setting in settings:
        text = _put_setting(text, setting)
    return text


def get(text: str, key: str) -> Any:
    """The value of a key in YAML text; None if it is not there."""
    try:
        return _at(_read(text, "params.yaml"), key.split("."))
    except (KeyError, TypeError, IndexError, ValueError):
        return None


def put_section(text: str, key: str, content: dict) -> str:
    """YAML text in which the section at a key, which is there, has just this content: lines of what stays are left as they are."""
    path, kept = key.split("."), get(text, key)
    if isinstance(kept, dict) and (node := _walk(text, path)[-1]).flow_style is False and node.value[0][0].value in content:
        lines = text.splitlines(keepends=True)
        for name, value in reversed(node.value):
            if name.value not in content:
                del lines[name.start_mark.line : _last_line(text, value) + 1]
        text = "".join(lines)
        changed = {name: value for name, value in content.items() if name not in kept or kept[name] != value}
        return put_settings(text, [f"{key}.{name}={spelled(value)}" for name, value in changed.items()])
    return text if kept == content else put_value(text, key, content)


def put_value(text: str, key: str, value: Any) -> str:
    """YAML text with a value, as it is in Python, at a key."""
    return put_settings(text, [f"{key}={spelled(value)}"])


def spelled(value: Any) -> str:
    """A value as YAML of one line, the same to every reader; words stay plain where they stay words."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{spelled(name)}: {spelled(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(spelled, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]*", value, re.ASCII) and value.lower() not in NO_WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)


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


def _put_setting(text: str, setting: str) -> str:
    key, sign, typed = setting.partition("=")
    if not sign or not key:
        raise Mistake(f"--set {setting!r} is no setting; write key=value, as in --set train.loss.name=hinge")
    value = _load(typed, setting)
    if isinstance(value, float) and value != value:
        raise Mistake(f"--set {setting}: .nan is no number that a key can have; write a finite one")
    path = key.split(".")
    node = _find(text, path, setting)
    new = _number(value) if isinstance(value, float) else typed.strip()
    edited = _written_anew(text, path, new) if node is None else _written_in_place(text, node, new)
    try:
        content = _yaml("safe", pure=False).load(edited)
        arrived = _at(content, path) == value
    except Exception:  # the new text is no YAML any more
        arrived = False
    if not arrived:
        raise Mistake(f"--set {setting}: the value cannot stand there as it is; quote it, as in --set '{key}=\"…\"'")
    if _plain(content) != _replaced(_plain(_yaml("safe", pure=False).load(text)), path, value):
        raise Mistake(
            f"--set {setting}: other keys would change too, which share what stands there by a YAML alias (&, *); write it out at each"
        )
    return edited


def _plain(value: Any) -> Any:
    """A copy in which nothing is shared."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _replaced(content: Any, path: list[str], value: Any) -> Any:
    """The content with another value at a key, whose sections are made where they are not there."""
    if not path:
        return value
    if isinstance(content, list):
        place = int(path[0])
        return [*content[:place], _replaced(content[place], path[1:], value), *content[place + 1 :]]
    section = content if isinstance(content, dict) else {}
    return section | {path[0]: _replaced(section.get(path[0]), path[1:], value)}


def _yaml(kind: str, pure: bool = True) -> Any:
    """`pure` False: as DVC reads it, which is stricter."""
    from ruamel.yaml import YAML

    return YAML(typ=kind, pure=pure)


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


def _number(value: float) -> str:
    """As every YAML reader takes it: 1e-5 is text to some, 1.0e-05 is a number to all."""
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))


def _find(text: str, path: list[str], setting: str) -> Any:
    """The node of a key's value if it can be replaced where it stands; None if it is not there, or has many lines."""
    nodes = _walk(text, path, setting)
    node = nodes[-1] if len(nodes) > len(path) else None
    one_line = node is not None and (node.id == "scalar" and node.style not in ("|", ">") or getattr(node, "flow_style", False))
    return node if one_line else None


def _walk(text: str, path: list[str], setting: str = "") -> list[Any]:
    """The nodes from the whole to a key's value, as far as they are there."""
    nodes = [_yaml("safe", pure=False).compose(text)]
    for depth, part in enumerate(path):
        node = _child(nodes[-1], part, setting, ".".join(path[:depth]))
        if node is None:
            break
        nodes.append(node)
    return nodes


def _child(node: Any, part: str, setting: str, section: str) -> Any:
    if node.id == "mapping":
        return next((value for key, value in node.value if key.value == part), None)
    if node.id == "sequence":
        if part.isdecimal() and int(part) < len(node.value):
            return node.value[int(part)]
        raise Mistake(f"--set {setting}: {part!r} names no item of {section}, a list of {len(node.value)}; they count from 0")
    raise Mistake(f"--set {setting}: {section} is {node.value}, a value that holds no {part!r}; name a section")


def _written_in_place(text: str, node: Any, new: str) -> str:
    """The comment behind the value, or behind the braces that it stands in, keeps its column if there is room."""
    start, end = node.start_mark.index, node.end_mark.index
    behind = re.match(r"([\]}]*)( +)(?=#)", text[end:])
    if behind is None:
        return text[:start] + new + text[end:]
    closing, gap = behind.groups()
    blanks = max(1, len(gap) + (end - start) - len(new))
    return text[:start] + new + closing + " " * blanks + text[end + len(behind[0]) :]


def _written_anew(text: str, path: list[str], new: str) -> str:
    """A value of many lines is replaced, a missing one added; a missing section is made too, so that the door can say what is valid."""
    *_, node = nodes = _walk(text, path)
    if len(nodes) > len(path):
        return _written_on_one_line(text, nodes[-2], node, new)
    name, *inner = path[len(nodes) - 1 :]
    for part in reversed(inner):
        new = f"{{{spelled(part)}: {new}}}"
    entry = f"{spelled(name)}: {new}"
    if node.flow_style:
        end = text.rindex("}", 0, node.end_mark.index)
        return f"{text[:end].rstrip()}{', ' if node.value else ''}{entry}{text[end:]}"
    lines = text.splitlines(keepends=True)
    last, indent = _last_line(text, node), node.value[0][0].start_mark.column
    lines[last] = lines[last].rstrip("\n") + "\n"
    lines.insert(last + 1, f"{' ' * indent}{entry}\n")
    return "".join(lines)


def _written_on_one_line(text: str, section: Any, node: Any, new: str) -> str:
    """A value of many lines, in place of which `new` comes behind its key (or the dash of its item); a comment there stays."""
    lines, last = text.splitlines(keepends=True), _last_line(text, node)
    if section.id == "sequence":
        first, start = node.start_mark.line, node.start_mark.column
        head, tail = lines[first][:start], "\n"
    else:
        key = next(name for name, value in section.value if value is node)
        first = key.start_mark.line
        parts = re.fullmatch(rf"(.{{{key.start_mark.column}}}[^:]*:)[^#]*?(\s*(?:#.*)?\n?)", lines[first])
        assert parts, "a key stands before a colon, and a comment at the end of its line"
        head, tail = parts[1] + " ", parts[2]
        tail = re.sub(r"^ +(?=#)", lambda gap: " " * max(1, len(gap[0]) - len(new) - 1), tail)
    return "".join([*lines[:first], head, new, tail, *lines[last + 1 :]])


def _last_line(text: str, node: Any) -> int:
    """The last line of a value, without the comments and blank lines that may follow it."""
    if node.id != "scalar" and not node.flow_style and node.value:
        item = node.value[-1]
        return _last_line(text, item[1] if node.id == "mapping" else item)
    return node.start_mark.line + text[node.start_mark.index : node.end_mark.index].rstrip().count("\n")


def _at(content: Any, path: list[str]) -> Any:
    for part in path:
        content = content[int(part)] if isinstance(content, list) else content[part]
    return content
