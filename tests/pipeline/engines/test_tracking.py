"""What `gan` reads from MLflow's SQLite file at a glance is what MLflow itself would answer."""

import pytest

from pipeline.engines import tracking
from pipeline.errors import Failure


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A real store with two runs and two versions of one model."""
    import mlflow

    folder = tmp_path_factory.mktemp("store")
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = [client.create_run("0", run_name=name, start_time=start) for name, start in (("first", 1000), ("second", 2000))]
    client.set_terminated(runs[0].info.run_id, "FAILED")
    client.create_registered_model("digits")
    for weights in ("aa", "bb"):
        client.create_model_version("digits", str(folder), tags={"weights_sha256": weights})
    return folder, client


@pytest.fixture
def here(store, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(store[0])
    return store[1]


def test_the_newest_runs_come_first(here):
    assert [(run.name, run.status) for run in tracking.last_runs(5)] == [("second", "RUNNING"), ("first", "FAILED")]
    assert len(tracking.last_runs(1)) == 1


def test_a_version_is_held_if_its_weights_are_those_of_the_decision(here):
    assert tracking.surely_holds({"name": "digits", "version": "1", "weights_sha256": "aa"})
    assert not tracking.surely_holds({"name": "digits", "version": "1", "weights_sha256": "bb"})
    assert not tracking.surely_holds({"name": "digits", "version": "3", "weights_sha256": "aa"})
    assert not tracking.surely_holds({"name": "faces", "version": "1", "weights_sha256": "aa"})


def test_a_deleted_version_is_not_held(here):
    here.delete_model_version("digits", "2")
    assert not tracking.surely_holds({"name": "digits", "version": "2", "weights_sha256": "bb"})


def test_another_store_is_left_to_mlflow(here, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert not tracking.surely_holds({"name": "digits", "version": "1", "weights_sha256": "aa"})


def test_no_store_has_no_runs_and_a_broken_one_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert tracking.last_runs(5) == []
    tracking.DATABASE.write_bytes(b"no database at all " * 100)
    assert not tracking.surely_holds({"name": "digits", "version": "1", "weights_sha256": "aa"})
    with pytest.raises(Failure, match="mlflow.db cannot be read: file is not a database"):
        tracking.last_runs(5)


def test_the_champion_is_found_with_its_age_and_a_run_with_its_page(here):
    from datetime import UTC, datetime, timedelta

    assert tracking.champion("digits") is None
    here.set_registered_model_alias("digits", "champion", "1")
    found = tracking.champion("digits")
    assert found.version == "1" and timedelta() <= datetime.now(UTC) - found.made < timedelta(minutes=5)
    run = here.search_runs(["0"])[0].info.run_id
    assert tracking.page_of_run("http://127.0.0.1:5000", run) == f"http://127.0.0.1:5000/#/experiments/0/runs/{run}"
    assert tracking.page_of_run("http://127.0.0.1:5000", "none") is None
