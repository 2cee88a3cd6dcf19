"""`gan sample --shards`: a data set of any size, the same bytes however often it was killed, read by prepare."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import small
from exported import write

from apps import answer, sample, shards
from gan import generator
from gan.sources import npy
from stages import artifacts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("batch") / "model", "mlp")


def said(folder, out, count: int = 50, *more: str) -> int:
    arguments = [str(folder), "-n", str(count), "--seed", "7", "-o", str(out), "--shards", "--shard-size", "16", *more]
    return answer.with_sentences("gan sample", sample.main, arguments)


def test_arrays_hold_the_images_and_labels_of_their_seeds(folder, tmp_path):
    assert said(folder, tmp_path / "made") == 0
    made = generator.load(folder)
    images, labels = np.load(tmp_path / "made/images.npy", mmap_mode="r"), np.load(tmp_path / "made/labels.npy")
    assert (images == made.sample(range(7, 57))).all() and (labels == made.labels(range(7, 57))).all()
    manifest = json.loads((tmp_path / "made/manifest.json").read_text())
    assert [(one["first_seed"], one["count"]) for one in manifest["shards"]] == [(7, 16), (23, 16), (39, 16), (55, 2)]
    assert manifest["weights_sha256"] == artifacts.sha256_of_file(folder / "generator.safetensors")


def test_one_label_for_all_and_models_without_classes(folder, tmp_path):
    assert said(folder, tmp_path / "ones", 5, "--label", "1") == 0
    assert np.load(tmp_path / "ones/labels.npy").tolist() == [1] * 5
    assert said(write(tmp_path / "plain", "mlp", num_classes=0), tmp_path / "none", 5) == 0
    assert not (tmp_path / "none/labels.npy").exists() and len(np.load(tmp_path / "none/images.npy")) == 5


def test_prepare_reads_the_folder_as_its_source(folder, tmp_path):
    assert said(folder, tmp_path / "made") == 0
    assert npy.recognises(tmp_path / "made")
    blocks = list(npy.blocks(npy.Config(), tmp_path / "made"))
    made = generator.load(folder)
    assert (np.concatenate([one.array for one in blocks]).transpose(0, 3, 1, 2) == made.sample(range(7, 57))).all()
    assert [name for one in blocks for name in one.classes] == [str(label) for label in made.labels(range(7, 57))]
    small.write_params(
        tmp_path,
        {**small.TINY, "prepare.source.path": "made", "prepare.channels": 3, "prepare.min_images": 10, "prepare.min_class_images": 1},
    )
    small.run_stages(tmp_path, "prepare")
    card = json.loads((tmp_path / "artifacts/prepare/card.json").read_text())
    assert card["counts"]["inputs"] == 50 and card["classes"] == ["0", "1", "2"]


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_it_has_the_bytes_of_the_uninterrupted_run(tmp_path):
    folder = write(tmp_path / "model", "dcgan")
    assert said(folder, tmp_path / "whole", 6000) == 0
    command = [
        sys.executable,
        "-m",
        "apps.sample",
        str(folder),
        "-n",
        "6000",
        "--seed",
        "7",
        "-o",
        str(tmp_path / "cut"),
        "--shards",
        "--shard-size",
        "16",
    ]
    manifest = tmp_path / "cut/manifest.json"
    for shards_before, number in ((5, signal.SIGKILL), (40, signal.SIGTERM)):  # ended twice
        process = subprocess.Popen(command, cwd=small.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (manifest.exists() and manifest.read_text().count("first_seed") > shards_before):
            time.sleep(0.002)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(number)
        words = process.communicate()[1]
        if number == signal.SIGTERM:
            assert process.returncode == 143 and "gan sample: told to end (SIGTERM); run the same command again" in words
        assert json.loads(manifest.read_text())["shards"][-1]["start"] < 5900
    written = (tmp_path / "cut/images.npy").stat().st_mtime_ns
    assert said(folder, tmp_path / "cut", 6000) == 0
    assert small.contents(tmp_path / "cut") == small.contents(tmp_path / "whole")
    assert written < (tmp_path / "cut/images.npy").stat().st_mtime_ns


def test_what_is_finished_is_not_made_again(folder, tmp_path, monkeypatch, capsys):
    assert said(folder, tmp_path / "made") == 0
    monkeypatch.setattr(generator.Generator, "blocks", lambda *_: 1 / 0)
    assert said(folder, tmp_path / "made") == 0
    assert "50 of them there before" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["images", "labels"])
def test_a_changed_shard_is_refused(folder, tmp_path, capsys, name):
    assert said(folder, tmp_path / "made") == 0
    path = tmp_path / f"made/{name}.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert said(folder, tmp_path / "made") == 2
    assert "images 48 to 49 are not what manifest.json says" in capsys.readouterr().err


def test_other_images_are_refused(folder, tmp_path, capsys):
    assert said(folder, tmp_path / "made") == 0
    before = small.contents(tmp_path / "made")
    assert said(folder, tmp_path / "made", 51) == 2
    assert "holds other images (count 50 in place of 51)" in capsys.readouterr().err
    assert said(folder, tmp_path / "made", 50, "--label", "2") == 2
    assert said(write(tmp_path / "model", "dcgan"), tmp_path / "made") == 2
    assert small.contents(tmp_path / "made") == before
    assert said(folder, folder) == 2
    assert "name an empty folder" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_number_of_images(folder, tmp_path):
    made, process = generator.load(folder), psutil.Process()
    peaks = []
    for count in (2_000, 40_000):
        before, peak = process.memory_info().rss, [0]
        watch = lambda _, peak=peak: peak.append(max(peak.pop(), process.memory_info().rss))  # noqa: E731
        shards.write(tmp_path / str(count), made, shards.Order(0, count, None, 1000), watch)
        peaks.append(peak[0] - before)
    assert Path(tmp_path / "40000/images.npy").stat().st_size > 15e6
    assert peaks[1] < peaks[0] + 8e6
