"""A stage more is a module, a section of params.yaml and an entry in dvc.yaml; flow, tracking and time limits know it by that."""

import json
import sqlite3

import pytest
import yaml
from dvc_project import clone, executed, run
from patience import patient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MODULE = '''"""Counts the images of each class."""

import sys

from gan import dataset
from stages import artifacts, exit_codes, guard, params
from stages.tracking import mlflow_run


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    with mlflow_run.stage("count", chosen):
        data = artifacts.card_of("prepare")
        images = dataset.read(artifacts.ROOT / "prepare", chosen.count.split, data["classes"])
        artifacts.write_json(artifacts.start("count") / "metrics.json", {"images": len(images)})
        artifacts.seal("count", {"split": chosen.count.split})


if __name__ == "__main__":
    sys.exit(exit_codes.exit_code(main))
'''
SECTION = "count:\n  split: train  # train, heldout\n\n"
ENTRY = """stages:
  count:
    cmd: python -m stages.count
    deps: [artifacts/prepare, stages/count.py]
    params: [count]
    outs: [artifacts/count]
"""


def test_a_stage_more_runs_with_all_others_and_is_told_and_timed(tmp_path):
    folder = clone(tmp_path)
    (folder / "stages/count.py").write_text(MODULE)
    door = (folder / "stages/params.py").read_text()
    door = door.replace(
        "class Sections(Config):", 'class Count(Config):\n        split: Literal["train", "heldout"]\n\n    class Sections(Config):'
    )
    (folder / "stages/params.py").write_text(door.replace("        train: Train\n", "        train: Train\n        count: Count\n"))
    params = (folder / "params.yaml").read_text() + SECTION
    (folder / "params.yaml").write_text(params)
    (folder / "dvc.yaml").write_text((folder / "dvc.yaml").read_text().replace("stages:\n", ENTRY, 1))
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "a stage more")

    assert executed(run(folder, "dvc", "repro", "count", GANLINE_TRACKING="on")) == ["fetch", "prepare", "count"]
    metrics = json.loads((folder / "artifacts/count/metrics.json").read_text())
    assert metrics["images"] == json.loads((folder / "artifacts/prepare/card.json").read_text())["counts"]["train"]
    run(folder, "gan", "sync", GANLINE_TRACKING="on")
    with sqlite3.connect(folder / "mlflow.db", timeout=patient(20)) as store:
        tags = dict(store.execute("select key, value from tags where key like 'stage.%'"))
        told = dict(store.execute("select key, value from latest_metrics"))
    assert tags["stage.count"] == "executed" and {metrics["images"]} == {value for key, value in told.items() if "images" in key}

    chosen = yaml.safe_load(params)
    chosen["machine"]["timeouts"] = {"count": "2h"}
    (folder / "params.yaml").write_text(yaml.safe_dump(chosen))
    run(folder, "python", "-m", "stages.params", "params.yaml")
    chosen["count"]["split"] = "heldout"
    (folder / "params.yaml").write_text(yaml.safe_dump(chosen))
    said = run(folder, "gan", "plan")
    assert "count.split is 'heldout', was 'train'" in said, said
