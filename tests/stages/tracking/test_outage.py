"""MLflow away: its server killed before, in and after a training, or its database locked by another program. All arrives, once."""

import functools
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
from patience import patient, wait_for
from tracked_project import client, empty_store, enter_session, make_prepare, make_train, project, recipe, runs

from pipeline.engines.server import is_healthy
from stages.tracking import mlflow_run, session
from stages.tracking.journal import Journal

__all__ = ["empty_store", "project"]  # fixtures
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STAGE = """
from stages import artifacts, params
from stages.tracking import mlflow_run
with mlflow_run.stage("prepare", params.load()) as track:
    track.metrics({"loss": 1.0}, step=1)
    artifacts.start("prepare")
    artifacts.seal("prepare", {})
"""
PATIENCE_S = 60
patiently = functools.partial(wait_for, seconds=PATIENCE_S)


class Server:
    """An MLflow server on the project's database that can be killed and started again at the same address."""

    def __init__(self, folder) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.uri, self.process = folder, f"http://127.0.0.1:{self.port}", None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--serve-artifacts",
             "--artifacts-destination", str(self.folder / "served"), "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"],
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        patiently(self.answers)

    def answers(self) -> bool:
        return is_healthy(self.uri)

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(project, monkeypatch):
    made = Server(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
    yield made
    made.kill()


def run_a_stage(key: str) -> str:
    """A stage of session `key` as a process, with the real process beside it that delivers; what it says."""
    env = {**os.environ, "GANLINE_SESSION": key}
    result = subprocess.run([sys.executable, "-c", STAGE], env=env, capture_output=True, text=True, timeout=patient(PATIENCE_S))
    assert result.returncode == 0, result.stderr
    return result.stderr


def steps(run, key: str) -> list[int]:
    return sorted(point.step for point in client().get_metric_history(run.info.run_id, key))


def pictures(run) -> list[int]:
    """Steps of the pictures that the run has, one for each file."""
    return sorted(int(one.path.split("+")[2]) for one in client().list_artifacts(run.info.run_id, "images") if one.path.endswith(".png"))


def follower_is_gone(journal: Journal) -> bool:
    with journal.follower_lock() as free:
        return free


def test_a_server_that_is_down_at_the_start_in_the_middle_and_at_the_end_gets_all_of_it_once(server, monkeypatch, capsys):
    with monkeypatch.context() as by_hand:
        by_hand.setattr(mlflow_run, "follow", lambda journal: None)
        with mlflow_run.stage("prepare", recipe()):
            make_prepare()
        assert mlflow_run.send() == 1, "down at the start"
        server.start()
        with mlflow_run.stage("train", recipe()) as track:
            out = make_train()
            track.metrics({"loss/discriminator": 1.0}, step=0)
            track.image("samples", out / "images" / "000000000.png", step=0)
            assert mlflow_run.send() == 0 and steps(runs()[0], "loss/discriminator") == [0]
            server.kill()
            track.metrics({"loss/discriminator": 0.5}, step=100)
            track.image("samples", out / "images" / "000000100.png", step=100)
            assert mlflow_run.send() == 1, "down in the middle"
        mlflow_run.finish(session.current().key, "FINISHED")
        assert "Nothing is lost" in capsys.readouterr().err, "down at the end"
    server.start()
    enter_session(monkeypatch, "flow:next")
    assert "Nothing is lost" not in run_a_stage("flow:next")
    patiently(lambda: runs()[0].info.status == "FINISHED")
    first, second = runs()
    assert steps(first, "loss/discriminator") == pictures(first) == [0, 100, 200] and steps(first, "quick_fid") == [100, 200]
    assert first.data.tags["stage.prepare"] == first.data.tags["stage.train"] == "executed"
    mlflow_run.finish("flow:next", "FINISHED")
    assert runs()[1].info.status == "FINISHED" and steps(second, "loss") == [1]
    assert mlflow_run.send() == 0 and len(runs()) == 2


def test_a_database_that_another_program_locks_stops_no_stage_and_gets_all_of_it_once(project):
    other = sqlite3.connect(project / "mlflow.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    started_s = time.monotonic()
    run_a_stage("flow:locked")
    took_s = time.monotonic() - started_s
    journal = Journal.of("flow:locked")
    said = patiently(lambda: journal.state().trouble)
    assert "locked" in said, said
    other.execute("ROLLBACK")
    other.close()
    mlflow_run.finish("flow:locked", "FINISHED")
    patiently(lambda: follower_is_gone(journal))
    assert mlflow_run.send() == 0
    [run] = runs()
    assert run.info.status == "FINISHED" and steps(run, "loss") == [1] and took_s < patient(60)


def test_a_run_whose_process_died_unseen_is_killed_with_a_tag_that_says_so(project):
    """Stage and follower killed at once, as by a power cut."""
    code = STAGE.replace("    artifacts.seal", "    import time; time.sleep(600)\n    artifacts.seal")
    env = {name: value for name, value in os.environ.items() if name != "GANLINE_SESSION"}  # so the session is its process
    stage = subprocess.Popen([sys.executable, "-c", code], env=env)
    try:
        patiently(lambda: runs() and runs()[0].data.metrics)
        os.kill(patiently(lambda: follower_of(project)), signal.SIGKILL)
    finally:
        stage.kill()
        stage.wait()
    assert runs()[0].info.status == "RUNNING"
    run_a_stage("flow:after")
    dead = patiently(lambda: runs()[0].info.status == "KILLED" and runs()[0])
    assert dead.data.tags["reaped"].startswith(f"process {stage.pid} on {socket.gethostname()} is gone")
    mlflow_run.finish("flow:after", "FINISHED")
    assert [run.info.status for run in runs()] == ["KILLED", "FINISHED"]


def follower_of(folder) -> int | None:
    """The process that delivers a journal of the project."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if "follow" in command and any(word.startswith(str(folder)) for word in command):
            return process.pid
    return None
