"""MNIST's idx files (Y. LeCun, C. Cortes, C. Burges), packed or not: a folder of them, or one file of images.

An images file starts with 0x00000803, count, height and width (big-endian, 32 bits each), a labels file with 0x00000801 and
count; the labels of train-images-idx3-ubyte are train-labels-idx1-ubyte beside it. The part that a file is published as
stands in its name; MNIST's test part is t10k.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from .. import choices
from . import _arrays, _inputs, _splits

_IMAGES, _LABELS = 0x00000803, 0x00000801


class Config(choices.Config):
    """Nothing to set."""


def recognises(path: Path) -> bool:
    """A file that starts as one of images does, or a folder with such a *images*idx3* file."""
    return any(_arrays.head(file, 4, unpacked=True) == struct.pack(">I", _IMAGES) for file in files(path))


def files(path: Path) -> list[Path]:
    """The files of images, sorted by name: `path`, or those in the folder; packed only where none is unpacked."""
    if not path.is_dir():
        return [path]
    names = sorted(name for name in os.listdir(path) if "images" in name and "idx3" in name)
    return list({_unpacked(name): path / name for name in reversed(names)}.values())[::-1]


def blocks(config: Config, path: Path) -> Iterator[_inputs.Block]:
    """Every image of every file; ValueError if the labels beside a file are those of another."""
    if not (found := files(path)):
        raise ValueError(f"{path} holds no *images*idx3* file; MNIST's are named train-images-idx3-ubyte.gz")
    for file in found:
        yield from blocks_of(file)


def blocks_of(path: Path) -> Iterator[_inputs.Block]:
    """The images of one file."""
    name = _unpacked(path.name)
    if not path.is_file():  # a pipe would hang whoever opens it
        yield _arrays.refused(name, "is no regular file")
        return
    with ExitStack() as stack:
        images = stack.enter_context(_arrays.opened(path))
        header, _ = _arrays.up_to(images, 16)
        if len(header) < 16 or int.from_bytes(header[:4]) != _IMAGES:
            yield _arrays.refused(name, "is no idx file of images: it does not start with 0x00000803 and three sizes")
            return
        _, count, height, width = struct.unpack(">4I", header)
        labels = _labels(stack, path, count)
        part = "test" if "t10k" in name.lower() else _splits.of_name(name)
        yield from _arrays.Images(
            name, images, count, height * width, lambda data: np.frombuffer(data, np.uint8).reshape(-1, height, width), part
        ).blocks(labels)


def _unpacked(name: str) -> str:
    return name.removesuffix(".gz")


def _labels(stack: ExitStack, images: Path, count: int) -> _arrays.Labels | None:
    name = _unpacked(images.name).replace("images", "labels").replace("idx3", "idx1")
    path = next((path for path in (images.with_name(name), images.with_name(f"{name}.gz")) if path.is_file()), None)
    if path is None or path.samefile(images):
        return None
    file = stack.enter_context(_arrays.opened(path))
    header, _ = _arrays.up_to(file, 8)
    if len(header) < 8 or int.from_bytes(header[:4]) != _LABELS:
        raise ValueError(f"{path} is no idx file of labels: it does not start with 0x00000801; fetch it again or move it away")
    if (told := int.from_bytes(header[4:])) != count:
        raise ValueError(f"{path} tells of {told} labels and {images.name} of {count} images; fetch both again")
    return _arrays.Labels(name, file, 1, lambda data: [str(label) for label in data])
