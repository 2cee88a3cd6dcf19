"""`gan reproduce` and `gan lineage`: a version made again from a fresh clone, byte for byte, with nothing of the user's moved."""

import json
import sys

import pytest
from dvc_project import clone, run

from pipeline.commands import reproduce


def known(**card: object) -> dict:
    return {
        "tags": {"weights_sha256": "a" * 64},
        "card": {"data": "d", "threads": 1, "made_with": {"torch": "2.14", "processor": "AVX2"}} | card,
    }


def made(tmp_path, weights: str = "b" * 64, **card: object):
    path = tmp_path / reproduce.CARD
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"files": {reproduce.WEIGHTS.name: weights}, "data": "d", "threads": 1, **card}))
    return tmp_path


def test_the_same_weights_differ_in_nothing(tmp_path):
    assert reproduce._differences(known(), made(tmp_path, "a" * 64)) is None


def test_other_weights_come_with_what_decides_bits_and_changed(tmp_path):
    said = reproduce._differences(known(), made(tmp_path, made_with={"torch": "2.15", "processor": "AVX512"}))
    assert said[1:] == ["processor: AVX2 then, AVX512 now", "torch: 2.14 then, 2.15 now"] and "b" * 64 in said[0]


def test_other_weights_without_a_known_cause_say_so(tmp_path):
    said = reproduce._differences(known(), made(tmp_path, made_with=known()["card"]["made_with"]))
    assert len(said) == 2 and "nothing that the training's card names" in said[1]


def gan(folder, *arguments: str, **environment: str) -> str:
    return run(folder, sys.executable, "-m", "pipeline", *arguments, **environment)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_version_is_made_again_from_a_fresh_clone_and_a_remote_in_a_folder(tmp_path):
    first, second = clone(tmp_path / "first"), tmp_path / "second"
    run(first, "dvc", "remote", "add", "-q", "-d", "store", "../store")
    run(first, "git", "commit", "-qam", "a remote")
    (first / "gan" / "note.py").write_text('"""New, and not committed."""\n')
    run(first, "dvc", "repro", GANLINE_TRACKING="on")
    run(first, "dvc", "push", "-q")
    (first / "gan" / "note.py").unlink()  # from here on only the version's snapshot holds that state
    gan(first, "gc", "--days", "0", "--yes")
    gan(first, "lineage", "digits/1")
    gan(first, "sample", "digits/1", "-n", "4", "-o", "grid.png", MLFLOW_TRACKING_URI=f"sqlite:///{first / 'mlflow.db'}")
    run(tmp_path, "git", "clone", "-q", str(first), str(second))
    run(second, "git", "fetch", "-q", "origin", "refs/ganline/*:refs/ganline/*")
    registry = {"MLFLOW_TRACKING_URI": f"sqlite:///{first / 'mlflow.db'}", "PYTHONPATH": ""}
    before = (run(second, "git", "status", "--porcelain"), run(second, "git", "rev-parse", "HEAD"), run(second, "git", "branch", "-a"))
    said = gan(second, "reproduce", "digits/1", **registry)
    assert "digits version 1: same bytes, generator.safetensors" in said and "train: kept the generator of" in said
    assert not [stage for stage in ("prepare", "reference") if f"Running stage '{stage}'" in said], "pulled, not made again"
    assert (
        run(second, "git", "status", "--porcelain"),
        run(second, "git", "rev-parse", "HEAD"),
        run(second, "git", "branch", "-a"),
    ) == before
    assert not (second / "artifacts").exists() and not list((second / "work" / "reproduce").iterdir())
