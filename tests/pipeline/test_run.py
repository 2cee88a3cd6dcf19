"""`gan run` on a project in the small, through DVC and a real embedded Prefect server."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from patience import patient, wait_for
from pipeline_project import call, environment, gan, make, processes_in, start, started

from pipeline.engines import server


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Run once: every test below starts from a project that is up to date, and leaves one."""
    folder = make(tmp_path_factory.mktemp("project"))
    result = gan(folder, "run")
    assert result.returncode == 0, result.stdout + result.stderr
    folder.joinpath("first.txt").write_text(result.stdout)
    call(folder, "git", "add", "dvc.lock")
    call(folder, "git", "commit", "-qm", "ran")
    return folder


@pytest.fixture(scope="module")
def served(project):
    """The same project with a Prefect server that its runs find, as under `gan schedule`: no start for each of them."""
    announcement = project / "work/prefect/server.json"
    with server.launched(server.any_free_port(), project / "work/prefect") as own:
        own.wait()
        announcement.write_text(json.dumps({"url": own.url}))
        yield project
    announcement.unlink(missing_ok=True)


def finished(folder) -> list[str]:
    """The statuses with which tracking runs were ended."""
    return re.findall(r"finish --session flow:[0-9a-f-]+ --status (\w+)", (folder / "work/finished").read_text())


def set_back(folder) -> None:
    """params.yaml and what came of it as they were after the first run."""
    call(folder, "git", "checkout", "-q", "params.yaml", "dvc.lock")
    call(folder, "dvc", "checkout", "-q")
    assert "nothing changed" in gan(folder, "run").stdout


def test_a_run_takes_every_stage_in_order_under_one_session_and_ends_with_the_table(project):
    lines = (project / "work/started").read_text().splitlines()[:3]
    assert [line.split()[0] for line in lines] == ["prepare", "train", "register"]
    assert len({line.split()[2] for line in lines}) == 1 and lines[0].split()[2].startswith("flow:")
    assert finished(project)[0] == "FINISHED"
    shown = (project / "first.txt").read_text()
    assert "train says hello" in shown and "toys version 1" in shown and "git add dvc.lock" not in shown
    assert set(json.loads((project / "work/durations.json").read_text())) == {"prepare", "train", "register"}


def test_nothing_changed_is_said_within_three_seconds_and_without_prefect(project):
    """Three seconds of one processor, so that a busy machine fails nothing."""
    prefect_before = {path: path.stat().st_mtime_ns for path in (project / "work/prefect").iterdir()}
    before, times = started(project), os.times()
    result = gan(project, "run")
    assert (result.returncode, result.stdout) == (0, "nothing changed\n")
    assert sum(os.times()[2:4]) - sum(times[2:4]) < 3
    assert started(project) == before
    assert {path: path.stat().st_mtime_ns for path in (project / "work/prefect").iterdir()} == prefect_before


@pytest.mark.slow
def test_a_stage_whose_inputs_come_out_equal_is_not_run(served):
    """prepare keeps the first letter only: a change behind it reruns prepare and leaves train and register alone."""
    (served / "data.txt").write_text("other words\n")
    before = started(served)
    assert "data.txt changed" in gan(served, "plan").stdout
    result = gan(served, "run")
    assert result.returncode == 0 and started(served) == [*before, "prepare"]
    (served / "data.txt").write_text("one\n")
    set_back(served)


@pytest.mark.slow
def test_a_registry_that_lost_the_version_gets_it_again(served):
    (served / "work/registry").unlink()
    before = started(served)
    assert "the registry does not hold the version" in gan(served, "plan").stdout
    result = gan(served, "run")
    assert result.returncode == 0 and started(served) == [*before, "register"]


@pytest.mark.slow
def test_a_failing_stage_ends_the_run_with_a_sentence_and_code_1(served):
    before = started(served)
    result = gan(served, "run", "--set", "train.seconds=-1")
    assert result.returncode == 1 and started(served) == [*before, "train"]
    assert "train refuses" in result.stdout and "Traceback" not in result.stdout + result.stderr
    assert "gan: stage train failed: its command exited with 1; its own words stand above" in result.stderr
    assert finished(served)[-1] == "FAILED"
    set_back(served)


@pytest.mark.slow
def test_a_second_run_is_refused_naming_the_holder_and_ctrl_c_leaves_no_process(served):
    before = started(served)
    first = start(served, "run", "--set", "train.seconds=1000")
    try:
        wait_for(lambda: started(served) == [*before, "train"], what="the train stage")
        second = gan(served, "run")
        assert second.returncode == 1 and f"process {first.pid} on {socket.gethostname()}" in second.stderr
        assert "run --set train.seconds=1000" in second.stderr
        assert "run --set train.seconds=1000" in gan(served, "status").stdout
        assert len(processes_in(served)) >= 5  # gan, tether, dvc, stage, helper
        first.send_signal(signal.SIGINT)
        assert first.wait(patient(30)) == 130
    finally:
        first.kill()
        first.communicate()
    wait_for(lambda: not processes_in(served), seconds=10, what="the end of every process")
    assert finished(served)[-1] == "KILLED"
    set_back(served)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_no_process_and_the_next_one_goes_on(project, number):
    (project / "work/prefect/server.json").unlink(missing_ok=True)  # so it has a server of its own to leave behind
    before = started(project)
    run = start(project, "run", "--set", "train.seconds=1000")
    try:
        wait_for(lambda: started(project) == [*before, "train"], what="the train stage")
        os.kill(run.pid, number)
        run.wait(patient(30))
    finally:
        run.kill()
        said = run.communicate()[0]
    if number == signal.SIGTERM:
        assert run.returncode == 143 and "gan: told to end (SIGTERM); the same command goes on from here" in said
    wait_for(lambda: not processes_in(project), seconds=10, what="the end of every process")
    result = gan(project, "run", "--set", f"train.seconds=0.{number:d}")
    assert result.returncode == 0, result.stderr
    assert started(project) == [*before, "train", "train"]
    set_back(project)


@pytest.mark.slow
def test_a_run_says_at_once_which_bare_dvc_it_waits_for_and_goes_on_after_it(project):
    before, params = started(project), (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("seconds: 0  ", "seconds: 9000  "))
    bare = subprocess.Popen(["dvc", "repro", "-q"], cwd=project, env=environment(), stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: started(project) == [*before, "prepare"], what="the prepare stage")
        run = start(project, "run")
        said = next((line for line in run.stdout if "waiting for" in line), "it did not wait")
        assert re.match(rf"waiting for dvc repro -q \(process {bare.pid}, since 20[-\dT:+]+\), which works in this checkout", said)
        assert run.poll() is None
        (project / "params.yaml").write_text(params)
    finally:
        os.killpg(bare.pid, signal.SIGKILL)
        bare.wait()
        (project / "params.yaml").write_text(params)
    rest = run.communicate()[0]
    assert run.returncode == 0 and "is busy" not in rest and "waiting for" not in rest, rest
    assert started(project) == [*before, "prepare"], "what it needs lies in DVC's cache"
    set_back(project)


@pytest.mark.slow
def test_a_stage_waits_for_a_dvc_that_came_in_between_and_is_not_tried_in_vain(project, tmp_path):
    (tmp_path / "dvc").write_text("import time; time.sleep(6000)")
    holder = subprocess.Popen([sys.executable, str(tmp_path / "dvc"), "repro", "train"])
    before = started(project)
    run = start(project, "run", "--set", "prepare.seconds=10", "--set", "train.seconds=0.2")
    try:
        wait_for(lambda: started(project) == [*before, "prepare"], what="the prepare stage")
        rwlock = project / ".dvc/tmp/rwlock"
        entries = json.loads(rwlock.read_text())
        entries["write"][str(project / "artifacts/train")] = {"pid": holder.pid, "cmd": "dvc repro"}
        rwlock.write_text(json.dumps(entries))
        next(line for line in run.stdout if f"waiting for dvc repro train (process {holder.pid}, since 20" in line)
        holder.kill()
        holder.wait()
        assert "is busy" not in run.stdout.read() and run.wait() == 0
    finally:
        holder.kill()
        run.kill()
        run.communicate()
    assert started(project) == [*before, "prepare", "train"]
    set_back(project)


@pytest.mark.slow
def test_a_run_mends_what_a_kill_tore_and_says_so(project):
    (project / "dvc.lock").write_text("schema: '2")
    (project / ".dvc/tmp/rwlock").write_text('{"wri')
    result = gan(project, "run")
    assert (result.returncode, result.stdout) == (0, "nothing changed\n")
    assert "dvc.lock was torn: restored from the last commit" in result.stderr
    assert ".dvc/tmp/rwlock was torn: removed" in result.stderr
