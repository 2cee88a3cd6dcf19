"""The registry: a version for each weights, an alias by figures, images from seeds where this project is not installed."""

import contextlib
import hashlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import mlflow
import numpy as np
import pytest
import small
import yaml
from mlflow.utils.file_utils import local_file_uri_to_path
from patience import patient
from tracked_project import (
    client,
    command,
    decision,
    empty_store,
    enter_session,
    make_evaluate,
    make_prepare,
    make_train,
    project,
    runs,
)  # fmt: skip

from apps import answer
from gan import generator
from stages import artifacts, register
from stages.registry import aliases, mlflow_page, models, pyfunc, versions
from stages.tracking import delivery, mlflow_run, session, store
from stages.tracking.journal import Journal

__all__ = ["empty_store", "project"]  # fixtures


@pytest.fixture(autouse=True)
def no_follower(monkeypatch):
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)


def registered(seed: int = 0, **score) -> dict:
    """The decision about the generator of `seed` with a score."""
    make_prepare()
    make_train(seed)
    make_evaluate(**score)
    register.main()
    return decision()


def app(name: str, *words: str) -> subprocess.CompletedProcess:
    """`gan NAME WORDS`, in this process: starting another takes seconds."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = answer.with_sentences(f"gan {name}", importlib.import_module(f"apps.{name}").main, [*words])
    return subprocess.CompletedProcess([name, *words], code, out.getvalue(), errors.getvalue())


def alias(name: str) -> str | None:
    version = versions.version_called(client(), "digits", name)
    return version and str(version.version)


def all_versions() -> list:
    return sorted(client().search_model_versions("name = 'digits'"), key=lambda one: int(one.version))


def test_the_first_version_is_the_champion_and_says_what_it_is(project):
    said = registered(fid=5.0)
    [version] = all_versions()
    assert said["alias"] == "champion" and alias("champion") == "1" and said["uri"] == "models:/digits/1"
    assert version.tags["weights_sha256"] == artifacts.sha256_of_file(artifacts.ROOT / "train" / "generator.safetensors")
    assert version.tags["card_sha256"] == artifacts.identity("train")
    assert version.run_id == runs()[0].info.run_id


def test_a_version_says_which_weights_its_training_began_with(project):
    make_prepare()
    make_train(init={"model": "models:/digits/7", "sha256": "a" * 64})
    make_evaluate()
    register.main()
    assert client().get_model_version("digits", "1").tags["init"] == f"models:/digits/7 {'a' * 64}"


def test_the_same_weights_are_registered_once_and_answered_alike(project, monkeypatch):
    registered(fid=5.0)
    first = (artifacts.ROOT / "register" / "decision.json").read_bytes()
    enter_session(monkeypatch, "flow:again")
    registered(fid=5.0)
    assert len(all_versions()) == 1
    assert (artifacts.ROOT / "register" / "decision.json").read_bytes() == first


def test_a_promoted_version_asked_again_answers_as_it_did(project):
    registered(seed=0, fid=5.0)
    promoted = registered(seed=1, fid=3.0)
    assert registered(seed=1, fid=3.0) == promoted and promoted["alias"] == "champion"


def test_better_by_more_than_noise_takes_the_champions_place(project):
    registered(seed=0, fid=5.0, reach=0.5)
    said = registered(seed=1, fid=3.0, reach=0.5)
    assert (said["alias"], alias("champion"), alias("challenger")) == ("champion", "2", None)
    assert "FID 3 [2.5, 3.5], champion version 1 5 [4.5, 5.5] as recorded" in said["decision"]


@pytest.mark.parametrize("fid", [4.5, 5.0, 5.9])
def test_intervals_that_touch_leave_the_champion_where_it_is(project, fid):
    registered(seed=0, fid=5.0, reach=0.5)
    said = registered(seed=1, fid=fid, reach=0.5)
    assert (said["alias"], alias("champion"), alias("challenger")) == ("challenger", "1", "2")
    assert "not better by more than noise" in said["decision"]


def test_what_is_worse_by_more_than_noise_gets_no_alias_and_loses_the_one_it_had(project):
    registered(seed=0, fid=5.0, reach=0.5)
    assert registered(seed=1, fid=5.2, reach=0.5)["alias"] == "challenger"
    said = registered(seed=2, fid=33.3, reach=0.5)
    assert (said["answer"], said["alias"], alias("champion"), alias("challenger")) == ("worse", None, "1", "2")
    assert "kept without an alias: worse by more than noise: FID 33.3" in said["decision"] and "challenger" not in said["decision"]
    scored_again = registered(seed=1, fid=9.0, reach=0.5)
    assert (scored_again["answer"], alias("champion"), alias("challenger")) == ("worse", "1", None)
    assert registered(seed=1, fid=9.0, reach=0.5) == scored_again, "asked again it is the same"
    *_, last = aliases.history(client(), "digits")
    assert (last.alias, last.instead_of, last.version, last.why) == ("challenger", "2", None, scored_again["decision"])
    history = app("history", "digits").stdout
    assert "challenger 2 → nobody  gate" in history and len(history.splitlines()) == 3
    assert app("promote", "digits", "3", "--reason", "looked at").returncode == 0 and alias("champion") == "3"
    assert app("rollback", "digits", "--reason", "blurred").returncode == 0 and alias("champion") == "1"


def test_the_decision_begins_with_the_state_of_the_generator(project):
    nothing = {"precision": {"mean": 0.0, "low": 0.0, "high": 0.0, "floor": 0.9}}
    said = registered(fid=1685.0, **nothing)  # held-out images: 1
    state = "far from real: FID 1,685 times that of held-out images, precision 0: train longer"
    assert said["state"] == state and said["decision"] == f"{state}; promoted: the first champion of this registry"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DVC_EXP_NAME", "wide")
        assert registered(seed=1, fid=1685.0, **nothing)["decision"].startswith(f"{state}; kept without an alias: an experiment")


def test_scores_of_different_protocols_are_not_compared(project):
    registered(seed=0, fid=5.0, protocol="a" * 64)
    said = registered(seed=1, fid=0.1, protocol="b" * 64)
    assert said["alias"] == "challenger" and "another protocol" in said["decision"]
    assert f"evaluate.num_images is {0xBBBBBBBB}, there {0xAAAAAAAA}" in said["decision"], "what differs is listed"
    assert alias("champion") == "1"


def test_what_dvc_records_is_the_same_whatever_a_registry_answers(project, empty_store, monkeypatch, capsys):
    """A challenger here is the first champion where the registry is empty, and that is said; dvc.lock knows of neither."""
    registered(seed=0, fid=5.0, reach=0.5)
    here = registered(seed=1, fid=5.2, reach=0.5)
    card = (artifacts.ROOT / "register" / "card.json").read_bytes()
    Path("dvc.lock").write_text(
        yaml.safe_dump({"stages": {"register": {"outs": [{"path": "artifacts/register/card.json", "md5": hashlib.md5(card).hexdigest()}]}}})
    )
    assert "note" not in here
    shutil.copy(empty_store, project / "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/elsewhere.db")
    enter_session(monkeypatch, "flow:elsewhere")
    capsys.readouterr()
    there = registered(seed=1, fid=5.2, reach=0.5)
    assert (here["alias"], there["alias"], alias("champion")) == ("challenger", "champion", "1")
    assert there["decision"].endswith("promoted: the first champion of this registry")
    assert (
        there["note"] in capsys.readouterr().out
        and "elsewhere.db did not hold it" in there["note"]
        and "MLFLOW_TRACKING_URI" in there["note"]
    )
    assert (artifacts.ROOT / "register" / "card.json").read_bytes() == card
    assert registered(seed=1, fid=5.2, reach=0.5) == there, "asked again it is the same"
    assert "note" not in registered(seed=2, fid=5.3, reach=0.5), "this one was registered nowhere"


def test_an_experiment_registers_and_moves_no_alias(project, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "wide")
    session.current.cache_clear()
    said = registered(fid=5.0)
    assert said["alias"] is None and alias("champion") is None and len(all_versions()) == 1 and said["experiment"] == "wide"
    register.main("shown at the fair")
    said = decision()
    assert said["alias"] is None and said["forced"] is None and alias("champion") is None
    assert said["decision"].endswith("apply it (dvc exp apply wide) and run again; --force was not obeyed (shown at the fair)")
    monkeypatch.delenv("DVC_EXP_NAME")
    session.current.cache_clear()
    assert registered(fid=5.0)["alias"] == "champion", "applied and run again, it is decided on"


def test_killed_between_version_and_alias_the_next_run_finishes_it(project, monkeypatch):
    with monkeypatch.context() as torn:
        torn.setattr(register, "_record", lambda *arguments: None)  # nothing recorded
        registered(fid=5.0)
    assert alias("champion") is None
    assert registered(fid=5.0)["alias"] == "champion" and len(all_versions()) == 1 and alias("champion") == "1"


def test_an_unreachable_registry_is_a_sentence_and_leaves_nothing(project, monkeypatch):
    blocked = project / "a file"
    blocked.write_text("")
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{blocked}/mlflow.db")
        with pytest.raises(SystemExit, match="run again: dvc repro register"):
            registered()
        assert not register.DECISION.exists()
    enter_session(monkeypatch, "flow:later")
    assert registered()["version"] == "1"


def test_check_tells_a_lost_registry_from_a_silent_one(project, monkeypatch):
    assert register.check() == 1, "nothing decided yet"
    registered()
    assert register.check() == 0
    content = decision()
    register.DECISION.write_text(json.dumps(content | {"weights_sha256": "0" * 64}))
    assert register.check() == 1
    register.DECISION.write_text(json.dumps(content | {"version": "7"}))
    assert register.check() == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/lost.db")
    assert register.check() == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert register.check() == 3


def test_it_registers_with_tracking_off(project, monkeypatch):
    monkeypatch.setenv("GANLINE_TRACKING", "off")
    assert registered()["uri"] == "models:/digits/1" and register.check() == 0


ELSEWHERE = """
import json, os, sys
sys.path.append(sys.argv[1])
import importlib.util
assert all(importlib.util.find_spec(name) is None for name in ("gan", "stages", "apps", "pipeline"))
import mlflow, numpy, pandas
mlflow.set_tracking_uri(sys.argv[2])
model = mlflow.pyfunc.load_model("models:/digits@champion")
asked = model.predict(pandas.DataFrame({"seed": [0, 1, 5, 6, 7, 8], "label": [0, 1, 2, 0, 1, 2]}))
free = model.predict({"seed": [5]})
numpy.savez(sys.argv[3], asked=asked, free=free)
assert not any(name == "gan" or name.startswith("gan.") for name in sys.modules)
"""


@pytest.mark.slow
def test_the_champion_makes_the_same_images_where_this_project_is_not_installed(project, tmp_path):
    registered()
    out = tmp_path / "images.npz"
    opened = subprocess.run(
        # -S -I: no .pth file, no PYTHONPATH, no current folder, so that an editable install is not seen
        [sys.executable, "-S", "-I", "-c", ELSEWHERE, sysconfig.get_path("purelib"), session.tracking_uri(), str(out)],
        check=False, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
    )  # fmt: skip
    assert opened.returncode == 0, opened.stderr
    made = generator.load(artifacts.ROOT / "train")
    images = np.load(out)
    assert images["asked"].dtype == np.uint8 and images["asked"].shape == (6, 8, 8, 1)
    expected = made.sample([0, 1, 5, 6, 7, 8], [0, 1, 2, 0, 1, 2]).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(images["asked"], expected)
    np.testing.assert_array_equal(images["free"], made.sample([5]).transpose(0, 2, 3, 1))


def test_the_packed_model_names_exact_packages_and_holds_no_pickle(project, tmp_path):
    pyfunc.save(make_train(), tmp_path / "model")
    names = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert names <= {".py", ".json", ".safetensors", ".txt", ".yaml", ""}
    requirements = (tmp_path / "model" / "requirements.txt").read_text().split()
    assert all("==" in one and "+" not in one for one in requirements)


@pytest.mark.parametrize("network", ["dcgan", "r3gan"])
@pytest.mark.parametrize("conditional", [True, False])
def test_every_network_is_packed_with_all_code_it_needs(project, tmp_path, network, conditional):
    trained = make_train(network=network, conditional=conditional, shape=(3, 8, 12))
    pyfunc.save(trained, tmp_path / "model")
    import mlflow

    images = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict({"seed": [3, 4]})
    np.testing.assert_array_equal(images, generator.load(trained).sample([3, 4]).transpose(0, 2, 3, 1))


def test_versions_with_different_code_live_in_one_process(project, tmp_path, monkeypatch):
    trained = make_train()
    pyfunc.save(trained, tmp_path / "one")
    copy_code = pyfunc.copy_code

    def other_code(network: str, target: Path) -> None:
        copy_code(network, target)
        path = target / "networks" / "dcgan.py"
        path.write_text(path.read_text().replace("nn.Tanh()", "nn.Softsign()"))

    monkeypatch.setattr(pyfunc, "copy_code", other_code)
    pyfunc.save(trained, tmp_path / "two")
    import mlflow

    one, two = (mlflow.pyfunc.load_model(str(tmp_path / name)) for name in ("one", "two"))
    seeds = {"seed": list(range(20))}
    assert (one.predict(seeds) != two.predict(seeds)).any()
    np.testing.assert_array_equal(one.predict(seeds), generator.load(trained).sample(range(20)).transpose(0, 2, 3, 1))


def test_weights_that_are_not_the_registered_ones_are_refused(project, tmp_path):
    pyfunc.save(make_train(), tmp_path / "model")
    weights = tmp_path / "model" / "artifacts" / "generator" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    import mlflow

    with pytest.raises(ValueError, match="not the file that was registered"):
        mlflow.pyfunc.load_model(str(tmp_path / "model"))


def test_a_refusal_of_mlflow_is_told_from_an_outage(project):
    with pytest.raises(store.Refused), store.answers(session.tracking_uri()):
        client().get_model_version("absent", "1")


def score(answer: str) -> dict:
    """What make_evaluate takes so that the gate gives this answer against a champion of FID 5."""
    copied = {
        "memorisation": {
            "authenticity": {"mean": 0.1, "low": 0.0, "high": 0.2, "floor": 0.6},
            "copying": {"z": -9.0, "p": 0.0},
            "ratio": 0.5,
        }
    }
    return {"worse": {"fid": 9.0}, "promoted": {"fid": 3.0}, "challenger": {"fid": 5.0}, "refused": {"fid": 0.1, **copied}}[answer]


@pytest.mark.parametrize(
    ("answer", "champion", "challenger"), [("promoted", "2", None), ("challenger", "1", "2"), ("worse", "1", None), ("refused", "1", None)]
)
def test_the_answer_stands_in_the_decision_in_tags_and_in_the_alias(project, capsys, answer, champion, challenger):
    registered(seed=0)
    said = registered(seed=1, **score(answer))
    tags = all_versions()[1].tags
    assert said["answer"] == tags["answer"] == answer and json.loads(tags["decision"]) == said
    assert (alias("champion"), alias("challenger")) == (champion, challenger)
    printed = capsys.readouterr().out
    assert all(rule["words"] in printed for rule in said["rules"]) and {"min_authenticity", "better"} == {
        one["rule"] for one in said["rules"]
    }


def test_a_first_version_that_copies_becomes_no_champion(project):
    said = registered(**score("refused"))
    assert said["answer"] == "refused" and alias("champion") is None and alias("challenger") is None
    assert registered(seed=1, fid=9.0)["alias"] == "champion"


def test_by_force_it_is_champion_with_the_reason_written_down(project):
    registered(seed=0)
    registered(seed=1, **score("refused"))
    register.main("shown at the fair, on purpose")
    assert alias("champion") == "2" and decision()["forced"] == "shown at the fair, on purpose" and decision()["answer"] == "refused"
    last = aliases.history(client(), "digits")[-1]
    assert (last.how, last.version, last.instead_of) == ("force", "2", "1") and "shown at the fair" in last.why and "refused" in last.why


@pytest.mark.parametrize("arguments", [["--force"], ["--reason", "why"], ["--force", "--reason", ""]])
def test_force_and_reason_go_together(project, arguments):
    answer = command("stages.register", *arguments)
    assert answer.returncode == 2 and "go together" in answer.stderr


def test_a_version_rolled_back_from_is_never_promoted_by_the_gate_again(project):
    registered(seed=0, fid=5.0)
    registered(seed=1, fid=3.0)
    assert app("rollback", "digits", "--reason", "odd eights").returncode == 0
    assert alias("champion") == "1"
    said = registered(seed=1, fid=0.5, reach=0.1)  # scored again, and far better
    assert said["answer"] == "refused" and "odd eights" in said["decision"] and alias("champion") == "1"
    assert app("promote", "digits", "2", "--reason", "it was the camera").returncode == 0
    assert alias("champion") == "2"


@pytest.mark.slow
def test_history_promote_and_rollback_as_commands(project):
    registered(seed=0, fid=5.0), registered(seed=1, fid=3.0)
    assert "digits version 2 is the champion already" in app("promote", "digits", "2", "--reason", "x").stderr
    assert "digits" in app("promote", "digits", "9", "--reason", "x").stderr and alias("champion") == "2"
    assert app("rollback", "digits", "--to", "1", "--reason", "odd eights").returncode == 0
    said = app("history", "digits").stdout.splitlines()
    assert (
        len(said) == 3
        and "champion nobody → 1  gate" in said[0]
        and "champion 2 → 1  rollback" in said[2]
        and said[2].endswith("fid 5  odd eights")
    )
    assert [one["how"] for one in json.loads(app("history", "digits", "--json").stdout)] == ["gate", "gate", "rollback"]
    assert "no other champion" in app("rollback", "digits", "--reason", "x").stderr
    assert "'toys' is no registered model; registered: digits" in app("history", "toys").stderr


def test_a_version_says_what_it_was_made_from(project):
    git("init", "-q"), git("add", "params.yaml"), git("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start")
    small.write_params(project, {"register.data_licence": "CC-BY-4.0"}, project / "params.yaml")
    registered(fid=5.0)
    tags = all_versions()[0].tags
    head = git("rev-parse", "HEAD")
    assert tags["git.commit"] == head != tags["git.state"] and tags["git.dirty"] == "true"
    assert "data_licence: CC-BY-4.0" in git("show", f"{tags['git.state']}:params.yaml") and "data_licence: CC-BY-4.0" not in git(
        "show", "HEAD:params.yaml"
    )
    assert tags["params_sha256"] == artifacts.sha256_of_file(project / "params.yaml")
    assert json.loads(tags["data_counts"]) == {"train": 30, "heldout": 10} and tags["data_licence"] == "CC-BY-4.0"
    assert json.loads(tags["cost"])["images"] == 200 and json.loads(tags["scores"])["memorisation"]["copying"]["z"] == 1.0
    assert {"torch", "mlflow", "python"} <= json.loads(tags["libraries"]).keys()
    made_from = models.made_from(session.tracking_uri(), all_versions()[0])
    assert artifacts.sha256_of_file(made_from / "params.yaml") == tags["params_sha256"]


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_the_model_card_is_hugging_faces_with_scores_and_what_to_beware_of(project):
    small.write_params(project, {"register.data_licence": "CC-BY-4.0"}, project / "params.yaml")
    registered(fid=5.0)
    folder = models.made_from(session.tracking_uri(), all_versions()[0]).parent
    _, front, text = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    said = yaml.safe_load(front)
    assert said["license"] == "cc-by-4.0" and said["datasets"] == ["digits"] and {"gan", "dcgan"} <= set(said["tags"])
    assert said["model-index"][0]["results"][0]["metrics"][0] == {"type": "fid", "name": "FID", "value": 5.0}
    for words in (
        "| fid | 5 | 4.5 to 5.5 | 1 |",
        "30 for training, 10 held out",
        "- Short of real: FID 5 times",
        "60.0% authentic (held-out 60.0%)",
        "mlflow.pyfunc.load_model",
        "a" * 64,
    ):
        assert words in text
    code = text.partition("```python\n")[2].partition("```")[0].replace("path/to/this/folder", str(folder))
    exec(code, found := {})
    np.testing.assert_array_equal(found["images"], generator.load(artifacts.ROOT / "train").sample([0, 1], [0, 1]).transpose(0, 2, 3, 1))


def test_lineage_names_each_step_and_what_can_no_longer_be_found(project):
    registered()
    answer = app("lineage", "digits@champion", "--json")
    steps = {one["step"]: one for one in json.loads(answer.stdout)["steps"]}
    assert list(steps) == ["version", "files", "run", "code", "lock", "data", "params"] and answer.returncode == 1
    assert [name for name, one in steps.items() if not one["found"]] == ["code", "lock", "data"], "no git and no dvc.lock here"
    client().delete_run(all_versions()[0].run_id)
    (models.made_from(session.tracking_uri(), all_versions()[0]) / "params.yaml").write_text("other")
    said = app("lineage", "digits").stdout
    assert "run     NOT FOUND" in said and "mlflow runs restore" in said and "is not the file that was registered" in said


def test_the_logged_model_of_a_version_has_its_scores(project):
    registered(fid=5.0)
    [model] = client().search_logged_models([runs()[0].info.experiment_id])
    assert model.status == "READY" and {one.key: one.value for one in model.metrics} == {"fid": 5.0}
    assert all_versions()[0].source == model.artifact_location and model.source_run_id == all_versions()[0].run_id


def shown() -> dict:
    """What MLflow's pages show of the only version and its logged model."""
    [version], [model] = all_versions(), client().search_logged_models([runs()[0].info.experiment_id])
    assert str(version.version) == "1"
    return {
        "versions": json.loads(model.tags["mlflow.modelVersions"]), "params": model.params,
        "metrics": {(one.key, one.value, one.dataset_name, one.dataset_digest) for one in model.metrics},
        "card": model.tags["mlflow.note.content"], "description": client().get_model_version("digits", "1").description,
        "by": {model.tags.get("mlflow.source.name"), model.tags.get("mlflow.user")},
    }  # fmt: skip


def test_mlflows_pages_of_a_version_offer_what_it_is(project):
    registered(fid=5.0)
    said, data = shown(), ("digits", artifacts.identity("prepare")[:36])
    assert said["versions"] == [{"name": "digits", "version": "1"}] and said["metrics"] == {("fid", 5.0, *data)}
    assert said["params"]["train.init"] == "None" and said["params"]["prepare.resolution"] == "[8, 8]", "by their names in params.yaml"
    assert said["card"] == said["description"] and said["card"].startswith(
        "Short of real: FID 5 times that of held-out images.\n\nA generative"
    )
    assert (
        "| fid | 5 |" in said["card"]
        and "grid.png" not in said["card"]
        and len(said["card"]) <= 5000
        and said["by"] == {"dvc.yaml", mlflow_run.user()}
    )
    delivery.deliver(Journal.of(session.current().key))
    run = client().get_run(runs()[0].info.run_id)
    assert [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs] == [data] and len(run.outputs.model_outputs) == 1
    assert run.data.tags["mlflow.note.content"] == f"digits version 1, {decision()['decision']}"
    assert next(iter(all_versions()[0].tags)) == "state", "a sentence comes before the hashes"


def test_pages_of_what_was_registered_before_are_filled_once_and_keep_what_people_wrote(project, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(mlflow_page, "fill", lambda *arguments: None)  # as an older release registered
        registered(fid=5.0)
    [model] = client().search_logged_models([runs()[0].info.experiment_id])
    client().log_metric(all_versions()[0].run_id, "fid", 5.0, runs()[0].info.start_time, 0, model_id=model.model_id)  # and without its data
    client().update_model_version("digits", "1", "our best eights")
    enter_session(monkeypatch, "flow:again")
    registered(fid=5.0)
    said, data = shown(), ("digits", artifacts.identity("prepare")[:36])
    assert said["description"] == "our best eights" and said["card"].startswith("Short of real")
    assert said["versions"] == [{"name": "digits", "version": "1"}] and said["metrics"] == {("fid", 5.0, None, None), ("fid", 5.0, *data)}
    monkeypatch.setenv("GANLINE_TRACKING", "off")
    registered(fid=5.0)  # for the run that registered it first
    for name in ("log_metric", "log_model_params", "log_inputs", "log_outputs", "set_logged_model_tags", "update_model_version"):
        monkeypatch.setattr(mlflow.MlflowClient, name, lambda *arguments, **options: pytest.fail("filled again"))
    registered(fid=5.0)
    assert shown() == said


def test_a_version_whose_run_or_logged_model_was_deleted_is_answered_for(project, monkeypatch):
    said = registered(fid=5.0)
    monkeypatch.setenv("GANLINE_TRACKING", "off")
    [model] = client().search_logged_models([runs()[0].info.experiment_id])
    client().delete_run(all_versions()[0].run_id)
    assert registered(fid=5.0) == said
    client().delete_logged_model(model.model_id)
    assert registered(fid=5.0) == said


class Killed(Exception):
    """Where a process would have died."""


WRITES = (
    "create_registered_model", "create_run", "create_logged_model", "log_model_artifacts", "log_metric", "finalize_logged_model",
    "create_model_version", "set_model_version_tag", "set_registered_model_tag", "set_registered_model_alias",
    "update_model_version", "set_logged_model_tags", "log_model_params", "log_inputs", "log_outputs",
)  # fmt: skip


def killed_at(monkeypatch, number: int) -> None:
    """MLflow dies at the registration's write of this number."""
    left = iter(range(number))

    def dying(write):
        def written(self, *arguments, **options):
            if next(left, None) is None:
                raise Killed
            return write(self, *arguments, **options)

        return written

    for name in WRITES:
        monkeypatch.setattr(mlflow.MlflowClient, name, dying(getattr(mlflow.MlflowClient, name)))


@pytest.mark.slow
def test_killed_at_any_write_and_run_again_it_is_as_if_never_killed(project, empty_store, monkeypatch):
    monkeypatch.setenv("GANLINE_TRACKING", "off")
    said, number = registered(fid=5.0), 0
    whole = {key: value for key, value in all_versions()[0].tags.items()}
    while True:
        shutil.copy(empty_store, project / "mlflow.db")
        try:
            with monkeypatch.context() as torn:
                killed_at(torn, number)
                register.main()
            break
        except Killed:
            number += 1
        assert alias("champion") is None or all_versions()[0].tags.get("decision"), "no champion before its scores"
        for version in client().search_model_versions("name = 'digits'"):
            models.fetched(session.tracking_uri(), version)  # no version before its files
        register.main()
        assert len(client().search_logged_models([client().get_experiment_by_name("digits").experiment_id])) == 1
        assert decision() == said and all_versions()[0].tags == whole and len(all_versions()) == 1 and alias("champion") == "1"
        assert aliases.unfinished(client(), "digits") is None
    assert number > len(WRITES)


def test_what_was_uploaded_while_another_process_registered_the_same_weights_goes(project, monkeypatch):
    make_prepare(), make_train(), make_evaluate()
    upload, theirs = register._upload, []

    def overtaken(opened, run_id, name, tags):
        own = upload(opened, run_id, name, tags)
        other = opened.create_logged_model(opened.get_run(run_id).info.experiment_id, name, run_id, model_type="generator")
        shutil.copytree(
            local_file_uri_to_path(own[0].artifact_location), local_file_uri_to_path(other.artifact_location), dirs_exist_ok=True
        )
        theirs.append(
            opened.create_model_version(name, other.artifact_location, run_id, tags=tags | {"code_sha256": own[1]}, model_id=other.model_id)
        )
        return own

    monkeypatch.setattr(register, "_upload", overtaken)
    register.main()
    [model] = client().search_logged_models([client().get_experiment_by_name("digits").experiment_id])
    assert model.artifact_location == theirs[0].source == all_versions()[0].source and len(all_versions()) == 1
    assert models.folder("digits").is_dir() and alias("champion") == "1"


@pytest.mark.slow
def test_two_processes_that_register_the_same_weights_make_one_version(project):
    make_prepare(), make_train(), make_evaluate()
    for name in ("one", "two"):  # two checkouts of one store: the checkout's own lock does not keep them apart
        (project / name).mkdir()
        shutil.copytree(project / "artifacts", project / name / "artifacts")
        shutil.copy(project / "params.yaml", project / name), shutil.copy(project / "dvc.yaml", project / name)
    env = {**os.environ, "MLFLOW_TRACKING_URI": session.tracking_uri(), "GANLINE_TRACKING": "off"}
    both = [subprocess.Popen([sys.executable, "-m", "stages.register"], cwd=project / name, env=env) for name in ("one", "two")]
    assert [process.wait(timeout=patient(200)) for process in both] == [0, 0]
    one, two = (json.loads((project / name / register.DECISION).read_text()) for name in ("one", "two"))
    assert len(all_versions()) == 1 and one["version"] == two["version"] == "1" and alias("champion") == "1"
    assert [move.number for move in aliases.history(client(), "digits")] == [1]
