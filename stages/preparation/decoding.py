"""One block of inputs, decoded: what the prepare stage hands to its workers, here or on a Dask cluster. Opens no torch."""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan.preparation import levels, perceptual, pictures, resampling, store
from gan.preparation.form import Form
from gan.sources import _inputs

LARGEST_FILE = 1 << 30  # bytes; a larger one is no picture that anybody wants decoded
NONE, NEW = -1, -2  # of `Decoded.records`
FACTS = ("width", "height", "mode", "frames", "lowest", "highest", "reason")  # of a picture, as it is decoded
_MOST_OF_A_FACT, _MOST_BYTES = 2**31 - 1, 2**63 - 1  # that the manifest can hold; a header may claim anything


@dataclass(frozen=True)
class Job:
    """What all blocks of a data set have in common."""

    form: Form
    store: str  # the folder of what was decoded before, absolute; where it is not there, everything is decoded


@dataclass(frozen=True)
class Decoded:
    """The n inputs of a block, column by column, and the pixels that are new."""

    columns: dict[str, list]  # path, bytes, sha256, width, height, mode, frames, lowest, highest, class, published, reason: each (n,)
    records: np.ndarray  # (n,) int64: a record of the store; NEW: the next of `pixels`; NONE: set aside, for `reason`
    content: np.ndarray  # (n, 16) uint8: the start of the SHA-256 of the prepared pixels
    perceptual: np.ndarray  # (n,) uint64
    colour: np.ndarray  # (n, 4) uint8
    pixels: np.ndarray  # (m, C, H, W) uint8
    keys: list[bytes | None]  # 32 bytes that each input which is worth remembering is known by, None elsewhere


def contents_of(pixels: np.ndarray) -> np.ndarray:
    """Prepared pixels (n, C, H, W) uint8 -> (n, 16) uint8, the start of the SHA-256 of each with its shape: what an image
    is, whatever its file was."""
    shape, hashes = hashlib.sha256(repr(pixels.shape[1:]).encode()), []
    for picture in pixels:
        digest = shape.copy()
        digest.update(picture)
        hashes.append(digest.digest()[:16])
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 16)


def decode(job: Job, block: _inputs.Block) -> Decoded:
    """Decode what was not decoded before; whatever an input holds, it gets a row."""
    return _decode_pixels(job, block) if isinstance(block, _inputs.Pixels) else _Pictures(job, block).decoded()


def ready() -> None:
    """What a worker can do before its first block: by being asked it has imported this module, and so all it needs."""
    pictures.formats()


def apart(block: _inputs.Block) -> list[_inputs.Block]:
    """A block's inputs in a block each: to find the one that ends a worker."""
    if isinstance(block, _inputs.Pixels):
        return [block]
    rows = zip(block.names, block.classes, block.contents, _parts(block))
    return [_inputs.Pictures([name], [cls], [content], [part]) for name, cls, content, part in rows]


def given_up(job: Job, block: _inputs.Block) -> Decoded:
    """Of an input that ended the worker which decoded it."""
    refused = [_inputs.Refusal("cannot be decoded: the decoder crashed, or ran out of memory") for _ in block.names]
    return _Pictures(job, _inputs.Pictures(block.names, block.classes, refused, block.parts)).decoded()


def _parts(block: _inputs.Block) -> list[str | None]:
    """The published part of each input of a block."""
    return [None] * len(block.names) if block.parts is None else list(block.parts)


def _bytes_of(path: str) -> bytes | None:
    """A file's content; None if it is too large. To ask for LARGEST_FILE bytes would make room for as many, each time."""
    with open(path, "rb", buffering=0) as file:
        return file.read() if os.fstat(file.fileno()).st_size <= LARGEST_FILE else None


def _reader(folder: str) -> store.Reader | None:
    """Of the store in a folder, if there is one: a worker of a cluster may not see it."""
    index = store.index_of(Path(folder))
    return _opened(folder, index.stat().st_ino) if index.is_file() else None


@functools.lru_cache(maxsize=1)
def _opened(folder: str, inode: int) -> store.Reader:
    return store.Reader(Path(folder))


def _key(digest: bytes, name: str) -> bytes:
    """What a file is remembered by: its bytes, and its name where that says how to read them."""
    unsigned = pictures.unsigned(name)
    return digest if unsigned is None else hashlib.sha256(digest + unsigned.encode()).digest()


def _fact(value: str | float | None) -> str | float | None:
    """What a file says of itself, as a row can hold it: text that can be written, -1 for a number that no picture has."""
    if isinstance(value, str):
        return _inputs.well_formed(value)
    return -1 if isinstance(value, int) and not -1 <= value <= _MOST_OF_A_FACT else value


class _Pictures:
    """Encoded pictures: read, looked up, decoded."""

    def __init__(self, job: Job, block: _inputs.Pictures):
        self.job, self.block = job, block
        count = len(block.names)
        self.columns: dict[str, list] = {
            "path": [_inputs.well_formed(name) for name in block.names],
            "bytes": [-1] * count,
            "sha256": [None] * count,
            "width": [-1] * count,
            "height": [-1] * count,
            "mode": [None] * count,
            "frames": [-1] * count,
            "lowest": [None] * count,
            "highest": [None] * count,
            "class": [None if name is None else _inputs.well_formed(name) for name in block.classes],
            "published": _parts(block),
            "reason": [None] * count,
        }
        self.keys: list[bytes | None] = [None] * count

    def decoded(self) -> Decoded:
        contents = [self._read(number, content) for number, content in enumerate(self.block.contents)]
        digests = [None if content is None else hashlib.sha256(content).digest() for content in contents]
        keys = [digest and _key(digest, name) for digest, name in zip(digests, self.block.names)]
        reader = _reader(self.job.store)
        known = reader.find([key for key in keys if key is not None]) if reader else {}
        new: list[np.ndarray] = []
        places: list[int] = []
        remembered: dict[int, store.Known] = {}
        for number, (content, digest, key) in enumerate(zip(contents, digests, keys)):
            if content is None or digest is None:
                continue
            self.columns["sha256"][number] = digest.hex()
            if key in known:
                remembered[number] = known[key]
                continue
            self.keys[number] = key
            picture = pictures.decode(content, self.job.form, self.block.names[number])
            for fact in FACTS:
                self.columns[fact][number] = _fact(getattr(picture, fact))
            if picture.pixels is not None:
                new.append(picture.pixels)
                places.append(number)
        pixels = np.stack(new) if new else np.empty((0, *self.job.form.shape), np.uint8)
        prints = _fingerprints(len(contents), places, pixels)
        for number, before in remembered.items():
            self._remember(number, before, *prints)
        return Decoded(self.columns, *prints, pixels, self.keys)

    def _read(self, number: int, content: bytes | str | _inputs.Refusal) -> bytes | None:
        """An input's bytes, or None with the reason in its row."""
        if isinstance(content, _inputs.Refusal):
            size = content.num_bytes if content.num_bytes <= _MOST_BYTES else -1
            self.columns["reason"][number], self.columns["bytes"][number] = _fact(content.reason), size
            return None
        try:
            picture = _bytes_of(content) if isinstance(content, str) else content
        except OSError as error:
            self.columns["reason"][number] = f"cannot be read: {error.strerror}"
            return None
        if picture is None or len(picture) > LARGEST_FILE:
            self.columns["reason"][number] = f"is too large: more than {LARGEST_FILE >> 20} MB"
            return None
        self.columns["bytes"][number] = len(picture)
        return picture

    def _remember(self, number: int, known: store.Known, records, content, hashes, colours) -> None:
        for fact in FACTS:
            self.columns[fact][number] = getattr(known, fact)
        if known.record is None or known.content is None or known.perceptual is None or known.colour is None:  # set aside: none of them
            return
        records[number] = known.record
        content[number] = np.frombuffer(known.content, np.uint8)
        hashes[number] = np.frombuffer(known.perceptual, np.uint64)[0]
        colours[number] = np.frombuffer(known.colour, np.uint8)


def _decode_pixels(job: Job, block: _inputs.Pixels) -> Decoded:
    """Pixels as they are: nothing to look up, decoding them again is as quick."""
    count, height, width = block.array.shape[:3]
    channels = block.array.shape[3] if block.array.ndim == 4 else 1
    if reason := _size_reason(height, width, job.form):
        refused = [_inputs.Refusal(reason, block.array[0].nbytes)] * count
        return _Pictures(job, _inputs.Pictures(block.names, block.classes, refused, block.parts)).decoded()
    array = block.array
    lowest: list[float | None] = [None] * count
    highest: list[float | None] = [None] * count
    reasons: list[str | None] = [None] * count
    if array.dtype != np.uint8:
        found = levels.to_eight_bits(array, block.own or levels.own_range(array.dtype), job.form.range)
        array, lowest, highest, reasons = found.pixels, [*found.lowest], [*found.highest], [*found.reasons]
    places = [number for number, reason in enumerate(reasons) if reason is None]
    pixels = resampling.arrays(array, job.form) if places else np.empty((0, *job.form.shape), np.uint8)
    digests = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in block.array]
    columns = {
        "path": [_inputs.well_formed(name) for name in block.names],
        "bytes": [block.array[0].nbytes] * count,
        "sha256": digests,
        "width": [width] * count,
        "height": [height] * count,
        "mode": [{1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]] * count,
        "frames": [1] * count,
        "lowest": lowest,
        "highest": highest,
        "class": [None if name is None else _inputs.well_formed(name) for name in block.classes],
        "published": _parts(block),
        "reason": reasons,
    }
    return Decoded(columns, *_fingerprints(count, places, pixels), pixels, [None] * count)


def _fingerprints(count: int, places: list[int], pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Records, contents, hashes and colours of `count` inputs, of which those at `places` have pixels, new ones."""
    records, content = np.full(count, NONE, np.int64), np.zeros((count, 16), np.uint8)
    hashes, colours = np.zeros(count, np.uint64), np.zeros((count, 4), np.uint8)
    if places:
        records[places], content[places] = NEW, contents_of(pixels)
        hashes[places], colours[places] = perceptual.hashes(pixels)
    return records, content, hashes, colours


def _size_reason(height: int, width: int, form: Form) -> str | None:
    if height * width > form.max_pixels:
        return f"is too large: {width}×{height} is more than prepare.max_pixels {form.max_pixels}"
    if min(height, width) < form.min_side:
        return f"is too small: {width}×{height} is under prepare.min_side {form.min_side}"
    return None
