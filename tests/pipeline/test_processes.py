"""Nothing outlives its starter: the tether, the group's end, and the guard that stages carry."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from patience import wait_for
from pipeline_project import environment

from pipeline import processes

SILENCE = re.compile("quiet please")
# A command that starts a helper of its own, as data loaders do, and says both numbers.
PARENT_AND_HELPER = (
    "import os, subprocess, sys, time; helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(6000)']);"
    "print(os.getpid(), helper.pid, flush=True); time.sleep(6000)"
)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_streamed_lines_reach_terminal_and_log_without_chatter_and_with_the_last_form_of_a_bar(capsys):
    program = r"print('\x1b[31mred\x1b[0m'); print('quiet please'); print('1%\r99%\r100%'); print('end', end='')"
    logged = []
    code, tail = processes.stream([sys.executable, "-c", program], environment(), logged.append, SILENCE)
    assert (code, logged) == (0, ["red", "100%", "end"])
    assert tail.endswith("end") and capsys.readouterr().out == "\x1b[31mred\x1b[0m\n1%\r99%\r100%\nend"


def test_a_streamed_command_gives_its_exit_code():
    assert processes.stream([sys.executable, "-c", "import sys; sys.exit(7)"], environment(), print, SILENCE)[0] == 7


def test_leaving_the_block_ends_the_whole_group():
    with processes.tethered([sys.executable, "-c", PARENT_AND_HELPER], environment(), stdout=subprocess.PIPE) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        assert all(map(lives, pids))
    wait_for(lambda: not any(map(lives, pids)), what="the end of the group")


def test_a_group_that_ignores_sigterm_is_killed():
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PARENT_AND_HELPER}"
    with processes.tethered([sys.executable, "-c", stubborn], environment(), 0.3, stdout=subprocess.PIPE) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
    wait_for(lambda: not any(map(lives, pids)), what="the end of the group")


def test_kill_9_of_the_starter_ends_the_whole_group(tmp_path):
    starter = textwrap.dedent(f"""
        import os, sys, time
        from pipeline import processes
        with processes.tethered([sys.executable, "-c", {PARENT_AND_HELPER!r}], dict(os.environ)):
            time.sleep(6000)
        """)
    with subprocess.Popen([sys.executable, "-c", starter], env=environment(), stdout=subprocess.PIPE) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        process.kill()
    wait_for(lambda: not any(map(lives, pids)), what="the end of the group")


@pytest.mark.parametrize("between", ["", "sh -c 'true; {}; true'"], ids=["at once", "behind a shell"])
def test_a_guarded_stage_and_its_helper_die_with_dvc(tmp_path, between):
    """The real chain: a `dvc` is killed with -9, as by the kernel when memory is short."""
    stage = tmp_path / "stage.py"
    stage.write_text(f"from stages import guard\nguard.die_with_dvc()\n{PARENT_AND_HELPER}\n")
    command = f"{sys.executable} {stage}"
    (tmp_path / "dvc").write_text(
        textwrap.dedent(f"""
        import subprocess
        subprocess.run({between.format(command) or command!r}, shell=True)
        """)
    )
    env = environment() | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, str(tmp_path / "dvc")], env=env, stdout=subprocess.PIPE) as dvc:
        pids = [int(word) for word in dvc.stdout.readline().split()]
        assert all(map(lives, pids))
        os.kill(dvc.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(lives, pids)), seconds=5, what="the end of stage and helper")


def test_a_stage_that_saves_when_asked_saves_before_it_dies_with_dvc(tmp_path):
    stage, saved = tmp_path / "stage.py", tmp_path / "saved"
    stage.write_text(
        textwrap.dedent(f"""
        import os, pathlib, time
        from stages import guard
        guard.die_with_dvc()
        with guard.saving_when_asked() as asked:
            print(os.getpid(), flush=True)
            while not asked():
                time.sleep(0.01)
            time.sleep(1)
            pathlib.Path({str(saved)!r}).write_text("whole")
        time.sleep(6000)
        """)
    )
    (tmp_path / "dvc").write_text(f"import subprocess\nsubprocess.run([{sys.executable!r}, {str(stage)!r}])\n")
    env = environment() | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, str(tmp_path / "dvc")], env=env, stdout=subprocess.PIPE) as dvc:
        pid = int(dvc.stdout.readline())
        os.kill(dvc.pid, signal.SIGKILL)
    wait_for(lambda: not lives(pid), seconds=8, what="the end of the stage")
    assert saved.read_text() == "whole"


def test_a_stage_run_by_hand_is_not_guarded():
    program = "import threading; from stages import guard; guard.die_with_dvc(); print(threading.active_count())"
    env = environment() | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert result.stdout.strip() == "1", result.stderr


def test_a_streamed_command_that_takes_too_long_is_ended_with_its_helper():
    said = []
    with pytest.raises(TimeoutError):
        processes.stream([sys.executable, "-c", PARENT_AND_HELPER], environment(), said.append, SILENCE, timeout_s=3)
    assert len(said) == 1 and not any(lives(int(pid)) for pid in said[0].split())
