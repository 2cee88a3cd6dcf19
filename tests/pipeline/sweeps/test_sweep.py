"""Sweeps as processes: real `dvc exp run`s of a small project, interrupted, killed, stopped early, applied."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sweep_project
from patience import patient, wait_for
from pipeline_project import call, environment, processes_in

from pipeline.checkout import recall
from pipeline.params import recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def project(tmp_path) -> Path:
    return sweep_project.make(tmp_path / "project")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`gan sweep ARGUMENTS`, going, in which Ctrl-C works as on a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "sweep", *arguments], cwd=folder, env=environment(), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`gan sweep ARGUMENTS` to its end."""
    command = [sys.executable, "-m", "pipeline", "sweep", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=patient(480))


def states(folder: Path) -> list[str]:
    return [trial["status"] for trial in recall(folder / "work/sweeps/sweep-1.json").get("trials", [])]


def saved(folder: Path, name: str) -> int:
    """Ticks that a training has saved."""
    path = folder / "work/train" / name
    return int(path.read_text() or 0) if path.is_file() else 0


def nobody_works_in(folder: Path) -> None:
    wait_for(lambda: not processes_in(folder), 30, "the end of every process")


def test_interrupted_and_killed_a_sweep_goes_on_where_it_was_and_its_best_is_applied(project):
    before = (project / "params.yaml").read_text()
    words = ["train.quality=3.0,2.0", "train.loop.total_kimg=8", "--parallel", "2"]
    (project / "params.yaml").write_text(before.replace("tick_s: 0 ", "tick_s: 1 "))  # not committed: in the trials nevertheless
    going = start(project, *words)
    wait_for(lambda: saved(project, "3.0-hinge") >= 2, 120, "the training")
    going.send_signal(signal.SIGINT)
    output, _ = going.communicate(timeout=patient(60))
    assert going.returncode == 130 and "the same command goes on from here" in output, output
    nobody_works_in(project)
    assert set(states(project)) == {"waiting"} and not list(project.glob("work/sweeps/sweep-1/*/"))

    kept = saved(project, "3.0-hinge")
    going = start(project, *words)
    wait_for(lambda: saved(project, "3.0-hinge") > kept, 120, "the training to go on")
    os.kill(going.pid, signal.SIGKILL)
    going.wait()
    nobody_works_in(project)
    kept = saved(project, "3.0-hinge")
    assert "running" in states(project)

    with open(project / "params.yaml", "a") as file:
        file.write("# edited meanwhile\n")
    result = sweep(project, *words)
    assert result.returncode == 0 and "changed since: params.yaml" in result.stdout, result.stdout + result.stderr
    assert states(project) == ["finished", "finished"]
    assert dict(line.split(" from ") for line in sweep_project.lines(project, "trained"))["sweep-1-01"] == str(kept)
    assert "best: sweep-1-02, fid 2 [1.9, 2.1]" in result.stdout and "better than every other" in result.stdout
    nobody_works_in(project)

    text = (project / "params.yaml").read_text()
    trained = sweep_project.lines(project, "trained")
    result = sweep(project, "show")
    assert result.returncode == 0 and "sweep-1-02" in result.stdout and sweep_project.lines(project, "trained") == trained
    assert call(project, "git", "symbolic-ref", "HEAD").returncode == 0 and (project / "params.yaml").read_text() == text

    result = sweep(project, "apply", "best")
    assert result.returncode == 2 and "changed since sweep-1 began" in result.stderr and "--set 'train.quality=2.0'" in result.stderr
    (project / "params.yaml").write_text(text.removesuffix("# edited meanwhile\n"))
    call(project, "git", "commit", "-qam", "mine")
    result = sweep(project, "apply", "best")
    assert result.returncode == 0, result.stderr
    assert "quality: 2.0      # quick score in the end" in (project / "params.yaml").read_text()
    assert (project / "artifacts/train/out.txt").is_file()
    assert set(call(project, "dvc", "exp", "list", "--all-commits", "--name-only").stdout.split()) == {"sweep-1-01", "sweep-1-02"}
    with contextlib.chdir(project):
        assert recipe.loses_nothing(), "what was applied looks like a person's edit"


def test_hopeless_and_failed_trials_are_no_experiments_and_the_rest_goes_on(project):
    (project / "params.yaml").write_text((project / "params.yaml").read_text().replace("tick_s: 0 ", "tick_s: 1.0 "))
    result = sweep(project, "train.quality=1.0,1.1,-1.0,1.2,9.0", "train.loop.total_kimg=6", "--parallel", "2")
    output = result.stdout + result.stderr
    assert result.returncode == 1, output
    assert states(project) == ["finished", "finished", "failed", "finished", "stopped"], output
    assert "stage train: error: training gave nan; lower train.loop.lr" in output
    assert re.search(r"sweep-1-05 stopped: hopeless at [2-5] kimg: quick score 9\.\d+ at best, against a median of .* of 3 others", output)
    found = call(project, "git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    assert {ref.rpartition("/")[2] for ref in found} >= {"sweep-1-01", "sweep-1-02", "sweep-1-04"}
    assert not any(ref.endswith(("-03", "-05")) for ref in found), "DVC recorded what did not end well"
    assert "not told apart from it, their intervals overlap: sweep-1-02, sweep-1-04" in output
    assert any("note --folder" in line and '"stopped": "hopeless' in line for line in sweep_project.lines(project, "parent"))
    nobody_works_in(project)
