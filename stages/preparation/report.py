"""What a prepared data set holds, for machines (report.json) and for people (report.html).

The manifest is read in batches and the shards in chunks, so memory does not grow with the number of images (eight bytes an
input apart, for the quantiles of the file sizes). The same folder gives the same bytes: everything is counted in integers.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from gan import dataset
from stages import artifacts
from stages.preparation import report_page

Thumbnail = Callable[[int], np.ndarray | None]  # number of a set-aside row -> its prepared pixels (C, H, W), if there are any

KINDS = (  # how a reason starts; the first that fits
    "cannot be decoded", "is empty", "is too small", "is too large", "has the pixels of", "is a near duplicate of",
    "has no class", "cannot be read", "is a link", "is no regular file", "is of the published", "is of no published part", "has levels",
)  # fmt: skip
LEAK = "it would leak"  # how the reason ends of a duplicate of an image in the other split
OTHER, SILENT = "other reasons", "no reason given"
EXAMPLES = 12  # of a kind
PICTURED_EXAMPLES = 100  # thumbnails of examples, over all kinds; those of leaks are shown twice
COLUMNS_OF_CLASSES, TILES, TILES_OF_CLASSES = 20, 64, 80  # of the montage
MOST_SIZES = 4096  # different sizes that are counted exactly; beyond that by octaves only
QUANTILES = {"smallest": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "largest": 1.0}
CHANNELS = {1: ("grey",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}
_ROWS, _PIXELS = 1 << 16, 1 << 24  # read at a time: rows of the manifest, pixels of a channel


def write(out: Path, card: dict, thumbnail: Thumbnail) -> None:
    """report.json and report.html from manifest.parquet and the shards in `out`.

    `card` gives shape [C, H, W], classes, counts, source and form; ValueError if its counts are not the manifest's.
    `thumbnail` gives the prepared pixels (C, H, W) uint8 of a set-aside input by the number of its row, or None.
    """
    tally = _Tally(classes=len(card["classes"]))
    for start, batch in _batches(out):
        tally.add(start, batch)
    if tally.counts() != {name: card["counts"][name] for name in tally.counts()}:
        raise ValueError(f"{out}/manifest.parquet counts {tally.counts()}, the card {card['counts']}; run: dvc repro prepare")
    pairs = _Pairs.read(out, tally)
    content = _content(card, tally, pairs, _levels(out, card["shape"]))
    artifacts.write_json(out / "report.json", content)
    pictures = {"examples": _pictures_of_examples(out, content, pairs, thumbnail), "montage": _montage(out, card)}
    (out / "report.html").write_text(report_page.html(content, pictures), "utf-8", newline="\n")


def _batches(out: Path, *columns: str) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The manifest's rows, some at a time, each time with the number of the first."""
    start = 0
    with pq.ParquetFile(out / "manifest.parquet", pre_buffer=False) as file:
        for batch in file.iter_batches(_ROWS, columns=list(columns) or None):
            yield start, batch.cast(pa.schema([(one.name, _plain(one.type)) for one in batch.schema]))
            start += batch.num_rows


def _plain(type: pa.DataType) -> pa.DataType:
    """Text is one type, however it was written."""
    return pa.string() if pa.types.is_large_string(type) or pa.types.is_dictionary(type) or pa.types.is_null(type) else type


@dataclass
class _Tally:
    """What is counted over the rows of the manifest."""

    classes: int
    inputs: int = 0
    kept: int = 0
    animated: int = 0
    labels: dict = field(default_factory=dict)  # split -> (classes + 1,), the last: without a class
    reasons: Counter = field(default_factory=Counter)
    published: dict = field(default_factory=dict)  # part -> {train, heldout, set_aside}
    leaks: int = 0  # duplicates of images in the other split, set aside
    leaking: list = field(default_factory=list)  # the first of them
    examples: dict = field(default_factory=dict)  # kind -> the first rows of it
    sizes: Counter | None = field(default_factory=Counter)  # (width, height) -> inputs; None where there are too many
    octaves: Counter = field(default_factory=Counter)  # (log2 of width, log2 of height), rounded down -> inputs
    modes: Counter = field(default_factory=Counter)
    bytes: list = field(default_factory=list)  # arrays of the sizes that are known
    noted: list = field(default_factory=list)  # tables of kept rows that have a twin

    def __post_init__(self) -> None:
        self.labels = {split: np.zeros(self.classes + 1, np.int64) for split in dataset.SPLITS}

    def add(self, start: int, batch: pa.RecordBatch) -> None:
        """Count a batch whose first row has number `start`."""
        kept = pc.equal(batch["verdict"], "kept")
        self.inputs += batch.num_rows
        self.kept += pc.sum(kept).as_py() or 0
        self.animated += pc.sum(pc.greater(batch["frames"], 1)).as_py() or 0
        for split, counts in self.labels.items():
            labels = batch["label"].filter(pc.and_(kept, pc.equal(batch["split"], split))).to_numpy()
            counts += np.bincount(np.where(labels < 0, self.classes, labels), minlength=self.classes + 1)
        rows = pa.table({name: batch[name] for name in ("published", "split")}).group_by(["published", "split"])
        for row in rows.aggregate([([], "count_all")]).to_pylist():
            self.published.setdefault(row["published"], Counter())[row["split"] or "set_aside"] += row["count_all"]
        self._add_sizes(batch)
        self.modes.update(_counted(batch["mode"].drop_null()))
        sizes = batch["bytes"].to_numpy()
        self.bytes.append(sizes[sizes >= 0])
        self._add_reasons(start, batch, pc.invert(kept))
        noted = batch.filter(pc.and_(kept, pc.is_valid(batch["twin"])))
        if noted.num_rows:
            self.noted.append(noted.select(["path", "split", "shard", "index", "twin"]))

    def _add_sizes(self, batch: pa.RecordBatch) -> None:
        both = (batch[side].to_numpy().astype(np.int64) for side in ("width", "height"))
        width, height = next(both), next(both)
        known = (width > 0) & (height > 0)
        pairs, counts = np.unique(width[known] << 32 | height[known], return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist()):
            size = pair >> 32, pair & 0xFFFFFFFF
            self.octaves[size[0].bit_length() - 1, size[1].bit_length() - 1] += count
            if self.sizes is not None:
                self.sizes[size] += count
        if self.sizes is not None and len(self.sizes) > MOST_SIZES:
            self.sizes = None

    def _add_reasons(self, start: int, batch: pa.RecordBatch, aside: pa.Array) -> None:
        """Count the reasons by kind, and keep the first rows of each kind."""
        numbers = np.flatnonzero(_mask(aside))
        kinds = _kinds(batch["reason"].filter(aside))
        for kind, count in _counted(kinds).items():
            self.reasons[kind] += count
            _first(self.examples.setdefault(kind, []), start, batch, numbers[_mask(pc.equal(kinds, kind))])
        leaks = numbers[_mask(pc.ends_with(batch["reason"].filter(aside), LEAK))]
        self.leaks += len(leaks)
        _first(self.leaking, start, batch, leaks)

    def counts(self) -> dict:
        """{inputs, kept, set_aside, train, heldout}, each counted for itself."""
        by_split = {split: int(counts.sum()) for split, counts in self.labels.items()}
        return {"inputs": self.inputs, "kept": self.kept, "set_aside": sum(self.reasons.values()), **by_split}


def _mask(array: pa.BooleanArray) -> np.ndarray:
    """As (n,) bool, unknown is False."""
    return pc.fill_null(array, False).to_numpy(zero_copy_only=False)


def _first(examples: list[dict], start: int, batch: pa.RecordBatch, numbers: np.ndarray) -> None:
    """Add rows of a batch, by number, until there are enough examples."""
    for row in numbers[: EXAMPLES - len(examples)].tolist():
        examples.append({"row": start + row, **{name: batch[name][row].as_py() for name in ("path", "reason", "twin")}})


def _counted(values: pa.Array) -> dict:
    counted = pc.value_counts(values)
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist()))


def _kinds(reasons: pa.Array) -> pa.Array:
    """The kind of each reason: the phrase that it starts with."""
    phrases = [pc.fill_null(pc.starts_with(reasons, phrase), False) for phrase in KINDS]
    silent = pc.is_null(reasons)
    conditions = pc.make_struct(*phrases, silent, field_names=[*KINDS, SILENT])
    return pc.case_when(conditions, *(pa.scalar(name) for name in (*KINDS, SILENT, OTHER)))


@dataclass
class _Pairs:
    """Where the images lie that others are duplicates of."""

    places: dict  # path -> (shard, index), for the twins and the kept images that are shown
    near: int  # kept images that have a twin
    leaks: int  # those of them whose twin is in another split
    shown: list  # the first leaks: {path, split, twin, twin_split}

    @classmethod
    def read(cls, out: Path, tally: _Tally) -> "_Pairs":
        """Look the twins up in the manifest: those of the examples, and those of kept images."""
        shown = [one for examples in (tally.leaking, *tally.examples.values()) for one in examples]
        names = {one["twin"] for one in shown if one["twin"]}
        wanted = pa.array(sorted(names), pa.string())
        noted = pa.Table.from_batches(tally.noted) if tally.noted else None
        if noted is not None:
            wanted = pc.unique(pa.chunked_array([wanted, *noted["twin"].chunks]))
        if not len(wanted):
            return cls({}, 0, 0, [])
        pairs = pa.Table.from_batches(
            [
                batch.filter(pc.and_(pc.is_in(batch["path"], wanted), pc.equal(batch["verdict"], "kept")))
                for _, batch in _batches(out, "path", "split", "shard", "index", "verdict")
            ]
        )
        places = _places(pairs.filter(pc.is_in(pairs["path"], pa.array(sorted(names), pa.string()))))
        if noted is None:
            return cls(places, 0, 0, [])
        twins = pairs.take(pc.index_in(noted["twin"], pairs["path"].combine_chunks()))
        crosses = pc.fill_null(pc.not_equal(noted["split"], twins["split"]), False)
        leaks, theirs = (table.filter(crosses) for table in (noted, twins))
        shown = [
            {"path": path, "split": split, "twin": twin, "twin_split": twin_split}
            for path, split, twin, twin_split in zip(
                *(column[:EXAMPLES].to_pylist() for column in (leaks["path"], leaks["split"], leaks["twin"], theirs["split"]))
            )
        ]
        places |= _places(leaks[:EXAMPLES]) | _places(theirs[:EXAMPLES])
        return cls(places, noted.num_rows, leaks.num_rows, shown)

    def pixels(self, out: Path, path: str | None) -> np.ndarray | None:
        """(C, H, W) uint8 of a kept image that is shown."""
        shard, index = self.places.get(path, (None, -1))
        return None if shard is None else np.array(dataset.shard(out / shard)[index])


def _places(table: pa.Table) -> dict:
    columns = (table[name].to_pylist() for name in ("path", "shard", "index"))
    return {path: (shard, index) for path, shard, index in zip(*columns)}


def _levels(out: Path, shape: list[int]) -> np.ndarray:
    """How often each channel has each level in all kept images: (C, 256) int64."""
    channels, height, width = shape
    counts = np.zeros((channels, 256), np.int64)
    step = max(1, _PIXELS // (height * width))
    for shard in (shard for split in dataset.SPLITS for shard in dataset.shards(out, split)):
        for start in range(0, len(shard), step):
            for channel in range(channels):
                plane = np.ascontiguousarray(shard[start : start + step, channel]).reshape(-1, width)
                counts[channel] += np.array(Image.fromarray(plane).histogram(), np.int64)
    return counts


def _content(card: dict, tally: _Tally, pairs: _Pairs, levels: np.ndarray) -> dict:
    """The whole of report.json."""
    train, heldout = (tally.labels[split].tolist() for split in dataset.SPLITS)
    names = [*card["classes"], None]
    return {
        "format": "ganline-report",
        "version": 1,
        "source": card["source"],
        "shape": card["shape"],
        "form": card["form"],
        "counts": tally.counts(),
        **({"notes": card["notes"]} if card.get("notes") else {}),  # about labels that are not read
        "set_aside": [
            {"kind": kind, "count": count, "examples": tally.examples[kind]}
            for kind, count in sorted(tally.reasons.items(), key=lambda item: (-item[1], item[0]))
        ],
        "twins": {
            "kept": pairs.near,
            "leaks": pairs.leaks,
            "examples": pairs.shown,  # kept images with a twin, also kept
            "set_aside": tally.leaks,
            "set_aside_examples": tally.leaking,  # for a twin in the other split
        },
        "classes": [
            {"name": name, "train": train[place], "heldout": heldout[place]}
            for place, name in enumerate(names)
            if name is not None or train[place] + heldout[place]  # the row without a name: images without a class
        ],
        "published": [
            {"part": part, **{split: tally.published[part][split] for split in (*dataset.SPLITS, "set_aside")}}
            for part in ("train", "val", "test", None)
            if part in tally.published and set(tally.published) != {None}
        ],  # by the part that the data came as; empty where they came as one
        "sizes": _sizes(tally, card["shape"]),
        "modes": dict(tally.modes),
        "animated": tally.animated,
        "bytes": _file_sizes(np.concatenate([*tally.bytes, np.zeros(0, np.int64)])),
        "channels": _channels(levels),
        "transparent_share": _share_of_level_zero(levels[3]) if len(levels) == 4 else None,
        **({"levels": card["levels"]} if "levels" in card else {}),  # of inputs with more than 8 bits
    }


def _sizes(tally: _Tally, shape: list[int]) -> dict:
    """Widths and heights of all inputs that could be opened, in pixels of the file."""
    known = sum(tally.octaves.values())
    frequent = sorted((tally.sizes or {}).items(), key=lambda item: (-item[1], item[0]))
    _, height, width = shape
    smaller = None if tally.sizes is None else sum(n for size, n in frequent if size[0] < width or size[1] < height)
    return {
        "known": known,
        "different": None if tally.sizes is None else len(tally.sizes),  # None: more than MOST_SIZES
        "frequent": [{"width": size[0], "height": size[1], "count": count} for size, count in frequent[:EXAMPLES]],
        "octaves": [
            {"width": 2**wide, "height": 2**tall, "count": count} for (wide, tall), count in sorted(tally.octaves.items())
        ],  # from these numbers up to below their doubles
        "smaller_than_prepared": smaller,
    }


def _file_sizes(sizes: np.ndarray) -> dict:
    """Bytes of the inputs' files where they are known; each quantile is the size of a file."""
    found = np.quantile(sizes, list(QUANTILES.values()), method="inverted_cdf").tolist() if len(sizes) else []
    return {"known": len(sizes), "total": int(sizes.sum()), "quantiles": [list(pair) for pair in zip(QUANTILES, found)]}


def _channels(levels: np.ndarray) -> list[dict]:
    """Mean and standard deviation of each channel over all pixels of the kept images, in levels [0, 255]."""
    channels = []
    for name, counts in zip(CHANNELS[len(levels)], levels.tolist()):
        number = sum(counts)
        total = sum(level * count for level, count in enumerate(counts))
        squares = sum(level * level * count for level, count in enumerate(counts))
        mean, variance = (total / number, (number * squares - total * total) / number**2) if number else (0.0, 0.0)
        channels.append({"name": name, "mean": mean, "deviation": variance**0.5, "levels": counts})
    return channels


def _share_of_level_zero(counts: np.ndarray) -> float:
    return int(counts[0]) / max(1, int(counts.sum()))


def _pictures_of_examples(out: Path, content: dict, pairs: _Pairs, thumbnail: Thumbnail) -> dict:
    """Data URIs of examples: row number or path -> (its own picture or None, its twin's or None), so many in all."""
    pictures, left = {}, PICTURED_EXAMPLES
    for one in content["twins"]["examples"]:
        pictures[one["path"]] = tuple(_uri(pairs.pixels(out, one[name])) for name in ("path", "twin"))
        left -= 2
    groups = [content["twins"]["set_aside_examples"], *(kind["examples"] for kind in content["set_aside"])]
    for row, twin in ((one["row"], one["twin"]) for group in groups for one in group):
        if left < 2:
            break
        if row in pictures:
            continue
        pictures[row] = _uri(thumbnail(row)), _uri(pairs.pixels(out, twin))
        left -= sum(picture is not None for picture in pictures[row])
    return pictures


def _uri(pixels: np.ndarray | None) -> str | None:
    return None if pixels is None else report_page.data_uri(pixels)


def _montage(out: Path, card: dict) -> list[tuple[str | None, list[str]]]:
    """The first training images in the order of their content hashes: (class or None, data URIs), a column a class."""
    shards = tuple(dataset.shards(out, "train"))
    ends = np.cumsum([len(shard) for shard in shards])

    def uri(number: int) -> str:
        place = int(np.searchsorted(ends, number, side="right"))
        return report_page.data_uri(np.array(shards[place][number - (ends[place] - len(shards[place]))]))

    classes = card["classes"]
    if not 2 <= len(classes) <= COLUMNS_OF_CLASSES:
        return [(None, [uri(number) for number in range(min(TILES, int(ends[-1])))])]
    labels = np.load(out / "train-labels.npy", mmap_mode="r", allow_pickle=False)
    rows = min(8, TILES_OF_CLASSES // len(classes))
    return [(name, [uri(int(n)) for n in np.flatnonzero(labels == label)[:rows]]) for label, name in enumerate(classes)]
