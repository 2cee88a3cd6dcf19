"""A checkout that was moved or copied: what MLflow recorded of it is put right, and only that."""

import shutil
import sqlite3

import mlflow
import pytest
from tracked_project import client, empty_store, make_evaluate, make_prepare, make_train, project, runs

from pipeline import checkout
from pipeline.commands import doctor, relocation
from stages import params, register
from stages.registry import models
from stages.tracking import mlflow_run, session, store

__all__ = ["empty_store", "project"]  # fixtures


@pytest.fixture
def moved(project, monkeypatch):
    """A project with a registered version, in another folder than where that was registered."""
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
    make_prepare(), make_train(), make_evaluate()
    register.main()
    place = project.with_name(project.name + " moved")
    place.mkdir()
    for path in project.iterdir():
        shutil.move(path, place)
    monkeypatch.chdir(place)
    monkeypatch.setattr(relocation.dvc, "status", dict)  # the project has no DVC
    return place


def paths(file) -> list[str]:
    with sqlite3.connect(file) as database:
        return [row[0] for table, column in relocation.COLUMNS for row in database.execute(f"SELECT {column} FROM {table}") if row[0]]


def test_a_version_is_loaded_after_the_move_is_mended(moved, project):
    with pytest.raises(models.NotFound, match="gan doctor --relocate"):
        models.folder("digits@champion")
    with pytest.raises(doctor.Broken, match=f"paths of {project}, from where this checkout was moved"):
        doctor.check_place()
    with pytest.raises(store.Unreachable, match="gan doctor --relocate"):
        store.experiment_id(client(), session.tracking_uri(), "digits")
    assert f" paths of {project} are now of {moved} (as it was: mlflow.db.before-relocation)" in relocation.relocate()
    assert not [path for path in paths(moved / "mlflow.db") if project.as_uri() + "/" in path or str(project) + "/" in path]
    assert any(str(project) + "/" in path for path in paths(moved / "mlflow.db.before-relocation"))
    assert models.folder("digits@champion").is_relative_to(moved)
    mlflow.set_tracking_uri(session.tracking_uri())
    assert mlflow.pyfunc.load_model("models:/digits@champion").predict({"seed": [0]}).shape == (1, 8, 8, 1)
    said = []
    relocation.mend(said.append)
    assert not said and "names no other place" in relocation.relocate() and "names this folder" in doctor.check_place()


def test_what_was_not_yet_sent_goes_to_the_store_that_moved_along(project, monkeypatch):
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
    make_prepare()
    with mlflow_run.stage("prepare", params.load()):
        pass
    place = project.with_name(project.name + "-moved")
    project.rename(place)
    monkeypatch.chdir(place)
    assert mlflow_run.send() == 0
    assert len(runs()) == 1 and not project.exists()


@pytest.fixture
def database(tmp_path, monkeypatch):
    """The tables and columns that are rewritten, with rows of many places; one experiment lies here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(relocation.dvc, "status", dict)
    (tmp_path / "mlartifacts/toys/run 1").mkdir(parents=True)
    with sqlite3.connect(tmp_path / "mlflow.db") as made:
        for table, columns in {
            "experiments": "artifact_location",
            "runs": "artifact_uri",
            "logged_models": "artifact_location",
            "model_versions": "source, storage_location",
        }.items():
            made.execute(f"CREATE TABLE {table} ({columns})")
        made.execute("INSERT INTO experiments VALUES ('file:///old/place/mlartifacts/toys'), ('s3://bucket/mlartifacts/toys')")
        made.execute("INSERT INTO runs VALUES ('file:///old/place/mlartifacts/toys/run%201'), ('file:///old/place/mlartifacts/toys/lost')")
        made.execute("INSERT INTO model_versions VALUES ('/other/mlartifacts/toys/run 1', 'models:/m-1'), (NULL, NULL)")
        made.execute("INSERT INTO logged_models VALUES ('file:///x/mlartifacts/../mlartifacts/toys')")
    return tmp_path / "mlflow.db"


def test_only_paths_of_disks_that_lie_here_are_rewritten(database):
    here = database.parent.resolve()
    assert "3 paths of /old/place, /other are now of" in relocation.relocate()
    assert paths(database) == [
        f"{here.as_uri()}/mlartifacts/toys", "s3://bucket/mlartifacts/toys", f"{here.as_uri()}/mlartifacts/toys/run%201",
        "file:///old/place/mlartifacts/toys/lost", "file:///x/mlartifacts/../mlartifacts/toys", f"{here}/mlartifacts/toys/run 1",
        "models:/m-1",
    ]  # fmt: skip


def test_a_run_puts_it_right_by_itself_and_says_so(database):
    said = []
    relocation.mend(said.append)
    assert len(said) == 1 and "3 paths of" in said[0]


def test_a_store_that_is_broken_stops_no_run(database):
    database.write_bytes(b"no database at all " * 100)
    said = []
    relocation.mend(said.append)
    assert len(said) == 1 and "cannot be read: file is not a database" in said[0]


def test_nothing_is_rewritten_while_a_run_goes(database, monkeypatch):
    before = paths(database)
    with checkout.lock(), pytest.raises(checkout.Busy, match="holds work/run.lock"):
        relocation.relocate()
    assert paths(database) == before


def test_a_store_that_cannot_be_written_is_left_as_it_was(database, monkeypatch):
    before = paths(database)
    monkeypatch.setattr(relocation, "TIMEOUT_S", 0.1)
    with sqlite3.connect(database) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(relocation.Failure, match="nothing was changed: database is locked"):
            relocation.relocate()
    assert paths(database) == before


def test_a_served_store_has_nothing_to_rewrite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(relocation.dvc, "status", dict)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert "is a server" in relocation.relocate()
