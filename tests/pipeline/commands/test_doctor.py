"""`gan doctor` finds what is broken, and says the cure."""

import importlib.metadata
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
from pipeline_project import call, gan, make

from pipeline.commands import doctor
from pipeline.engines import server
from pipeline.errors import Mistake
from pipeline.params import door


@pytest.fixture
def project(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def broken(check) -> str:
    """What a check says is wrong, with its cure."""
    with pytest.raises(doctor.Broken) as found:
        check()
    return f"{found.value} | {found.value.cure}"


def test_what_works_is_said(project):
    (project / "work").mkdir()
    for name in ("python", "path", "packages", "git", "params", "folders", "disk", "tracking"):
        assert doctor.CHECKS[name]()


def test_a_version_outside_the_working_range_is_named(monkeypatch):
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.155.0" if name == "fastapi" else installed(name))
    assert "fastapi is 0.155.0, which is not" in broken(doctor.check_packages)
    assert "rm -rf .venv && make install" in broken(doctor.check_packages)


def test_a_package_that_is_missing_is_named(monkeypatch):
    installed = importlib.metadata.version

    def version(name):
        if name == "torch-fidelity":
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert "torch-fidelity is missing" in broken(doctor.check_packages)


def test_a_repository_without_commits_is_found(project):
    shutil.rmtree(project / ".git")
    call(project, "git", "init", "-q")
    assert "git add -A && git commit" in broken(doctor.check_git)


def test_a_torn_lock_file_is_found(project):
    (project / "dvc.lock").write_text("schema: '2")
    assert "dvc.lock cannot be read | gan run restores it" in broken(doctor.check_dvc)


def test_params_that_the_door_refuses_are_found(project):
    door.PARAMS.write_text("tran: {}\n")
    with pytest.raises(Mistake, match="tran is no key"):
        doctor.check_params()


def test_a_folder_that_cannot_be_written_is_found(project):
    (project / "artifacts").write_text("a file in the place of a folder")
    assert f"{project / 'artifacts'} cannot be written" in broken(doctor.check_folders)


def test_a_full_disk_is_found(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 5e8}))
    assert f"0.5 GB are free in {Path.cwd()}, 2 are wanted | free some" in broken(doctor.check_disk)


def test_a_broken_tracking_database_is_found(project):
    (project / "mlflow.db").write_bytes(b"no database at all " * 100)
    assert "cannot be used: file is not a database" in broken(doctor.check_tracking)


@pytest.fixture
def silent_server(project, monkeypatch):
    """A Prefect server that comes up and never answers."""
    program = "import sys, time; print('still reading', file=sys.stderr, flush=True); time.sleep(600)"
    monkeypatch.setattr(server, "command", lambda port: [sys.executable, "-c", program])
    monkeypatch.setattr(server, "START_TIMEOUT_S", 0.2)
    return monkeypatch


def test_a_slow_start_on_a_busy_machine_is_no_reason_to_install_anew(silent_server):
    silent_server.setattr(os, "getloadavg", lambda: (4.0 * os.cpu_count(), 0.0, 0.0))
    cores = os.cpu_count()
    words = broken(doctor.check_prefect)
    assert f"gave no answer in 1 s (load {4.0 * cores:.1f} on {cores} cores) | try again when this machine is less busy" in words
    assert "install" in words and ".venv" not in words and "make" not in words and "server.log" not in words


def test_a_slow_start_on_an_idle_machine_is_none_either(silent_server):
    silent_server.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    words = broken(doctor.check_prefect)
    assert "gave no answer in 0 s | give it more time" in words and "make" not in words


def test_a_server_that_ends_as_it_starts_has_its_last_words_and_the_cure(silent_server):
    silent_server.setattr(server, "command", lambda port: [sys.executable, "-c", "raise ImportError('no such thing')"])
    silent_server.setattr(server, "START_TIMEOUT_S", 60)
    words = broken(doctor.check_prefect)
    assert "ended with code 1: " in words and "no such thing | make -B install" in words and "/server.log" not in words


@pytest.mark.slow
def test_an_absent_tracking_server_is_found(project, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{probe.getsockname()[1]}")
        with pytest.raises(doctor.Failure, match="the tracking store http://127.0.0.1:.* cannot be read"):
            doctor.check_tracking()


@pytest.mark.slow
def test_a_healthy_project_passes_every_check(project):
    result = gan(project, "doctor")
    assert result.returncode == 0 and result.stdout.count("ok ") == len(doctor.CHECKS), result.stdout + result.stderr


@pytest.mark.slow
def test_a_scheduler_that_puts_in_nothing_is_found(project, monkeypatch):
    """As sqlalchemy 2.1 does under Prefect 3.8: the server answers, and no run is ever due."""
    monkeypatch.setattr(doctor, "SCHEDULE_TIMEOUT_S", 4)
    monkeypatch.setenv("PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED", "false")
    monkeypatch.setattr(server, "busy", lambda: "")
    assert "its scheduler put in no run within 4 s | make -B install" in broken(doctor.check_prefect)
