"""Prepare on what people really have: every file gets a row, nothing is lost, poor folders are refused with a sentence."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import small
from PIL import Image

from gan import dataset, images

SETTINGS = {"prepare.resolution": 8, "prepare.min_images": 10, "prepare.max_set_aside": 0.5}


def noise(number: int, size: tuple[int, int] = (12, 12), mode: str = "L") -> Image.Image:
    bands = Image.new(mode, (1, 1)).getbands()
    array = np.random.default_rng(number).integers(0, 256, (size[1], size[0], len(bands)))
    return Image.fromarray(array.astype(np.uint8).squeeze(), mode if len(bands) > 1 else None)


def project(folder, count: int = 30, classes: int = 2, **changes: object):
    """A project whose data folder holds `count` images in `classes` classes."""
    small.write_params(folder, {**SETTINGS, "prepare.source.path": "data/mine", **changes})
    for number in range(count):
        path = folder / "data/mine" / (str(number % classes) if classes else "") / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(number).save(path)
    (folder / "data/mine").mkdir(parents=True, exist_ok=True)
    return folder


def manifest(folder) -> pd.DataFrame:
    return pd.read_parquet(folder / "artifacts/prepare/manifest.parquet")


def test_prepared_images_are_the_files_pixels(tmp_path):
    """At the files' own size nothing is resized: the shards hold the pixels of the rows they belong to."""
    project(tmp_path, **{"prepare.resolution": 12})
    small.run_stages(tmp_path, "prepare")
    card = json.loads((tmp_path / "artifacts/prepare/card.json").read_text())
    splits = {name: dataset.read(tmp_path / "artifacts/prepare", name, card["classes"]) for name in dataset.SPLITS}
    rows = manifest(tmp_path)
    assert len(rows) == 30 and card["counts"]["train"] + card["counts"]["heldout"] == 30
    for row in rows.to_dict("records"):
        stored = splits[row["split"]].shards[row["shard"]][row["index"]]
        assert (stored[0] == np.asarray(Image.open(tmp_path / "data/mine" / row["path"]))).all()
        assert splits[row["split"]].labels[row["index"]] == int(row["class"])


def test_odd_files_are_set_aside_with_a_reason_and_odd_images_are_kept(tmp_path):
    project(tmp_path)
    data = tmp_path / "data/mine/0"
    buffer = io.BytesIO()
    noise(99, (64, 64), "RGB").save(buffer, "JPEG")
    (data / "truncated.jpg").write_bytes(buffer.getvalue()[:-200])
    (data / "text.png").write_text("not an image")
    (data / "empty.png").write_bytes(b"")
    noise(100).save(tmp_path / "data/mine/outside.png")
    for mode in ("RGB", "RGBA", "LA", "CMYK", "YCbCr"):
        noise(101, (20, 9), mode).save(data / f"{mode}.tif" if mode in ("CMYK", "YCbCr") else data / f"{mode}.png")
    noise(102, (9, 20), "RGB").quantize(16).save(data / "palette.gif")
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160).save(data / "sixteen.png")
    Image.fromarray(np.random.default_rng(0).random((9, 9), np.float32) * 255).save(data / "float.tif")
    noise(103).convert("1").save(data / "bits.png")
    small.run_stages(tmp_path, "prepare")
    rows = manifest(tmp_path).set_index("path")
    aside = rows[rows["verdict"] == "set aside"]
    assert sorted(aside.index) == ["0/empty.png", "0/text.png", "0/truncated.jpg", "outside.png"]
    assert aside["reason"].str.len().min() > 10
    card = json.loads((tmp_path / "artifacts/prepare/card.json").read_text())
    assert card["counts"]["inputs"] == len(rows) == 30 + 4 + 9
    assert card["counts"]["kept"] + card["counts"]["set_aside"] == card["counts"]["inputs"]


@pytest.mark.parametrize(
    ("count", "changes", "sentence"),
    [
        (0, {}, "data/mine holds 0 usable images of 0 files; prepare.min_images is 10"),
        (1, {}, "data/mine holds 1 usable images of 1 files; prepare.min_images is 10"),
        (30, {"prepare.source.path": "data/other"}, "data/other is no folder"),
        (30, {"prepare.resolutoin": 8}, "did you mean 'resolution'"),
    ],
)
def test_poor_input_is_refused_with_a_sentence(count, changes, sentence, tmp_path):
    code, said = small.run_stage(project(tmp_path, count, **changes), "prepare")
    assert code in (1, 2) and sentence in said
    assert not (tmp_path / "artifacts/prepare/card.json").exists()


def test_too_many_bad_files_are_refused(tmp_path):
    project(tmp_path, **{"prepare.max_set_aside": 0.1})
    for number in range(10):
        (tmp_path / f"data/mine/0/bad{number}.png").write_text("x")
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 1 and "10 of 40 files" in said and "0/bad0.png cannot be decoded" in said


def test_prepare_gives_the_same_bytes_again_and_with_other_workers(tmp_path):
    project(tmp_path, **{"machine.workers": 1})
    small.run_stages(tmp_path, "prepare")
    first = small.contents(tmp_path / "artifacts/prepare")
    small.write_params(tmp_path, {**SETTINGS, "prepare.source.path": "data/mine", "machine.workers": 4})
    small.run_stages(tmp_path, "prepare")
    assert small.contents(tmp_path / "artifacts/prepare") == first


def test_adding_images_moves_no_other_image_to_another_split(tmp_path):
    project(tmp_path, 30)
    small.run_stages(tmp_path, "prepare")
    before = manifest(tmp_path).set_index("path")["split"]
    project(tmp_path, 40)
    small.run_stages(tmp_path, "prepare")
    after = manifest(tmp_path).set_index("path")["split"]
    assert len(after) == 40 and (after[before.index] == before).all()


def test_pixels_and_images_are_each_others_inverse():
    import torch

    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    converted = images.pixels_to_images(pixels)
    assert converted.min() == -1 and converted.max() == 1
    assert torch.equal(images.images_to_pixels(converted), pixels)


def test_exif_orientation_is_applied(tmp_path):
    project(tmp_path, 30, classes=0, **{"prepare.resolution": 12})
    picture, exif = noise(500), Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    picture.save(tmp_path / "data/mine/turned.png", exif=exif)
    small.run_stages(tmp_path, "prepare")
    row = manifest(tmp_path).set_index("path").loc["turned.png"]
    shard = np.load(tmp_path / f"artifacts/prepare/{row['split']}-{row['shard']:05d}.npy")
    assert (shard[row["index"]][0] == np.rot90(np.asarray(picture), -1)).all()
