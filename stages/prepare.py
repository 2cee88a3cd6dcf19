"""From raw pictures of any kind to shards of one form, with a row in the manifest for every input."""

import contextlib
import hashlib
import inspect
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL
import PIL.features
import pyarrow as pa
import pyarrow.parquet as pq

from gan import addresses, choices, dataset
from gan.preparation import form, levels, perceptual, pictures, resampling, selection, store
from gan.sources import _detect, _labels, _remote, _splits
from stages import artifacts, exit_codes, guard, params, progress
from stages.preparation import decoding, executors, report
from stages.tracking import mlflow_run

_WORK = artifacts.WORK / "prepare"
_STORES_KEPT = 2  # of forms used before
_MOST_TABLES = 3  # that a note names
_ROWS_AT_ONCE = 1 << 15
_READ = pa.schema([
    ("path", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string()), ("width", pa.int32()), ("height", pa.int32()),
    ("mode", pa.string()), ("frames", pa.int32()), ("lowest", pa.float64()), ("highest", pa.float64()), ("class", pa.string()),
    ("published", pa.string()), ("reason", pa.string()),
])  # fmt: skip
_DEEP = ("lowest", "highest")  # of the manifest only where an input has more than 8 bits
_MANIFEST = pa.schema([
    *list(_READ)[:-1], ("label", pa.int32()), ("split", pa.string()), ("shard", pa.string()), ("index", pa.int32()),
    ("verdict", pa.string()), ("reason", pa.string()), ("twin", pa.string()),
])  # fmt: skip
_MOST_DIGITS = 1000  # of a class that is a number
_FLAT = 17  # levels of 256, a sixteenth and the rounding; what stays below them looks black
_FLAT_AT_ONCE = 1024
_NO_CLASS = "has no class, where others have one"
_PARTS = tuple(_splits.WORDS)  # train, val, test


def main() -> None:
    guard.die_with_dvc()
    with executors.started(params.machine(), decoding.ready) as workers:  # while the door waits for torch
        _prepare(params.load(), workers)


def _prepare(chosen: params.Params, workers: executors.Workers | None) -> None:
    with mlflow_run.stage("prepare", chosen) as track:
        config = chosen.prepare
        out = artifacts.start("prepare")
        with Inputs(config.form) as inputs:
            inputs.read(config.source, chosen.machine, workers)
            choice = Choice(inputs, config)
            choice.refuse_poor()
            choice.write(out)
            card = choice.card()
            report.write(out, card, inputs.thumbnail)
        artifacts.seal("prepare", card)
        counts = card["counts"]
        track.metrics({f"prepare/{name}": float(count) for name, count in counts.items()}, step=0)
        heldout = f"held-out images (the published {choice.part} part)" if choice.part else "held-out images"
        for note in choice.notes:
            print(f"prepare: {note}")
        if inputs.deep.count:
            print(
                f"prepare: {inputs.deep.count} inputs with more than 8 bits hold levels from {inputs.deep.reach}; "
                "prepare.range decides what they become"
            )
        print(f"prepare: {counts['train']} train and {counts['heldout']} {heldout}, {counts['set_aside']} set aside")


class Inputs:
    """All inputs of a source, decoded: their rows and pixels on disk, and a few bytes of each in memory."""

    records: np.ndarray  # (n,) int64: negative ones lie in the scratch file
    content: np.ndarray  # (n, 2) uint64: the start of the SHA-256 of the prepared pixels
    perceptual: np.ndarray  # (n,) uint64
    colour: np.ndarray  # (n, 4) uint8
    class_numbers: np.ndarray  # (n,) int32 of `classes`, -1: none
    published: np.ndarray  # (n,) int8 of the parts, -1: none

    def __init__(self, wanted: form.Form):
        self.form = wanted
        self.shape = wanted.shape
        self.deep = Deep()
        self.classes: dict[str, int] = {}  # name -> its number, in the order they were met
        self.notes: list[str] = []  # of the source, about labels that are there and are not read
        self.splits: bool | None = True  # whether the user said that there are parts: None where the source found out
        self.classes_are_made = False  # by the source: however few images each has, they are no captions
        self.tables: list[str] = []  # the first inputs that are no pictures and may have been meant to give the classes
        self.columns: dict[str, list[np.ndarray]] = {
            "records": [np.empty(0, np.int64)], "content": [np.empty((0, 2), np.uint64)], "perceptual": [np.empty(0, np.uint64)],
            "colour": [np.empty((0, 4), np.uint8)], "class_numbers": [np.empty(0, np.int32)], "published": [np.empty(0, np.int8)],
        }  # fmt: skip

    def __enter__(self) -> "Inputs":
        self.store_folder = _WORK / _key(self.form)
        self.store = store.Store(self.store_folder, self.shape)
        os.utime(self.store_folder)
        self.folder = tempfile.TemporaryDirectory(dir=_WORK, prefix="rows-")
        self.rows_path = Path(self.folder.name) / "rows.arrow"
        self.scratch = store.Records(Path(self.folder.name) / "pixels", self.shape)  # of inputs that are not worth remembering
        return self

    def __exit__(self, *error: object) -> None:
        self.store.close()
        self.scratch.close()
        self.folder.cleanup()
        if error[0] is None:
            _drop_old_stores()

    def read(self, source: dict, machine: params.Machine, workers: executors.Workers | None) -> None:
        """Decode every input of the source that is not known yet."""
        job = decoding.Job(self.form, str(self.store_folder.absolute()))
        decode, give_up = partial(decoding.decode, job), partial(decoding.given_up, job)
        module, config, path = _opened(source)
        self.notes = module.notes(config, path) if hasattr(module, "notes") else []
        self.classes_are_made = getattr(module, "MAKES_CLASSES", False)
        self.splits = getattr(config, "splits", True)
        blocks = module.blocks(config, path)
        with (
            pa.OSFile(str(self.rows_path), "wb") as file,
            pa.ipc.new_stream(file, _READ) as writer,
            progress.bar("prepare", None, "images") as bar,
        ):
            for decoded in executors.in_order(decode, blocks, machine, decoding.apart, give_up, workers):
                writer.write_batch(pa.record_batch([pa.array(decoded.columns[field.name], field.type) for field in _READ], _READ))
                self._take(decoded)
                self.deep.add(decoded, self.form.range)
                bar.update(len(decoded.records))
        for name in list(self.columns):
            setattr(self, name, np.concatenate(self.columns.pop(name)))

    def _take(self, decoded: decoding.Decoded) -> None:
        """Keep a block's pixels: negative records lie in the scratch file, -2 is its first."""
        records, new = decoded.records.copy(), np.flatnonzero(decoded.records == decoding.NEW)
        remembered = {number: key for number, key in enumerate(decoded.keys) if key is not None}
        if remembered:
            records[new] = self.store.records.append(decoded.pixels) + np.arange(len(new))
            known = _known_inputs(decoded, records)
            self.store.add(list(remembered.values()), [known[number] for number in remembered])
        elif len(new):
            records[new] = -2 - (self.scratch.append(decoded.pixels) + np.arange(len(new)))
        numbers = [-1 if name is None else self.classes.setdefault(name, len(self.classes)) for name in decoded.columns["class"]]
        refused = (path for path, reason in zip(decoded.columns["path"], decoded.columns["reason"]) if reason)
        self.tables += [path for path in refused if _labels.may_list(path)][: _MOST_TABLES - len(self.tables)]
        self.columns["records"].append(records)
        self.columns["content"].append(decoded.content.view(">u8").astype(np.uint64))
        self.columns["perceptual"].append(decoded.perceptual)
        self.columns["colour"].append(decoded.colour)
        self.columns["class_numbers"].append(np.array(numbers, np.int32))
        parts = [-1 if part is None else _PARTS.index(part) for part in decoded.columns["published"]]
        self.columns["published"].append(np.array(parts, np.int8))

    def pixels(self, numbers: np.ndarray) -> np.ndarray:
        """Prepared pixels (n, C, H, W) uint8 of inputs that have them, checked against their hashes."""
        records = self.records[numbers]
        images = np.empty((len(numbers), *self.shape), np.uint8)
        stored = records >= 0
        images[stored] = self.store.records.read(records[stored])
        images[~stored] = self.scratch.read(-2 - records[~stored])
        if not np.array_equal(decoding.contents_of(images).view(">u8"), self.content[numbers]):
            shutil.rmtree(self.store_folder)
            raise ValueError(f"{self.store_folder} was damaged and has been removed; run the same command again: it decodes anew")
        return images

    def fingerprints(self, numbers: np.ndarray) -> selection.Fingerprints:
        """What those inputs are told apart by; to be asked for once."""
        perceptual, colour = self.perceptual[numbers], self.colour[numbers]
        del self.perceptual, self.colour
        content = self.content if len(numbers) == len(self.content) else self.content[numbers]
        return selection.Fingerprints(content, perceptual, colour)

    def thumbnail(self, number: int) -> np.ndarray | None:
        """Prepared pixels (C, H, W) of an input, whether it was kept or not; None if it could not be decoded."""
        return None if self.records[number] == decoding.NONE else self.pixels(np.array([number]))[0]

    def rows(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows as they were read, in batches, each with the number of its first."""
        first = 0
        with pa.OSFile(str(self.rows_path)) as file:
            for batch in pa.ipc.open_stream(file):
                yield first, batch
                first += len(batch)

    def paths(self, numbers: np.ndarray) -> dict[int, str]:
        """The paths of some inputs."""
        wanted = np.unique(numbers)
        by_number: dict[int, str] = {}
        for first, batch in self.rows() if len(wanted) else ():
            here = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, first + len(batch))]
            by_number |= dict(zip(here.tolist(), batch["path"].take(pa.array(here - first)).to_pylist()))
        return by_number


@dataclass
class Deep:
    """What is known of the inputs with more than 8 bits."""

    count: int = 0
    lowest: float = math.inf  # level of them all
    highest: float = -math.inf
    clipped: int = 0  # usable ones with levels beyond the range that was named

    def add(self, decoded: decoding.Decoded, named: levels.Range | None) -> None:
        """Count those of a block."""
        pairs = zip(decoded.columns["lowest"], decoded.columns["highest"], decoded.records.tolist())
        for low, high, record in pairs:
            if low is None or math.isnan(low):
                continue
            self.count += 1
            self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
            if named is not None and record != decoding.NONE:
                self.clipped += low < named[0] or high > named[1]

    @property
    def reach(self) -> str:
        return f"{levels.words(self.lowest)} to {levels.words(self.highest)}"

    @property
    def words(self) -> str:
        """What to add where nothing is to be seen, or nothing can be used."""
        return f" Those with more than 8 bits hold levels from {self.reach} in all (prepare.range)." if self.count else ""


class Choice:
    """Which inputs are kept, and where they go."""

    def __init__(self, inputs: Inputs, config: params.Prepare):
        self.inputs, self.config = inputs, config
        self.notes = list(inputs.notes)
        self.classes = self._classes()
        ranks = {name: rank for rank, name in enumerate(self.classes)}
        self.label = np.append([ranks.get(name, -1) for name in inputs.classes], -1).astype(np.int32)[inputs.class_numbers]
        count = len(self.label)
        self.without_class = (inputs.records != decoding.NONE) & (self.label < 0) & bool(self.classes)
        usable = (inputs.records != decoding.NONE) & ~self.without_class
        self.part = self._published(usable) if config.heldout == params.PUBLISHED else None  # that is held out
        self.notes += self._note_of_parts(usable)
        taken = [_PARTS.index(part) for part in ("train", self.part)] if self.part else range(-1, len(_PARTS))
        self.left_out = usable & ~np.isin(inputs.published, list(taken))
        usable = np.flatnonzero(usable & ~self.left_out).astype(np.int32)
        shades = inputs.colour[usable, :3]
        self.shade = (int(shades.min()), int(shades.max())) if len(usable) else (0, 255)  # of the means, each channel for itself
        del shades
        prints = inputs.fingerprints(usable)
        if self.part:
            heldout = inputs.published[usable] == _PARTS.index(self.part)
        else:
            heldout = selection.to_heldout(prints.content[:, 0], float(config.heldout))
        selected = selection.select(prints, heldout, config.near_duplicates)
        self.twin, self.near = np.full(count, -1, np.int32), np.zeros(count, bool)
        has_twin = selected.twin >= 0
        self.twin[usable[has_twin]], self.near[usable] = usable[selected.twin[has_twin]], selected.near
        self.heldout = np.zeros(count, bool)
        self.heldout[usable] = heldout
        order = usable[selected.order]
        self.order = order[self.twin[order] < 0]  # the inputs that are kept, by content
        self.shard, self.index = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
        self.shard_names: list[str] = []

    def _classes(self) -> list[str]:
        """The classes' names in order; none where the labels tell no classes apart, which a note says."""
        numbers = self.inputs.class_numbers[self.inputs.records != decoding.NONE]
        number, labelled = len(np.unique(numbers[numbers >= 0])), int((numbers >= 0).sum())
        asked_for = self.inputs.classes_are_made or self.config.source.get("label")
        if not asked_for and not selection.are_classes(number, labelled):
            example = next(iter(self.inputs.classes))
            self.notes.append(
                f"{number:,} different labels of {labelled:,} images, such as {example[:60]!r}, are captions, ids or measurements, "
                "so there are no classes; to choose, set prepare.source.name and prepare.source.label (a column or an array)"
            )
            return []
        if not self.inputs.classes and self.inputs.tables:
            self.notes.append(
                f"there are no classes, but {', '.join(self.inputs.tables)} beside the pictures: if they are to be given by it, make it "
                f"one of {', '.join(_labels.FILES)}"
            )
        return _sorted(self.inputs.classes) if len(self.inputs.classes) > 1 else []  # one class tells nothing apart

    def _note_of_parts(self, usable: np.ndarray) -> list[str]:
        """What was found to be a published part without being asked for, for those who mean classes by it."""
        counts = {part: int((self.inputs.published[usable] == number).sum()) for number, part in enumerate(_PARTS)}
        parts = [f"{part} ({count:,} images)" for part, count in counts.items() if count]
        if self.inputs.splits is not None or not parts:
            return []
        way_out = "if they are classes, name the source (folder or archive) and set prepare.source.splits: false"
        return [f"{' and '.join(parts)} are taken for published parts, by the names of folders or by a column; {way_out}"]

    def _published(self, usable: np.ndarray) -> str:
        """The part that is held out: test, else val. ValueError if none is published, or nothing to train on."""
        parts = {part for number, part in enumerate(_PARTS) if (self.inputs.published[usable] == number).any()}
        if "train" in parts and len(parts) > 1:
            return "test" if "test" in parts else "val"
        which = " and ".join(sorted(parts)) if parts else "none"
        raise ValueError(
            f"prepare.heldout is published, which needs a part train and a part test (or val), but the usable images of "
            f"{self.config.source['path']} have {which}: set it to a share, as in 0.2, or say which is which by folders called "
            "train and test, or by a column `split` in a labels file"
        )

    def refuse_poor(self) -> None:
        """ValueError if too few images can be used, too many inputs cannot, or a class is missing or nearly so."""
        config, count, kept = self.config, len(self.label), len(self.order)
        self._refuse_flat()
        if kept < config.min_images:
            raise ValueError(
                f"{config.source['path']} holds {kept} usable images in {count} inputs; prepare.min_images is {config.min_images}. "
                f"Add images, name another folder in prepare.source.path, or lower min_images.{self._examples()}{self.inputs.deep.words}"
            )
        unusable = count - kept - int((self.left_out & (self.inputs.published >= 0)).sum())  # a part left out is no fault
        if unusable > config.max_set_aside * count:
            raise ValueError(
                f"{unusable} of {count} inputs in {config.source['path']} cannot be used, more than prepare.max_set_aside "
                f"{config.max_set_aside} allows. Remove them, or raise it.{self._examples()}{self.inputs.deep.words}"
            )
        for split in dataset.SPLITS:
            if (number := len(self._of_split(split))) < 2:
                raise ValueError(f"{number} images fall to the {split} split; add images or change prepare.heldout")
        poor = [f"{name} has {count}" for name, count in zip(self.classes, self._class_counts()) if count < config.min_class_images]
        if poor:
            more = f" and {len(poor) - 10} more" if len(poor) > 10 else ""
            raise ValueError(
                f"classes of {config.source['path']} with fewer training images than prepare.min_class_images "
                f"{config.min_class_images}: {', '.join(poor[:10])}{more}. Add images of them, remove the class, or lower it"
            )

    def _examples(self) -> str:
        examples: list[str] = []
        for _, batch in self._rows():
            rows = batch.select(["path", "reason"]).filter(pa.compute.is_valid(batch["reason"])).slice(0, 3 - len(examples))
            examples += [f"{row['path']} {row['reason']}" for row in rows.to_pylist()]
            if len(examples) == 3:
                break
        return f" Set aside: {'; '.join(examples)}." if examples else ""

    def _refuse_flat(self) -> None:
        """ValueError if all that is kept is black, or white: no level of any pixel leaves a sixteenth of them."""
        if _FLAT <= self.shade[1] and self.shade[0] < 256 - _FLAT:  # the means are cheap to ask, and seldom leave a doubt
            return
        low, high = np.full(self.inputs.shape[0], 255), np.zeros(self.inputs.shape[0], int)
        for start in range(0, len(self.order), _FLAT_AT_ONCE):
            pixels = self.inputs.pixels(self.order[start : start + _FLAT_AT_ONCE])
            low, high = np.minimum(low, pixels.min(axis=(0, 2, 3))), np.maximum(high, pixels.max(axis=(0, 2, 3)))
            if (high[:3] >= _FLAT).any() and (low[:3] < 256 - _FLAT).any() or (high - low)[3:].any():
                return
        if len(self.order):
            colour = "black" if high[:3].max() < _FLAT else "white"
            ground = self.config.background
            on_alike = max(ground[:3]) < _FLAT if colour == "black" else min(ground) >= 256 - _FLAT
            laid = f", and {colour} shapes need another prepare.alpha" if on_alike and self.config.alpha != "keep" else ""
            raise ValueError(
                f"all {len(self.order)} different images of {self.config.source['path']} come out {colour}: their levels reach from "
                f"{low[:3].min()} to {high[:3].max()} of 255.{self.inputs.deep.words} Name black and white of pictures with more than "
                f"8 bits in prepare.range; those of 8 bits have to be stretched before{laid}"
            )

    def _of_split(self, split: str) -> np.ndarray:
        return self.order[self.heldout[self.order] == (split == "heldout")]

    def _class_counts(self) -> list[int]:
        """Training images of each class."""
        return np.bincount(self.label[self._of_split("train")] + 1, minlength=len(self.classes) + 1)[1:].tolist()

    def write(self, out: Path) -> None:
        """Shards, labels and manifest."""
        record_mb = np.prod(self.inputs.shape) / 2**20
        with progress.bar("prepare: shards", len(self.order), "images") as bar:
            for split in dataset.SPLITS:
                numbers = self._of_split(split)
                for bits, start, stop in selection.shards(self.inputs.content[numbers, 0], max(1, int(self.config.shard_mb / record_mb))):
                    name = dataset.shard_name(split, bits)
                    self.shard[numbers[start:stop]], self.index[numbers[start:stop]] = len(self.shard_names), np.arange(stop - start)
                    self.shard_names.append(name)
                    dataset.write_shard(out / name, self.inputs.shape, stop - start, self._parts(numbers[start:stop], bar))
                dataset.write_labels(out, split, self.label[numbers])
        shown = [name for name in _MANIFEST.names if name not in _DEEP or self.inputs.deep.count]
        with pq.ParquetWriter(out / "manifest.parquet", pa.schema([_MANIFEST.field(name) for name in shown]), compression="zstd") as writer:
            for batch in _larger(self._rows()):
                writer.write_table(batch.select(shown))

    def _parts(self, numbers: np.ndarray, bar) -> Iterator[np.ndarray]:
        step = max(1, int(2**22 / np.prod(self.inputs.shape)))
        for start in range(0, len(numbers), step):
            part = numbers[start : start + step]
            yield self.inputs.pixels(part)
            bar.update(len(part))

    def _rows(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The manifest in batches: what was read, and what became of it."""
        twins = self.inputs.paths(self.twin[self.twin >= 0])
        for first, batch in self.inputs.rows():
            numbers = np.arange(first, first + len(batch))
            reasons = batch["reason"].to_pylist()
            twin: list[str | None] = [None] * len(batch)
            aside = (self.twin[numbers] >= 0) | self.without_class[numbers] | self.left_out[numbers]
            for place in np.flatnonzero(aside).tolist():
                twin[place] = twins.get(int(self.twin[numbers[place]]))
                reasons[place] = self._reason(int(numbers[place]), twin[place])
            kept = (self.inputs.records[numbers] != decoding.NONE) & ~aside
            column = {
                "label": self.label[numbers],
                "split": [None if not k else "heldout" if h else "train" for k, h in zip(kept.tolist(), self.heldout[numbers].tolist())],
                "shard": [None if shard < 0 else self.shard_names[shard] for shard in self.shard[numbers].tolist()],
                "index": self.index[numbers],
                "verdict": ["kept" if k else "set aside" for k in kept.tolist()],
                "reason": reasons,
                "twin": twin,
            }
            arrays = [pa.array(column[field.name], field.type) if field.name in column else batch[field.name] for field in _MANIFEST]
            yield first, pa.record_batch(arrays, _MANIFEST)

    def _reason(self, number: int, twin: str | None) -> str:
        if self.left_out[number]:
            part = self.inputs.published[number]
            of = f"the published {_PARTS[part]} part" if part >= 0 else "no published part"
            return f"is of {of}: neither trained on nor held out, where {self.part} is"
        if twin is None:
            return _NO_CLASS
        other = int(self.twin[number])
        words = f"{'is a near duplicate' if self.near[number] else 'has the pixels'} of {twin}"
        if self.label[other] != self.label[number]:
            words += f", which is of class {self.classes[self.label[other]]}"
        if self.heldout[other] != self.heldout[number]:
            words += f", which is {'held out' if self.heldout[other] else 'trained on'}: it would leak"
        return words

    def card(self) -> dict:
        counts = {"inputs": len(self.label), "kept": len(self.order), "set_aside": len(self.label) - len(self.order)}
        return {
            "format": dataset.FORMAT,
            "version": dataset.VERSION,
            "source": self.config.source,
            "form": self.config.form.model_dump(mode="json"),
            "shape": list(self.inputs.shape),
            "classes": self.classes,
            "class_counts": self._class_counts(),  # of the train split
            **({"notes": self.notes} if self.notes else {}),
            "counts": counts | {split: len(self._of_split(split)) for split in dataset.SPLITS},
            **({"heldout": f"the published {self.part} part"} if self.part else {}),
            "made_with": _versions(),
            **({"levels": asdict(deep)} if (deep := self.inputs.deep).count else {}),  # of pictures with more than 8 bits
        }


def _known_inputs(decoded: decoding.Decoded, records: np.ndarray) -> list[store.Known]:
    """What the store is told of each input."""
    facts = zip(*(decoded.columns[fact] for fact in decoding.FACTS))
    prints = zip(records.tolist(), *map(_bytes_of_rows, (decoded.content, decoded.perceptual, decoded.colour)))
    return [store.Known(*fact, *(one if one[0] >= 0 else (None,) * 4)) for fact, one in zip(facts, prints)]


def _bytes_of_rows(array: np.ndarray) -> list[bytes]:
    return array.view(f"V{array[0].nbytes}").ravel().tolist()


def _opened(source: dict) -> tuple[ModuleType, choices.Config, Path]:
    """The module that reads a source, by its name or by what it is, and what to give it."""
    place, name = source["path"], source["name"]
    url = _address(place)
    if "://" in url:
        with progress.bar("prepare: fetch", None, "MB") as bar:
            path = _remote.localise(url, artifacts.WORK / "remote", lambda done: bar.update(done / 1e6 - bar.n))
    else:
        path = Path(place).absolute()
        if not path.exists():
            raise FileNotFoundError(f"{place} does not exist; put images there, or name another folder in prepare.source.path")
    name = _detect.detect(path) if name == "auto" else name
    settings = {key: value for key, value in source.items() if key != "path"} | {"name": name}
    return choices.module("sources", name), choices.config("sources", settings), path


def _address(place: str) -> str:
    """What a source's path means: itself, or the address that a file NAME.url holds, with $NAME for what is secret."""
    path = Path(place)
    if path.suffix != ".url" or not path.is_file():
        return place
    words = path.read_text("utf-8", errors="replace").split()
    if len(words) != 1 or "://" not in words[0]:
        raise ValueError(
            f"{place} holds {len(words)} words; a source that ends in .url holds one address, as in https://host/set.zip?key=$KEY"
        )
    if addresses.secrets_in(words[0]):
        raise ValueError(f"{place} holds a password, a key or a signature; write $NAME in its place and set NAME in the environment")
    return words[0]


def _larger(rows: Iterator[tuple[int, pa.RecordBatch]]) -> Iterator[pa.Table]:
    """Batches joined to row groups of a size of their own, whatever the blocks were."""
    waiting: list[pa.RecordBatch] = []
    for _, batch in rows:
        waiting.append(batch)
        while sum(map(len, waiting)) >= _ROWS_AT_ONCE:
            table = pa.Table.from_batches(waiting, _MANIFEST)
            yield table.slice(0, _ROWS_AT_ONCE)
            waiting = table.slice(_ROWS_AT_ONCE).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting, _MANIFEST)


def _sorted(names: dict[str, int]) -> list[str]:
    """Class names in order: by number where all are numbers (of more digits, Python would not read one)."""
    numbers = all(name.isdecimal() and len(name) <= _MOST_DIGITS for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if numbers else sorted(names)


def _versions() -> dict[str, str]:
    """What, besides code and params, decides the bytes of prepared pixels."""
    return {"pillow": PIL.__version__, "jpeg": str(PIL.features.version("libjpeg_turbo") or PIL.features.version("jpg"))}


def _key(wanted: form.Form) -> str:
    """A name for what was decoded: by which form, code and versions."""
    code = [
        artifacts.sha256_of_file(Path(inspect.getfile(module)))
        for module in (form, levels, pictures, resampling, perceptual, store, decoding)
    ]
    content = json.dumps([wanted.model_dump(mode="json"), _versions(), np.__version__, code], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]


def _drop_old_stores() -> None:
    """Keep what was decoded for this form and the one before; and nothing that a kill left unfinished a day ago."""
    stores = [path for path in _WORK.iterdir() if store.index_of(path).is_file()]
    old = sorted(stores, key=lambda path: path.stat().st_mtime)[:-_STORES_KEPT]
    left = [path for path in _WORK.glob("rows-*") if time.time() - path.stat().st_mtime > 86_400]
    for path in [*old, *left]:
        with contextlib.suppress(OSError):
            shutil.rmtree(path)


if __name__ == "__main__":
    sys.exit(exit_codes.of_process(main))
