"""Drift: the data of now against the champion's, on a real registry; none of the same, large in the right figures, in words."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small
from drawn_classes import CLASSES, SETTINGS, prepare
from tracked_project import client, decision, empty_store, enter_session, make_evaluate, make_train, runs

from apps import answer
from apps import drift as app
from pipeline.retraining import drift as teller
from stages import artifacts, register
from stages.evaluation import reference_set
from stages.registry import drift, versions
from stages.tracking import mlflow_run, session, store

__all__ = ["empty_store"]  # a fixture


def trained() -> None:
    """artifacts/train as if trained on artifacts/prepare."""
    card = json.loads((make_train() / "card.json").read_text()) | {"data": artifacts.identity("prepare")}
    del card["files"]
    artifacts.seal("train", card)


@pytest.fixture(scope="module")
def home(tmp_path_factory, empty_store):
    """A project whose champion was trained on drawings, made once."""
    folder = tmp_path_factory.mktemp("drift")
    shutil.copy(small.ROOT / "dvc.yaml", folder)
    small.write_params(folder, SETTINGS)
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patched, contextlib.chdir(folder):
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME", "GANLINE_TRACKING"):
            patched.delenv(name, raising=False)
        patched.setenv("PYTHONPATH", str(small.ROOT))
        patched.setattr(mlflow_run, "follow", lambda journal: None)
        enter_session(patched, "flow:first")
        prepare()
        small.run_stages(folder, "reference")
        trained()
        make_evaluate()
        register.main()
        shutil.copytree("artifacts", "first")
        yield folder
    session.current.cache_clear()


@pytest.fixture
def champion(home, monkeypatch):
    """The project as the champion left it."""
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
    enter_session(monkeypatch, "flow:now")
    shutil.rmtree("artifacts")
    shutil.copytree("first", "artifacts")
    shutil.rmtree("work/champion", ignore_errors=True)
    return versions.version_called(client(), "toys", "champion")


def found() -> dict:
    result = drift.against_champion("toys")
    assert result["comparable"], result
    return result


def why() -> str:
    result = drift.against_champion("toys")
    assert result.keys() == {"comparable", "why"} and not result["comparable"], result
    assert drift.points(result) == {} and result["why"] in drift.sentence(result)
    return result["why"]


def test_total_variation_is_half_the_sum_of_the_differences_of_shares():
    assert drift.total_variation({"a": 1, "b": 3}, {"a": 30, "b": 10}) == 0.5
    assert drift.total_variation({"a": 5, "b": 5}, {"b": 7, "a": 7}) == 0
    assert drift.total_variation({"a": 2}, {"b": 9}) == 1
    assert drift.total_variation({"a": 1, "b": 1, "c": 2}, {"a": 1, "b": 1}) == 0.5
    one, other = {"a": 3, "b": 4}, {"b": 1, "c": 8}
    assert drift.total_variation(one, other) == drift.total_variation(other, one)


def test_the_same_data_have_no_drift_and_nothing_is_computed(champion, monkeypatch):
    monkeypatch.setattr(drift, "_compared", None)
    result = found()
    assert result["same_data"] and result["ratio"] == result["distance"] == result["classes"]["distance"] == 0
    assert drift.sentence(result) == "drift: none, the same data as champion version 1's"
    assert not Path("work/champion").exists()


def test_the_same_images_under_another_identity_have_distance_zero_and_a_floor(champion):
    card = artifacts.card_of("prepare") | {"source": "data/elsewhere"}
    artifacts.seal("prepare", card)
    result = found()
    assert not result["same_data"] and result["distance"] == pytest.approx(0, abs=1e-3) and result["floor"] > 0.01
    assert result["num_images"] == min(card["counts"]["train"], card["counts"]["heldout"])
    assert result["classes"] == {"distance": 0, "new": [], "gone": []}
    assert result["channels"] == [{"name": "grey", "mean": 0, "deviation": 0}]


def test_other_drawings_of_the_same_kind_differ_by_little_more_than_noise(champion):
    prepare(first=1000)
    assert found()["ratio"] < 3


def test_inverted_images_are_far_away_and_their_levels_say_why(champion):
    before = prepare()["channels"][0]
    prepare(change=lambda pixels: 255 - pixels)
    result = found()
    assert result["ratio"] > 10 and result["classes"]["distance"] < 0.1
    [grey] = result["channels"]
    assert grey["mean"] == pytest.approx(255 - 2 * before["mean"]) and grey["deviation"] == pytest.approx(0, abs=1e-9)


def test_brighter_images_differ_in_the_mean_by_the_levels_they_are_brighter(champion):
    prepare(change=lambda pixels: pixels + np.uint8(50))
    result = found()
    assert result["ratio"] > 3 and result["channels"][0]["mean"] == pytest.approx(50)
    assert "grey +50.0 levels" in drift.sentence(result)


def test_a_class_left_out_and_a_new_one_are_named(champion):
    before = dict(zip(CLASSES, artifacts.card_of("prepare")["class_counts"]))
    prepare(names=("bar", "cross"), called={"bar": "line\u202e"})
    result = found()
    assert result["classes"]["new"] == ["line\u202e"] and result["classes"]["gone"] == ["bar", "column"]
    share = 1 - before["cross"] / sum(before.values())
    assert result["classes"]["distance"] == pytest.approx(share, abs=0.2) and result["ratio"] > 3
    assert r"new: 'line\u202e'; gone: 'bar', 'column'" in drift.sentence(result)


def test_features_that_the_reference_stage_took_are_not_taken_again(champion, monkeypatch):
    """With a pretrained extractor the data may differ and the extractor be the champion's."""
    prepare(change=lambda pixels: 255 - pixels)
    expected = found()
    own = Path("artifacts/reference")
    scored = json.loads((own / "protocol.json").read_text())
    monkeypatch.setattr(drift.protocol, "read", lambda: scored | {"data": reference_set.content_of(artifacts.card_of("prepare"))})
    shutil.copy("first/reference/features.safetensors", own)
    assert found()["distance"] == pytest.approx(0, abs=1e-3) != expected["distance"], "those of artifacts/reference"


def test_the_champions_files_are_fetched_once(champion, monkeypatch):
    prepare(first=1000)
    first = found()
    assert {path.name for path in Path("work/champion").iterdir()} == {champion.run_id}
    monkeypatch.setattr(drift, "_listed", None)
    assert found() == first


def test_a_fetched_file_that_changed_is_not_used_and_fetched_anew_next_time(champion):
    prepare(first=1000)
    found()
    path = Path("work/champion", champion.run_id, "reference/features.safetensors")
    path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    assert "features.safetensors of other data" in why()
    found()


def test_without_a_report_nothing_is_said_about_channels(champion):
    prepare(first=1000)
    Path("artifacts/prepare/report.json").unlink()
    assert found()["channels"] == []


def test_images_of_another_shape_are_not_compared(champion):
    prepare(scale=2)
    assert why() == (
        "champion version 1 was trained on images of 8 × 8 pixels in 1 channel, those of now are 16 × 16 pixels in 1 channel, "
        "which its extractor does not take"
    )


def test_without_a_champion_nothing_is_compared(champion):
    result = drift.against_champion("others")
    assert result == {"comparable": False, "why": "others has no champion yet"}


def test_without_a_registry_nothing_is_compared_and_none_is_made(champion, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/absent.db")
    assert why() == "nothing is registered yet" and not list(tmp_path.iterdir())


def test_an_mlflow_that_is_down_is_a_sentence(champion, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in why() and "secret" not in why()


def test_without_prepared_data_nothing_is_compared(champion):
    shutil.rmtree("artifacts/prepare")
    assert "dvc repro prepare" in why()


def test_a_run_that_does_not_hold_the_files_is_a_sentence(champion, monkeypatch):
    prepare(first=1000)
    hidden = "reference/extractor.safetensors"
    monkeypatch.setattr(drift, "NEEDED", (*drift.NEEDED, "reference/absent.json"))
    assert "does not hold reference/absent.json" in why() and hidden not in why()
    assert not Path("work/champion", champion.run_id).exists()


def test_a_champion_without_a_run_or_with_a_deleted_one_is_a_sentence(champion, monkeypatch):
    prepare(first=1000)
    monkeypatch.setattr(versions, "version_called", lambda *_: champion)
    monkeypatch.setattr(champion, "_run_id", None)
    assert "names no run" in why()
    monkeypatch.setattr(champion, "_run_id", "0" * 32)
    assert "0" * 32 in why()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "vanished"}, "'vanished' is no choice of extractors"),
        ({"batch_size": None}, "TypeError"),
        ({"extractor": {"name": "classifier"}}, "width"),
    ],
)
def test_files_that_this_code_cannot_open_are_a_sentence(champion, monkeypatch, change, words):
    prepare(first=1000)
    real = drift._json
    monkeypatch.setattr(drift, "_json", lambda path: real(path) | (change if path.name == "protocol.json" else {}))
    assert "cannot be used here" in why() and words in why()


def test_a_defect_of_mlflow_in_between_is_a_sentence(champion, monkeypatch):
    prepare(first=1000)

    def lost(*_):
        raise OSError("connection lost")

    monkeypatch.setattr(store.client(session.tracking_uri()).__class__, "download_artifacts", lost)
    assert "connection lost" in why() and not any(Path("work/champion").iterdir())


def test_register_asks_writes_it_down_and_lets_it_decide_nothing(champion):
    prepare(change=lambda pixels: 255 - pixels)
    small.run_stages(Path(), "reference")
    trained()
    before = {version.version for version in client().search_model_versions("name = 'toys'")}
    make_evaluate(fid=5.2)
    card = json.loads(Path("artifacts/train/card.json").read_text())
    assert card["data"] == artifacts.identity("prepare")
    expected = found()
    shutil.rmtree("artifacts/train")
    make_train(seed=1)
    register.main()
    said = decision()
    assert said["drift"] == expected == json.loads(Path("work/drift.json").read_text())
    assert said["alias"] == "challenger" and "not better by more than noise" in said["decision"]
    assert "drift" not in said["decision"] and said["version"] not in before
    [run] = [run for run in runs() if run.data.tags.get("ganline.session") == "flow:now"]
    mlflow_run.send()
    run = client().get_run(run.info.run_id)
    assert run.data.metrics["drift/ratio"] == expected["ratio"] and run.data.metrics["drift/grey_mean"] > 0
    assert run.data.tags["drift"] == drift.sentence(expected)


def test_the_command_answers_in_words_or_json_and_keeps_the_answer(champion, capsys):
    prepare(change=lambda pixels: 255 - pixels)
    assert answer.with_sentences("gan drift", app.main, []) == 0
    words = capsys.readouterr().out
    assert words.startswith("drift against the data of champion version 1: ") and "ratio" in words
    assert answer.with_sentences("gan drift", app.main, ["--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.pop("sentence") == words.splitlines()[0] and said == found()
    assert json.loads(Path("work/drift.json").read_text()) == said


@pytest.mark.slow
def test_the_flow_gets_its_sentence_from_the_command(champion, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(small.ROOT))
    logged = []
    teller.tell_drift("flow:now", logged.append)
    assert logged == ["drift: none, the same data as champion version 1's"]
    assert capsys.readouterr().out == logged[0] + "\n"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (subprocess.CompletedProcess([], 2, "", "gan drift: params.yaml is torn\n"), "params.yaml is torn"),
        (subprocess.CompletedProcess([], -9, "", ""), "exit code -9"),
        (subprocess.CompletedProcess([], 0, "no json", ""), "JSONDecodeError"),
        (subprocess.CompletedProcess([], 0, "[]", ""), "TypeError"),
        (subprocess.CompletedProcess([], 0, "{}", ""), "'sentence'"),
        (subprocess.TimeoutExpired([sys.executable], 900), "timed out"),
        (OSError("no memory"), "no memory"),
    ],
)
def test_what_goes_wrong_in_asking_never_fails_the_flow(monkeypatch, result, words):
    def answered(*_, **__):
        if isinstance(result, BaseException):
            raise result
        return result

    monkeypatch.setattr(teller, "answer", answered)
    logged = []
    teller.tell_drift("flow:now", logged.append)
    assert len(logged) == 1 and logged[0].startswith("drift: not known (") and words in logged[0]


@pytest.mark.parametrize(("outcome", "told"), [("ran", True), ("restored", True), ("unchanged", False)])
def test_the_flow_tells_the_drift_when_reference_is_new_and_before_it_trains(monkeypatch, outcome, told):
    from types import SimpleNamespace

    from pipeline import flow, plan

    happened = []

    def stage(name: str, **_) -> SimpleNamespace:
        happened.append(name)
        return SimpleNamespace(name={"prepare": "unchanged", "reference": outcome}.get(name, "ran").capitalize())

    monkeypatch.setattr(flow, "run_stage", SimpleNamespace(with_options=lambda **_: stage))
    monkeypatch.setattr(flow.dvc, "graph", lambda: {"prepare": set(), "reference": {"prepare"}, "train": {"reference"}})
    monkeypatch.setattr(flow, "get_run_logger", lambda: SimpleNamespace(info=print))
    monkeypatch.setattr(flow.drift, "tell_drift", lambda session, log: happened.append("drift"))
    flow._stages(plan.Stale({"reference": ["code"]}, ()), flow.Cause(), "flow:now")
    assert happened == ["prepare", "reference", *(["drift"] if told else []), "train"]
