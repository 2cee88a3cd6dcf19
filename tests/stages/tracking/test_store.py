"""The MLflow store: what is an outage and what no waiting mends, who is first when two begin at once, folders of any name."""

import contextlib
import errno
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from patience import patient
from tracked_project import client, empty_store, execute, picture_steps, project, runs, send

from gan import disk
from stages import exit_codes
from stages.registry import versions
from stages.tracking import delivery, mlflow_run, session, store
from stages.tracking.journal import Journal

__all__ = ["empty_store", "project"]
MLFLOWS = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}
GATES = {"message": "Forbidden"}  # of a gate before MLflow


@pytest.fixture(autouse=True)
def no_follower(monkeypatch):
    """Delivery by hand: starting the process that does it takes seconds. Tests of that process start it themselves."""
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)


@pytest.fixture
def answering(monkeypatch):
    """A server as MLFLOW_TRACKING_URI that gives every request one answer: answering(status, body)."""
    given = {}

    class Always(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = given["answer"]
            content = (json.dumps(body) if isinstance(body, dict) else body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = do_POST

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Always)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def answer(status: int, body: str | dict) -> str:
        given["answer"] = (status, body)
        return uri

    yield answer
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, "You are not authenticated.", store.Unusable),
        (403, "Permission denied", store.Unusable),
        (403, {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}, store.Unusable),
        (403, GATES, store.Unusable),
        (401, GATES, store.Unusable),
        (404, "<h1>Not found</h1>", store.Unusable),
        (400, "<h1>Bad request</h1>", store.Unusable),
        (405, GATES, store.Unusable),
        (407, "proxy", store.Unusable),
        (413, "too large", store.Refused),
        (404, MLFLOWS, store.Refused),
        (408, "slow", store.Unreachable),
        (429, "later", store.Unreachable),
        (429, GATES, store.Unreachable),
        (500, {"error_code": "INTERNAL_ERROR", "message": "oh"}, store.Unreachable),
        (502, "<h1>Bad gateway</h1>", store.Unreachable),
        (503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "database is locked"}, store.Unreachable),
        (503, GATES, store.Unreachable),
    ],
)
def test_only_what_a_server_may_answer_otherwise_later_is_an_outage(answering, status, body, kind):
    uri = answering(status, body)
    opened = store.client(uri)
    with pytest.raises((store.Unreachable, store.Refused)) as told, store.answers(uri):
        opened.get_registered_model("toys")
    assert type(told.value) is kind, str(told.value)


def test_a_server_that_lets_nobody_in_ends_a_stage_with_1_and_the_way_out(answering, capsys):
    uri = answering(401, "You are not authenticated.")

    def main() -> None:
        try:
            with store.answers(uri):
                store.client(uri).get_registered_model("toys")
        except store.Unreachable as error:
            sys.exit(f"MLflow: {error}")

    with pytest.raises(SystemExit, match="MLFLOW_TRACKING_USERNAME"):  # Python's own end with a sentence: code 1
        exit_codes.exit_code(main)


def test_what_a_server_that_lets_nobody_in_misses_is_kept_for_it(project, answering, monkeypatch, capsys):
    uri = answering(403, GATES)
    execute("prepare", "train")
    assert mlflow_run.send() == 1
    said = capsys.readouterr().err
    assert "lets nobody in" in said and "Nothing is lost" in said
    journal = Journal.of(session.current().key)
    assert journal.state().offset == 0 and not (journal.folder / "refused.log").exists()
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()]
    lines[0]["uri"] = None  # as if the same server let everyone in
    journal.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert uri and mlflow_run.send() == 0
    [run] = runs()
    assert picture_steps(run) == [0, 100, 200]


def test_a_torn_database_is_no_outage_and_the_sentence_names_it(project, capsys):
    file = project / "mlflow.db"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(store.Unusable, match=rf"{file} is torn \(.*malformed\).*: mv {file} {file}.torn"):
        client().search_experiments()
    execute("prepare")
    assert mlflow_run.send() == 1 and f"{file} is torn" in capsys.readouterr().err
    file.unlink()
    (project / "mlflow.db.lock").unlink(missing_ok=True)


def test_a_database_that_is_only_locked_is_an_outage():
    from sqlalchemy.exc import OperationalError

    with pytest.raises(store.Unreachable) as told, store.answers("sqlite:////there/mlflow.db"):
        raise OperationalError("INSERT", {}, Exception("database is locked"))
    assert type(told.value) is store.Unreachable


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, as a folder."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_under_mlartifacts_is_no_outage_and_the_file_is_named(project, small_disk, capsys):
    (project / "mlartifacts").symlink_to(small_disk)
    execute("prepare")
    large = project / "large.bin"
    large.write_bytes(bytes(2**21))
    Journal.of(session.current().key).append_file("artifact", large, place="prepare", name=large.name)
    assert mlflow_run.send() == 1
    said = capsys.readouterr().err
    assert re.search(
        rf"{project}/mlartifacts/\S+/artifacts/prepare/large.bin: No space left on device; \d MB are free in {project}/mlartifacts/", said
    ), said
    assert "Nothing is lost" in said and "gan gc" in said


def test_a_copy_that_does_not_fit_is_named_by_where_it_was_to_go(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", "read.bin", None, str(tmp_path / "not/yet/there.bin"))
    free = shutil.disk_usage(tmp_path).free / 2**20
    assert disk.in_words(error).startswith(f"{tmp_path}/not/yet/there.bin: No space left on device; ")
    assert abs(float(disk.in_words(error).partition(" MB are free in ")[0].rpartition(" ")[2].replace(",", "")) - free) < 1000
    assert f"MB are free in {tmp_path};" in disk.in_words(error)


def test_a_full_disk_that_the_system_does_not_name_is_looked_for(tmp_path, small_disk, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="No space left") as full, open(small_disk / "it", "wb", buffering=0) as file:
        while True:
            file.write(bytes(2**16))
    assert full.value.filename is None
    assert f"{small_disk}: 0 MB are free" in disk.in_words(full.value)


def test_a_model_that_another_makes_between_the_look_and_the_making_is_no_mistake(project, monkeypatch):
    first, second = client(), client()
    looked = first.search_registered_models

    def overtaken(*asked):
        found = looked(*asked)
        versions.ensure_model(second, "toys")
        return found

    monkeypatch.setattr(first, "search_registered_models", overtaken)
    versions.ensure_model(first, "toys")
    assert [one.name for one in client().search_registered_models()] == ["toys"]


@pytest.mark.parametrize("deleted", [False, True])
def test_an_experiment_that_another_makes_or_brings_back_in_between_is_no_mistake(project, monkeypatch, deleted):
    first, uri = client(), session.tracking_uri()
    if deleted:
        first.delete_experiment(store.experiment_id(first, uri, "toys"))
    looked, theirs = first.get_experiment_by_name, []

    def overtaken(name):
        found = looked(name)
        if not theirs:
            theirs.append(store.experiment_id(client(), uri, name))
        return found

    monkeypatch.setattr(first, "get_experiment_by_name", overtaken)
    assert store.experiment_id(first, uri, "toys") == theirs[0]
    assert client().get_experiment(theirs[0]).lifecycle_stage == "active"


def test_a_sweep_and_its_trial_at_once_make_one_parent(project, monkeypatch):
    key = "sweep:wide@1"
    for name, words in (("sweep", {"ganline.session": key}), ("trial", {"ganline.session": "trial-1", session.PARENT: key})):
        journal = Journal.of(name)
        journal.append(
            "run", experiment="toys", uri=None, name=name, owned=True, tags=words | session.tags_of_owner(session.current().owner)
        )
    store.experiment_id(client(), session.tracking_uri(), "toys")
    looked, met = delivery._Delivery._run_of, threading.Barrier(2)

    def together(self, experiment, wanted):
        found = looked(self, experiment, wanted)
        if wanted == key:
            with contextlib.suppress(threading.BrokenBarrierError):  # of one that the other waits for
                met.wait(timeout=patient(0.25))
        return found

    monkeypatch.setattr(delivery._Delivery, "_run_of", together)
    both = [threading.Thread(target=delivery.deliver, args=[Journal.of(name)]) for name in ("sweep", "trial")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(timeout=patient(60))
    [parent] = [run for run in runs() if run.data.tags["ganline.session"] == key]
    [trial] = [run for run in runs() if run.data.tags["ganline.session"] == "trial-1"]
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id


@pytest.mark.parametrize("name", ["is it? really#1 %20 100%", "a#b", "a%20b%3Fc", 'it\'s "so"', "Grüße 数字"])
def test_a_checkout_in_a_folder_of_any_name_is_tracked_there_and_nowhere_else(project, tmp_path, monkeypatch, name):
    home = tmp_path / "around" / name
    home.mkdir(parents=True)
    for file in ("params.yaml", "dvc.yaml", "mlflow.db"):
        (tmp_path / file).rename(home / file)
    monkeypatch.chdir(home)
    monkeypatch.setenv("DVC_ROOT", str(home))
    execute("prepare", "train")
    send()
    [run] = runs()
    assert picture_steps(run) == [0, 100, 200]
    assert json.loads(Path(client().download_artifacts(run.info.run_id, "prepare/card.json")).read_text())["counts"]["train"] == 30
    versions.ensure_model(client(), "toys")
    assert [path.name for path in (tmp_path / "around").iterdir()] == [name]
    assert (home / "mlartifacts").is_dir()


def test_a_question_mark_in_an_address_of_the_users_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(store.Unusable, match="has a [?] in its path"):
        store.client(f"sqlite:///{tmp_path}/what?/mlflow.db")
    assert list(tmp_path.iterdir()) == []
    assert store.database_of(f"sqlite:///{tmp_path}/mlflow.db?timeout=20") == tmp_path / "mlflow.db"
