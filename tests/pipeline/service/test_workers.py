"""Workers of a Prefect server: a real process pool runs the flow; what the other pools are told is what they know."""

import functools
import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
import small
import yaml
from patience import patient, wait_for
from pipeline_project import environment, make, processes_in, started
from prefect_api import states

from pipeline.engines import server

PREFECT = yaml.safe_load((small.ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {one["name"]: one for one in PREFECT["deployments"]}


def test_every_deployment_names_the_flow_one_run_at_a_time_and_its_pool():
    for name, one in DEPLOYMENTS.items():
        assert one["entrypoint"] == "pipeline/flow.py:pipeline" and one["work_pool"]["name"] == f"ganline-{name}"
        assert one["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
        assert all(isinstance(value, str) for value in one["work_pool"]["job_variables"]["env"].values()), "the environment is text"


def test_the_process_pool_knows_every_job_variable():
    from prefect.workers.process import ProcessWorker

    known = ProcessWorker.get_default_base_job_template()["variables"]["properties"]
    assert DEPLOYMENTS["process"]["work_pool"]["job_variables"].keys() <= known.keys()


@pytest.mark.parametrize(
    ("name", "module", "worker"),
    [
        ("docker", "prefect_docker.worker", "DockerWorker"),
        ("kubernetes", "prefect_kubernetes.worker", "KubernetesWorker"),
    ],
)
def test_the_other_pools_know_every_job_variable(name, module, worker):
    found = pytest.importorskip(module, reason=f"pip install prefect-{name}")
    known = getattr(found, worker).get_default_base_job_template()["variables"]["properties"]
    assert DEPLOYMENTS[name]["work_pool"]["job_variables"].keys() <= known.keys()


def test_the_image_takes_the_packages_of_the_project_and_runs_as_nobody_special():
    lines = (small.ROOT / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    packages = {path.parent.name for path in small.ROOT.glob("*/__init__.py")}
    assert copied == packages | {"pyproject.toml", "constraints.txt", "README.md"}
    allowed = {line[1:] for line in (small.ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == copied, ".dockerignore lets in what the Dockerfile copies"
    assert [line for line in lines if line.startswith("USER ")][-1] != "USER root"
    assert not re.search(r"https?://|index-url|\d+\.\d+\.\d+\.\d+", "\n".join(lines)), "no host"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_process_worker_runs_the_deployment_in_the_checkout_where_it_was_started(tmp_path):
    project, home = make(tmp_path / "project"), tmp_path / "prefect"
    shutil.copytree(small.ROOT / "pipeline", project / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(small.ROOT / "prefect.yaml", project)
    with server.launched(server.any_free_port(), home) as own:
        own.wait()
        env = environment() | {"PREFECT_API_URL": own.url, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "true", "PYTHONPATH": ""}

        def prefect(*arguments: str) -> subprocess.Popen:
            return subprocess.Popen(
                [sys.executable, "-m", "prefect", "--no-prompt", *arguments], cwd=project, env=env, text=True, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # which a shell's background ignores
            )  # fmt: skip

        for command in (
            ("work-pool", "create", "ganline-process", "--type", "process"), ("deploy", "--name", "process"),
            ("deployment", "run", "ganline/process"),
        ):  # fmt: skip
            asked = prefect(*command)
            said = asked.communicate(timeout=patient(200))[0]
            assert asked.returncode == 0, said
        worker = prefect("worker", "start", "--pool", "ganline-process")
        try:
            wait_for(
                lambda: "Completed" in {name for name, _ in states(own.url).values()}, seconds=240, what=f"the run ({states(own.url)})"
            )
            wait_for(lambda: {one.pid for one in processes_in(project)} == {worker.pid}, what="the end of the run's process")
        finally:
            worker.send_signal(signal.SIGINT)
            said = worker.communicate(timeout=patient(120))[0]
        assert started(project) == ["prepare", "train", "register"], said
        assert json.loads((project / "artifacts/register/decision.json").read_text())["name"] == "toys"
    wait_for(lambda: not processes_in(tmp_path), seconds=20, what="the end of every process")
