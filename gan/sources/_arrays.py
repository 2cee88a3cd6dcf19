"""Images that lie one behind the other in a file: read block by block, and as far as the file is whole."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from . import _inputs

MOST_EMPTY_READS = 8  # tarfile skips a petabyte that a header claims by as many reads behind the end as it would take
TROUBLES = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, RuntimeError, ValueError)
_MOST_IMAGE_BYTES = 256 << 20  # an image of 16,384×16,384 grey; more is a damaged header
_ENDS_EARLY = "the file ends early"
_STEP_BYTES = 1 << 20
_OPENERS: dict[bytes, Callable[[Path], BufferedIOBase]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}


def opened(path: Path) -> BufferedIOBase:
    """The bytes of a file, unpacked if it is packed with gzip, bzip2 or xz (by content)."""
    with path.open("rb") as file:
        head = file.read(6)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    return opener(path) if opener else path.open("rb")


def head(path: Path, size: int, unpacked: bool = False) -> bytes:
    """The first bytes of a regular file; none if it cannot be read."""
    try:
        if not path.is_file():  # a pipe would hang whoever opens it
            return b""
        with opened(path) if unpacked else path.open("rb") as file:
            return bytes(up_to(file, size)[0])
    except TROUBLES:
        return b""


def up_to(file: BufferedIOBase, size: int) -> tuple[bytearray, str]:
    """`size` bytes, or fewer and why; what comes before damage in a packed file is kept."""
    data = bytearray()
    try:
        while len(data) < size:
            if not (piece := file.read1(min(_STEP_BYTES, size - len(data)))):
                return data, _ENDS_EARLY
            data += piece
    except TROUBLES as error:
        return data, f"the file is damaged ({error})"
    return data, ""


@dataclass
class Sound:
    """A file that hands over all that comes before damage, and only then raises."""

    file: BufferedIOBase
    trouble: str = ""
    num_empty: int = 0  # reads in vain
    tail: bytes = b""  # the last 512 bytes handed over

    def read(self, size: int) -> bytes:
        """At most `size` bytes; ValueError at the damage, and if asked again and again behind the end."""
        data = bytearray()
        if not self.trouble:
            data, self.trouble = up_to(self.file, size)
        if not data and self.trouble not in ("", _ENDS_EARLY):
            raise ValueError(self.trouble)
        self.num_empty = 0 if data else self.num_empty + 1
        if self.num_empty > MOST_EMPTY_READS:
            raise ValueError(_ENDS_EARLY)
        self.tail = (self.tail + data[-512:])[-512:]
        return bytes(data)


def refused(name: str, reason: str, num_bytes: int = -1) -> _inputs.Pictures:
    """A block of one input that is not read."""
    return _inputs.Pictures([name], [None], [_inputs.Refusal(reason, num_bytes)])


@dataclass
class Labels:
    """Class names that lie beside the images, read in step with them."""

    name: str  # of the labels' file, for the manifest
    file: BufferedIOBase
    num_bytes: int  # of one label
    to_names: Callable[[bytearray], list[str | None]]
    num_missing: int = 0
    trouble: str = ""

    def next(self, count: int) -> list[str | None]:
        """The next `count` names; None where the file is no longer whole."""
        data = bytearray()
        if not self.trouble:
            data, self.trouble = up_to(self.file, count * self.num_bytes)
        whole = len(data) // self.num_bytes
        self.num_missing += count - whole
        return self.to_names(data[: whole * self.num_bytes]) + [None] * (count - whole)


@dataclass
class Images:
    """`count` images of `num_bytes` each in `file`, which stands at the first of them."""

    name: str
    file: BufferedIOBase
    count: int
    num_bytes: int
    to_pixels: Callable[[bytearray], np.ndarray]  # whole images -> (n, H, W) or (n, H, W, C), uint8 or other numbers
    part: str | None = None  # train, val or test, where they are published as one
    own: Callable[[np.ndarray], tuple[float, float] | None] = lambda array: None  # of other numbers, as in _inputs.Pixels

    def blocks(self, labels: Labels | None) -> Iterator[_inputs.Block]:
        """All images that are whole, then what is wrong with the rest, in one input each for images and labels."""
        if not 0 < self.num_bytes <= _MOST_IMAGE_BYTES:
            yield refused(self.name, f"says that an image has {self.num_bytes:,} bytes; 1 to {_MOST_IMAGE_BYTES:,} are read")
            return
        step = max(1, min(_inputs.MOST_PICTURES, _inputs.MOST_BYTES // self.num_bytes))
        trouble, start = "", 0
        while start < self.count and not trouble:
            data, trouble = up_to(self.file, min(step, self.count - start) * self.num_bytes)
            if whole := len(data) // self.num_bytes:
                names = [f"{self.name}#{number}" for number in range(start, start + whole)]
                classes = labels.next(whole) if labels else [None] * whole
                parts = [self.part] * whole if self.part else None
                array = self.to_pixels(data[: whole * self.num_bytes])
                yield _inputs.Pixels(names, classes, array, parts, self.own(array))
            start += whole
        if trouble:
            yield refused(self.name, f"{self.count - start} of its {self.count} images are missing: {trouble}")
        elif trouble := _after_the_last(self.file):
            yield refused(self.name, trouble)
        if labels and labels.num_missing:
            yield refused(labels.name, f"{labels.num_missing} of its labels are missing: {labels.trouble}")
        elif labels and start == self.count and (trouble := _after_the_last(labels.file)):
            yield refused(labels.name, trouble)


def _after_the_last(file: BufferedIOBase) -> str:
    """What is wrong behind the items: the checksum of a packed file is compared only there."""
    more, trouble = up_to(file, 1)
    if more:
        return "goes on after as many items as it tells of"
    return "" if trouble == _ENDS_EARLY else f"some of its items may be wrong: {trouble}"
