"""What DVC, MLflow and Prefect must do for us: each engine by itself, without a line of ours.

An upgrade of one, or another in its place, shows here what breaks before anything of ours does. Where the behaviour is not what
the documentation leads one to expect, the test is there so that a change of it is noticed too.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from patience import patient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GANLINE_", "PREFECT_"))},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "true",
    "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost", "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@localhost",
}  # fmt: skip

GRAPH = {"stages": {
    "copy": {
        "cmd": "python stage.py copy", "deps": ["stage.py", "kinds/${copy.kind}.txt"], "params": ["copy"], "outs": ["out/copy.txt"],
    },
    "answer": {"cmd": "python stage.py answer", "deps": ["out/copy.txt"], "outs": [{"out/answer.txt": {"cache": False}}]},
}}  # fmt: skip
STAGE = """\
import sys, time
from pathlib import Path
import yaml
asked = yaml.safe_load(Path("params.yaml").read_text())["copy"]
Path("out").mkdir(exist_ok=True)
if sys.argv[1] == "copy":
    Path("began").touch()
    while asked.get("waits") and not Path("go").exists():
        time.sleep(0.05)
    if asked.get("fails"):
        sys.exit(75)
    Path("out/copy.txt").write_text(Path(f"kinds/{asked['kind']}.txt").read_text() + repr(asked["value"]))
else:
    Path("out/answer.txt").write_text("answer")
"""


def dvc(folder: Path, *arguments: str, code: int = 0) -> str:
    """What a dvc command says, which must end with that code."""
    command = [sys.executable, "-m", "dvc", *arguments]
    result = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def write_params(folder: Path, **values: object) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump({"copy": {"kind": "one", "value": 1, **values}}))


@pytest.fixture
def repo(tmp_path):
    """A git and DVC repository with two stages, one of which is chosen by a param and one of which is not cached."""
    (tmp_path / "kinds").mkdir()
    for kind in ("one", "two"):
        (tmp_path / "kinds" / f"{kind}.txt").write_text(kind)
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(GRAPH))
    write_params(tmp_path)
    git(tmp_path, "init", "-q")
    dvc(tmp_path, "init", "-q")
    dvc(tmp_path, "repro", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout


def executed(said: str) -> list[str]:
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage '")]


def test_dvc_says_that_nothing_is_stale_as_an_empty_object_and_runs_nothing(repo):
    assert json.loads(dvc(repo, "status", "--json")) == {}
    assert executed(dvc(repo, "repro")) == []


def test_dvc_runs_a_stage_for_the_chosen_file_only_and_restores_it_when_switched_back(repo):
    (repo / "kinds/two.txt").write_text("another two")
    assert executed(dvc(repo, "repro")) == [], "the file of another choice makes nothing stale"
    write_params(repo, kind="two")
    assert set(json.loads(dvc(repo, "status", "--json"))) >= {"copy"}
    assert executed(dvc(repo, "repro", "--single-item", "copy")) == ["copy"]
    assert (repo / "out/copy.txt").read_text() == "another two1"
    write_params(repo)
    said = dvc(repo, "repro", "--single-item", "copy")
    assert executed(said) == [] and "is cached - skipping run" in said
    assert (repo / "out/copy.txt").read_text() == "one1"


def test_dvc_forced_again_leaves_its_lock_as_it_was(repo):
    before = (repo / "dvc.lock").read_bytes()
    assert executed(dvc(repo, "repro", "--force")) == ["copy", "answer"]
    assert (repo / "dvc.lock").read_bytes() == before


def test_dvc_keeps_the_lock_of_a_stage_that_fails_and_names_its_exit_code(repo):
    before = yaml.safe_load((repo / "dvc.lock").read_text())["stages"]["copy"]
    write_params(repo, fails=True)
    assert "exited with 75" in dvc(repo, "repro", code=255)
    assert yaml.safe_load((repo / "dvc.lock").read_text())["stages"]["copy"] == before


def test_dvc_takes_one_one_point_nought_and_true_for_the_same_value(repo):
    """So an edited type alone runs nothing: whoever reads params must not tell them apart."""
    for value in (1.0, True):
        write_params(repo, value=value)
        assert executed(dvc(repo, "repro")) == [], value
    write_params(repo, value=2)
    assert executed(dvc(repo, "repro", "--single-item", "copy")) == ["copy"]


def begun(folder: Path, *arguments: str) -> subprocess.Popen:
    """A dvc in a session of its own whose stage has begun, and waits for a file called go."""
    write_params(folder, waits=True)
    (folder / "began").unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=ENVIRONMENT, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    while not (folder / "began").exists():
        assert process.poll() is None, "dvc ended before its stage began"
        time.sleep(0.05)
    return process


def test_dvc_says_that_a_stage_is_busy_while_another_dvc_runs_it(repo):
    first = begun(repo, "--wait-for-lock", "repro")
    try:
        said = dvc(repo, "repro", "--force", code=255)
        assert "is busy, it is being blocked by" in said and str(first.pid) in said
        assert "is busy" in dvc(repo, "status", code=1)
    finally:
        (repo / "go").touch()
        assert first.wait() == 0
    assert executed(dvc(repo, "repro")) == []


def test_dvc_does_not_end_its_stage_when_it_is_ended(repo):
    """SIGTERM to dvc leaves the stage's process alive: whoever starts dvc must end the group."""
    import psutil

    process = begun(repo, "repro")
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("stage.py" in " ".join(child.cmdline()) for child in children)
    process.terminate()
    process.wait()
    time.sleep(1)
    alive = [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert alive


def test_dvc_pushes_and_pulls_what_is_cached_and_leaves_out_what_is_not(repo, tmp_path_factory):
    remote, clone = tmp_path_factory.mktemp("remote"), tmp_path_factory.mktemp("clone") / "clone"
    dvc(repo, "remote", "add", "-d", "there", str(remote))
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "remote")
    dvc(repo, "push", "-q")
    git(repo, "clone", "-q", str(repo), str(clone))
    assert not (clone / "out/copy.txt").exists()
    dvc(clone, "pull", "-q", "copy")
    assert (clone / "out/copy.txt").read_text() == "one1"
    (clone / "out/answer.txt").unlink(missing_ok=True)
    assert executed(dvc(clone, "repro")) == ["answer"], "of what is not cached, no copy can come back"


def test_dvc_runs_an_experiment_with_values_set_and_commits_it_apart(repo):
    said = dvc(repo, "exp", "run", "-S", "copy.value=5", "--name", "five")
    assert executed(said) == ["copy", "answer"] and (repo / "out/copy.txt").read_text() == "one5"
    assert "five" in dvc(repo, "exp", "list")
    dvc(repo, "exp", "run", "-S", "copy.value=off", "--name", "off")
    assert "value: off" in (repo / "params.yaml").read_text(), "unquoted, so that YAML 1.1 reads a boolean"


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture
def client(tmp_path):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_mlflow_stores_a_point_once_that_is_sent_twice_and_finds_runs_by_tag(client):
    from mlflow.entities import Metric, Param, RunTag

    run = client.create_run(client.create_experiment("one"), tags={"session": "a b'c"})
    points = [Metric("fid", 2.0, 1000, 7), Metric("fid", 1.0, 2000, 8)]
    for _ in range(2):
        client.log_batch(run.info.run_id, metrics=points, params=[Param("seed", "0")], tags=[RunTag("kind", "test")])
    assert [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "fid")] == [(7, 2.0), (8, 1.0)]
    found = client.search_runs([run.info.experiment_id], "tags.kind = 'test'")
    assert [one.info.run_id for one in found] == [run.info.run_id]
    with pytest.raises(Exception, match="[Cc]hang"):
        client.log_param(run.info.run_id, "seed", "1")
    client.set_terminated(run.info.run_id, "KILLED")
    assert client.get_run(run.info.run_id).info.status == "KILLED"


def test_mlflow_moves_an_alias_keeps_tags_of_versions_and_counts_them_up(client):
    from mlflow.exceptions import MlflowException

    client.create_registered_model("digits")
    with pytest.raises(MlflowException) as refused:
        client.create_registered_model("digits")
    assert refused.value.error_code == "RESOURCE_ALREADY_EXISTS"
    versions = [client.create_model_version("digits", f"file:///nowhere/{number}", tags={"weights": str(number)}) for number in (1, 2)]
    assert [int(one.version) for one in versions] == [1, 2]
    client.set_registered_model_alias("digits", "champion", "1")
    client.set_registered_model_alias("digits", "champion", "2")
    assert client.get_model_version_by_alias("digits", "champion").version == versions[1].version
    assert {one.version: one.tags["weights"] for one in client.search_model_versions("name = 'digits'")} == {
        versions[0].version: "1", versions[1].version: "2",
    }  # fmt: skip
    client.delete_registered_model_alias("digits", "champion")
    with pytest.raises(MlflowException) as refused:
        client.get_model_version_by_alias("digits", "champion")
    assert refused.value.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")


def test_mlflow_opens_a_model_from_code_without_any_pickle(tmp_path, monkeypatch):
    import mlflow.pyfunc

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    code = tmp_path / "code.py"
    code.write_text(
        "import mlflow, numpy as np\nfrom mlflow.pyfunc import PythonModel\n"
        "class Model(PythonModel):\n"
        "    def load_context(self, context): self.content = open(context.artifacts['weights']).read()\n"
        "    def predict(self, context, model_input, params=None): return np.full(len(model_input), float(self.content))\n"
        "mlflow.models.set_model(Model())\n"
    )
    (tmp_path / "weights.txt").write_text("7")
    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=str(code), artifacts={"weights": str(tmp_path / "weights.txt")}, pip_requirements=[]
    )
    assert not list((tmp_path / "model").rglob("*.pkl"))
    assert mlflow.pyfunc.load_model(str(tmp_path / "model")).predict([1, 2]).tolist() == [7.0, 7.0]


def test_mlflow_serves_its_store_on_loopback_and_refuses_another_host(tmp_path):
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--serve-artifacts", "--artifacts-destination", str(tmp_path / "files"),
    ]  # fmt: skip
    with ended(command, tmp_path) as process:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        from mlflow.tracking import MlflowClient

        served = MlflowClient(tracking_uri=f"http://127.0.0.1:{port}", registry_uri=f"http://127.0.0.1:{port}")
        run = served.create_run(served.create_experiment("served"))
        (tmp_path / "note.txt").write_text("kept")
        served.log_artifact(run.info.run_id, str(tmp_path / "note.txt"))
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        assert Path(served.download_artifacts(run.info.run_id, "note.txt", str(tmp_path))).read_text() == "kept"
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": "elsewhere.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            opened(request)
        assert refused.value.code == 403


@contextlib.contextmanager
def ended(command: list[str], folder: Path):
    """A server in a session of its own, all of which is ended at the end."""
    log = open(folder / "server.log", "wb")
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT | {"PREFECT_HOME": str(folder / "prefect")}, start_new_session=True,
                               stdout=log, stderr=log)  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def opened(request):
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=patient(30))


def wait_for(address: str, process: subprocess.Popen) -> None:
    """Until a server answers, or has ended."""
    while True:
        assert process.poll() is None, "the server ended as it started"
        with contextlib.suppress(OSError):
            if opened(address).status == 200:
                return
        time.sleep(0.2)


FLOW = """\
import time
from pathlib import Path
from prefect import flow, task
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy

@task
def work(path):
    open(f"{path}/began", "a").write("x")
    while not Path(f"{path}/go").exists():
        time.sleep(0.1)

@flow
def contract(path: str):
    work(path)

if __name__ == "__main__":
    contract.serve(name="own", limit=2, pause_on_shutdown=False,
                   global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW))
"""


def test_prefect_runs_one_at_a_time_and_cancels_what_comes_meanwhile(tmp_path):
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    (tmp_path / "flow.py").write_text(FLOW)

    def ask(path: str, content: dict) -> dict:
        request = urllib.request.Request(f"{api}{path}", json.dumps(content).encode(), {"Content-Type": "application/json"})
        while True:
            try:
                return json.loads(opened(request).read())
            except urllib.error.HTTPError as error:
                if error.code != 503:  # said while its database is busy: Prefect's own client asks again too
                    raise
            time.sleep(0.5)

    server = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with ended(server, tmp_path) as process:
        wait_for(f"{api}/health", process)
        runner = subprocess.Popen(
            [sys.executable, "flow.py"], cwd=tmp_path, env=ENVIRONMENT | {"PREFECT_API_URL": api}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            end_s = time.monotonic() + patient(300)
            known = None
            while known is None:
                assert runner.poll() is None and time.monotonic() < end_s
                with contextlib.suppress(urllib.error.HTTPError):
                    known = json.loads(opened(f"{api}/deployments/name/contract/own").read())
                time.sleep(0.5)
            create = f"/deployments/{known['id']}/create_flow_run"

            def ends(run: str) -> str:
                while (state := json.loads(opened(f"{api}/flow_runs/{run}").read())["state"])["type"] in (
                    "SCHEDULED",
                    "PENDING",
                    "RUNNING",
                ):
                    assert runner.poll() is None and time.monotonic() < end_s, state
                    time.sleep(0.5)
                return state["type"]

            first = ask(create, {"parameters": {"path": str(tmp_path)}})["id"]
            while not (tmp_path / "began").exists():
                assert runner.poll() is None and time.monotonic() < end_s
                time.sleep(0.1)
            second = ask(create, {"parameters": {"path": str(tmp_path)}})["id"]
            assert ends(second) == "CANCELLED"
            (tmp_path / "go").touch()
            assert ends(first) == "COMPLETED" and (tmp_path / "began").read_text() == "x"
        finally:
            os.killpg(runner.pid, signal.SIGKILL)
            runner.wait()


def test_prefect_runs_a_cron_that_does_not_exist_an_hour_early_and_knows_time_zones():
    """02:30 of the night on which clocks go forward in Berlin: 01:30 by the clock, and as asked the night after."""
    import asyncio

    from prefect.server.schemas.schedules import CronSchedule

    zone = ZoneInfo("Europe/Berlin")
    schedule = CronSchedule(cron="30 2 * * *", timezone="Europe/Berlin")
    dates = asyncio.run(schedule.get_dates(n=3, start=datetime(2027, 3, 27, 12, tzinfo=zone)))
    clocks = [date.astimezone(zone).strftime("%m-%d %H:%M") for date in dates]
    assert clocks == ["03-28 01:30", "03-29 02:30", "03-30 02:30"]


def test_nothing_of_ours_is_imported_here():
    """These are contracts of the engines: a test of ours in between would hide which of the two changed."""
    imports = [line for line in Path(__file__).read_text().splitlines() if line.lstrip().startswith(("import ", "from "))]
    assert not {"gan", "stages", "apps", "pipeline", "small"} & {line.split()[1].split(".")[0] for line in imports}
    assert shutil.which("git")
