"""Pictures of any source read whole, in the form of a reference: what another tool made, or other real images."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan import choices, dataset, streams
from gan.preparation import form, selection
from gan.sources import _detect
from stages import progress
from stages.evaluation import protocol, reference_set
from stages.preparation import decoding

_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "LA": 2, "RGB": 3, "RGBA": 4}  # of the modes that need no conversion
_SHOWN = 3  # names in a refusal


@dataclass(frozen=True)
class Collection:
    """Images in the order of their names in the source."""

    pixels: np.ndarray  # (N, C, H, W) uint8
    classes: list[str | None]  # of each image
    content: np.ndarray  # (N, 16) uint8: the start of the SHA-256 of its pixels


def read(path: Path, wanted: form.Form, prepare: bool = False) -> Collection:
    """All pictures of a folder, archive or file of arrays. ValueError names those that cannot be read, and those of another
    size or mode than the reference's, unless they are to be prepared as its images were."""
    job, source = decoding.Job(wanted, ""), choices.module("sources", _detect.detect(path))
    pixels, classes, contents = [np.empty((0, *wanted.shape), np.uint8)], [], [np.empty((0, 16), np.uint8)]
    unreadable, other = [], []
    with progress.bar("read", None, "images") as bar:
        for block in source.blocks(source.Config(), path):
            decoded = decoding.decode(job, block)
            columns, usable = decoded.columns, decoded.records == decoding.NEW
            unreadable += [f"{name}: {reason}" for name, reason in zip(columns["path"], columns["reason"]) if reason is not None]
            numbers = np.flatnonzero(usable).tolist()
            other += [_other(columns, number, wanted) for number in numbers]
            pixels.append(decoded.pixels)
            contents.append(decoded.content[usable])
            classes += [columns["class"][number] for number in numbers]
            bar.update(len(block.names))
    if unreadable:
        raise ValueError(
            f"{path}: {len(unreadable)} cannot be used ({'; '.join(unreadable[:_SHOWN])}); take them out, so that what is scored is known"
        )
    other = [one for one in other if one]
    if other and not prepare:
        channels, height, width = wanted.shape
        form_in_words = f"{width}×{height} with {channels} channels"
        raise ValueError(
            f"{path}: {len(other)} of {len(classes)} pictures are not {form_in_words}, as the reference's images are "
            f"({'; '.join(other[:_SHOWN])}); write them so, or give --prepare to have them prepared by the reference's form"
        )
    if not classes:
        raise ValueError(f"{path} holds no picture")
    return Collection(np.concatenate(pixels), classes, np.concatenate(contents))


def _other(columns: dict[str, list], number: int, wanted: form.Form) -> str:
    """How a picture differs from the form, or ""."""
    width, height, mode = (columns[key][number] for key in ("width", "height", "mode"))
    channels = _CHANNELS.get(mode, 3) if mode is not None else wanted.channels
    if (height, width) == tuple(wanted.resolution) and channels == wanted.channels:
        return ""
    return f"{columns['path'][number]} is {width}×{height}, {mode}"


def labels(collection: Collection, names: list[str]) -> np.ndarray | None:
    """The number (N,) int64 of each image's class among `names`; None where not every image has one of them."""
    numbers = {name: number for number, name in enumerate(names)}
    labels = [numbers[name] for name in collection.classes if name in numbers]
    return np.array(labels, np.int64) if len(names) > 1 and len(labels) == len(collection.classes) else None


def draws(collection: Collection, measured: reference_set.ReferenceSet, most: int, seed: int) -> list[np.ndarray]:
    """Numbers of images (n,) for each of at most `most` draws as large as the held-out set; all of them where there are fewer.

    Folders stand in the order of their classes, so images are taken in an order that is drawn by the seed.
    """
    size = min(len(measured.heldout.labels), len(collection.pixels))
    order = np.argsort(streams.words(streams.key(seed, "collection/order"), np.arange(len(collection.pixels)), 1)[:, 0], kind="stable")
    return [np.sort(order[start : start + size]) for start in range(0, min(most, len(order) // size) * size, size)]


def as_reference(collection: Collection, ours: reference_set.ReferenceSet, heldout: float) -> reference_set.ReferenceSet:
    """These images as the real ones, by the extractor of this checkout's protocol; split by content as prepare splits."""
    content, fresh = np.unique(collection.content, axis=0, return_index=True)
    away = selection.to_heldout(content[:, :8].copy().view(">u8")[:, 0].astype(np.uint64), heldout)
    given = {name for name in collection.classes if name is not None}
    known = given <= set(ours.data["classes"])
    names = ours.data["classes"] if known else sorted(given)
    numbers = np.array([-1 if name is None else names.index(name) for name in collection.classes], np.int64)
    splits = {
        split: dataset.Dataset((collection.pixels[part],), numbers[part], tuple(names))
        for split, part in (("train", fresh[~away]), ("heldout", fresh[away]))
    }
    for split, images in splits.items():
        if len(images) < 2:
            raise ValueError(f"{len(fresh)} different images leave {len(images)} for {split}; a reference takes some hundred")
    features: dict[str, np.ndarray] = {}
    batch_size = ours.protocol["batch_size"]
    with progress.bar("reference", len(fresh), "images") as bar:
        for split, images in splits.items():
            blocks = progress.counted(images.batches(batch_size), bar)
            features[f"{split}.features"], features[f"{split}.logits"] = protocol.features(ours.network, blocks, batch_size)
    real = {
        name: reference_set.Real(features[f"{name}.features"], features[f"{name}.logits"], images.labels) for name, images in splits.items()
    }
    data = ours.data | {"classes": names, "counts": {split: len(images) for split, images in splits.items()}}
    rules = protocol.hashed({key: value for key, value in ours.protocol.items() if key != "hash"} | {
        "data": hashlib.sha256(content.tobytes()).hexdigest(), "data_counts": data["counts"], "heldout": heldout,
    })  # fmt: skip
    return reference_set.ReferenceSet(
        rules, data, ours.network, real["train"], real["heldout"], splits["train"], reference_set.measured(features, splits), known
    )
