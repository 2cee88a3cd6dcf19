"""Prepare on what people really have: every input gets a row, nothing is lost, poor sets are refused with a sentence."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator

import ending_decoders
import numpy as np
import pandas as pd
import pytest
import small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from patience import patient, wait_for
from PIL import Image
from pipeline_project import processes_in

from gan import dataset, images
from gan.sources import _inputs
from stages import params, prepare
from stages.preparation import decoding, executors

SETTINGS = {
    "prepare.resolution": 8, "prepare.min_images": 10, "prepare.max_set_aside": 0.5, "prepare.min_class_images": 0,
    "machine.workers": 1,
}  # fmt: skip


def noise(number: int, size: tuple[int, int] = (12, 12), mode: str = "L") -> Image.Image:
    bands = Image.new(mode, (1, 1)).getbands()
    array = np.random.default_rng(number).integers(0, 256, (size[1], size[0], len(bands)))
    return Image.fromarray(array.astype(np.uint8).squeeze(), mode if len(bands) > 1 else None)


def project(folder, count: int = 30, classes: int = 2, **changes: object):
    """A project whose data folder holds `count` images in `classes` classes."""
    (folder / "data/mine").mkdir(parents=True, exist_ok=True)
    small.write_params(folder, {**SETTINGS, "prepare.source.path": "data/mine", **changes})
    for number in range(count):
        path = folder / "data/mine" / (str(number % classes) if classes else "") / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(number).save(path)
    return folder


def manifest(folder) -> pd.DataFrame:
    return pd.read_parquet(folder / "artifacts/prepare/manifest.parquet")


def card(folder) -> dict:
    return json.loads((folder / "artifacts/prepare/card.json").read_text())


def stored(folder, row: dict) -> np.ndarray:
    """The prepared pixels that a row of the manifest names."""
    return np.load(folder / "artifacts/prepare" / row["shard"])[row["index"]]


def check_sums(folder, count: int) -> pd.DataFrame:
    """Every input has a row, and what the rows say adds up to what the card and the shards say."""
    rows, counts = manifest(folder), card(folder)["counts"]
    kept, aside = rows[rows["verdict"] == "kept"], rows[rows["verdict"] == "set aside"]
    assert len(rows) == count == counts["inputs"] == counts["kept"] + counts["set_aside"]
    assert len(kept) == counts["kept"] == counts["train"] + counts["heldout"] and len(aside) == counts["set_aside"]
    assert kept["reason"].isna().all() and aside["reason"].str.len().gt(5).all()
    assert aside["split"].isna().all() and (aside["index"] == -1).all()
    for split in dataset.SPLITS:
        data = dataset.read(folder / "artifacts/prepare", split, card(folder)["classes"])
        assert len(data) == counts[split] == (kept["split"] == split).sum()
    assert not kept.duplicated(["shard", "index"]).any()
    return rows


def test_captions_are_no_classes_and_the_report_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project(tmp_path, classes=0))
    rows = [{"file_name": f"{number:03d}.png", "text": f"picture {number}"} for number in range(29)]
    (tmp_path / "data/mine/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare.main()
    assert len(check_sums(tmp_path, 30)) == card(tmp_path)["counts"]["kept"] and card(tmp_path)["classes"] == []
    (note,) = card(tmp_path)["notes"]
    assert note.startswith("29 different labels of 29 images, such as 'picture 0', are captions, ids or measurements, so there are no")
    assert json.loads((tmp_path / "artifacts/prepare/report.json").read_text())["notes"] == [note]
    assert "are captions, ids or measurements" in (tmp_path / "artifacts/prepare/report.html").read_text()
    assert f"prepare: {note}" in capsys.readouterr().out
    named = {"path": "data/mine", "name": "folder", "label": "text"}
    small.write_params(tmp_path, {**SETTINGS, "prepare.source": named, "prepare.min_class_images": 1})
    with pytest.raises(ValueError, match="with fewer training images than prepare.min_class_images 1: picture "):
        prepare.main()


def test_folders_that_were_taken_for_published_parts_are_said_to_be(tmp_path, monkeypatch):
    """train tube and test tube may be what is in the pictures."""
    monkeypatch.chdir(project(tmp_path, classes=2))
    for number, name in enumerate(("train tube", "test tube")):
        (tmp_path / f"data/mine/{number}").rename(tmp_path / f"data/mine/{name}")
    prepare.main()
    (note,) = card(tmp_path)["notes"]
    assert note.startswith("train (15 images) and test (15 images) are taken for published parts, by the names of folders or by a column; ")
    assert note.endswith("set prepare.source.splits: false") and card(tmp_path)["classes"] == []
    for splits, classes in ((False, ["test tube", "train tube"]), (True, [])):
        small.write_params(tmp_path, {**SETTINGS, "prepare.source": {"path": "data/mine", "name": "folder", "splits": splits}})
        prepare.main()
        assert card(tmp_path)["classes"] == classes and "notes" not in card(tmp_path)


def test_a_table_of_another_name_is_said_not_to_give_the_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path, classes=0))
    (tmp_path / "data/mine/annotations.csv").write_text("file,label\n000.png,cat\n")
    (tmp_path / "data/mine/README.txt").write_text("no picture, no table")
    prepare.main()
    (note,) = card(tmp_path)["notes"]
    assert note.startswith(
        "there are no classes, but annotations.csv beside the pictures: if they are to be given by it, make it one of labels.csv,"
    )
    (tmp_path / "data/mine/annotations.csv").write_text("".join(f"{number:03d}.png,{number % 2}\n" for number in range(30)))
    (tmp_path / "data/mine/annotations.csv").rename(tmp_path / "data/mine/labels.csv")
    with pytest.raises(ValueError, match="its columns .* do not tell which is the file"):
        prepare.main()


def test_arrays_that_may_be_labels_are_named_in_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path, 0, **{"prepare.source.path": "data/set.npz"}))
    kinds = np.arange(30) % 2
    arrays = np.random.default_rng(0).integers(0, 256, (30, 12, 12), np.uint8)
    np.savez(tmp_path / "data/set.npz", images=arrays, breed=kinds, colour=1 - kinds)
    prepare.main()
    assert card(tmp_path)["classes"] == [] and card(tmp_path)["notes"][0].startswith("no array gives images classes, not breed, colour")
    small.write_params(tmp_path, {**SETTINGS, "prepare.source": {"path": "data/set.npz", "name": "npy", "label": "breed"}})
    prepare.main()
    assert card(tmp_path)["classes"] == ["0", "1"] and "notes" not in card(tmp_path)


def test_prepared_images_are_the_files_pixels(tmp_path):
    """At the files' own size nothing is resized: the shards hold the pixels of the rows they belong to."""
    project(tmp_path, **{"prepare.resolution": 12, "prepare.shard_mb": 0.001})
    small.run_stages(tmp_path, "prepare")
    rows = check_sums(tmp_path, 30)
    assert not {"lowest", "highest"} & set(rows) and not {"levels", "range"} & {*card(tmp_path), *card(tmp_path)["form"]}
    assert rows["shard"].nunique() > 4
    splits = {name: dataset.read(tmp_path / "artifacts/prepare", name, ["0", "1"]) for name in dataset.SPLITS}
    seen = {split: {data.pixels(np.array([n])).tobytes(): data.labels[n] for n in range(len(data))} for split, data in splits.items()}
    for row in rows.to_dict("records"):
        pixels = np.asarray(Image.open(tmp_path / "data/mine" / row["path"]))
        assert (stored(tmp_path, row)[0] == pixels).all()
        assert seen[row["split"]][pixels.tobytes()] == int(row["class"]) == row["label"]


def test_odd_files_are_set_aside_with_a_reason_and_odd_images_are_kept(tmp_path):
    project(tmp_path)
    data = tmp_path / "data/mine/0"
    buffer = io.BytesIO()
    noise(99, (64, 64), "RGB").save(buffer, "JPEG")
    (data / "truncated.jpg").write_bytes(buffer.getvalue()[:-200])
    (data / "text.png").write_text("not an image")
    (data / "empty.png").write_bytes(b"")
    (data / "jpeg called.png").write_bytes(buffer.getvalue())
    noise(104, (4, 40)).save(data / "small.png")
    noise(100).save(tmp_path / "data/mine/outside.png")
    os.mkfifo(data / "pipe.png")
    os.symlink("nowhere", data / "broken link.png")
    noise(105).save(tmp_path / "elsewhere.png")
    os.symlink(tmp_path / "elsewhere.png", data / "link.png")
    noise(106).save(os.fsencode(data) + b"/\xff\xfe no utf-8.png", "PNG")
    noise(107).save(data / "line\nbreak \u4e2d\u6587 <b>.png")
    for mode in ("RGB", "RGBA", "LA", "CMYK", "YCbCr"):
        noise(101, (20, 9), mode).save(data / f"{mode}.tif" if mode in ("CMYK", "YCbCr") else data / f"{mode}.png")
    noise(102, (9, 20), "RGB").quantize(16).save(data / "palette.gif")
    small.run_stages(tmp_path, "prepare")
    rows = check_sums(tmp_path, 30 + 9 + 2 + 6).set_index("path")
    aside = rows[rows["verdict"] == "set aside"]["reason"]
    assert sorted(aside.index) == [
        "0/broken link.png", "0/empty.png", "0/pipe.png", "0/small.png", "0/text.png", "0/truncated.jpg", "outside.png",
    ]  # fmt: skip
    assert aside["0/pipe.png"] == "is no regular file" and aside["0/broken link.png"].startswith("cannot be read: No such file")
    assert aside["0/empty.png"] == "is empty" and aside["0/small.png"] == "is too small: 4×40 is under prepare.min_side 8"
    assert aside["outside.png"] == "has no class, where others have one"
    assert rows.loc["0/jpeg called.png", "mode"] == "RGB" and "0/\\udcff\\udcfe no utf-8.png" in rows.index


def big_tiff(width: int, height: int) -> bytes:
    """A BigTIFF, whose sizes have 64 bits, that claims a size and holds nothing."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 16, 277: 1, 278: height, 279: 4}
    entries = b"".join(struct.pack("<HHQQ", tag, 16, 1, value) for tag, value in tags.items())
    return b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, len(tags)) + entries + bytes(8)


def animated(frames: int) -> bytes:
    """A PNG that claims so many frames."""
    noise(200).save(buffer := io.BytesIO(), "PNG")
    control = b"acTL" + struct.pack(">II", frames, 0)
    return buffer.getvalue()[:33] + struct.pack(">I", 8) + control + struct.pack(">I", zlib.crc32(control)) + buffer.getvalue()[33:]


def test_no_claim_of_a_header_ends_the_stage(tmp_path):
    """Sizes and frames that no number of the manifest holds: a picture each, set aside or kept without them. And what is known
    by its name alone is so the second time too."""
    project(tmp_path, classes=0)
    wide = {
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 2**31, 9, 8, 2, 0, 0, 0) + bytes(4),
        "qoi": b"qoif" + struct.pack(">IIBB", 2**32 - 1, 9, 3, 0) + bytes(20), "pgm": b"P5 9999999999 9 255\n" + bytes(20),
        "tiff": big_tiff(2**63 + 5, 9), "big.tiff": big_tiff(2**64 - 1, 2**64 - 1),
    }  # fmt: skip
    for name, content in (wide | {"frames.png": animated(2**31)}).items():
        (tmp_path / f"data/mine/wide.{name}").write_bytes(content)
    noise(300).save(targa := tmp_path / "data/mine/a.tga")
    shutil.copy(targa, tmp_path / "data/mine/a.bin")
    for _ in range(2):  # decoded, and remembered
        small.run_stages(tmp_path, "prepare")
        rows = check_sums(tmp_path, 30 + 8).set_index("path")
        assert rows.loc["a.tga", "verdict"] == "kept" and rows.loc["a.bin", "reason"].startswith("cannot be decoded: it is no picture")
        assert rows.loc["wide.frames.png", ["verdict", "frames"]].tolist() == ["kept", -1]
        for name in wide:
            found = rows.loc[f"wide.{name}"]
            assert found["width"] == -1 and found["reason"].startswith("is too large") or name == "png" and found["reason"], name
        assert rows.loc["wide.pgm", "reason"] == "is too large: 9999999999×9 is more than prepare.max_pixels 100000000"


def test_a_number_of_a_header_is_kept_up_to_the_largest_that_a_row_holds():
    largest = np.iinfo(np.int32).max
    assert [decoding._fact(value) for value in (-2, -1, 0, largest, largest + 1, 2**63)] == [-1, -1, 0, largest, -1, -1]


def test_what_a_source_tells_of_an_input_ends_nothing(tmp_path):
    """A tar may claim 2**88 bytes, an error may quote a name that is no text, a class may be a number of any length."""
    block = _inputs.Pictures(["a\udcff"], ["9" * 5000], [_inputs.Refusal("is odd: \udcff", 2**88)])
    small.write_params(tmp_path, SETTINGS)
    config = params.load(tmp_path / "params.yaml").prepare
    found = decoding.decode(decoding.Job(config.form, ""), block)
    assert found.columns["path"] == ["a\\udcff"] and found.columns["reason"] == ["is odd: \\udcff"] and found.columns["bytes"] == [-1]
    assert prepare._sorted(dict.fromkeys(["9" * 5000, "10", "9"])) == ["10", "9", "9" * 5000]
    assert prepare._sorted(dict.fromkeys(["10", "9"])) == ["9", "10"]


def test_one_class_is_none(tmp_path):
    project(tmp_path, classes=1)
    noise(50).save(tmp_path / "data/mine/outside.png")
    small.run_stages(tmp_path, "prepare")
    rows = check_sums(tmp_path, 31)
    assert card(tmp_path)["classes"] == [] and (rows["verdict"] == "kept").all() and (rows["label"] == -1).all()


def test_duplicates_are_set_aside_with_the_twin_named(tmp_path):
    project(tmp_path, **{"prepare.near_duplicates": 3, "prepare.resolution": 16})
    smooth = noise(7, (5, 5)).resize((40, 40), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "data/mine/0/smooth.png")
    Image.fromarray(np.asarray(smooth) // 2 * 2).save(tmp_path / "data/mine/0/smooth again.png")
    Image.open(tmp_path / "data/mine/0/000.png").save(tmp_path / "data/mine/1/copy.bmp")
    small.run_stages(tmp_path, "prepare")
    rows = check_sums(tmp_path, 33).set_index("path")
    assert rows.loc["1/copy.bmp", "reason"] == "has the pixels of 0/000.png, which is of class 0"
    assert rows.loc["1/copy.bmp", "twin"] == "0/000.png"
    aside = rows[rows["verdict"] == "set aside"].drop("1/copy.bmp")
    (twins,) = [{path, row["twin"]} for path, row in aside.iterrows()]
    assert twins == {"0/smooth.png", "0/smooth again.png"} and "is a near duplicate of 0/smooth" in aside["reason"].iloc[0]


def test_a_near_duplicate_in_the_other_split_is_named_a_leak(tmp_path):
    """Twins whose contents fall to different splits are found by trying."""
    project(tmp_path, **{"prepare.near_duplicates": 3, "prepare.heldout": 0.5})
    for seed in range(8):
        smooth = np.asarray(noise(seed, (5, 5)).resize((40, 40), Image.Resampling.BICUBIC))
        for twin in range(2):
            Image.fromarray(smooth // (twin + 1) * (twin + 1)).save(tmp_path / f"data/mine/0/twin{seed}{twin}.png")
    small.run_stages(tmp_path, "prepare")
    rows = check_sums(tmp_path, 46).set_index("path")
    leaks = rows[rows["reason"].fillna("").str.contains("it would leak")]
    assert 0 < len(leaks) < 8
    for _, row in leaks.iterrows():
        assert ("held out" if rows.loc[row["twin"], "split"] == "heldout" else "trained on") in row["reason"]


@pytest.mark.parametrize(
    ("count", "changes", "sentence"),
    [
        (0, {}, "data/mine holds 0 usable images in 0 inputs; prepare.min_images is 10"),
        (1, {}, "data/mine holds 1 usable images in 1 inputs; prepare.min_images is 10"),
        (30, {"prepare.source.path": "data/other"}, "data/other does not exist"),
        (30, {"prepare.resolutoin": 8}, "did you mean 'resolution'"),
        (30, {"prepare.min_class_images": 20}, "fewer training images than prepare.min_class_images 20: 0 has 1"),
        (30, {"prepare.alpha": "keep"}, "keep goes with 4"),
        (30, {"prepare.alpha": "blak"}, "a colour that transparent pictures are laid on"),
        (30, {"prepare.source": {"path": "data/mine", "name": "foldr"}}, "did you mean 'folder'"),
        (30, {"prepare.source": {"path": "data/mine", "name": "folder", "sed": 1}}, "sed is no key"),
        (30, {"prepare.source": {"path": "../mine"}}, "write it without .."),
        (30, {"machine.prepare.executor": "dask"}, "executor dask needs an address"),
    ],
)
def test_poor_input_is_refused_with_a_sentence(count, changes, sentence, tmp_path):
    code, said = small.run_stage(project(tmp_path, count, **changes), "prepare")
    assert code in (1, 2) and sentence in said
    assert not (tmp_path / "artifacts/prepare/card.json").exists()


def deep_project(folder, top: int, **changes: object):
    """Thirty pictures of 16 bits a level, from 0 to `top`."""
    project(folder, 0, **changes)
    for number in range(30):
        array = np.random.default_rng(number).integers(0, top + 1, (12, 12)).astype(np.uint16)
        array[0, 0], array[0, 1] = 0, top
        Image.fromarray(array).save(folder / f"data/mine/{number}.png")
    return folder


def test_what_became_of_more_than_eight_bits_stands_in_manifest_card_and_report(tmp_path):
    deep_project(tmp_path, 1000, **{"prepare.range": [0, 4095]})
    Image.fromarray(np.full((12, 12), 4095, np.uint16) + np.arange(12, dtype=np.uint16)).save(tmp_path / "data/mine/beyond.png")
    for _ in range(2):  # decoded, and remembered
        small.run_stages(tmp_path, "prepare")
        rows = check_sums(tmp_path, 31).set_index("path")
        assert rows.loc["7.png", ["lowest", "highest"]].tolist() == [0, 1000]
        assert rows.loc["beyond.png", ["lowest", "highest"]].tolist() == [4095, 4106]
        assert card(tmp_path)["form"]["range"] == [0, 4095]
    assert rows.loc["beyond.png", "reason"].startswith("has levels from 4095 to 4106, and comes out all white")
    (tmp_path / "data/mine/beyond.png").unlink()
    deep_project(tmp_path, 1000, **{"prepare.range": [0, 990]})
    small.run_stages(tmp_path, "prepare")
    assert card(tmp_path)["levels"] == {"count": 30, "lowest": 0, "highest": 1000, "clipped": 30}
    assert max(int(pixels.max()) for pixels in (stored(tmp_path, row) for row in manifest(tmp_path).to_dict("records"))) > 200
    page = (tmp_path / "artifacts/prepare/report.html").read_text()
    assert "30 inputs have more than 8 bits, with levels from 0 to 1000" in page and "beyond prepare.range, which were cut off" in page


def test_a_set_that_would_come_out_black_or_white_is_refused_with_the_range_that_was_found(tmp_path):
    code, said = small.run_stage(deep_project(tmp_path, 4095), "prepare")
    assert code == 1 and "hold levels from 0 to 4095 in all (prepare.range)" in said and "name the levels that are black" in said
    code, said = small.run_stage(deep_project(tmp_path, 4095, **{"prepare.range": [0, 65535]}), "prepare")
    assert code == 1 and "30 different images of data/mine come out black: their levels reach from 0 to 16 of 255" in said
    assert "hold levels from 0 to 4095 in all (prepare.range)" in said
    shutil.rmtree(tmp_path / "data/mine")
    project(tmp_path, 0)
    for number in range(30):
        Image.fromarray(np.asarray(noise(number)) // 16 + np.uint8(240)).save(tmp_path / f"data/mine/{number}.png")
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 1 and "come out white: their levels reach from 2" in said and "more than 8 bits hold" not in said


def test_black_shapes_need_a_ground_that_is_not_black_or_their_alpha(tmp_path):
    project(tmp_path, 0)
    for number in range(30):
        shape = np.zeros((12, 12, 4), np.uint8)
        shape[..., 3] = np.asarray(noise(number))
        Image.fromarray(shape).save(tmp_path / f"data/mine/{number}.png")
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 1 and "come out black" in said and "black shapes need another prepare.alpha" in said
    project(tmp_path, 0, **{"prepare.channels": 4, "prepare.alpha": "keep"})
    small.run_stages(tmp_path, "prepare")
    check_sums(tmp_path, 30)


@pytest.mark.slow
def test_a_dask_scheduler_that_does_not_answer_is_named_and_may_be_tried_again(tmp_path):
    dask = {"executor": "dask", "address": "tcp://127.0.0.1:1"}
    code, said = small.run_stage(project(tmp_path, 30, **{"machine.prepare": dask}), "prepare")
    assert code == 75 and "machine.prepare.address is tcp://127.0.0.1:1, where no Dask scheduler answers" in said
    assert not (tmp_path / "artifacts/prepare/card.json").exists()


def test_too_many_bad_files_are_refused(tmp_path):
    project(tmp_path, **{"prepare.max_set_aside": 0.1})
    for number in range(10):
        (tmp_path / f"data/mine/0/bad{number}.png").write_text("x")
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 1 and "10 of 40 inputs" in said and "0/bad0.png cannot be decoded" in said


def test_prepare_gives_the_same_bytes_again_and_with_other_workers(tmp_path):
    project(tmp_path, **{"machine.workers": 1})
    small.run_stages(tmp_path, "prepare")
    first = small.contents(tmp_path / "artifacts/prepare")
    small.write_params(tmp_path, {**SETTINGS, "prepare.source.path": "data/mine", "machine.workers": 4})
    small.run_stages(tmp_path, "prepare")
    assert small.contents(tmp_path / "artifacts/prepare") == first


def test_a_set_that_grew_gets_the_bytes_of_one_prepared_from_scratch(tmp_path):
    """Nothing is decoded twice, no other image moves, and who looks at the bytes cannot tell."""
    project(tmp_path / "grown", 30)
    small.run_stages(tmp_path / "grown", "prepare")
    before = manifest(tmp_path / "grown").set_index("path")["split"]
    decoded = []
    for folder in ("grown", "scratch"):
        project(tmp_path / folder, 40)
        with pytest.MonkeyPatch.context() as patch:
            real = decoding.pictures.decode
            patch.setattr(decoding.pictures, "decode", lambda *given: (decoded.append(folder), real(*given))[1])  # noqa: B023
            small.run_stages(tmp_path / folder, "prepare")
    assert (decoded.count("grown"), decoded.count("scratch")) == (10, 40)
    assert small.contents(tmp_path / "grown/artifacts") == small.contents(tmp_path / "scratch/artifacts")
    assert (manifest(tmp_path / "grown").set_index("path")["split"][before.index] == before).all()


def test_kept_pixels_that_were_damaged_are_found_out_and_the_same_command_mends(tmp_path):
    project(tmp_path)
    small.run_stages(tmp_path, "prepare")
    first = small.contents(tmp_path / "artifacts")
    (pixels,) = tmp_path.glob("work/prepare/*/pixels")
    content = bytearray(pixels.read_bytes())
    content[100] ^= 1
    pixels.write_bytes(content)
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 1 and "was damaged and has been removed" in said
    small.run_stages(tmp_path, "prepare")
    assert small.contents(tmp_path / "artifacts") == first


def test_a_form_changed_and_changed_back_is_still_known_and_older_ones_go(tmp_path):
    for resolution in (8, 12, 8, 16):
        project(tmp_path, **{"prepare.resolution": resolution})
        small.run_stages(tmp_path, "prepare")
        time.sleep(0.01)
    assert len(list(tmp_path.glob("work/prepare/*"))) == 2


@pytest.mark.parametrize(("height", "width", "reason"), [
    (8, 8, None), (8, 40, None), (7, 40, "is too small: 40×7 is under"), (40, 7, "is too small: 7×40 is under"),
    (41, 8, "is too large: 8×41 is more than"), (16, 20, None),
])  # fmt: skip
def test_arrays_are_as_large_as_they_may_be_limits_included(height, width, reason):
    form = params.load(small.ROOT / "params.yaml").prepare.form.model_copy(update={"min_side": 8, "max_pixels": 320})
    block = _inputs.Pixels(["a", "b"], [None, None], np.zeros((2, height, width), np.uint8))
    assert {one and one.partition(" prepare.")[0] for one in decoding.decode(decoding.Job(form, ""), block).columns["reason"]} == {reason}


def test_a_file_that_ends_its_decoder_is_set_aside(tmp_path, monkeypatch):
    project(tmp_path, **{"machine.workers": 2})
    monkeypatch.setattr(decoding, "decode", ending_decoders.crash)
    small.run_stages(tmp_path, "prepare")
    rows = check_sums(tmp_path, 30).set_index("path")
    assert rows[rows["verdict"] == "set aside"]["reason"].to_dict() == {
        "1/007.png": "cannot be decoded: the decoder crashed, or ran out of memory"
    }


@pytest.mark.slow
def test_workers_that_end_whatever_they_are_given_are_no_fault_of_the_pictures(tmp_path, monkeypatch):
    project(tmp_path, **{"machine.workers": 2})
    monkeypatch.setattr(decoding, "decode", ending_decoders.end)
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 1 and "it is not the pictures" in said and "set machine.workers to 1" in said


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.lists(some.binary(max_size=60), max_size=6), some.lists(some.integers(0, 4000), max_size=4))
def test_no_files_whatever_crash_the_stage_and_rows_add_up(tmp_path, contents, cuts):
    shutil.rmtree(tmp_path)
    project(tmp_path, 20, classes=0)
    noise(1, (30, 30), "RGB").save(buffer := io.BytesIO(), "PNG")
    for number, content in enumerate([*contents, *(buffer.getvalue()[:cut] for cut in cuts)]):
        (tmp_path / f"data/mine/any{number}").write_bytes(content)
    small.run_stages(tmp_path, "prepare")
    check_sums(tmp_path, 20 + len(contents) + len(cuts))


@pytest.mark.slow
def test_killed_while_it_decodes_it_goes_on_from_what_it_has(tmp_path):
    """With the workers that it started: none of them is left behind."""
    project(tmp_path, 4000, **{"machine.workers": 2})
    process = small.start_stage(tmp_path, "prepare")
    deadline_s = time.monotonic() + patient(60)
    while not any(path.stat().st_size for path in tmp_path.glob("work/prepare/*/pixels")) and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert len(processes_in(tmp_path)) >= 3, "the stage and its two workers"
    process.kill()
    process.wait()
    wait_for(lambda: not processes_in(tmp_path), seconds=20, what="the end of every worker")
    process.stdout.close()
    project(tmp_path / "whole", 4000)
    small.run_stages(tmp_path, "prepare")
    small.run_stages(tmp_path / "whole", "prepare")
    assert small.contents(tmp_path / "artifacts") == small.contents(tmp_path / "whole/artifacts")


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a small file system is mounted, which root may on Linux")
def test_a_full_disk_is_a_sentence_and_the_same_command_goes_on_when_there_is_room(tmp_path):
    small_disk = tmp_path / "disk"
    small_disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small_disk], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        project(small_disk, 400, **{"prepare.resolution": 64})
        code, said = small.run_stage(small_disk, "prepare")
        assert code == 1 and "No space left on device" in said and "run the same command again" in said
        subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
        small.run_stages(small_disk, "prepare")
        project(tmp_path / "wide", 400, **{"prepare.resolution": 64})
        small.run_stages(tmp_path / "wide", "prepare")
        assert small.contents(small_disk / "artifacts") == small.contents(tmp_path / "wide/artifacts")
    finally:
        subprocess.run(["umount", "-l", small_disk], check=True)


def test_results_of_processes_come_in_order():
    machine = params.Machine(workers=2)
    found = executors.in_order(ending_decoders.square, range(40), machine, lambda one: [one], ending_decoders.given_up)
    assert list(found) == [number**2 for number in range(40)]


def slow_at_19() -> Iterator[int]:
    for number in range(24):
        time.sleep(2 * (number == 19))
        yield number


@pytest.mark.slow
def test_results_come_in_order_though_a_worker_ends_while_the_source_is_slow():
    machine = params.Machine(workers=2)
    found = executors.in_order(ending_decoders.square_or_end, slow_at_19(), machine, lambda one: [one], ending_decoders.given_up)
    assert list(found) == [-17 if number == 17 else number**2 for number in range(24)]


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bytes_though_a_worker_is_killed(tmp_path):
    pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    project(tmp_path / "here", 1500)
    small.run_stages(tmp_path / "here", "prepare")
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    quiet = {"env": small.environment(), "cwd": tmp_path, "stderr": subprocess.STDOUT, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **quiet) as scheduler:
        workers = []
        try:
            address = next(line for line in scheduler.stdout if "Scheduler at:" in line).split("at:")[1].strip()
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
            for number in range(2):
                with open(tmp_path / f"worker{number}.log", "w") as log:
                    workers.append(subprocess.Popen([*worker, "--host", "127.0.0.1"], **{**quiet, "stdout": log}))
            project(tmp_path / "there", 1500, **{"machine.prepare": {"executor": "dask", "address": address}})
            stage = small.start_stage(tmp_path / "there", "prepare")
            deadline_s = time.monotonic() + patient(60)
            while not any(path.stat().st_size for path in tmp_path.glob("there/work/prepare/*/pixels")) and time.monotonic() < deadline_s:
                time.sleep(0.005)
            workers[0].kill()
            said, _ = stage.communicate(timeout=patient(120))
            assert stage.returncode == 0, said
        finally:
            for process in [*workers, scheduler]:
                process.kill()
                process.wait()
    assert small.contents(tmp_path / "there/artifacts") == small.contents(tmp_path / "here/artifacts")


def test_pixels_and_images_are_each_others_inverse():
    import torch

    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    converted = images.pixels_to_images(pixels)
    assert converted.min() == -1 and converted.max() == 1
    assert torch.equal(images.images_to_pixels(converted), pixels)


def test_a_folder_outside_the_project_is_read_by_its_whole_path(tmp_path):
    inside = project(tmp_path / "project")
    shutil.move(inside / "data/mine", tmp_path / "outside")
    small.write_params(inside, {**SETTINGS, "prepare.source.path": str(tmp_path / "outside")})
    small.run_stages(inside, "prepare")
    check_sums(inside, 30)


MAIN = """
from stages import prepare
from stages.preparation import decoding, executors
if __name__ == "__main__":
    with executors.Workers(1, decoding.ready) as workers:
        modules = workers.submit(eval, "set(__import__('sys').modules)").result()
    print(modules & {"torch", "pyarrow", "stages.prepare"} or "lean")
"""


def test_a_worker_imports_no_torch_and_nothing_of_the_stage(tmp_path):
    """Torch would take each worker a second and more, and memory; the stage's own module half a second."""
    (tmp_path / "main.py").write_text(MAIN)
    found = subprocess.check_output([sys.executable, tmp_path / "main.py"], env=small.environment(), text=True)
    assert found == "lean\n"
