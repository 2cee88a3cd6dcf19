"""CIFAR-10 and CIFAR-100 as published for Python (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images").

`path` is the folder cifar-10-batches-py or cifar-100-python, a folder that holds it, a tar archive of it (packed or not), or a
folder of tar archives with a part each. The batches are pickles, read by `_arrays_only`: what else they ask for is refused.
"""

import os
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Literal, cast

import numpy as np

from .. import choices
from . import _arrays, _arrays_only, _inputs

_FOLDERS = ("cifar-10-batches-py", "cifar-100-python")
_BATCHES = {*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "train", "test"}
_TESTS = {"test_batch", "test"}  # of the batches, the published test part; the others are for training
_METAS = {"batches.meta", "meta"}
_PICKLE = b"\x80\x02}"  # protocol 2, an empty dict
_MOST_BATCH_BYTES = 512 << 20  # CIFAR-100's train has 155 MB; a batch is in memory at once
_MOST_PARTS = 16  # files in a folder of archives
_SIDE = 32


class Config(choices.Config):
    """Which of CIFAR-100's two labels of an image is its class."""

    labels: Literal["fine", "coarse"] = "fine"


def recognises(path: Path) -> bool:
    """By the batches' first bytes; an archive by the names of its first members."""
    try:
        return bool(_folder(path) or _archives(path))
    except ValueError:
        return True  # two of them: `blocks` says so


def blocks(config: Config, path: Path) -> Iterator[_inputs.Block]:
    """Every image of every batch, in the order of the folder's names or of the archive; a damaged batch is one input."""
    if not (_folder(path) or _archives(path)):
        raise ValueError(f"{path} holds neither {_FOLDERS[0]} nor {_FOLDERS[1]}, nor an archive of one")
    class_names, trouble = _class_names(config, path)
    if trouble:
        yield trouble
    seen: list[str] = []
    for name, num_bytes, file in _files(path):
        if isinstance(file, str):
            yield _arrays.refused(name, file, num_bytes)
        elif name in seen:
            yield _arrays.refused(f"{name} ({seen.count(name) + 1})", "has the name of a batch before it", num_bytes)
        elif name in _BATCHES:
            yield from _batch(config, name, num_bytes, file, class_names)
        seen.append(name)


def _batch(config: Config, name: str, num_bytes: int, file: IO[bytes], class_names: list[str]) -> Iterator[_inputs.Block]:
    try:
        batch = _pickled(file, num_bytes)
        array, labels = batch.get(b"data"), batch.get(b"labels", batch.get(f"{config.labels}_labels".encode()))
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.shape[1:] != (3 * _SIDE * _SIDE,):
            raise ValueError(f"has no data of {3 * _SIDE * _SIDE} bytes an image")
        if not isinstance(labels, list) or len(labels) != len(array) or any(type(label) is not int for label in labels):
            raise ValueError(f"has no {len(array)} labels for its {len(array)} images")
    except _arrays.TROUBLES as error:
        yield _arrays.refused(name, str(error), num_bytes)
        return
    for start in range(0, len(array), _inputs.MOST_PICTURES):
        planes = array[start : start + _inputs.MOST_PICTURES].reshape(-1, 3, _SIDE, _SIDE)
        names = [f"{name}#{number}" for number in range(start, start + len(planes))]
        classes = [class_names[label] if 0 <= label < len(class_names) else str(label) for label in labels[start : start + len(planes)]]
        parts = ["test" if name in _TESTS else "train"] * len(names)
        yield _inputs.Pixels(names, classes, np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), parts)


def _class_names(config: Config, path: Path) -> tuple[list[str], _inputs.Pictures | None]:
    """The names by label, none where there is no meta file; and what is wrong with it."""
    for name, num_bytes, file in _files(path):
        if name in _METAS and not isinstance(file, str):
            try:
                meta = _pickled(file, num_bytes)
                names = meta.get(b"label_names", meta.get(f"{config.labels}_label_names".encode()))
                if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
                    raise ValueError("has no names of classes")
                return [name.decode() for name in names], None
            except _arrays.TROUBLES as error:
                return [], _arrays.refused(name, str(error), num_bytes)
    return [], None


def _pickled(file: IO[bytes], num_bytes: int) -> dict[Any, Any]:
    if num_bytes > _MOST_BATCH_BYTES:
        raise ValueError(f"has {num_bytes:,} bytes; a batch of CIFAR has at most {_MOST_BATCH_BYTES:,}")
    content = _arrays_only.read(file, num_bytes)
    if not isinstance(content, dict):
        raise ValueError(f"holds a {type(content).__name__} instead of a dict")
    return content


def _files(path: Path) -> Iterator[tuple[str, int, IO[bytes] | str]]:
    """(name, bytes, content or what is wrong) of each batch and meta file; the content is valid until the next is asked for."""
    if folder := _folder(path):
        for file in sorted(folder.iterdir()):
            if file.name in _BATCHES | _METAS and file.is_file():
                with file.open("rb") as content:
                    yield file.name, file.stat().st_size, content
    for archive in _archives(path):
        try:
            yield from _members(archive)
        except _arrays.TROUBLES as error:
            yield archive.name, archive.stat().st_size, f"is a damaged archive ({error}): what comes after is missing"


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """One pass, since going back in a packed archive means unpacking it again from its start; ValueError if it breaks off."""
    with _arrays.opened(archive) as file:
        stream = _arrays.Sound(file)
        with _stream(stream) as members:
            for member in members:
                place = PurePosixPath(member.name)
                is_part = place.parent.name in _FOLDERS and place.name in _BATCHES | _METAS
                if is_part and member.isfile() and (content := members.extractfile(member)) is not None:
                    yield place.name, member.size, content
                members.members.clear()  # type: ignore[attr-defined]  # tarfile remembers each, of which its types say nothing
            while stream.read(1 << 20):  # to the end, where a packed file's checksum is compared
                pass
        if stream.tail != bytes(512):
            raise ValueError("it ends without the zeros that end an archive")


def _stream(file: _arrays.Sound) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast(BinaryIO, file), mode="r|")  # of a stream it calls nothing but `read`


def _folder(path: Path) -> Path | None:
    """The folder of batches, itself or one level below; ValueError if there are both."""
    folders = [folder for folder in (path, *(path / name for name in _FOLDERS)) if _is_folder_of_batches(folder)]
    if len(folders) > 1:
        names = " and ".join(folder.name for folder in folders)
        raise ValueError(f"{path} holds more than one CIFAR: {names}; give the folder of one")
    return folders[0] if folders else None


def _is_folder_of_batches(folder: Path) -> bool:
    return folder.is_dir() and any(_arrays.head(folder / name, 3) == _PICKLE for name in sorted(_BATCHES))


def _archives(path: Path) -> list[Path]:
    """The archives with a part of CIFAR, sorted by name."""
    if not path.is_dir():
        return [path] if _is_archive(path) else []
    with os.scandir(path) as found:
        names = [entry.name for entry in islice(found, _MOST_PARTS + 1)]
    return [path / name for name in sorted(names) if len(names) <= _MOST_PARTS and _is_archive(path / name)]


def _is_archive(path: Path) -> bool:
    """By the first members, since reaching later ones means unpacking all before them."""
    if _arrays.head(path, 262, unpacked=True)[257:] != b"ustar":
        return False
    try:
        with _arrays.opened(path) as file, _stream(_arrays.Sound(file)) as members:
            return any(set(PurePosixPath(member.name).parts) & set(_FOLDERS) for member in islice(members, 3))
    except _arrays.TROUBLES:
        return False
