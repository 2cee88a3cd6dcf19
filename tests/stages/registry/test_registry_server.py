"""The registry behind a real `mlflow server --serve-artifacts`: register, promote, roll back, fetch; and its lock."""

import json
from concurrent.futures import ThreadPoolExecutor

import mlflow
import numpy as np
import pytest
from served_registry import served
from tracked_project import client, command, empty_store, enter_session, make_evaluate, make_prepare, make_train, project

from gan import generator
from stages import artifacts, register
from stages.registry import aliases, models, versions
from stages.tracking import mlflow_run, session, store

__all__ = ["empty_store", "project"]  # fixtures
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def server(project, monkeypatch):
    with served(project) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
        enter_session(monkeypatch, "flow:served")
        yield uri


def test_a_served_registry_takes_versions_moves_and_gives_them_back(server, tmp_path, monkeypatch):
    make_prepare()
    for seed, fid in ((0, 5.0), (1, 3.0)):
        make_train(seed), make_evaluate(fid=fid)
        register.main()
        enter_session(monkeypatch, f"flow:served {seed}")
    opened = client()
    assert opened.get_model_version("digits", "2").source.startswith("mlflow-artifacts:/")
    assert aliases.holder(opened, "digits", "champion") == "2"
    folder = models.folder("digits")
    assert folder.absolute() == models.place(artifacts.card_of("train")["files"]["generator.safetensors"]).absolute()
    expected = generator.load(artifacts.ROOT / "train").sample(range(4))
    np.testing.assert_array_equal(models.generator(folder).sample(range(4)), expected)
    mlflow.set_tracking_uri(server)
    images = mlflow.pyfunc.load_model("models:/digits@champion").predict({"seed": [0, 1, 2, 3]})
    np.testing.assert_array_equal(images, expected.transpose(0, 2, 3, 1))
    assert command("apps.rollback", "digits", "--reason", "odd eights").returncode == 0
    assert [one.how for one in aliases.history(opened, "digits")] == ["gate", "gate", "rollback"]
    steps = {one["step"]: one for one in json.loads(command("apps.lineage", "digits/2", "--json").stdout)["steps"]}
    assert steps["files"]["found"] and steps["params"]["found"] and steps["run"]["found"]
    assert [one.name for one in opened.search_registered_models()] == ["digits"], "the lock leaves nothing behind"
    weights = folder / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    with pytest.raises(models.NotFound, match="not what was registered"):
        models.folder("digits/2")
    with pytest.raises(mlflow.exceptions.MlflowException, match="Invalid model version source"):
        opened.create_model_version("digits", "mlflow-artifacts:/a/../../b", tags={})


def test_moves_of_a_served_registry_are_one_at_a_time(server, monkeypatch):
    opened = client()
    opened.create_registered_model("toys")
    run = opened.create_run("0").info
    for _ in range(3):
        opened.create_model_version("toys", f"{run.artifact_uri}/model", run.run_id)

    def mover(version: str) -> None:
        own = store.client(server)
        for attempt in range(5):
            try:
                aliases.move(
                    own,
                    server,
                    "toys",
                    "champion",
                    version,
                    expected=aliases.holder(own, "toys", "champion"),
                    how="promote",
                    why=f"{version}/{attempt}",
                )
            except aliases.Overtaken:
                pass

    with ThreadPoolExecutor() as pool:
        list(pool.map(mover, "123"))
    moves = aliases.history(opened, "toys")
    assert [one.number for one in moves] == list(range(1, len(moves) + 1)) and len(moves) > 3
    assert all(before.version == after.instead_of for before, after in zip(moves, moves[1:]))
    assert aliases.holder(opened, "toys", versions.CHAMPION) == moves[-1].version


def test_a_lock_whose_holder_died_is_broken_after_a_while(server, monkeypatch):
    opened = client()
    opened.create_registered_model("toys.moving", tags={"held_by": "a process that is no more"})
    monkeypatch.setattr(aliases, "_STALE_S", 0.5)
    with aliases.moving(opened, session.tracking_uri(), "toys"):
        assert opened.get_registered_model("toys.moving").tags["held_by"] != "a process that is no more"
    assert not opened.search_registered_models()
