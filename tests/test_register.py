"""The registry: a version for each weights, an alias by figures, images from seeds where this project is not installed."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from tracked_project import (
    client,
    decision,
    empty_store,
    enter_session,
    make_evaluate,
    make_prepare,
    make_train,
    project,
    runs,
)  # fmt: skip

from gan import generator
from stages import artifacts, pyfunc, register, registry, session, store, tracking

__all__ = ["empty_store", "project"]  # fixtures


@pytest.fixture(autouse=True)
def no_follower(monkeypatch):
    monkeypatch.setattr(tracking, "follow", lambda journal: None)


def registered(seed: int = 0, **score) -> dict:
    """The decision about the generator of `seed` with a score."""
    make_prepare()
    make_train(seed)
    make_evaluate(**score)
    register.main()
    return decision()


def alias(name: str) -> str | None:
    version = registry.version_called(client(), "digits", name)
    return version and str(version.version)


def versions() -> list:
    return sorted(client().search_model_versions("name = 'digits'"), key=lambda one: int(one.version))


def test_the_first_version_is_the_champion_and_says_what_it_is(project):
    said = registered(fid=5.0)
    [version] = versions()
    assert said["alias"] == "champion" and alias("champion") == "1" and said["uri"] == "models:/digits/1"
    assert version.tags["weights_sha256"] == artifacts.sha256_of_file(
        artifacts.ROOT / "train" / "generator.safetensors"
    )
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
    assert len(versions()) == 1
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


@pytest.mark.parametrize("fid", [4.5, 5.0, 7.0])
def test_intervals_that_touch_leave_the_champion_where_it_is(project, fid):
    registered(seed=0, fid=5.0, reach=0.5)
    said = registered(seed=1, fid=fid, reach=0.5)
    assert (said["alias"], alias("champion"), alias("challenger")) == ("challenger", "1", "2")
    assert "not better by more than noise" in said["decision"]


def test_scores_of_different_protocols_are_not_compared(project):
    registered(seed=0, fid=5.0, protocol="a" * 64)
    said = registered(seed=1, fid=0.1, protocol="b" * 64)
    assert said["alias"] == "challenger" and "another protocol" in said["decision"]
    assert f"evaluate.num_images is {0xBBBBBBBB}, there {0xAAAAAAAA}" in said["decision"], "what differs is listed"
    assert alias("champion") == "1"


def test_an_experiment_registers_and_moves_no_alias(project, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "wide")
    session.current.cache_clear()
    said = registered(fid=5.0)
    assert said["alias"] is None and alias("champion") is None and len(versions()) == 1
    monkeypatch.delenv("DVC_EXP_NAME")
    session.current.cache_clear()
    assert registered(fid=5.0)["alias"] == "champion", "applied and run again, it is decided on"


def test_killed_between_version_and_alias_the_next_run_finishes_it(project, monkeypatch):
    with monkeypatch.context() as torn:
        torn.setattr(register, "_record", lambda *arguments: None)  # nothing recorded
        registered(fid=5.0)
    assert alias("champion") is None
    assert registered(fid=5.0)["alias"] == "champion" and len(versions()) == 1 and alias("champion") == "1"


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


def test_the_champion_makes_the_same_images_where_this_project_is_not_installed(project, tmp_path):
    registered()
    out = tmp_path / "images.npz"
    answer = subprocess.run(
        # -S -I: no .pth file, no PYTHONPATH, no current folder, so that an editable install is not seen
        [sys.executable, "-S", "-I", "-c", ELSEWHERE, sysconfig.get_path("purelib"), session.tracking_uri(), str(out)],
        check=False, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
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
