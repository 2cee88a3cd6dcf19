"""Arrays of numpy: a .npy file or a folder of such, and a .npz archive as numpy and Keras write it.

Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 to 4 channels. uint8 is taken as it is, bool as 0 and 255; what
other numbers stand for is decided where they are decoded (gan/preparation/levels.py), but for floats that lie in [-1, 1] and
not in [0, 1], as the first block shows. Labels are the array that is called labels, y, target, … in the archive or beside the
.npy, also in capitals, or else the only other one with a whole number or a text for each image; of x_train, y_train, x_test, …
all are read, as published parts. Pickles are never read. Format: numpy.lib.format.
"""

import functools
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np

from .. import choices
from . import _arrays, _inputs, _splits, _values

_MAGIC = b"\x93NUMPY"
_BESIDE = (".md", ".txt", ".json", ".yaml")  # what else may lie in a folder of arrays that has no images.npy
_IMAGES = ("images", "image", "x", "data", "arr_0")
_PARTS = {word: part for part, words in _splits.WORDS.items() for word in words}
_TOLERANCE = 1e-3  # of a float's range, for the rounding of those who scaled
_MOST_HEADER_BYTES = 10_000  # as numpy
_MOST_LABEL_BYTES = 4096
_MOST_OTHERS = 100  # arrays that are looked at, whether they have a row for each image
_CHOOSE = 'to choose, set prepare.source.name to npy and prepare.source.label to an array, or to "" for no classes'


class Config(choices.Config):
    """Which arrays, by their names; None: by what they are called, else the only one that can be it."""

    image: str | None = None
    label: str | None = None  # "": none, whatever arrays there are


def recognises(path: Path) -> bool:
    """By the first bytes, of arrays of images in a folder too; an archive if its first member is a .npy."""
    if path.is_dir():
        named = [path / "images.npy"]
        if all(name.endswith((".npy", *_BESIDE)) for name in os.listdir(path) if _inputs.is_data(name)):
            named += [file for name, file in _files(path).items() if _base(name)[0] in _IMAGES]
        return any(_arrays.head(file, len(_MAGIC)) == _MAGIC for file in named)
    head = _arrays.head(path, 30 + 256)
    return head.startswith(_MAGIC) or _starts_as_npz(head)


def blocks(config: Config, path: Path) -> Iterator[_inputs.Block]:
    """Every image of every array; ValueError where an array is none of images, or its labels do not belong to it."""
    with ExitStack() as stack:
        for array in _found(config, path, stack):
            images = array.arrays[array.images](stack)
            yield from images_of(images, array.part).blocks(_labels(array.arrays[array.labels](stack), images) if array.labels else None)


def notes(config: Config, path: Path) -> list[str]:
    """What a person should know of the labels: arrays with a row for each image that are not read."""
    with ExitStack() as stack:
        try:
            arrays = _found(config, path, stack)
        except ValueError:  # `blocks` says so
            return []
        said = []
        for one in arrays if config.label is None else ():
            if one.others:
                read = f"the classes of {one.images} are {one.labels}" if one.labels else f"no array gives {one.images} classes"
                said.append(f"{read}, not {', '.join(one.others[:5])} ({path.name}): {_CHOOSE}")
        return said


@dataclass(frozen=True)
class Array:
    name: str
    file: BufferedIOBase  # stands at the first item
    dtype: str  # "<f4"
    shape: tuple[int, ...]


def _starts_as_npz(head: bytes) -> bool:
    """A zip archive's first header: the name's length is at 26, the name at 30."""
    return head.startswith(b"PK\3\4") and head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy")


@dataclass(frozen=True)
class _Found:
    """An array of images and what belongs to it, by their names."""

    images: str
    labels: str | None
    part: str | None  # as published: train, val, test
    others: list[str]  # arrays with a row for each image, that are not read
    arrays: "_Arrays"


_Arrays = Mapping[str, Callable[[ExitStack], Array]]  # name -> what opens it


def _files(folder: Path) -> dict[str, Path]:
    """The arrays in a folder: name without ending -> file."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".npy") and _inputs.is_data(name))
    return {name.removesuffix(".npy"): folder / name for name in names}


def _found(config: Config, path: Path, stack: ExitStack) -> list[_Found]:
    """The arrays of images with their labels. ValueError: there are none, or they are not called as the config says."""
    if path.is_file() and _starts_as_npz(_arrays.head(path, 30 + 256)):
        return _pairs(config, path.name, _members(stack, path), "")
    if not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is neither a file of numpy nor a folder with images.npy")
    files = _files(path) if path.is_dir() else {path.name: path} | _files(path.parent)

    def opened(file: Path, stack: ExitStack) -> Array:
        if not file.is_file():  # a pipe would hang whoever opens it
            raise ValueError(f"{file.name} is no regular file")
        return _array(file.name, stack.enter_context(file.open("rb")))

    arrays = {name: functools.partial(opened, file) for name, file in files.items()}
    return _pairs(config, path.name, arrays, "" if path.is_dir() else path.name)


def _members(stack: ExitStack, path: Path) -> _Arrays:
    """The arrays of a .npz archive."""
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (*_arrays.TROUBLES, IndexError, KeyError) as error:
        raise ValueError(f"{path.name} is a damaged archive ({error}); write it again with numpy.savez") from error

    def member(name: str, stack: ExitStack) -> Array:
        try:
            file = cast(BufferedIOBase, archive.open(f"{name}.npy"))
        except (*_arrays.TROUBLES, KeyError) as error:
            raise ValueError(f"{path.name}/{name} cannot be read ({error}); write it again with numpy.savez") from error
        return _array(f"{path.name}/{name}", stack.enter_context(file))

    return {name: functools.partial(member, name) for name in names}


def _base(name: str) -> tuple[str, str]:
    """What an array is called, and of which part: X_train or train_x -> ("x", "train")."""
    words = [word for word in re.split(r"[_\-. ]+", name.lower()) if word]
    word = next((word for word in words if word in _PARTS), "")
    base = [one for one in words if one != word]
    return (name.lower() if base[:1] == ["arr"] else "".join(base)), _PARTS.get(word, "")


def _pairs(config: Config, where: str, arrays: _Arrays, only: str) -> list[_Found]:
    """The arrays of images, each with its labels.

    `only`: the name of the array of images, where that is what was asked for; the others lie beside it.
    """
    for key, wanted in (("image", config.image), ("label", config.label)):
        if wanted and wanted not in arrays:
            raise ValueError(f"{where} has no array {wanted!r} for {key}; it has {', '.join(arrays)[:200]}")
    if only or config.image:
        chosen = [config.image or only]
    else:
        named = {part: [name for name in arrays if _base(name)[1] == part] for part in ("", *_splits.WORDS)}
        chosen = [name for names in named.values() if (name := _values.best(names, _IMAGES, lambda one: _base(one)[0]))]
    if not chosen:
        shaped = [name for name in arrays if len(_shape(arrays[name])) > 2]
        if len(shaped) != 1:
            raise ValueError(f"{where} has no array {', '.join(_IMAGES)} or x_train; it has {', '.join(arrays)[:200]}")
        chosen = shaped
    return [_pair(config, name, chosen, arrays) for name in chosen]


def _pair(config: Config, images: str, chosen: list[str], arrays: _Arrays) -> _Found:
    stem = images.removesuffix(".npy")
    free = [name for name in arrays if name not in (*chosen, images, stem)]
    own = [name for name in free if name.lower().startswith(stem.lower()) and _values.labels_of([name[len(stem) :]])]
    same = own or [name for name in free if _base(name)[1] == _base(stem)[1]]
    labels = _values.best(same, _values.LABELS, lambda one: _base(one[len(stem) :] if one in own else one)[0])
    rows = _shape(arrays[images])[:1]
    if config.label is not None:
        of_this_part = [name for name in (config.label, *same) if _base(name) == (_base(config.label)[0], _base(stem)[1])]
        labels = config.label and (config.label if len(chosen) == 1 else next(iter(of_this_part), None))
        return _Found(images, labels or None, _base(stem)[1] or None, [], arrays)
    alike = [name for name in same[:_MOST_OTHERS] if name != labels and _shape(arrays[name])[:1] == rows != ()]
    if labels is None:
        only = [name for name in alike if _may_be_labels(name, arrays[name])]
        labels = only[0] if len(only) == 1 else None
    return _Found(images, labels, _base(stem)[1] or None, [name for name in alike if name != labels], arrays)


def _header(array: Callable[[ExitStack], Array]) -> Array | None:
    """None of what is no array; `blocks` says so where it is to be read."""
    with ExitStack() as stack:
        try:
            return array(stack)
        except (ValueError, OSError):
            return None


def _shape(array: Callable[[ExitStack], Array]) -> tuple[int, ...]:
    header = _header(array)
    return header.shape if header else ()


def _may_be_labels(name: str, array: Callable[[ExitStack], Array]) -> bool:
    """One whole number or text for each image, by whatever name."""
    header = _header(array)
    if header is None or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|[SU]\d+)", header.dtype):
        return False
    return math.prod(header.shape[1:]) == 1 and _values.may_be_labels(name)


def _array(name: str, file: BufferedIOBase) -> Array:
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
    return Array(name, file, dtype[1], sizes)


def images_of(array: Array, part: str | None = None) -> _arrays.Images:
    """ValueError says why an array is none of images."""
    kind = array.dtype.lstrip("<>|=")
    if not re.fullmatch("b1|[iu][1248]|f[248]", kind):
        raise ValueError(f"{array.name} is an array of {array.dtype!r}; images are whole numbers, bool or floats; save uint8")
    if len(array.shape) not in (3, 4) or (len(array.shape) == 4 and not _channels(array.shape)):
        raise ValueError(
            f"{array.name} has the shape {array.shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 to 4 channels"
        )
    count, *shape = array.shape
    num_bytes = math.prod(shape) * int(kind[1:])
    return _arrays.Images(array.name, array.file, count, num_bytes, functools.partial(_to_pixels, array), part, _Own())


def _channels(shape: tuple[int, ...]) -> str:
    """Where the channels of (N, ?, ?, ?) are."""
    return "last" if 1 <= shape[3] <= 4 else "first" if 1 <= shape[1] <= 4 else ""


def _to_pixels(array: Array, data: bytearray) -> np.ndarray:
    """Whole images as stored -> (n, H, W) or (n, H, W, C), of whole numbers or floats."""
    stored = np.frombuffer(data, array.dtype).reshape(-1, *array.shape[1:])
    if stored.ndim == 4 and _channels(array.shape) == "first":
        stored = stored.transpose(0, 2, 3, 1)
    if stored.dtype.kind == "b":
        stored = (stored.view(np.uint8) != 0) * np.uint8(255)
    return np.ascontiguousarray(stored)


@dataclass
class _Own:
    """What the levels of an array stand for: of floats that the first block shows to lie in [-1, 1], that."""

    found: tuple[float, float] | None = None
    asked: bool = False

    def __call__(self, images: np.ndarray) -> tuple[float, float] | None:
        if not self.asked and images.dtype.kind == "f":
            numbers = images[np.isfinite(images)]
            low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
            self.found = (-1, 1) if -1 - _TOLERANCE <= low < -_TOLERANCE and high <= 1 + _TOLERANCE else None
        self.asked = True
        return self.found


def _labels(array: Array, images: Array) -> _arrays.Labels:
    numbers, text = (re.fullmatch(rf"[<>|=]?{kind}", array.dtype) for kind in (r"(b1|[iu][1248]|f[248])", r"[SU]\d+"))
    if not (numbers or text):
        raise ValueError(f"{array.name} is an array of {array.dtype!r}; labels are numbers or strings; {_CHOOSE}")
    width = math.prod(array.shape[1:])
    if array.shape[:1] != images.shape[:1] or (width != 1 and (text or len(array.shape) != 2 or not width)):
        raise ValueError(
            f"{array.name} has the shape {array.shape}, but {images.name} has {images.shape[0]} images; save one label for each; {_CHOOSE}"
        )
    dtype = np.dtype(array.dtype)
    if not 0 < width * dtype.itemsize <= _MOST_LABEL_BYTES:
        raise ValueError(f"{array.name} has labels of {width * dtype.itemsize} bytes; 1 to {_MOST_LABEL_BYTES} are read; {_CHOOSE}")

    def to_names(data: bytearray) -> list[str | None]:
        try:
            return _class_names(data, dtype, width)
        except ValueError as error:
            problem = str(error)
        raise ValueError(f"{array.name} gives no classes: {problem}; {_CHOOSE}")

    return _arrays.Labels(array.name, array.file, width * dtype.itemsize, to_names)


def _class_names(data: bytearray, dtype: np.dtype, width: int) -> list[str | None]:
    """ValueError says what the labels are instead."""
    if dtype.kind in "SU":  # numpy pads with zeros, and stops at what is no text
        encoding = "utf-32-be" if dtype.str[0] == ">" else "utf-32-le"
        items = (bytes(data[start : start + dtype.itemsize]) for start in range(0, len(data), dtype.itemsize))
        if dtype.kind == "S":
            return [_values.class_name(item.rstrip(b"\0")) for item in items]
        return [_values.class_name(item.decode(encoding, "replace").rstrip("\0")) for item in items]
    rows = np.frombuffer(data, np.uint8 if dtype.kind == "b" else dtype).reshape(-1, width)
    if width == 1:
        return [_values.class_name(bool(label) if dtype.kind == "b" else label) for label in rows[:, 0].tolist()]
    if not ((rows == 0) | (rows == 1)).all() or (rows.sum(axis=1) != 1).any():
        raise ValueError(f"its rows are of {width} numbers, such as {rows[0, :4].tolist()!r:.60}, and not zeros with a single one")
    return [str(place) for place in rows.argmax(axis=1).tolist()]
