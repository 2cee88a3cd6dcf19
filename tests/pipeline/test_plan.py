"""`gan plan` in words."""

import json

import pytest

from pipeline import plan
from pipeline.news import summary


def test_reasons_name_the_param_its_value_and_the_value_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("train: {lr: 0.1, loss: {name: hinge}, penalties: [{gamma: 1}]}\n")
    changes = [{"changed deps": {"data": "modified", "params.yaml": {"train": "modified"}}}, "changed command"]
    ran_with = {"params.yaml": {"train": {"lr": 0.1, "loss": {"name": "minimax"}, "penalties": [{"gamma": 2}], "old": True}}}
    assert plan.in_words(changes, ran_with) == [
        "data changed",
        "train.loss.name is 'hinge', was 'minimax'",
        "train.penalties.0.gamma is 1, was 2",
        "train.old is not there, was True",
        "its command changed",
    ]


def test_files_that_are_gone_are_told_apart():
    changes = [{"changed deps": {"a": "deleted"}}, {"changed outs": {"b": "not in cache"}}]
    assert plan.in_words(changes) == ["a is missing", "b is not in DVC's cache"]


def test_a_decision_that_is_gone_is_asked_for_again_though_dvc_misses_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan.dvc, "mended_status", lambda say: {})
    assert not plan.find(print), "nothing was registered"
    summary.REGISTERED.parent.mkdir(parents=True)
    summary.REGISTERED.write_text("{}")
    assert plan.find(print) == plan.Stale({"register": ["artifacts/register/decision.json is gone"]}, forced=("register",))


def test_downstream_names_the_stage_to_wait_for():
    graph = {"data": set(), "a": {"data"}, "b": {"a"}, "c": {"b", "data"}, "other": set()}
    assert plan.downstream({"a"}, graph) == {"b": "a", "c": "b"}
    assert plan.downstream({"a", "b"}, graph) == {"c": "b"}, "what runs for reasons of its own waits for nobody"


@pytest.mark.parametrize(
    ("time_s", "words"), [(None, "unknown"), (0.2, "under 1 s"), (75, "1 min 15 s"), (60, "1 min"), (7325, "2 h 2 min")]
)
def test_times_are_said_in_two_units_at_most(time_s, words):
    assert plan.time_in_words(time_s) == words


def test_every_score_with_a_mean_is_shown_with_interval_and_floor(tmp_path, monkeypatch, capsys):
    metrics = {"fid": {"mean": 1.5, "low": 1.25, "high": 1.75, "floor": 2.0}, "n": 3, "other": {"kid": {"mean": 0.5}}}
    (tmp_path / "artifacts/evaluate").mkdir(parents=True)
    (tmp_path / "artifacts/evaluate/metrics.json").write_text(json.dumps(metrics))
    monkeypatch.chdir(tmp_path)
    summary.show()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert rows == [["fid", "1.5", "1.25 to 1.75", "2"], ["other kid", "0.5", "", ""]]
