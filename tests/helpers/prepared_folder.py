"""A prepared folder in the small, for tests of what reads one: manifest, shards and card from a list of inputs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gan import dataset

SCHEMA = pa.schema([
    ("path", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string()), ("width", pa.int32()), ("height", pa.int32()),
    ("mode", pa.string()), ("frames", pa.int32()), ("class", pa.string()), ("published", pa.string()), ("label", pa.int32()),
    ("split", pa.string()), ("shard", pa.string()), ("index", pa.int32()), ("verdict", pa.string()), ("reason", pa.string()),
    ("twin", pa.string()),
])  # fmt: skip


@dataclass
class Input:
    """An input and what became of it: kept where `reason` is None."""

    path: str
    pixels: np.ndarray | None = None  # prepared, (C, H, W) uint8
    class_name: str | None = None
    reason: str | None = None
    twin: str | None = None
    split: str | None = None  # else by content hash
    published: str | None = None
    bytes: int = 300
    size: tuple[int, int] = (20, 10)
    mode: str | None = "RGB"
    frames: int = 1


def content_hash(pixels: np.ndarray) -> str:
    """SHA-256 of prepared pixels (C, H, W) uint8."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def make(out: Path, inputs: list[Input], shape: tuple[int, int, int], form: dict | None = None) -> dict:
    """Write manifest and shards of these inputs to `out`; returns the card, not written."""
    out.mkdir(parents=True, exist_ok=True)
    classes = sorted({one.class_name for one in inputs if one.class_name})
    rows = [_row(one, classes) for one in inputs]
    for split in dataset.SPLITS:
        _write_split(out, split, inputs, rows)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), out / "manifest.parquet")
    kept = [row for row in rows if row["verdict"] == "kept"]
    counts = {split: sum(row["split"] == split for row in kept) for split in dataset.SPLITS}
    return {
        "source": "data/mine", "shape": list(shape), "channels": shape[0], "resolution": shape[1], "classes": classes,
        "class_counts": [sum(row["label"] == n and row["split"] == "train" for row in kept) for n in range(len(classes))],
        "counts": {"inputs": len(rows), "kept": len(kept), "set_aside": len(rows) - len(kept), **counts},
        "filter": "lanczos", "form": form or {"resolution": shape[1], "filter": "lanczos"},
    }  # fmt: skip


def _row(one: Input, classes: list[str]) -> dict:
    kept = one.reason is None
    split = (one.split or ("heldout" if content_hash(one.pixels)[0] in "0123" else "train")) if kept else None
    return {
        "path": one.path, "bytes": one.bytes, "sha256": None, "width": one.size[0], "height": one.size[1], "mode": one.mode,
        "frames": one.frames, "class": one.class_name, "published": one.published,
        "label": classes.index(one.class_name) if one.class_name else -1,
        "split": split, "shard": None, "index": -1, "verdict": "kept" if kept else "set aside", "reason": one.reason,
        "twin": one.twin,
    }  # fmt: skip


def _write_split(out: Path, split: str, inputs: list[Input], rows: list[dict]) -> None:
    """Shards of images whose hashes have the same two bits after the digit that decides the split, in their order."""
    hashes = {n: content_hash(inputs[n].pixels) for n, row in enumerate(rows) if row["split"] == split}
    order = sorted(hashes, key=lambda number: (hashes[number][1:], number))
    for part in range(4):
        here = [number for number in order if int(hashes[number][1], 16) // 4 == part]
        name = f"{split}-b{part:02b}.npy"
        for index, number in enumerate(here):
            rows[number] |= {"shard": name, "index": index}
        if here:
            np.save(out / name, np.stack([inputs[number].pixels for number in here]))
    np.save(out / f"{split}-labels.npy", np.array([rows[number]["label"] for number in order], np.int64))
