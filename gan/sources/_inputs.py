"""What a source hands over: blocks of inputs, in the same order each time. A block is what one worker decodes at a time.

A source is a module of this room with a Config (settings of its own in params.yaml, usually none), what `Source` says, and

    def notes(config: Config, path: Path) -> list[str]            # optional: labels that are there and are not read; cheap
    MAKES_CLASSES = True                                          # optional: it draws its classes: few images of each are no captions

Nothing is lost: what a source will not read (a link, a name that leads outside, too many bytes) it hands over as an input
with the reason. Memory stays flat in the number of inputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

MOST_PICTURES = 128  # in a block
MOST_BYTES = 4 << 20  # of encoded pictures, or of pixels, in a block (a larger input has a block of its own)

_NOT_DATA = {".gitignore", ".gitkeep", ".DS_Store", ".localized", "Thumbs.db", "ehthumbs.db", "desktop.ini"}


def is_data(name: str) -> bool:
    """False for what systems and tools add by themselves: .DS_Store, ._1.png, __MACOSX/, what lies in hidden folders."""
    *folders, file = name.split("/")
    hidden = any(folder.startswith(".") or folder == "__MACOSX" for folder in folders)
    return not (hidden or file in _NOT_DATA or file.startswith("._"))


def well_formed(name: str) -> str:
    """A name that can be written as UTF-8; bytes of a name that were none stand as \\udcff."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class Refusal:
    """An input that is not to be read."""

    reason: str  # in words, as they stand in the manifest: "is a link"
    num_bytes: int = -1  # its size, where that is known


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures (PNG, JPEG, …), which a worker decodes."""

    names: Sequence[str]  # unique in the source, relative, with forward slashes
    classes: Sequence[str | None]  # None: no class is known
    contents: Sequence[bytes | str | Refusal]  # a str is the path of a file, which the worker reads
    parts: Sequence[str | None] | None = None  # the published part of each: train, val, test, None; None: nothing tells of parts


@dataclass(frozen=True)
class Pixels:
    """Pictures that are pixels already, all of one size."""

    names: Sequence[str]  # "train-images-idx3-ubyte#17" is the 17th of an array, from 0
    classes: Sequence[str | None]
    array: np.ndarray  # (n, H, W) grey or (n, H, W, 1 | 2 | 3 | 4) grey, grey with alpha, RGB, RGBA; uint8, or other numbers
    parts: Sequence[str | None] | None = None  # as of Pictures
    own: tuple[float, float] | None = None  # of other numbers: black and white, where the source knows more than their type says


Block = Pictures | Pixels


class Source(Protocol):
    """A file of this room; `config` is its Config."""

    def recognises(self, path: Path) -> bool:
        """By content, never by ending; cheap."""
        ...

    def blocks(self, config: Any, path: Path) -> Iterator[Block]:
        """Every input in a block, usable or not."""
        ...


@dataclass
class Gatherer:
    """Collects pictures one by one into blocks of a bearable size."""

    names: list[str] = field(default_factory=list)
    classes: list[str | None] = field(default_factory=list)
    contents: list[bytes | str | Refusal] = field(default_factory=list)
    parts: list[str | None] = field(default_factory=list)
    num_bytes: int = 0

    def add(self, name: str, class_name: str | None, content: bytes | str | Refusal, part: str | None = None) -> Iterator[Pictures]:
        """Take one more; yields the block before it if that is full."""
        size = len(content) if isinstance(content, bytes) else 0
        if self.names and (len(self.names) >= MOST_PICTURES or self.num_bytes + size > MOST_BYTES):
            yield from self.rest()
        self.names.append(name)
        self.classes.append(class_name)
        self.contents.append(content)
        self.parts.append(part)
        self.num_bytes += size

    def rest(self) -> Iterator[Pictures]:
        """The last block, if there is one."""
        if self.names:
            yield Pictures(self.names, self.classes, self.contents, self.parts if any(self.parts) else None)
        self.names, self.classes, self.contents, self.parts, self.num_bytes = [], [], [], [], 0
