"""What may die, with real processes: the table of docs/survival.md names the test that shows each; those that no other module has are here.

One `gan up` serves them all: the tests stand in the order of a day on which everything goes wrong.
"""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from patience import patient, wait_for
from pipeline_project import call, environment, make, processes_in, start, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LONG_S = 240  # that a busy machine may take for what takes seconds


def gan(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`gan ARGUMENTS` to its end, with its output in one."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=folder, env=environment() | more, text=True, timeout=patient(LONG_S),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def known(folder: Path) -> dict:
    path = folder / "work/servers.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def service(folder: Path, name: str) -> psutil.Process | None:
    """The process itself of what `gan up` keeps going, below its tether; None while it is not ready."""
    found = known(folder).get(name, {})
    if not found.get("ready"):
        return None
    try:
        children = psutil.Process(found["pid"]).children()
    except psutil.NoSuchProcess:  # it has just died, and is not yet known as dead
        return None
    return children[0] if children else None


def kill_service(folder: Path, name: str) -> None:
    """kill -9, and wait until another one of that name is ready."""
    victim = wait_for(lambda: service(folder, name), LONG_S, name)
    victim.kill()
    wait_for(lambda: (now := service(folder, name)) and now.pid != victim.pid, LONG_S, f"another {name}")


def at_work(folder: Path, *words: str) -> list[psutil.Process]:
    """Processes of the folder with these words in their command line, tethers apart."""
    found = []
    for process in processes_in(folder):
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if set(words) <= set(command) and "-I" not in command[:2]:
            found.append(process)
    return found


def runs(folder: Path) -> list[dict]:
    """Prefect's flow runs, oldest first; those that are only due come before."""
    url = json.loads((folder / "work/prefect/server.json").read_text())["url"]
    request = urllib.request.Request(f"{url}/flow_runs/filter", b'{"sort": "START_TIME_ASC"}', {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=patient(60)) as response:
        return [run for run in json.loads(response.read()) if run["state"]]  # one that is just being made has none


def completed(folder: Path) -> set[str]:
    return {run["id"] for run in runs(folder) if run["state"]["name"] == "Completed"}


def states(folder: Path, deployed: bool) -> list[str]:
    return [run["state"]["name"] for run in runs(folder) if (run["deployment_id"] is not None) == deployed]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project in which everything ran once, served by `gan up`."""
    folder = make(tmp_path_factory.mktemp("project"))
    try:
        for command in ("up", "run"):
            result = gan(folder, command)
            assert result.returncode == 0, result.stdout
        yield folder
        assert gan(folder, "down").returncode == 0
        wait_for(lambda: not processes_in(folder), 20, "the end of every process")
    finally:
        for process in processes_in(folder):
            process.kill()


def going(folder: Path, seconds: float) -> subprocess.Popen:
    """A `gan run` whose training has begun and takes so long."""
    before = started(folder)
    run = start(folder, "run", "--set", f"train.seconds={seconds}")
    wait_for(lambda: started(folder) == [*before, "train"], LONG_S, "the training")
    return run


def mended(folder: Path, seconds: float = 0) -> None:
    """The next run finishes, with the bytes that it always makes, and leaves no worker."""
    result = gan(folder, "run", "--set", f"train.seconds={seconds}")
    assert result.returncode == 0, result.stdout
    letter = (folder / "data.txt").read_text()[0]
    assert (folder / "artifacts/register/out.txt").read_text() == f"register of train of {letter}"
    assert not at_work(folder, "stages.work") and not at_work(folder, "repro")


@pytest.mark.parametrize("victim", ["repro", "stages.work"])
def test_kill_9_of_dvc_or_of_the_stage_fails_the_run_with_a_sentence(project, victim):
    run = going(project, 100.25)
    [process] = at_work(project, victim)
    process.kill()
    said = run.communicate(timeout=patient(LONG_S))[0]
    assert run.returncode == 1 and "gan: stage train failed: " in said and "Traceback" not in said
    wait_for(lambda: not at_work(project, "stages.work"), 20, "the end of the stage")
    assert states(project, deployed=False)[-1] == "Failed"
    mended(project)


def test_of_two_starts_at_once_one_runs_and_one_is_refused(project):
    before = started(project)
    both = [start(project, "run", "--set", "train.seconds=12.5") for _ in range(2)]
    said = [run.communicate(timeout=patient(LONG_S))[0] for run in both]
    assert sorted(run.returncode for run in both) == [0, 1], said
    [refused] = [text for run, text in zip(both, said) if run.returncode == 1]
    assert "gan: refused: " in refused and "--set train.seconds=12.5" in refused
    assert started(project) == [*before, "train"]  # and its out was the same, so register did not run
    mended(project)


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a small file system is mounted, which root may on Linux")
@pytest.mark.parametrize("megabytes", [9, 3], ids=["in the stage", "in DVC's cache"])
def test_a_full_disk_fails_the_run_and_once_freed_the_next_one_finishes(project, tmp_path, megabytes):
    """Of 5 MB, 9 are too many for the stage; 3 it writes, and DVC finds no room for their copy."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        folder = make(tmp_path / "project")
        code = (folder / "stages/work.py").read_text()
        large = f'if stage == "train":\n    (folder / "large").write_bytes(bytes({megabytes}_000_000))\nif stage == "register":'
        (folder / "stages/work.py").write_text(code.replace('if stage == "register":', large, 1))
        server = {"PREFECT_API_URL": known(project)["prefect"]["url"] + "/api"}
        full = gan(folder, "run", **server)
        assert full.returncode == 1 and "No space left on device" in full.stdout and "gan: stage train failed" in full.stdout, full.stdout
        subprocess.run(["mount", "-o", "remount,size=60m", tmp_path], check=True)
        result = gan(folder, "run", **server)
        assert result.returncode == 0, result.stdout
        assert (folder / "artifacts/train/large").stat().st_size == megabytes * 1_000_000
        assert gan(folder, "run", **server).stdout == "nothing changed\n" and not processes_in(folder)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_the_prefect_server_dies_in_the_middle_of_a_run_and_is_back_before_its_end(project):
    run = going(project, 3.75)
    kill_service(project, "prefect")
    assert run.wait(patient(LONG_S)) == 0, run.stdout.read()
    run.communicate()
    assert states(project, deployed=False)[-1] == "Completed"
    mended(project)


@pytest.mark.long
def test_a_schedule_outlives_its_server_its_runner_and_mlflow(project):
    assert gan(project, "schedule", "--every", "5s").returncode == 0
    wait_for(lambda: "Completed" in states(project, deployed=True), LONG_S, "a run by itself")
    kill_service(project, "mlflow")
    kill_service(project, "prefect")
    before, over = started(project), completed(project)
    wait_for(lambda: completed(project) - over, LONG_S, "a run of the new server")
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("seconds: 0\n  loss", "seconds: 100\n  loss"))
    wait_for(lambda: started(project) == [*before, "train"], LONG_S, "the training")
    [killed] = [run["id"] for run in runs(project) if run["state"]["name"] == "Running"]
    kill_service(project, "runner")
    wait_for(lambda: started(project) == [*before, "train", "train"], LONG_S, "the next run, which goes on")
    assert len(at_work(project, "stages.work")) == 1
    [found] = [run["state"] for run in runs(project) if run["id"] == killed]
    assert found["name"] == "Crashed" and found["message"]  # its own last words, where it had time for them


@pytest.mark.long
def test_after_a_reboot_gan_up_brings_all_of_it_back(project):
    """The state on disk only, as the power left it: the schedule fires, the interrupted training is done, the dead run is known."""
    [running] = [run["id"] for run in runs(project) if run["state"]["name"] == "Running"]
    for process in processes_in(project):
        with contextlib.suppress(psutil.NoSuchProcess):  # it hung on one that is killed already
            process.kill()
    wait_for(lambda: not processes_in(project), 20, "the end of every process")
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("seconds: 100\n  loss", "seconds: 0.125\n  loss"))
    before = started(project)
    result = gan(project, "up")
    assert result.returncode == 0, result.stdout
    wait_for(lambda: started(project)[: len(before) + 1] == [*before, "train"], LONG_S, "the training")
    [dead] = [run for run in runs(project) if run["id"] == running]
    assert dead["state"]["name"] == "Crashed" and "its process is gone" in dead["state"]["message"] and "reaped" in dead["tags"]
    assert gan(project, "schedule", "--off").returncode == 0
    call(project, "git", "checkout", "-q", "params.yaml")


@pytest.mark.long
def test_kill_9_of_the_supervisor_ends_all_of_it_and_gan_up_repairs(project):
    before = known(project)
    psutil.Process(before["supervisor"]["pid"]).kill()
    wait_for(lambda: not processes_in(project), 40, "the end of every process")
    assert gan(project, "up").returncode == 0
    assert all(known(project)[name]["url"] == before[name]["url"] for name in ("prefect", "mlflow"))
    mended(project, 0.5)
