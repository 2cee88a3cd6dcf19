"""From a folder of any images to shards of one size, with a row in the manifest for every input file."""

import concurrent.futures
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from gan import dataset, images
from gan.sources import folder
from stages import artifacts, guard, params, progress, tracking

_COLUMNS = ["path", "bytes", "sha256", "width", "height", "mode", "class", "label", "split", "shard", "index", "verdict", "reason"]


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    with tracking.stage("prepare", chosen):
        config = chosen.prepare
        entries = folder.entries(Path(config.source.path))
        classes = sorted({entry.class_name for entry in entries if entry.class_name})
        rows, kept = _decode_all(entries, config, classes, chosen.machine.workers)
        _refuse_poor(rows, config)
        out = artifacts.start("prepare")
        counts = _write_splits(out, rows, kept, config)
        pd.DataFrame(rows, columns=_COLUMNS).to_parquet(out / "manifest.parquet", index=False)
        artifacts.seal("prepare", _card(rows, kept, classes, counts, config))
        print(f"prepare: {counts['train']} train and {counts['heldout']} held-out images, {counts['set_aside']} set aside")


def _decode_all(entries: list, config: params.Prepare, classes: list[str], workers: int) -> tuple[list[dict], dict]:
    """A row for each entry, and prepared pixels (C, H, W) uint8 by row number for those that can be used."""
    rows: list[dict] = []
    kept: dict[int, np.ndarray] = {}
    with (
        concurrent.futures.ThreadPoolExecutor(workers or os.cpu_count()) as pool,
        progress.bar("prepare", len(entries), "images") as bar,
    ):
        for row, pixels in pool.map(lambda entry: _decode(entry, config), entries):
            row["label"] = classes.index(row["class"]) if row["class"] else -1
            if classes and not row["class"]:
                pixels, row["reason"] = None, "lies outside the class folders"
            row["verdict"] = "set aside" if pixels is None else "kept"
            if pixels is not None:
                kept[len(rows)] = pixels
            rows.append(row)
            bar.update()
    return rows, kept


def _decode(entry: folder.Entry, config: params.Prepare) -> tuple[dict, np.ndarray | None]:
    row = dict.fromkeys(_COLUMNS) | {"path": entry.name, "class": entry.class_name, "bytes": entry.path.stat().st_size}
    row["shard"] = row["index"] = row["width"] = row["height"] = -1
    row["sha256"] = artifacts.sha256_of_file(entry.path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of decompression bombs
            with Image.open(entry.path) as image:
                row |= {"width": image.width, "height": image.height, "mode": image.mode}
                upright = ImageOps.exif_transpose(image)
                return row, images.from_pillow(upright, config.channels, config.resolution, config.filter)
    except Exception as error:  # any decoder may fail in its own way; the file is set aside with what it said
        row["reason"] = f"cannot be decoded: {str(error) or type(error).__name__}".replace(str(entry.path), entry.name)
        return row, None


def _refuse_poor(rows: list[dict], config: params.Prepare) -> None:
    """ValueError if too few images can be used, or too many files cannot."""
    aside = [row for row in rows if row["verdict"] != "kept"]
    examples = "; ".join(f"{row['path']} {row['reason']}" for row in aside[:3])
    told = f" Set aside: {examples}" if aside else ""
    if len(rows) - len(aside) < config.min_images:
        raise ValueError(
            f"{config.source.path} holds {len(rows) - len(aside)} usable images of {len(rows)} files; prepare.min_images is "
            f"{config.min_images}. Add images, name another folder in prepare.source.path, or lower min_images.{told}"
        )
    if len(aside) > config.max_set_aside * len(rows):
        raise ValueError(
            f"{len(aside)} of {len(rows)} files in {config.source.path} cannot be used, more than prepare.max_set_aside "
            f"{config.max_set_aside} allows. Remove them, or raise it.{told}"
        )


def _write_splits(out: Path, rows: list[dict], kept: dict[int, np.ndarray], config: params.Prepare) -> dict:
    contents = {number: dataset.content_hash(pixels) for number, pixels in kept.items()}
    order = sorted(kept, key=lambda number: (contents[number], rows[number]["path"]))
    counts = {"inputs": len(rows), "kept": len(kept), "set_aside": len(rows) - len(kept)}
    for split in dataset.SPLITS:
        numbers = [number for number in order if dataset.split_of(contents[number], config.heldout) == split]
        if len(numbers) < 2:
            raise ValueError(f"{len(numbers)} images fall to the {split} split; add images or change prepare.heldout")
        for place, number in enumerate(numbers):
            rows[number] |= {"split": split, "shard": place // config.shard_size, "index": place % config.shard_size}
        labels = [rows[number]["label"] for number in numbers]
        dataset.write_split(out, split, [kept[number] for number in numbers], labels, config.shard_size)
        counts[split] = len(numbers)
    return counts


def _card(rows: list[dict], kept: dict[int, np.ndarray], classes: list[str], counts: dict, config: params.Prepare) -> dict:
    kept_labels = [rows[number]["label"] for number in kept if rows[number]["split"] == "train"]
    return {
        "format": "ganline-dataset",
        "version": 1,
        "source": config.source.path,
        "resolution": config.resolution,
        "channels": config.channels,
        "filter": config.filter,
        "classes": classes,
        "class_counts": [kept_labels.count(label) for label in range(len(classes))],  # of the train split
        "counts": counts,
    }


if __name__ == "__main__":
    sys.exit(params.answer(main))
