"""`gan compare`: what intervals allow to say, protocols apart, and the commands on a real store."""

import json
import math
import random

import pandas as pd
import pytest
from tracked_project import (
    client,
    command,
    empty_store,
    enter_session,
    make_evaluate,
    make_prepare,
    make_train,
    picture,
    project,
    recipe,
    runs,
)

from apps import answer, compare
from apps.comparison import page, table
from apps.comparison.runs import Run
from stages import artifacts, params
from stages.tracking import delivery, mlflow_run, session
from stages.tracking.journal import Journal

__all__ = ["empty_store", "project"]  # fixtures


def run(
    name: str, mean: float | None = 1.0, low: float | None = None, high: float | None = None, protocol: str | None = "p", **more
) -> Run:
    score = {key: value for key, value in (("mean", mean), ("low", low), ("high", high)) if value is not None}
    scores = {"fid": score, "precision": {"mean": 0.5}} if mean is not None else {}
    cost = {"kimg": 10.0, "train s": 100.0, "images/s": 100.0, "peak MB": 1000.0, "resumed at kimg": None}
    content = {
        "id": f"{name:0>32}",
        "params": {"train.seed": "0"},
        "cost": cost,
        "protocol_name": protocol and "classifier",
    } | more
    return Run(name=name, scores=scores, protocol=protocol, **content)


def test_a_rank_is_the_range_of_places_that_the_intervals_allow():
    assert table.ranks([(1, 2), (3, 4), (5, 6)], "lower") == [(1, 1), (2, 2), (3, 3)]
    assert table.ranks([(1, 2), (3, 4), (5, 6)], "higher") == [(3, 3), (2, 2), (1, 1)]
    assert table.ranks([(1, 4), (3, 6), (5, 8)], "lower") == [(1, 2), (1, 3), (2, 3)], "each meets its neighbour only"
    assert table.ranks([(1, 2), None, (2, 3)], "lower") == [(1, 2), None, (1, 2)], "intervals that touch are not apart"
    assert table.ranks([(-math.inf, math.inf), (1, 2), (3, 4)], "lower") == [(1, 3), (1, 2), (2, 3)]


def test_every_true_order_lies_within_the_ranks():
    """Whatever the true scores are inside their intervals, each run's true place lies within its rank."""
    draw = random.Random(0)
    for _ in range(200):
        intervals = [(low, low + draw.random() * 2) for low in (draw.random() * 4 for _ in range(5))]
        truth = [draw.uniform(*one) for one in intervals]
        for value, (best, worst) in zip(truth, table.ranks(intervals, "lower")):
            assert best <= 1 + sum(other < value for other in truth) <= worst


def test_runs_of_another_protocol_are_never_ranked_together():
    found = table.groups(
        [run("a", 1, 0.9, 1.1), run("b", 5, 4, 6, protocol="q"), run("c", 2, 1.9, 2.1), run("d", None, protocol=None)], "fid"
    )
    assert [(group.protocol, list(group.table["run"])) for group in found] == [("p", ["a", "c"]), ("q", ["b"]), (None, ["d"])]
    assert [list(group.table["rank"]) for group in found] == [["1", "2"], ["1"], [None]]
    assert found[0].verdict() == "best by fid: a, by more than noise" and found[2].verdict() == "d: finished"


def test_why_a_run_has_no_scores_is_said():
    (group,) = table.groups(
        [
            run("a", None, protocol=None, status="KILLED", tags={"stopped": "hopeless at 9 kimg"}),
            run("b", None, protocol=None, status="FAILED"),
        ],
        "fid",
    )
    assert group.verdict() == "a: hopeless at 9 kimg; b: failed"


def test_what_cannot_be_told_apart_from_the_best_is_named():
    (group,) = table.groups([run("a", 2, 1, 3), run("b", 3, 2.5, 3.5), run("c", 9, 8, 10)], "fid")
    assert list(group.table["rank"]) == ["1–2", "1–2", "3"]
    assert group.verdict() == "best by fid: a; not told apart from it: b"


def test_only_params_that_differ_are_columns_and_equal_names_get_their_ids():
    other = {"train.seed": "1", "train.loss.name": "hinge"}
    (group,) = table.groups([run("a", id="1" * 32), run("a", id="2" * 32, params=other)], "fid")
    assert group.params == ["train.seed", "train.loss.name"] and set(group.table["run"]) == {"a 11111111", "a 22222222"}
    shown = table.shown(group, ["fid"])
    assert list(shown.columns) == [
        "run",
        "rank",
        "train.seed",
        "train.loss.name",
        "fid",
        "kimg",
        "train s",
        "images/s",
        "peak MB",
    ]
    assert "–" in list(shown["train.loss.name"])


def test_the_seconds_of_a_resumed_training_are_marked():
    resumed = run("a", cost={"kimg": 10.0, "train s": 60.0, "resumed at kimg": 4.0})
    assert table.cost_in_words(resumed, "train s") == "60+" and table.cost_in_words(resumed, "peak MB") == "–"


def test_a_narrow_line_keeps_what_matters_and_names_the_rest():
    made = pd.DataFrame({"run": ["abc"], "rank": ["1"], "kimg": ["10"], "fid": ["1.5 [1, 2]"], "kid": ["3"]})
    kept, left_out = table.fitting(made, ["run", "rank", "fid"], width=35)
    assert list(kept.columns) == ["run", "rank", "kimg", "fid"] and left_out == ["kid"]


def test_names_in_a_markdown_table_do_not_break_it():
    text = table.markdown(pd.DataFrame({"run": ["a|b"], "fid": ["1"]}))
    assert text.splitlines() == ["| run | fid |", "| --- | --- |", r"| a\|b | 1 |"]


def test_the_page_escapes_names_and_draws_every_run(tmp_path):
    path = tmp_path / "grid.png"
    picture(0, 0).save(path)
    curves = {"quick_fid": [(0, 500.0), (1000, 20.0), (2000, 5.0)], "loss/generator": [(0, 1.0)]}
    made = [run(f"<b>{name}</b>", 2, 1, 3, curves=curves, grid=path.read_bytes(), id=name * 32) for name in "ab"]
    text = page.html(table.groups(made, "fid"), ["fid"])
    assert "<b>a" not in text and "&lt;b&gt;a" in text and "<script" not in text and "://" not in text
    assert text.count("<img ") == 2 and text.count("<polyline") == 4 and "500, logarithmic; 0 to 2 kimg" in text


REFUSED = {
    "nothing": "'nothing' is no name, alias or version of a model",
    "-o table.xls": ".xls is no format; end the name with .csv, .md, .html",
    "--by fidd": "no run has that score; there are:",
    "--protocol cc": "no run was scored by the protocol cc; there are: aaaaaaaaaaaa, bbbbbbbbbbbb",
    "0" * 32: "is no run of this store",
}


@pytest.fixture
def three_runs(project, monkeypatch):
    """Executions in a real store: two under one protocol, one under another."""
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
    for loss, fid, protocol, sweep in (
        ("hinge", 5.0, "a" * 64, "sweep:s@1"),
        ("relativistic", 4.8, "a" * 64, "sweep:s@1"),
        ("minimax", 1.0, "b" * 64, None),
    ):
        enter_session(monkeypatch, f"flow:{loss}")
        monkeypatch.setenv("GANLINE_SWEEP", sweep) if sweep else monkeypatch.delenv("GANLINE_SWEEP")
        content = recipe().model_dump(mode="json")
        content["train"]["loss"]["name"] = loss
        make_prepare()
        with mlflow_run.stage("train", params.Params.model_validate(content)):
            make_train(ticks=3)
        with mlflow_run.stage("evaluate", params.Params.model_validate(content)):
            make_evaluate(fid, protocol=protocol)
            picture(0, 0).save(artifacts.ROOT / "evaluate" / "grid.png")
        Journal.of(session.current().key).append("status", status="FINISHED", last=True)
        delivery.deliver(Journal.of(session.current().key))
    return project


def test_runs_are_found_compared_and_written(three_runs, capsys):
    assert compare.main([]) == 0
    said = capsys.readouterr().out
    assert "protocol classifier aaaaaaaaaaaa" in said and "another protocol: never to be compared" in said
    assert "best by fid: dcgan relativistic seed 0; not told apart from it: dcgan hinge seed 0" in said
    assert compare.main(["s", "-o", "out/s.csv"]) == 0
    written = pd.read_csv("out/s.csv")
    assert list(written["fid"]) == [4.8, 5.0] and list(written["rank"]) == ["1–2", "1–2"] and list(written["kimg"]) == [0.2, 0.2]
    assert list(written["train.loss.name"]) == ["relativistic", "hinge"]
    assert compare.main(["dcgan minimax seed 0", "s", "-o", "out/all.html"]) == 0
    text = (three_runs / "out/all.html").read_text()
    assert text.count("<img ") == 3 and "cannot be compared with those above" in text and "dcgan hinge seed 0" in text
    assert compare.main(["--protocol", "bbbb", "-o", "out/b.md"]) == 0
    assert "| dcgan minimax seed 0 | 1 | 1 [0.5, 1.5] |" in (three_runs / "out/b.md").read_text()
    for arguments, words in REFUSED.items():
        assert answer.with_sentences("gan compare", compare.main, arguments.split()) == 2
        assert words in capsys.readouterr().err


def test_trials_hang_below_their_sweep_and_the_sweep_is_no_run_to_compare(three_runs):
    by_name = {run.info.run_name: run for run in runs()}
    parent = by_name["s"]
    assert {run.info.run_name for run in runs() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id} == {
        "dcgan hinge seed 0", "dcgan relativistic seed 0",
    }  # fmt: skip
    said = {"params": {"train.loss.name": "hinge,relativistic"}, "tags": {"best": "s-02"}, "metrics": {"best/fid/mean": 4.8}}
    words = json.dumps(said | {"status": "FINISHED"})
    said = command("stages.tracking.parent", "open", "--session", "sweep:s@1", "--experiment", "digits", "--name", "s", "--words", words)
    assert said.returncode == 0, said.stderr
    parent = client().get_run(parent.info.run_id)
    assert parent.info.status == "FINISHED" and parent.data.params == {"train.loss.name": "hinge,relativistic"}
    assert parent.data.tags["best"] == "s-02" and parent.data.metrics == {"best/fid/mean": 4.8}
    assert compare.main([]) == 0 and len(runs()) == 4
