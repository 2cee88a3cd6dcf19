"""`gan up`: real servers apart from the terminal, a run when new data come, people told, and nothing left after `gan down`."""

import http.server
import json
import os
import signal
import threading
import urllib.request

import psutil
import pytest
from patience import patient, wait_for
from pipeline_project import gan, make, processes_in, start, started
from prefect_api import call_api, running, stages_going, states
from ruamel.yaml import YAML

from pipeline.engines import server
from pipeline.service import deployment

PATIENCE_S = 200  # for what takes seconds on an idle machine


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    got: list[dict] = []

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hook():
    """A server that notices are sent to: its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served.server_port
        served.shutdown()


@pytest.fixture(scope="module")
def up(tmp_path_factory, hook):
    """A project under `gan up`: its folder, what that said, the address of Prefect's API."""
    folder = make(tmp_path_factory.mktemp("up"))
    with open(folder / "params.yaml", "a") as params:
        params.write(
            "machine:\n  watch: {every: 1s, quiet: 2s}\n  timeouts: {train: null}\n"
            f"  notify: ['json://127.0.0.1:{hook}/', {{command: false, events: [registered]}}]\n"
        )
    ports = ["--port", str(server.any_free_port()), "--mlflow-port", str(server.any_free_port())]
    try:
        said = gan(folder, "up", *ports)
        assert said.returncode == 0, said.stderr
        yield folder, said.stdout, f"http://127.0.0.1:{ports[1]}/api"
    finally:
        gan(folder, "down")


def set_to(folder, train_s: float, longest: str | None = None) -> None:
    """How long a training takes, and may take."""
    yaml = YAML()
    yaml.preserve_quotes = True
    params = yaml.load(folder / "params.yaml")
    params["train"]["seconds"], params["machine"]["timeouts"]["train"] = train_s, longest
    yaml.dump(params, folder / "params.yaml")


def run_of_deployment(api: str) -> str:
    """A run as the page's button starts it."""
    with urllib.request.urlopen(f"{api}/deployments/name/ganline/retraining", timeout=patient(20)) as response:
        deployment = json.loads(response.read())["id"]
    return call_api(api, f"deployments/{deployment}/create_flow_run", {})["id"]


def notices() -> list[tuple[str, str]]:
    return [(one["type"], one["title"]) for one in Hook.got]


@pytest.mark.slow
def test_up_serves_both_pages_and_a_second_up_says_so(up):
    folder, said, api = up
    pages = [word for word in said.split() if word.startswith("http")]
    assert len(pages) == 2 and api.removesuffix("/api") in pages
    for page in pages:
        with urllib.request.urlopen(page, timeout=patient(20)) as answer:
            assert b"<html" in answer.read(500).lower()
    with urllib.request.urlopen(f"{api.removesuffix('/api')}/ui-settings", timeout=patient(20)) as answer:
        assert json.loads(answer.read())["api_url"] == api
    again = gan(folder, "up")
    assert again.returncode == 0 and again.stdout.startswith("they run already") and all(page in again.stdout for page in pages)
    shown = gan(folder, "status").stdout
    assert all(page in shown for page in pages) and "no schedule" in gan(folder, "schedule").stdout
    assert gan(folder, "ui").stdout.startswith("MLflow UI: http")  # and returns


@pytest.mark.slow
def test_new_data_start_a_run_that_says_why(up):
    folder, _, api = up
    assert "on new data in data.txt" in gan(folder, "schedule", "--on-data", "--cron", "0 3 * * *", "--timezone", "UTC").stdout
    wait_for(lambda: started(folder) == ["prepare", "train", "register"], seconds=PATIENCE_S, what="the first run")
    wait_for(lambda: notices() == [("info", "ganline toys: toys version 1")], seconds=PATIENCE_S, what="the notice")
    tags = json.loads((folder / "work/tags.train.json").read_text())
    assert tags["trigger"] == "data" and "data.txt: 1 files, seen for the first time" in tags["trigger.reason"]
    assert tags["prefect.flow_run_url"] == f"{api.removesuffix('/api')}/runs/flow-run/{tags['prefect.flow_run_id']}"
    wait_for(lambda: states(api)[tags["prefect.flow_run_id"]][0] == "Completed", seconds=PATIENCE_S, what="the end of the run")
    events = call_api(api, "events/filter", {"filter": {"event": {"name": ["ganline.data.changed"]}}})["events"]
    assert [one["payload"]["reason"] for one in events] == [tags["trigger.reason"]]
    assert events[0]["related"][0]["prefect.resource.id"] == f"prefect.flow-run.{tags['prefect.flow_run_id']}"
    os.utime(folder / "data.txt")  # another time, the same content: no run
    wait_for(lambda: "nothing is stale" in (folder / "work/logs/watch.log").read_text(), seconds=PATIENCE_S, what="the look at it")
    (folder / "data.txt").write_text("two\n")
    wait_for(lambda: started(folder).count("train") == 2, seconds=PATIENCE_S, what="the run of the change")
    wait_for(lambda: running(api) is None, seconds=PATIENCE_S, what="its end")
    before, runner = deployment.known_deployment(api), json.loads((folder / "work/servers.json").read_text())["runner"]["pid"]
    os.killpg(runner, signal.SIGKILL)  # the next one takes the deployment as the server has it
    wait_for(
        lambda: (deployment.known_deployment(api) or before)["updated"] != before["updated"], seconds=PATIENCE_S, what="the next runner"
    )
    assert deployment.known_deployment(api)["schedules"] == before["schedules"] != []
    assert "cron 0 3 * * * (UTC)" in gan(folder, "schedule").stdout


@pytest.mark.slow
def test_a_stage_that_takes_too_long_is_ended_and_not_tried_again(up):
    folder, _, api = up
    wait_for(lambda: running(api) is None, seconds=PATIENCE_S, what="the end of the run before")
    before = started(folder)
    set_to(folder, train_s=100, longest="20s")
    assert "no schedule" in gan(folder, "schedule", "--off").stdout
    run = run_of_deployment(api)
    wait_for(lambda: states(api)[run][0] == "Failed", seconds=PATIENCE_S, what="the end by the timeout")
    assert "longer than machine.timeouts.train of params.yaml allows, 20s" in states(api)[run][1]
    assert started(folder) == [*before, "train"] and not stages_going(folder)
    wait_for(lambda: notices()[-1] == ("failure", "ganline toys: failed"), seconds=PATIENCE_S, what="the notice")
    assert "machine.timeouts.train" in Hook.got[-1]["message"]
    assert json.loads((folder / "work/tags.train.json").read_text())["trigger"] == "hand"


@pytest.mark.slow
def test_a_run_goes_on_while_the_prefect_server_is_killed_and_started_again(up):
    folder, _, api = up
    set_to(folder, train_s=12)
    before = started(folder)
    run = run_of_deployment(api)
    wait_for(lambda: len(started(folder)) == len(before) + 1, seconds=PATIENCE_S, what="the train stage")
    state = json.loads((folder / "work/servers.json").read_text())
    os.killpg(state["prefect"]["pid"], signal.SIGKILL)
    wait_for(
        lambda: state["prefect"]["pid"] != json.loads((folder / "work/servers.json").read_text())["prefect"].get("pid"),
        seconds=PATIENCE_S,
        what="it dead",
    )
    wait_for(lambda: server.is_healthy(api) and states(api)[run][0] == "Completed", seconds=PATIENCE_S, what="the end of the run")
    assert started(folder) == [*before, "train"]  # what it makes is as it was: register has nothing to do
    assert "died 1 time" in gan(folder, "status").stdout
    set_to(folder, train_s=100)
    run = run_of_deployment(api)
    wait_for(lambda: stages_going(folder), seconds=PATIENCE_S, what="the next run")
    call_api(api, f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    wait_for(
        lambda: states(api)[run][0] == "Cancelled" and not stages_going(folder), seconds=PATIENCE_S, what="the end of the cancelled run"
    )


@pytest.mark.slow
def test_a_run_by_hand_keeps_down_waiting_and_down_leaves_no_process(up):
    folder, _, api = up
    set_to(folder, train_s=90)
    going = start(folder, "run")
    try:
        wait_for(lambda: stages_going(folder), seconds=PATIENCE_S, what="the train stage")
        refused = gan(folder, "down")
        assert refused.returncode == 1 and "uses the Prefect server; wait for it, or end it first" in refused.stderr
    finally:
        going.send_signal(signal.SIGINT)
        going.wait(patient(60))
        going.stdout.close()
    known = json.loads((folder / "work/servers.json").read_text())
    said = gan(folder, "down")
    assert said.returncode == 0 and "ended Prefect" in said.stdout and "ended MLflow" in said.stdout
    assert not any(
        psutil.pid_exists(one["pid"]) and psutil.Process(one["pid"]).status() != psutil.STATUS_ZOMBIE
        for one in known.values()
        if "pid" in one
    )
    wait_for(lambda: not processes_in(folder), seconds=PATIENCE_S, what="the end of every process")
    assert gan(folder, "down").stdout == "nothing of gan up runs here\n"
