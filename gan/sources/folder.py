"""A folder of pictures of any format; a labels file, or else the first level of sub-folders, names the classes.

Folders that are published parts (train, val, test) are no classes: `_splits` tells them by their names.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .. import choices
from . import _inputs, _labels, _splits


class Config(choices.Config):
    """How to read the labels file, if there is one, and the folders."""

    label: str | None = None  # the column that names the classes, where there are several; "": no classes
    splits: bool | None = None  # whether folders called train, val, test are published parts; None: by the names beside them


def recognises(path: Path) -> bool:
    """Any folder: asked last, after the formats that are folders of something else."""
    return path.is_dir()


def blocks(config: Config, path: Path) -> Iterator[_inputs.Pictures]:
    """Every file below `path`, folder by folder, sorted by name in each. ValueError: the labels file is malformed,
    or it cannot be told whether folders are parts or classes.
    """
    if not path.is_dir():
        raise ValueError(f"{path} is no folder; name one, or another source")
    layout = _splits.find(lambda place: _folders(path / place, place), str(path), config.splits)
    classes = _labels.find(lambda file: _read(path / file), str(path), config.label, layout)
    gatherer = _inputs.Gatherer()
    for name, content in _files(path, ""):
        if name not in classes.files:
            class_name, part = classes.of(name)
            yield from gatherer.add(name, class_name, content, part)
    for listed in classes.missing():
        yield from gatherer.add(*listed)
    yield from gatherer.rest()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _folders(folder: Path, prefix: str) -> list[str]:
    """The names of the sub-folders that hold files."""
    try:
        with os.scandir(folder) as found:
            entries = sorted((one for one in found if one.is_dir(follow_symlinks=False)), key=lambda one: one.name)
    except OSError:  # its name is no UTF-8
        return []
    names = [(_inputs.well_formed(entry.name), entry.path) for entry in entries]
    return [name for name, path in names if any(True for _ in _files(path, f"{prefix}{name}/"))]


def _files(folder: Path | str, prefix: str) -> Iterator[tuple[str, str | _inputs.Refusal]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = prefix + _inputs.well_formed(entry.name)
        if entry.is_dir(follow_symlinks=False):
            if _inputs.is_data(f"{name}/"):
                yield from _files(entry.path, f"{name}/")
        elif _inputs.is_data(name):
            yield name, _content(entry)


def _content(entry: os.DirEntry[str]) -> str | _inputs.Refusal:
    """A regular file, also by a link to it; a device or a pipe would hang whoever opens it."""
    try:
        if entry.is_file():  # known from the folder itself, where the entry is no link
            return entry.path
        mode = entry.stat().st_mode
    except OSError as error:
        return _inputs.Refusal(f"cannot be read: {error.strerror}")
    return _inputs.Refusal("is a link to a folder, which is not followed" if stat.S_ISDIR(mode) else "is no regular file")
