"""Published parts (train, val, test): told by folders, files and columns, never taken for classes; held out as published."""

import io
import json
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small
from PIL import Image

from gan.preparation import selection
from gan.sources import _inputs, archive, cifar, folder, idx, npy, parquet
from stages.preparation import report

LAYOUTS = {  # paths -> the (class, part) of each
    "parts with classes": {
        "train/cat/1.png": ("cat", "train"),
        "train/dog/2.png": ("dog", "train"),
        "val/cat/3.png": ("cat", "val"),
        "val/dog/4.png": ("dog", "val"),
    },
    "parts without classes": {"train/1.png": (None, "train"), "valid/2.png": (None, "val"), "test/3.png": (None, "test")},
    "other words": {
        "Training/a/1.png": ("a", "train"),
        "Testing/a/2.png": ("a", "test"),
        "Validation/b/3.png": ("b", "val"),
    },
    "words with more": {
        "train2017/1.png": (None, "train"),
        "val2017/2.png": (None, "val"),
        "test2017/3.png": (None, "test"),
    },
    "sets": {"training_set/a/1.png": ("a", "train"), "testset/a/2.png": ("a", "test")},
    "a folder that holds all": {"pets/train/cat/1.png": ("cat", "train"), "pets/test/dog/2.png": ("dog", "test")},
    "folders that repeat the part": {
        "seg_train/seg_train/sea/1.png": ("sea", "train"),
        "seg_test/seg_test/sea/2.png": ("sea", "test"),
    },
    "folders that repeat the part, without classes": {"train/train/1.png": (None, "train"), "test/test/2.png": (None, "test")},
    "folders of what is no picture": {
        "train2017/1.png": (None, "train"),
        "val2017/2.png": (None, "val"),
        "annotations/train/3.json": (None, None),
    },
    "images and labels": {
        "images/train/a/1.png": ("a", "train"),
        "images/val/b/2.png": ("b", "val"),
        "labels/train/a/1.txt": (None, None),
    },
    "folders that say nothing": {"train/images/cat/1.png": ("cat", "train"), "test/images/dog/2.png": ("dog", "test")},
    "a class that one part alone would take for nothing": {
        "train/photos/1.png": ("photos", "train"),
        "train/sketch/2.png": ("sketch", "train"),
        "test/photos/3.png": ("photos", "test"),
    },
    "a class called as its part is": {
        "train/train/1.png": ("train", "train"),
        "test/test/2.png": ("test", "test"),
        "test/car/3.png": ("car", "test"),
    },
    "two domains": {
        "trainA/1.png": ("A", "train"),
        "trainB/2.png": ("B", "train"),
        "testA/3.png": ("A", "test"),
        "testB/4.png": ("B", "test"),
    },
    "domains spelt otherwise": {
        "horse_train/1.png": ("horse", "train"),
        "zebra_train/2.png": ("zebra", "train"),
        "Horse_test/3.png": ("horse", "test"),
    },
    "a domain with a folder": {
        "a2b/trainA/x/1.png": ("A", "train"),
        "a2b/trainB/x/2.png": ("B", "train"),
        "a2b/testA/x/3.png": ("A", "test"),
    },
    "parts in the classes": {
        "cat/train/1.png": ("cat", "train"),
        "cat/test/2.png": ("cat", "test"),
        "dog/train/x/3.png": ("dog", "train"),
        "dog/4.png": ("dog", None),
    },
    "one part": {"train/cat/1.png": ("cat", "train"), "train/dog/2.png": ("dog", "train")},
    "a name within a part": {"test/train/cat/1.png": ("cat", "train"), "test/val/dog/2.png": ("dog", "val")},
    "pictures beside": {"train/cat/1.png": ("cat", "train"), "test/cat/2.png": ("cat", "test"), "3.png": (None, None)},
    "a class called test": {"cat/1.png": ("cat", None), "dog/2.png": ("dog", None), "test/3.png": ("test", None)},
    "a class called train": {"bus/1.png": ("bus", None), "car/2.png": ("car", None), "train/3.png": ("train", None)},
    "classes with such words": {"test_tube/1.png": ("test_tube", None), "train_station/2.png": ("train_station", None)},
    "classes with such a folder": {"cat/train/1.png": ("cat", None), "cat/test/2.png": ("cat", None), "dog/3.png": ("dog", None)},
}
UNDECIDED = {
    "parts beside another": (["train/cat/1.png", "test/cat/2.png", "extra/3.png"], "test, train", "extra"),
    "classes with two such": (["bus/1.png", "car/2.png", "train/3.png", "test/4.png"], "test, train", "bus, car"),
    "a part twice": (["train/1.png", "test/2.png", "test_hard/3.png"], "test, train", "test_hard"),
    "domains beside another": (["trainA/1.png", "testA/2.png", "trainB/3.png", "testB/4.png", "raw/5.png"], "testA, testB", "raw"),
    "in each class": (["a/train/1.png", "a/test/2.png", "a/masks/3.png", "b/train/4.png", "b/test/5.png"], "a/test, a/train", "a/masks"),
}  # fmt: skip


def lay(kind: str, files: dict[str, bytes], where: Path) -> Path:
    """The files as a folder, a zip, or a packed tar."""
    if kind == "folder":
        for name, content in files.items():
            (where / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            (where / "set" / name).write_bytes(content)
        return where / "set"
    path = where / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as out:
            for name, content in files.items():
                out.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as out:
            for name, content in files.items():
                header = tarfile.TarInfo(f"./{name}")
                header.size = len(content)
                out.addfile(header, io.BytesIO(content))
    return path


def found(source, path: Path, **config) -> dict:
    """File -> (class, part) of every input."""
    rows = {}
    for block in source.blocks(source.Config(**config), path):
        assert block.parts is None or len(block.parts) == len(block.names)
        rows |= dict(zip(block.names, zip(block.classes, block.parts or [None] * len(block.names))))
    return rows


KINDS = {"folder": folder, "zip": archive, "tgz": archive}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_give_classes_and_parts(layout, kind, tmp_path):
    expected = LAYOUTS[layout]
    path = lay(kind, dict.fromkeys(expected, b"picture"), tmp_path)
    tops = {name.partition("/")[0] for name in expected}
    cut = f"{tops.pop()}/" if kind != "folder" and len(tops) == 1 else ""
    assert found(KINDS[kind], path) == {name.removeprefix(cut): one for name, one in expected.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", UNDECIDED)
def test_what_cannot_be_decided_is_said_with_the_way_out(layout, kind, tmp_path):
    names, some, others = UNDECIDED[layout]
    path = lay(kind, dict.fromkeys(names, b"picture"), tmp_path)
    with pytest.raises(ValueError) as error:
        found(KINDS[kind], path)
    for words in (str(path), some, f"beside {others}", "splits: true", "splits: false"):
        assert words in str(error.value)
    as_classes, as_parts = (found(KINDS[kind], path, splits=splits) for splits in (False, True))
    assert {part for _, part in as_classes.values()} == {None} and {"train", "test"} <= {part for _, part in as_parts.values()}


def test_splits_true_without_such_folders_is_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="has no folders called train, val or test"):
        found(folder, lay("folder", {"cat/1.png": b"", "dog/2.png": b""}, tmp_path), splits=True)


def test_folders_that_hold_nothing_count_for_nothing(tmp_path):
    path = lay("folder", {"train/cat/1.png": b"", "test/cat/2.png": b"", ".cache/x": b"", "extra/.DS_Store": b""}, tmp_path)
    (path / "empty").mkdir()
    assert set(found(folder, path).values()) == {("cat", "train"), ("cat", "test")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", ["labels.csv", "metadata.jsonl"])
def test_a_split_column_gives_parts_and_is_no_label(table, kind, tmp_path):
    rows = [("a/1.png", "cat", "train"), ("a/2.png", "dog", "Validation"), ("b/3.png", "cat", "testing"), ("b/4.png", "dog", "")]

    def content(columns: dict[str, int]) -> bytes:
        if table.endswith("csv"):
            return "\n".join(",".join(line) for line in [columns, *([row[n] for n in columns.values()] for row in rows)]).encode()
        return b"\n".join(json.dumps({name: row[n] for name, n in columns.items()}).encode() for row in rows)

    files = {row[0]: b"picture" for row in rows}
    parts = ["train", "val", "test", None]
    whole = lay(kind, files | {table: content({"file": 0, "label": 1, "split": 2})}, tmp_path)
    assert list(found(KINDS[kind], whole).values()) == list(zip(["cat", "dog", "cat", "dog"], parts))
    (tmp_path / "alone").mkdir()
    alone = lay(kind, files | {table: content({"file": 0, "Subset": 2})}, tmp_path / "alone")
    assert list(found(KINDS[kind], alone).values()) == list(zip("aabb", parts)), "the folders are the classes"
    (tmp_path / "other").mkdir()
    other = lay(kind, files | {table: content({"file": 0, "set": 1})}, tmp_path / "other")
    assert list(found(KINDS[kind], other).values()) == [(name, None) for name in ["cat", "dog", "cat", "dog"]], "names no part"


@pytest.mark.parametrize("kind", KINDS)
def test_a_labels_file_may_lie_in_each_part(kind, tmp_path):
    """As Hugging Face's imagefolder has it."""
    files = {}
    for part in ("train", "test"):
        files |= {f"{part}/x/{n}.png": b"picture" for n in range(2)}
        lines = [json.dumps({"file_name": f"x/{n}.png", "label": n}) for n in range(3)]
        files[f"{part}/metadata.jsonl"] = "\n".join(lines).encode()
    expected = {f"{part}/x/{n}.png": (str(n), part) for part in ("train", "test") for n in range(3)}
    path = lay(kind, files, tmp_path)
    assert found(KINDS[kind], path) == {name: one if "2" not in name else (one[0], None) for name, one in expected.items()}


def test_a_file_of_two_parts_in_a_table_is_a_sentence(tmp_path):
    path = lay("folder", {"1.png": b"", "labels.csv": b"file,label,split\n1.png,a,train\n1.png,a,test"}, tmp_path)
    with pytest.raises(ValueError, match="line 3: 1.png is of the part test here and of train before; list it once"):
        found(folder, path)


@pytest.mark.parametrize(
    ("name", "part"),
    [("train", "train"), ("t10k", "test"), ("emnist-letters-test", "test"), ("qmnist-train", "train"), ("mine", None)],
)
def test_idx_files_are_parts_by_their_names(name, part, tmp_path):
    (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 3, 2, 2) + bytes(12))
    assert {one for _, one in found(idx, tmp_path).values()} == {part}


def test_arrays_are_parts_by_their_names(tmp_path):
    array, labels = np.zeros((2, 4, 4), np.uint8), np.arange(2)
    np.savez(tmp_path / "keras.npz", x_train=array, y_train=labels, x_test=array, y_test=labels)
    assert [part for _, part in found(npy, tmp_path / "keras.npz").values()] == ["train", "train", "test", "test"]
    np.savez(tmp_path / "other.npz", train_images=array, valid_images=array, valid_labels=labels)
    assert [part for _, part in found(npy, tmp_path / "other.npz").values()] == ["train", "train", "val", "val"]
    np.savez(tmp_path / "plain.npz", images=array, labels=labels)
    assert {part for _, part in found(npy, tmp_path / "plain.npz").values()} == {None}


def pickled(batch: dict) -> bytes:
    """As Python 2 wrote CIFAR's batches, by hand: this project writes no pickles."""

    def string(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    count, data = len(batch["labels"]), batch["data"]
    array = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\0\x85" + string(b"b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\0K\1\x87R" + b"(K\3" + string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    shape = b"K" + bytes([count]) + b"M" + struct.pack("<H", 3072) + b"\x86"
    state = b"(K\1" + shape + dtype + b"\x89" + b"T" + struct.pack("<I", len(data)) + data + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in batch["labels"]) + b"e"
    return b"\x80\2}(" + string(b"data") + array + state + string(b"labels") + listed + b"u."


def test_cifars_batches_are_parts(tmp_path):
    where = tmp_path / "cifar-10-batches-py"
    where.mkdir()
    for name in ("data_batch_1", "test_batch"):
        (where / name).write_bytes(pickled({"data": bytes(2 * 3072), "labels": [3, 5]}))
    assert found(cifar, tmp_path) == {
        "data_batch_1#0": ("3", "train"), "data_batch_1#1": ("5", "train"), "test_batch#0": ("3", "test"), "test_batch#1": ("5", "test"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train-00000-of-00002.parquet", "train"), ("data/validation-00000-of-00001.parquet", "val"), ("test/0000.parquet", "test"),
        ("train/test-0.parquet", "test"), ("latest.parquet", None),
    ],
)  # fmt: skip
def test_parquet_files_are_parts_by_their_names_and_folders(name, part, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": [b"picture"] * 2, "label": ["a", "b"]}), tmp_path / name)
    assert set(found(parquet, tmp_path).values()) == {("a", part), ("b", part)}


def test_a_split_column_of_parquet_says_more_than_the_files_name(tmp_path):
    table = pa.table({"image": [b"picture"] * 3, "split": ["train", "test", None], "usage": ["Test", "train", "val"]})
    pq.write_table(table, tmp_path / "test.parquet")
    assert [part for _, part in found(parquet, tmp_path).values()] == ["train", "test", "test"]
    assert [part for _, part in found(parquet, tmp_path, split="usage").values()] == ["test", "train", "val"]
    features = {"split": {"_type": "ClassLabel", "names": ["test", "train"]}}
    table = pa.table({"split": [1, 0], "image": [b"picture"] * 2}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(table, tmp_path / "numbers.parquet")
    assert list(found(parquet, tmp_path / "numbers.parquet").values()) == [(None, "train"), (None, "test")]
    (block,) = parquet.blocks(parquet.Config(split="sets"), tmp_path / "numbers.parquet")
    assert isinstance(block.contents[0], _inputs.Refusal) and "no such column 'sets'" in block.contents[0].reason


def test_a_held_out_image_comes_before_its_equals_and_those_that_look_alike():
    content = np.random.default_rng(0).integers(0, 2**64, (40, 2), np.uint64)
    content[20:30] = content[:10]  # equal, the copies held out
    hashes = np.random.default_rng(1).integers(0, 2**64, 40, np.uint64)
    hashes[30:35] = hashes[20:30:2] = hashes[:10:2]
    hashes[35:] = hashes[15:20] ^ np.uint64(1)
    heldout = np.arange(40) // 10 == 2
    heldout[35:] = True
    chosen = selection.select(selection.Fingerprints(content, hashes, np.zeros((40, 4), np.uint8)), heldout, 2)
    assert (chosen.twin[:10] == np.arange(20, 30)).all() and (chosen.twin[20:30] == -1).all()
    assert (chosen.twin[30:35] == np.arange(20, 30, 2)).all() and (chosen.twin[15:20] == np.arange(35, 40)).all()
    assert not chosen.near[:10].any() and chosen.near[30:35].all()


def noise(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (12, 12)).astype(np.uint8))


def project(where: Path, **changes: object) -> Path:
    """20 train pictures, 8 of val and 8 of test, in two classes; two of train are test's own, one of val is."""
    for part, numbers in {"train": range(20), "val": range(20, 28), "test": range(28, 36)}.items():
        for number in numbers:
            path = where / "data/mine" / part / str(number % 2) / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise({3: 29, 4: 28, 20: 30}.get(number, number)).save(path)
    changes = {"prepare.heldout": "published", "prepare.min_images": 10, "prepare.min_class_images": 2, **changes}
    small.write_params(where, {"prepare.resolution": 8, "machine.workers": 1, "prepare.source.path": "data/mine", **changes})
    return where


def rows(where: Path) -> pd.DataFrame:
    return pd.read_parquet(where / "artifacts/prepare/manifest.parquet").set_index("path")


def test_the_published_test_part_is_held_out_whole_and_nothing_of_it_is_trained_on(tmp_path):
    small.run_stages(project(tmp_path), "prepare")
    found, card = rows(tmp_path), json.loads((tmp_path / "artifacts/prepare/card.json").read_text())
    assert card["classes"] == ["0", "1"] and card["heldout"] == "the published test part"
    assert found["published"].value_counts().to_dict() == {"train": 20, "val": 8, "test": 8}
    assert set(found.index[found["split"] == "heldout"]) == {f"test/{n % 2}/{n}.png" for n in range(28, 36)}
    assert set(found["published"][found["split"] == "train"]) == {"train"} and (found["split"] == "train").sum() == 18
    assert found.loc["train/1/03.png", "reason"] == "has the pixels of test/1/29.png, which is held out: it would leak"
    aside = found[found["published"] == "val"]
    assert set(aside["reason"]) == {"is of the published val part: neither trained on nor held out, where test is"}
    said = json.loads((tmp_path / "artifacts/prepare/report.json").read_text())
    assert said["published"] == [
        {"part": "train", "train": 18, "heldout": 0, "set_aside": 2}, {"part": "val", "train": 0, "heldout": 0, "set_aside": 8},
        {"part": "test", "train": 0, "heldout": 8, "set_aside": 0},
    ]  # fmt: skip
    assert said["twins"]["set_aside"] == 2 and {kind["kind"] for kind in said["set_aside"]} <= set(report.KINDS)
    page = (tmp_path / "artifacts/prepare/report.html").read_text("utf-8")
    assert "As published" in page and "2 inputs would have leaked" in page


def test_a_share_pools_the_parts_and_the_report_says_so(tmp_path):
    small.run_stages(project(tmp_path, **{"prepare.heldout": 0.4}), "prepare")
    found = rows(tmp_path)
    kept = found[found["verdict"] == "kept"]
    assert len(kept) == 33 and set(kept["published"][kept["split"] == "train"]) == {"train", "val", "test"}
    assert "prepare.heldout: published keeps the published test part apart" in (tmp_path / "artifacts/prepare/report.html").read_text(
        "utf-8"
    )


@pytest.mark.parametrize(
    ("gone", "heldout", "sentence"),
    [
        ([], "test", ""),
        (["test"], "val", ""),
        (["test", "val"], None, "data/mine have train: set it to a share, as in 0.2"),
        (["train"], None, "data/mine have test and val"),
    ],
)
def test_val_is_held_out_where_there_is_no_test_and_published_is_refused_where_nothing_is(gone, heldout, sentence, tmp_path):
    project(tmp_path, **{"prepare.min_class_images": 0})
    for part in gone:
        shutil.rmtree(tmp_path / "data/mine" / part)
    if heldout:
        small.run_stages(tmp_path, "prepare")
        assert set(rows(tmp_path).query("split == 'heldout'")["published"]) == {heldout}
    else:
        code, said = small.run_stage(tmp_path, "prepare")
        assert code and sentence in said and "prepare.heldout is published" in said


@pytest.mark.parametrize("value", ["publish", 0, 0.9, True, None])
def test_what_heldout_cannot_be_is_a_sentence(value, tmp_path):
    code, said = small.run_stage(project(tmp_path, **{"prepare.heldout": value}), "prepare")
    assert code and "prepare.heldout is" in said and "must be a share above 0 and below 0.9, or published" in said
