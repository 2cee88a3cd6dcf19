"""Retraining on new data, with the real stages: the protocol changes, so the champion is measured again under the new one."""

import shutil
from pathlib import Path

import pytest
import small
from drawn_classes import CLASSES, SETTINGS, prepare
from tracked_project import client, decision, empty_store, enter_session, project

from stages import register
from stages.registry import models, versions
from stages.tracking import mlflow_run, session

__all__ = ["empty_store", "project"]  # fixtures
GATE = {"all_classes": False, "min_authenticity": None, "min_copying_z": None, "min_precision": None, "min_recall": None}


def retrained(monkeypatch, key: str, total_kimg: float, first: int = 0, **gate: object) -> dict:
    """The decision about a generator trained so long, on drawings from number `first` on."""
    enter_session(monkeypatch, key)
    small.write_params(
        Path(),
        {
            **SETTINGS,
            "evaluate.kid_subset_size": 20,
            "train.loop.total_kimg": total_kimg,
            **{f"register.gate.{name}": value for name, value in {**GATE, **gate}.items()},
        },
        small.ROOT / "params.yaml",
    )
    prepare(first=first, names=CLASSES)
    small.run_stages(Path(), "reference", "train", "evaluate")
    register.main()
    return decision()


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_a_champion_of_other_data_is_measured_again_under_the_protocol_of_now(project, monkeypatch, metric):
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
    short = retrained(monkeypatch, "flow:short", 0.5, metric=metric)
    long = retrained(monkeypatch, "flow:long", 12, first=1000, metric=metric)
    assert short["protocol"]["hash"] != long["protocol"]["hash"]
    [better] = [rule for rule in long["rules"] if rule["rule"] == "better"]
    assert "both measured now by 2 × " in better["words"] and "was scored by another before" in better["words"]
    assert long["protocol"]["hash"][:12] in better["words"] and f"{metric.upper()} " in better["words"]
    assert better["passed"] == (long["alias"] == "champion") and better["passed"], better
    assert str(versions.version_called(client(), "toys", "champion").version) == "2" and long["drift"]["comparable"]
    shutil.rmtree(models.made_from(session.tracking_uri(), client().get_model_version("toys", "2")).parent / "artifacts" / "generator")
    worse = retrained(monkeypatch, "flow:worse", 0.5, first=2000, metric=metric)
    [better] = [rule for rule in worse["rules"] if rule["rule"] == "better"]
    assert worse["alias"] == "challenger" and "cannot be measured now" in better["words"] and "reference.data is" in better["words"]


@pytest.mark.slow
def test_asked_again_in_another_registry_the_duel_has_the_same_figures(project, empty_store, monkeypatch):
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
    retrained(monkeypatch, "flow:one", 0.5)
    shutil.copytree("artifacts", "first")
    said = retrained(monkeypatch, "flow:two", 3)
    shutil.copytree("artifacts", "second")
    shutil.copy(empty_store, "mlflow.db")
    for name in ("first", "second"):
        shutil.rmtree("artifacts")
        shutil.copytree(name, "artifacts")
        enter_session(monkeypatch, f"flow:again {name}")
        register.main()
    assert decision()["rules"] == said["rules"]
