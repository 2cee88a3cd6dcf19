"""A data set of generated images, of any size: written shard by shard at flat memory, gone on with where it was killed.

A folder has images.npy, (N, C, H, W) uint8; labels.npy, (N,) int64, of a model with classes; and manifest.json, which says what
the images are of and lists the shards: stretches of the arrays with first seed, count and the SHA-256 of their bytes. A shard
counts once the manifest names it; what lies behind the last one named is written again. `prepare.source.path` reads the folder
as NumPy's (gan/sources/npy.py).
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from stages import artifacts

if TYPE_CHECKING:
    from gan.generator import Generator

FORMAT, VERSION = "ganline-samples", 1
HEADER_BYTES = 128  # of a .npy file as numpy writes it for such shapes
Array = tuple[tuple[int, ...], type[np.generic]]  # the shape and the type of what a file holds
_READ_BYTES = 1 << 20
_UNFINISHED = "manifest.json.unfinished"


@dataclass(frozen=True)
class Order:
    """Which images: seeds first_seed to first_seed + count - 1, one label (else each seed's own), so many a shard."""

    first_seed: int
    count: int
    label: int | None
    shard_size: int


def write(folder: Path, product: "Generator", order: Order, progress: Callable[[int], object]) -> int:
    """Make all that is not there yet; how many were. ValueError where the folder holds something else, or was changed."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _begun(folder, product, order)
    arrays: dict[str, Array] = {"images": ((order.count, *product.card.shape), np.uint8)}
    if product.card.conditional:
        arrays["labels"] = ((order.count,), np.int64)
    files = {name: _opened(folder / f"{name}.npy", *array) for name, array in arrays.items()}
    try:
        for shard in manifest["shards"]:
            _check(folder, files, arrays, shard)
            progress(shard["count"])
        kept = sum(shard["count"] for shard in manifest["shards"])
        for start in range(kept, order.count, order.shard_size):
            count = min(order.shard_size, order.count - start)
            manifest["shards"].append(_write_shard(files, arrays, product, order, start, count, progress))
            _write_manifest(folder, manifest)
    finally:
        for file in files.values():
            file.close()
    return kept


def _begun(folder: Path, product: "Generator", order: Order) -> dict:
    """The manifest that is there, if it is of the same images; else a new one in an empty folder."""
    wanted = {
        "format": FORMAT, "version": VERSION, "weights_sha256": product.card.files["generator.safetensors"],
        "first_seed": order.first_seed, "count": order.count, "label": order.label, "shard_size": order.shard_size,
        "shape": list(product.card.shape), "classes": list(product.card.classes) if product.card.conditional else [],
    }  # fmt: skip
    path = folder / "manifest.json"
    if path.is_file():
        begun = artifacts.read_json(path)
        if other := [key for key, value in wanted.items() if begun.get(key) != value]:
            said = ", ".join(f"{key} {begun.get(key)!r} in place of {wanted[key]!r}" for key in other)
            raise ValueError(f"{folder} holds other images ({said}); name another folder, or remove this one")
        return begun
    if any(one.name != _UNFINISHED for one in folder.iterdir()):
        raise ValueError(f"{folder} has files, but no manifest.json of generated images; name an empty folder")
    _write_manifest(folder, wanted | {"shards": []})
    return wanted | {"shards": []}


def _write_manifest(folder: Path, manifest: dict) -> None:
    """Whole or not at all."""
    unfinished = folder / _UNFINISHED
    artifacts.write_json(unfinished, manifest)
    os.replace(unfinished, folder / "manifest.json")


def _opened(path: Path, shape: tuple[int, ...], dtype: type) -> BinaryIO:
    """An array's file, with its header; its bytes are written as they are made."""
    file = open(path, "r+b" if path.exists() else "w+b")
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    if file.tell() != HEADER_BYTES:
        raise AssertionError(f"the header of {path} has {file.tell()} bytes")
    return file


def _place(array: Array, start: int) -> int:
    """Where item `start` of an array lies in its file."""
    shape, dtype = array
    return HEADER_BYTES + start * int(np.prod(shape[1:], dtype=np.int64)) * np.dtype(dtype).itemsize


def _write_shard(files: dict, arrays: dict, product: "Generator", order: Order, start: int, count: int, progress: Callable) -> dict:
    """Images `start` to `start + count - 1` and their labels, on the disk when this returns."""
    hashes = {name: hashlib.sha256() for name in files}
    for name, file in files.items():
        file.seek(_place(arrays[name], start))

    def put(name: str, items: np.ndarray) -> None:
        data = np.ascontiguousarray(items, arrays[name][1]).data
        files[name].write(data)
        hashes[name].update(data)

    seeds = np.arange(order.first_seed + start, order.first_seed + start + count)
    labels = None
    if "labels" in files:
        labels = product.labels(seeds) if order.label is None else np.full(count, order.label)
        put("labels", labels)
    for block in product.blocks(seeds, labels):
        put("images", block)
        progress(len(block))
    for file in files.values():
        file.flush()
        os.fsync(file.fileno())
    sha256 = {f"{name}_sha256": digest.hexdigest() for name, digest in hashes.items()}
    return {"start": start, "first_seed": order.first_seed + start, "count": count, **sha256}


def _check(folder: Path, files: dict, arrays: dict, shard: dict) -> None:
    """ValueError unless a shard's bytes are those that the manifest hashes."""
    for name, file in files.items():
        begin, end = (_place(arrays[name], shard["start"] + count) for count in (0, shard["count"]))
        digest = hashlib.sha256()
        for part in _parts(file, begin, end):
            digest.update(part)
        if digest.hexdigest() != shard[f"{name}_sha256"]:
            raise ValueError(
                f"{folder / name}.npy was changed: images {shard['start']} to {shard['start'] + shard['count'] - 1} are not what "
                "manifest.json says; remove the folder, and run the same command again"
            )


def _parts(file: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    file.seek(begin)
    while begin < end and (part := file.read(min(_READ_BYTES, end - begin))):
        begin += len(part)
        yield part
