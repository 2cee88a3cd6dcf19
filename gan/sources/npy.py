"""Arrays of numpy: a .npy file or a folder with images.npy, and a .npz archive as numpy and Keras write it.

Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 to 4 channels. uint8 is taken as it is, bool as 0 and 255, of uint16
the high byte; floats must lie in [0, 1] or in [-1, 1], whichever the first block fits (a negative value decides), and become
the nearest of 0 to 255. Labels lie beside a .npy as <stem>-labels.npy or labels.npy, in a .npz as labels, label or y; of
x_train, y_train, x_test, … all are read. Pickles are never read. Format: numpy.lib.format.
"""

import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import choices
from . import _arrays, _inputs

_MAGIC = b"\x93NUMPY"
_IMAGES, _LABELS = ("images", "image", "x", "data", "arr_0"), ("labels", "label", "y")
_PARTS = ("train", "val", "test")
_TOLERANCE = 1e-3  # of a float's range, for the rounding of those who scaled
_MOST_HEADER_BYTES = 10_000  # as numpy
_MOST_LABEL_BYTES = 4096


class Config(choices.Config):
    """Nothing to set."""


def recognises(path: Path) -> bool:
    """By the first bytes, of a folder's images.npy too; an archive if its first member is a .npy."""
    head = _arrays.head(_array_file(path), 30 + 256)
    return head.startswith(_MAGIC) or _starts_as_npz(head)


def blocks(config: Config, path: Path) -> Iterator[_inputs.Block]:
    """Every image of every array; ValueError where an array is none of images, or its labels do not belong to it."""
    with ExitStack() as stack:
        if not (file := _array_file(path)).is_file():
            raise ValueError(f"{path} is neither a file of numpy nor a folder with images.npy")
        pairs = _members(stack, file) if _starts_as_npz(_arrays.head(file, 30 + 256)) else [_beside(stack, file)]
        for images, labels in pairs:
            yield from _images(images).blocks(labels and _labels(labels, images))


@dataclass(frozen=True)
class _Array:
    name: str
    file: BinaryIO  # stands at the first item
    dtype: str  # "<f4"
    shape: tuple[int, ...]


def _array_file(path: Path) -> Path:
    return path / "images.npy" if path.is_dir() else path


def _starts_as_npz(head: bytes) -> bool:
    """A zip archive's first header: the name's length is at 26, the name at 30."""
    return head.startswith(b"PK\3\4") and head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy")


def _beside(stack: ExitStack, path: Path) -> tuple[_Array, _Array | None]:
    """The array of a .npy file, and that of the labels beside it."""
    images = _array(path.name, stack.enter_context(path.open("rb")))
    for labels in (path.with_name(f"{path.stem}-labels.npy"), path.with_name("labels.npy")):
        if labels.is_file() and labels != path:
            return images, _array(labels.name, stack.enter_context(labels.open("rb")))
    return images, None


def _members(stack: ExitStack, path: Path) -> Iterator[tuple[_Array, _Array | None]]:
    """The arrays of images in a .npz archive, each with its labels."""
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (*_arrays.TROUBLES, IndexError, KeyError) as error:
        raise ValueError(f"{path.name} is a damaged archive ({error}); write it again with numpy.savez") from error

    def member(name: str) -> _Array:
        try:
            file = archive.open(f"{name}.npy")
        except (*_arrays.TROUBLES, KeyError) as error:
            raise ValueError(f"{path.name}/{name} cannot be read ({error}); write it again with numpy.savez") from error
        return _array(f"{path.name}/{name}", stack.enter_context(file))

    found = [pair for part in ("", *_PARTS) if (pair := _pair(names, part))]
    if not found:
        raise ValueError(f"{path.name} has no array {', '.join(_IMAGES)} or x_train; it has {', '.join(names)[:200]}")
    for images, labels in found:
        yield member(images), member(labels) if labels else None


def _pair(names: list[str], part: str) -> tuple[str, str | None] | None:
    """The arrays of images and labels of a part: x_train or train_x."""

    def first(candidates: tuple[str, ...]) -> str | None:
        spelt = (name for base in candidates for name in ((f"{base}_{part}", f"{part}_{base}") if part else (base,)))
        return next((name for name in spelt if name in names), None)

    images = first(_IMAGES)
    return images and (images, first(_LABELS))


def _array(name: str, file: BinaryIO) -> _Array:
    """An array's header, without the eval that numpy does."""
    start, trouble = _arrays.up_to(file, 8)
    if trouble:
        raise ValueError(f"{name} is no array of numpy: {trouble}; write it again with numpy.save")
    if not start.startswith(_MAGIC) or start[6] not in (1, 2, 3):
        raise ValueError(f"{name} is no array of numpy: it does not start with {_MAGIC!r}; write it with numpy.save")
    size = int.from_bytes(_arrays.up_to(file, 2 if start[6] == 1 else 4)[0], "little")
    header = _arrays.up_to(file, min(size, _MOST_HEADER_BYTES + 1))[0].decode("latin-1")
    dtype = re.search(r"'descr': *'([<>|=]?[A-Za-z]\d{0,6})'", header)
    order = re.search(r"'fortran_order': *(True|False)", header)
    shape = re.search(r"'shape': *\(((?:\d{1,18}L?,? *)*)\)", header)
    if not (dtype and order and shape) or size > _MOST_HEADER_BYTES:
        raise ValueError(f"{name} is no plain array: its header is {header[:100]!r}; write a uint8 array with numpy.save")
    if "O" in dtype[1]:
        raise ValueError(f"{name} is an array of Python objects, a pickle, which is never read; save .astype(numpy.uint8)")
    sizes = tuple(int(number) for number in re.findall(r"\d+", shape[1]))
    if order[1] == "True" and len(sizes) > 1:
        raise ValueError(f"{name} lies in Fortran's order, image within image; save numpy.ascontiguousarray of it")
    return _Array(name, file, dtype[1], sizes)


def _images(array: _Array) -> _arrays.Images:
    kind = array.dtype.lstrip("<>|=")
    if kind not in ("u1", "b1", "u2", "f2", "f4", "f8"):
        raise ValueError(f"{array.name} is an array of {array.dtype!r}; images are uint8, uint16, bool or floats; save uint8")
    if len(array.shape) not in (3, 4) or (len(array.shape) == 4 and not _channels(array.shape)):
        raise ValueError(
            f"{array.name} has the shape {array.shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 to 4 channels"
        )
    count, *shape = array.shape
    return _arrays.Images(array.name, array.file, count, math.prod(shape) * int(kind[1:]), _ToPixels(array))


def _channels(shape: tuple[int, ...]) -> str:
    """Where the channels of (N, ?, ?, ?) are."""
    return "last" if 1 <= shape[3] <= 4 else "first" if 1 <= shape[1] <= 4 else ""


@dataclass
class _ToPixels:
    """Whole images as stored -> (n, H, W) or (n, H, W, C) uint8."""

    array: _Array
    lowest: float | None = None  # of floats: 0 or -1, once the first block is seen

    def __call__(self, data: bytearray) -> np.ndarray:
        stored = np.frombuffer(data, self.array.dtype).reshape(-1, *self.array.shape[1:])
        if stored.ndim == 4 and _channels(self.array.shape) == "first":
            stored = stored.transpose(0, 2, 3, 1)
        if stored.dtype.kind == "f":
            return self.from_floats(stored)
        if stored.dtype.kind == "b":
            stored = (stored.view(np.uint8) != 0) * np.uint8(255)
        return np.ascontiguousarray(stored >> 8 if stored.dtype.itemsize == 2 else stored, np.uint8)

    def from_floats(self, stored: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # of NaN, which fits no range
            low, high = float(stored.min()), float(stored.max())
        if self.lowest is None:
            self.lowest = -1.0 if low < -_TOLERANCE else 0.0
        if not (self.lowest - _TOLERANCE <= low and high <= 1 + _TOLERANCE):
            raise ValueError(
                f"{self.array.name} has values from {low:.6g} to {high:.6g}; floats must lie in [0, 1] or in [-1, 1], "
                f"here [{self.lowest:g}, 1] by its first images: scale them, or save them as uint8"
            )
        above = stored.astype(np.float32).clip(self.lowest, 1) - np.float32(self.lowest)
        return np.ascontiguousarray(np.rint(above * np.float32(255 / (1 - self.lowest))), np.uint8)


def _labels(array: _Array, images: _Array) -> _arrays.Labels:
    if not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|[SU]\d+)", array.dtype):
        raise ValueError(f"{array.name} is an array of {array.dtype!r}; labels are whole numbers or strings")
    num_bytes = np.dtype(array.dtype).itemsize
    if math.prod(array.shape) != images.shape[0] or array.shape[:1] != images.shape[:1]:
        raise ValueError(
            f"{array.name} has the shape {array.shape}, but {images.name} has {images.shape[0]} images; save one label for each"
        )
    if not 0 < num_bytes <= _MOST_LABEL_BYTES:
        raise ValueError(f"{array.name} has labels of {num_bytes} bytes; 1 to {_MOST_LABEL_BYTES} are read")
    return _arrays.Labels(array.name, array.file, num_bytes, lambda data: _class_names(data, np.dtype(array.dtype)))


def _class_names(data: bytearray, dtype: np.dtype) -> list[str]:
    if dtype.kind in "SU":  # numpy pads with zeros, and stops at what is no text
        encoding = "utf-8" if dtype.kind == "S" else "utf-32-be" if dtype.str[0] == ">" else "utf-32-le"
        items = (data[start : start + dtype.itemsize] for start in range(0, len(data), dtype.itemsize))
        return [item.decode(encoding, "replace").rstrip("\0") for item in items]
    return [str(label) for label in np.frombuffer(data, np.uint8 if dtype.kind == "b" else dtype).tolist()]
