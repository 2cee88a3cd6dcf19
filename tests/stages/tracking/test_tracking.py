"""What MLflow is told: one whole run per execution, whatever was cached, killed or unreachable meanwhile."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from patience import patient, wait_for
from tracked_project import (
    client,
    command,
    empty_store,
    enter_session,
    execute,
    make_evaluate,
    make_prepare,
    make_train,
    picture,
    picture_steps,
    project,
    recipe,
    runs,
    send,
)  # fmt: skip

from stages import artifacts
from stages.tracking import delivery, mlflow_run, publication, session, store
from stages.tracking.journal import Journal

__all__ = ["empty_store", "project"]  # fixtures
DEAD = session.Process(socket.gethostname(), 2**22 + 1, 1.0)  # a process number that Linux does not give out


@pytest.fixture(autouse=True)
def no_follower(monkeypatch):
    """Delivery by hand: starting the process that does it takes seconds. Tests of that process start it themselves."""
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)


def points(run, key: str) -> dict[int, float]:
    return {point.step: point.value for point in client().get_metric_history(run.info.run_id, key)}


def files(run, folder: str) -> set[str]:
    return {one.path for one in client().list_artifacts(run.info.run_id, folder)}


def test_an_execution_is_one_run_with_params_curves_pictures_and_files(project):
    execute("prepare", "train", "evaluate")
    send()
    [run] = runs()
    assert run.info.status == "FINISHED"
    assert run.data.params["train.penalties.0.name"] == "r1" and "machine.workers" not in run.data.params
    assert {run.data.tags[key] for key in ("network", "loss", "protocol")} == {"dcgan", "relativistic", "classifier"}
    assert points(run, "quick_fid") == {100: 5.0, 200: 5.0}, "an empty cell is no point"
    assert picture_steps(run) == [0, 100, 200]
    assert run.data.metrics["fid/mean"] == 5.0 and run.data.tags["evaluate.protocol.name"] == "classifier"
    assert {"train/generator.safetensors", "train/card.json", "train/history.csv"} <= files(run, "train")
    assert {"params.yaml", "dvc.yaml"} <= files(run, "")
    [data] = run.inputs.dataset_inputs
    assert artifacts.identity("prepare").startswith(data.dataset.digest)


def test_a_cached_stage_is_replayed_from_its_files_and_names_the_run_that_made_it(project, monkeypatch):
    execute("prepare", "train", "evaluate")
    send()
    enter_session(monkeypatch, "flow:second")
    execute("evaluate")
    send()
    first, second = runs()
    assert second.data.tags["stage.train"] == "reused" and second.data.tags["stage.evaluate"] == "executed"
    assert second.data.tags["produced_by.train"] == first.info.run_id
    enter_session(monkeypatch, "flow:again")
    execute("prepare", "train", "evaluate")  # by force, to the same bytes
    send()
    enter_session(monkeypatch, "flow:fourth")
    execute("evaluate")
    send()
    assert runs()[3].data.tags["produced_by.train"] == first.info.run_id, "of those that made it the first"
    assert second.data.tags["out.train"] == artifacts.identity("train")
    assert points(second, "loss/discriminator") == points(first, "loss/discriminator")
    assert picture_steps(second) == picture_steps(first)


def test_what_was_said_live_is_not_said_again_at_the_end(project):
    with mlflow_run.stage("train", recipe()) as track:
        out = make_train()
        track.metrics({"loss/discriminator": 0.5, "speed/images_per_s": 900.0}, step=200)
        track.image("samples", out / "images" / "000000200.png", step=200)
    send()
    [run] = runs()
    assert points(run, "loss/discriminator") == {0: 1.0, 100: 1 / 101, 200: 0.5}
    assert picture_steps(run) == [0, 100, 200]
    assert run.data.metrics["speed/images_per_s"] == 900.0


def test_an_outage_loses_nothing_and_does_not_stop_the_stage(project, monkeypatch, empty_store, capsys):
    place = project / "elsewhere"
    place.write_text("a file where the store's folder should be")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
    execute("prepare")
    assert mlflow_run.send() == 1
    assert "Nothing is lost" in capsys.readouterr().err
    execute("train")
    assert "Nothing is lost" in capsys.readouterr().err, "the stage says it, too"
    place.unlink()
    place.mkdir()
    shutil.copy(empty_store, place / "mlflow.db")
    assert mlflow_run.send() == 0
    [run] = runs()
    assert points(run, "quick_fid") == {100: 5.0, 200: 5.0} and picture_steps(run) == [0, 100, 200]


def test_a_server_that_refuses_connections_is_an_outage(project, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed.getsockname()[1]}")
        execute("prepare")
        with pytest.raises(store.Unreachable, match="cannot be reached"):
            send()


def test_a_delivery_that_was_killed_at_any_point_sends_nothing_twice(project):
    execute("prepare", "train")
    send()
    journal = Journal.of(session.current().key)
    copies = {path: path.read_bytes() for path in journal.folder.rglob("files/*")}
    for _, offset in journal.entries():
        state = journal.state()
        state.offset = offset
        journal.save(state)
        send()
    journal.save(type(journal.state())())  # a torn state file
    send()
    assert not copies, "delivered copies are removed"
    [run] = runs()
    assert len(client().get_metric_history(run.info.run_id, "loss/discriminator")) == 3
    assert picture_steps(run) == [0, 100, 200]


def test_pictures_sent_before_the_kill_are_not_sent_again(project):
    journal = Journal.of(session.current().key)
    path = project / "picture.png"
    picture(0, 0).save(path)
    with mlflow_run.stage("prepare", recipe()) as track:
        make_prepare()
        track.image("samples", path, step=7)
    kept = {one: one.read_bytes() for one in (journal.folder / "files").iterdir()}
    send()
    for one, content in kept.items():
        one.write_bytes(content)
    (journal.folder / "state.json").unlink()
    send()
    assert picture_steps(runs()[0]) == [7]


def test_points_that_follow_one_another_go_together_up_to_what_a_call_takes():
    entries = [
        {"kind": "tags"},
        *({"kind": "metrics", "points": [number]} for number in range(2 * delivery.MOST_POINTS + 1)),
        {"kind": "status"},
    ]
    batches = list(delivery._batches(zip(entries, range(10, 10 + len(entries)))))
    assert [len(batch) for batch, _ in batches] == [1, delivery.MOST_POINTS, delivery.MOST_POINTS, 1, 1]
    assert [one for batch, _ in batches for one in batch] == entries
    assert [offset for _, offset in batches] == [10 + entries.index(batch[-1]) for batch, _ in batches], "that after its last entry"


def test_what_mlflow_refuses_does_not_block_the_rest(project):
    execute("prepare")
    journal = Journal.of(session.current().key)
    journal.append("params", params={"train.seed": "another"})  # params of a run never change
    journal.append("tags", tags={"after": "it"})
    send()
    assert runs()[0].data.tags["after"] == "it"
    assert "another" in (journal.folder / "refused.log").read_text()


def test_a_line_torn_by_a_kill_is_passed_over(project):
    execute("prepare")
    journal = Journal.of(session.current().key)
    with open(journal.path, "ab") as file:
        file.write(b'{"kind": "tags", "ta')
    send()
    journal.append("tags", tags={"after": "it"})
    send()
    assert runs()[0].data.tags["after"] == "it"


def test_a_failed_stage_fails_the_run_with_its_reason(project):
    with pytest.raises(ValueError, match="no images"), mlflow_run.stage("prepare", recipe()):
        raise ValueError("no images")
    send()
    [run] = runs()
    assert run.info.status == "FAILED" and run.data.tags["error.prepare"] == "ValueError: no images"


def test_outs_are_the_same_with_tracking_off(project, monkeypatch):
    execute("prepare", "train", "evaluate")
    identities = [artifacts.identity(stage) for stage in ("prepare", "train", "evaluate")]
    shutil.rmtree("work")
    monkeypatch.setenv("GANLINE_TRACKING", "off")
    execute("prepare", "train", "evaluate")
    assert identities == [artifacts.identity(stage) for stage in ("prepare", "train", "evaluate")]
    assert not (project / "work").exists()


def died_in_train(monkeypatch, key: str) -> None:
    """A session whose process died while its training ran."""
    monkeypatch.setattr(session, "current", lambda: session.Session(key, DEAD, False, None))
    journal = Journal.of(key)
    mlflow_run._begin("train", recipe(), session.current(), journal)
    delivery.deliver(journal)


def test_a_dead_sessions_run_is_killed_and_the_resumed_one_names_it(project, monkeypatch):
    with monkeypatch.context() as before:
        died_in_train(before, "dvc:dead")
    [dead] = runs()
    assert dead.info.status == "RUNNING"
    assert delivery.reap(session.tracking_uri()) == [dead.info.run_id]
    with mlflow_run.stage("train", recipe()) as track:
        track.tags({"resumed_from_nimg": "100"})
        make_train()
    send()
    dead, resumed = runs()
    assert dead.info.status == "KILLED" and resumed.info.status == "FINISHED"
    assert resumed.data.tags["resumed_from"] == dead.info.run_id
    delivery.sweep()
    assert [journal.folder.name for journal in Journal.all()] == ["flow_test"], "a session that is over leaves no spool"


def test_a_journal_is_not_swept_from_under_its_follower(project, monkeypatch):
    with monkeypatch.context() as before:
        died_in_train(before, "dvc:dead")
    [journal] = Journal.all()
    with journal.follower_lock():
        delivery.sweep()
        assert Journal.all(), "the follower has still to say how the session ended"
    delivery.sweep()
    assert not Journal.all()


def test_a_living_sessions_run_is_left_alone(project):
    execute("prepare")
    Journal.of(session.current().key).append("status", status="RUNNING")
    send()
    assert delivery.reap(session.tracking_uri()) == []


def lock_file(train_used: str) -> None:
    """dvc.lock as DVC writes it, as far as it names artifacts."""
    train = {"outs": [{"path": "artifacts/train", "md5": "t"}]}
    evaluate = {
        "deps": [{"path": "artifacts/train", "md5": train_used}],
        "outs": [{"path": "artifacts/evaluate", "md5": "e"}],
    }
    with open("dvc.lock", "w") as file:
        json.dump({"schema": "2.0", "stages": {"train": train, "evaluate": evaluate}}, file)


@pytest.mark.parametrize(("train_used", "complete"), [("t", True), ("older", False)])
def test_finish_completes_the_run_with_what_dvc_left_cached(project, capsys, train_used, complete):
    make_evaluate()
    execute("prepare", "train")
    lock_file(train_used)
    mlflow_run.finish("flow:test", "FINISHED")
    [run] = runs()
    assert capsys.readouterr().out.strip() == run.info.run_id
    assert (run.data.tags.get("stage.evaluate") == "reused") is complete
    assert ("fid/mean" in run.data.metrics) is complete
    assert "dvc.lock" in files(run, "")


def test_finish_says_nothing_where_nothing_ran(project, capsys):
    mlflow_run.finish("flow:idle", "FINISHED")
    assert capsys.readouterr().out == "" and not (project / "work").exists()


def test_an_experiment_executed_twice_is_two_sessions_and_lies_in_the_main_checkout(project, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_EXP_NAME", "wide")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    session.current.cache_clear()
    assert session.current().key.startswith(f"exp:wide@{socket.gethostname()}:{os.getpid()}:")
    assert session.tracking_uri() == f"sqlite:///{tmp_path / 'main' / 'mlflow.db'}"


def test_params_are_flat_and_lists_of_sections_have_numbers():
    nested = {"a": {"b": 1, "c": [{"d": 2}, {"d": 3}]}, "e": [0.5, 0.9]}
    assert publication.flat(nested, ".") == {"a.b": 1, "a.c.0.d": 2, "a.c.1.d": 3, "e": "[0.5, 0.9]"}


STAGE = """
import time
from stages import artifacts, params
from stages.tracking import mlflow_run
with mlflow_run.stage("prepare", params.load()) as track:
    track.metrics({"loss": 1.0}, step=1)
    artifacts.start("prepare")
    artifacts.seal("prepare", {})
    time.sleep({seconds})
"""


def start_stage(seconds: float) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name != "GANLINE_SESSION"}
    return subprocess.Popen([sys.executable, "-c", STAGE.replace("{seconds}", str(seconds))], env=environment)


def test_the_follower_ends_the_run_of_a_killed_process_and_leaves(project):
    stage = start_stage(60)
    wait_for(lambda: runs() and runs()[0].data.metrics)
    os.kill(stage.pid, signal.SIGKILL)
    stage.wait()
    wait_for(lambda: runs()[0].info.status == "KILLED")
    journal = Journal.all()[0]

    def left() -> bool:
        with journal.follower_lock() as free:
            return free

    wait_for(left, 10)
    assert (journal.folder / "follower.log").read_text() == ""


def test_the_follower_delivers_a_session_that_nobody_else_ends(project):
    assert start_stage(0).wait() == 0
    run = wait_for(lambda: next((run for run in runs() if run.info.status == "FINISHED"), None))
    assert run.data.tags["stage.prepare"] == "executed" and run.data.metrics["loss"] == 1.0


@pytest.mark.slow
def test_processes_that_start_together_make_one_database(tmp_path):
    code = "import sys; from stages.tracking import store; print(store.experiment_id(store.client(sys.argv[1]), sys.argv[1], 'digits'))"
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    started = [
        subprocess.Popen([sys.executable, "-c", code, uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    answers = [process.communicate(timeout=patient(120)) for process in started]
    assert {out.strip() for out, _ in answers} == {"1"}, answers


def test_the_commands_explain_themselves():
    assert "deliver what MLflow has not got yet" in command("stages.tracking.mlflow_run", "--help").stdout
