"""MNIST's idx files (Y. LeCun, C. Cortes, C. Burges), packed or not: a folder of them, or one file of images.

An images file starts with 0x00000803, count, height and width (big-endian, 32 bits each), a labels file with 0x00000801 and
count; some writers have them little-endian, and other numbers than bytes (0x08 is their type), which are read as in a .npy.
The labels of train-images-idx3-ubyte are train-labels-idx1-ubyte beside it. The part that a file is published as stands in its
name; MNIST's test part is t10k.
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from .. import choices
from . import _arrays, _inputs, _splits, _values, npy

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}  # to numpy


class Config(choices.Config):
    """Nothing to set."""


def recognises(path: Path) -> bool:
    """A file that starts as one of images does, or a folder with such a *images*idx3* file."""
    return any(_kind(_arrays.head(file, 4, unpacked=True))[1] in (3, 4) for file in files(path))


def files(path: Path) -> list[Path]:
    """The files of images, sorted by name: `path`, or those in the folder; packed only where none is unpacked."""
    if not path.is_dir():
        return [path]
    names = sorted(name for name in os.listdir(path) if "images" in name and re.search("idx[34]", name))
    return list({_unpacked(name): path / name for name in reversed(names)}.values())[::-1]


def blocks(config: Config, path: Path) -> Iterator[_inputs.Block]:
    """Every image of every file; ValueError if the labels beside a file are those of another."""
    if not (images_files := files(path)):
        raise ValueError(f"{path} holds no *images*idx3* file; MNIST's are named train-images-idx3-ubyte.gz")
    for file in images_files:
        yield from blocks_of(file)


def blocks_of(path: Path) -> Iterator[_inputs.Block]:
    """The images of one file."""
    name = _unpacked(path.name)
    if not path.is_file():  # a pipe would hang whoever opens it
        yield _arrays.refused(name, "is no regular file")
        return
    with ExitStack() as stack:
        images = stack.enter_context(_arrays.opened(path))
        dtype, sizes = _header(images)
        if len(sizes) not in (3, 4):
            yield _arrays.refused(name, "is no idx file of images: it does not start with 0x00000803 and three sizes")
            return
        labels = _labels(stack, path, sizes[0])
        part = "test" if "t10k" in name.lower() else _splits.of_name(name)
        yield from npy.images_of(npy.Array(name, images, dtype, sizes), part).blocks(labels)


def _kind(magic: bytes) -> tuple[str, int]:
    """Of the first four bytes: the type of the numbers, to numpy, and how many sizes follow; 0 where it is no idx file."""
    for order, (*zeros, kind, num_sizes) in ((">", magic), ("<", magic[::-1])) if len(magic) == 4 else ():
        if zeros == [0, 0] and kind in _TYPES:
            return order + _TYPES[kind], num_sizes
    return "", 0


def _header(file: BufferedIOBase) -> tuple[str, tuple[int, ...]]:
    """The type of the numbers and the sizes; none of what is no idx file."""
    dtype, num_sizes = _kind(bytes(_arrays.up_to(file, 4)[0]))
    sizes, trouble = _arrays.up_to(file, 4 * min(num_sizes, 4))
    return (dtype, ()) if trouble else (dtype, tuple(np.frombuffer(sizes, f"{dtype[:1]}u4").tolist()) if num_sizes else ())


def _unpacked(name: str) -> str:
    return name.removesuffix(".gz")


def _labels(stack: ExitStack, images: Path, count: int) -> _arrays.Labels | None:
    name = _unpacked(images.name).replace("images", "labels").replace("idx3", "idx1")
    path = next((path for path in (images.with_name(name), images.with_name(f"{name}.gz")) if path.is_file()), None)
    path = path or _beside(images)
    if path is None or path.samefile(images):
        return None
    file = stack.enter_context(_arrays.opened(path))
    dtype, sizes = _header(file)
    if len(sizes) != 1:
        raise ValueError(f"{path} is no idx file of labels: it does not start with 0x00000801; fetch it again or move it away")
    if sizes[0] != count:
        raise ValueError(f"{path} tells of {sizes[0]} labels and {images.name} of {count} images; fetch both again")

    def to_names(data: bytearray) -> list[str | None]:
        return [_values.class_name(label) for label in np.frombuffer(data, dtype).tolist()]

    return _arrays.Labels(_unpacked(path.name), file, np.dtype(dtype).itemsize, to_names)


def _beside(images: Path) -> Path | None:
    """The labels where the types of numbers in the names differ: images-idx3-float and labels-idx1-int."""
    start = images.name.partition("idx")[0].replace("images", "labels") + "idx1"
    found = [name for name in sorted(os.listdir(images.parent)) if name.startswith(start)] if "images" in images.name else []
    return next((images.with_name(name) for name in found if images.with_name(name).is_file()), None)
