"""`gan schedule` on a real local Prefect server: it fires, runs share it, and nothing stays behind."""

import json
import signal
from datetime import timedelta

import pytest
from patience import patient, wait_for
from pipeline_project import gan, make, processes_in, start, started
from prefect_api import call_api, running, stages_going, states

from pipeline.errors import Mistake
from pipeline.service import schedule


@pytest.mark.parametrize(
    ("words", "step"),
    [("30s", timedelta(seconds=30)), ("15m", timedelta(minutes=15)), (" 6 h", timedelta(hours=6)), ("1d", timedelta(days=1))],
)
def test_an_interval_is_a_number_and_a_unit(words, step):
    assert schedule.interval(words) == step


@pytest.mark.parametrize("words", ["", "6", "h", "1.5h", "-1h", "6 weeks", "0s"])
def test_other_words_are_no_interval(words):
    with pytest.raises(Mistake, match="--every"):
        schedule.interval(words)


def announced(folder) -> str | None:
    path = folder / "work/prefect/server.json"
    return json.loads(path.read_text())["url"] if path.is_file() else None


@pytest.fixture
def scheduled(tmp_path):
    """A schedule of five seconds that has made its first run; its process and the address of its server."""
    make(tmp_path)
    going = start(tmp_path, "schedule", "--every", "5s")
    try:
        url = wait_for(lambda: announced(tmp_path), what="the server")
        wait_for(lambda: started(tmp_path) == ["prepare", "train", "register"], seconds=90, what="the first run")
        wait_for(lambda: ("Completed", "nothing changed") in states(url).values(), what="a run without changes")
        yield going, url
    finally:
        end(going, signal.SIGKILL)


def end(going, number: int) -> None:
    """Its output is not waited for: what is left of it might hold that open."""
    going.send_signal(number)
    going.wait(patient(60))
    going.stdout.close()


def train_longer(folder) -> None:
    params = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(params.replace("train:\n  seconds: 0", "train:\n  seconds: 100"))
    wait_for(lambda: started(folder).count("train") == 2 and stages_going(folder), what="the run of the change")


@pytest.mark.slow
def test_a_schedule_fires_a_cancelled_run_ends_and_ctrl_c_leaves_no_process(tmp_path, scheduled):
    going, url = scheduled
    assert "every 5s" in gan(tmp_path, "status").stdout
    second = gan(tmp_path, "schedule", "--every", "5s")
    assert second.returncode == 1 and f"process {going.pid}" in second.stderr
    train_longer(tmp_path)
    cancelled = running(url)
    call_api(url, f"flow_runs/{cancelled}/set_state", {"state": {"type": "CANCELLING"}})
    wait_for(lambda: started(tmp_path).count("train") == 3, what="the next run, which goes on where that one was cancelled")
    assert states(url)[cancelled][0] == "Cancelled" and stages_going(tmp_path) == 1
    end(going, signal.SIGINT)
    wait_for(lambda: not processes_in(tmp_path), seconds=20, what="the end of every process")


@pytest.mark.slow
def test_kill_9_of_a_schedule_leaves_no_process_and_the_next_one_clears_up(tmp_path, scheduled):
    going, url = scheduled
    train_longer(tmp_path)
    killed = running(url)
    end(going, signal.SIGKILL)
    wait_for(lambda: not processes_in(tmp_path), seconds=20, what="the end of every process")
    (tmp_path / "work/prefect/server.json").unlink()
    following = start(tmp_path, "schedule", "--every", "5s")
    try:
        url = wait_for(lambda: announced(tmp_path), what="the server")
        wait_for(lambda: states(url)[killed] == ("Crashed", "its process is gone; found so by the next runner"), what="the clearing up")
        wait_for(lambda: started(tmp_path).count("train") == 3, what="the next run")
    finally:
        end(following, signal.SIGTERM)
    wait_for(lambda: not processes_in(tmp_path), seconds=20, what="the end of every process")
