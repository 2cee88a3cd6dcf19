"""`gan schedule` on a real local Prefect server: it fires, runs share it, and nothing stays behind."""

import json
import signal
import urllib.request
from datetime import timedelta

import pytest

from pipeline import schedule
from pipeline.errors import Mistake
from pipeline_project import call, gan, make, processes_in, start, started, wait_for


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


def flow_runs(url: str) -> list[dict]:
    request = urllib.request.Request(
        f"{url}/flow_runs/filter", data=b"{}", headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())


def states(url: str) -> list[tuple[str, str]]:
    """(name, message) of the state of every flow run that came to an end."""
    ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    return [(run["state"]["name"], run["state"]["message"] or "") for run in flow_runs(url) if run["state"]["type"] in ends]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_schedule_fires_again_and_again_and_ends_without_a_trace(tmp_path, number):
    make(tmp_path)
    going = start(tmp_path, "schedule", "--every", "5s")
    try:
        url = wait_for(lambda: announced(tmp_path), what="the server")
        wait_for(lambda: started(tmp_path) == ["prepare", "train", "register"], seconds=90, what="the first run")
        wait_for(lambda: ("Completed", "nothing changed") in states(url), seconds=60, what="a run without changes")
        assert "schedule --every 5s" in gan(tmp_path, "status").stdout
        assert gan(tmp_path, "schedule", "--every", "5s").returncode == 1  # one schedule a checkout
        params = (tmp_path / "params.yaml").read_text()
        (tmp_path / "params.yaml").write_text(params.replace("train:\n  seconds: 0", "train:\n  seconds: 100"))
        wait_for(lambda: started(tmp_path)[-1] == "train" and len(started(tmp_path)) == 4, what="the run of the change")
        going.send_signal(number)
        going.wait(30)
        wait_for(lambda: not processes_in(tmp_path), seconds=20, what="the end of every process")
    finally:
        going.kill()
        going.communicate()


def announced(folder) -> str | None:
    path = folder / "work/prefect/server.json"
    return json.loads(path.read_text())["url"] if path.is_file() else None
