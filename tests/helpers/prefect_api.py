"""What a Prefect server says of its flow runs."""

import json
import time
import urllib.error
import urllib.request

from patience import patient
from pipeline_project import processes_in


def call_api(url: str, path: str, content: dict) -> object:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/{path}", data=json.dumps(content).encode(), headers=headers, method="POST")
    while True:
        try:
            with urllib.request.urlopen(request, timeout=patient(20)) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            if error.code != 503:  # its database is locked, on a busy machine
                raise
            time.sleep(1)


def states(url: str) -> dict[str, tuple[str, str]]:
    """Flow run -> (name, message) of its state; one that is just being made has none yet."""
    runs = call_api(url, "flow_runs/filter", {})
    return {run["id"]: (run["state"]["name"], run["state"]["message"] or "") for run in runs if run["state"]}


def stages_going(folder) -> int:
    return sum("stages.work" in process.cmdline() for process in processes_in(folder))


def running(url: str) -> str | None:
    """The flow run that goes now."""
    return next((run for run, (name, _) in states(url).items() if name == "Running"), None)
