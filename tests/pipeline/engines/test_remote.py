"""Two clones that share a DVC remote: what the first made, the second does not make again."""

import json

import pytest
import small
from dvc_project import clone, executed, run
from pipeline_project import call, gan, make, processes_in, started
from served_registry import served

from pipeline.engines import remote, server
from pipeline.errors import Mistake
from stages.tracking import store


@pytest.fixture(scope="module")
def prefect(tmp_path_factory):
    """Announces one Prefect server to a checkout, as `gan schedule` would: none has to start its own."""
    with server.launched(server.any_free_port(), tmp_path_factory.mktemp("prefect")) as own:
        own.wait()

        def announce(folder) -> None:
            (folder / "work/prefect").mkdir(parents=True, exist_ok=True)
            (folder / "work/prefect/server.json").write_text(json.dumps({"url": own.url}))

        yield announce


@pytest.fixture
def project(tmp_path):
    """A project that shares its results, once it has a remote."""
    folder = make(tmp_path / "first")
    with open(folder / "params.yaml", "a", encoding="utf-8") as params:
        params.write("machine:\n  share: true\n")
    call(folder, "git", "commit", "-qam", "share")
    return folder


def test_results_are_shared_only_where_params_say_so(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    assert remote.shares()
    with pytest.raises(Mistake, match="DVC has no default remote; name one, as in: dvc remote add -d"):
        remote.check()
    call(project, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    remote.check()
    monkeypatch.chdir(make(tmp_path / "alone"))
    assert not remote.shares()
    remote.check()


def folder_remote(project, tmp_path, monkeypatch):
    """A default remote in a folder."""
    call(project, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))


def s3_remote(project, tmp_path, monkeypatch):
    """A default remote on an S3 server of this process; returns what stops it."""
    pytest.importorskip("dvc_s3", reason="dvc-s3 is not installed: pip install 'ganline[s3]'")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install boto3")
    server = pytest.importorskip("moto.server", reason="moto's S3 server is not installed: pip install 'moto[server]'")
    going = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    going.start()
    address = "http://{}:{}".format(*going.get_host_and_port())
    for key, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(key, value)
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket="results")
    call(project, "dvc", "remote", "add", "-d", "store", "s3://results/toys")
    call(project, "dvc", "remote", "modify", "store", "endpointurl", address)
    return going.stop


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [folder_remote, s3_remote])
def test_an_empty_clone_fetches_runs_only_what_is_stale_and_sends_it(project, prefect, tmp_path, monkeypatch, kind):
    prefect(project)
    stop = kind(project, tmp_path, monkeypatch)
    try:
        call(project, "git", "commit", "-qam", "a remote")
        assert gan(project, "run").returncode == 0
        second = tmp_path / "second"
        call(tmp_path, "git", "clone", "-q", str(project), str(second))
        prefect(second)
        assert not (second / "dvc.lock").exists() and not (second / ".dvc/cache").exists()
        result = gan(second, "run", "--set", "train.loss.name=minimax")
        assert result.returncode == 0, result.stdout + result.stderr
        assert started(second) == ["train", "register"] and "Stage 'prepare' is cached" in result.stdout
        before = started(project)
        result = gan(project, "run", "--set", "train.loss.name=minimax")
        assert started(project) == before and "Stage 'train' is cached" in result.stdout, "what the second sent"
        assert (project / "dvc.lock").read_bytes() == (second / "dvc.lock").read_bytes()
        assert "nothing changed" in gan(second, "run").stdout
    finally:
        if stop is not None:
            stop()
    assert not processes_in(tmp_path)


@pytest.mark.slow
def test_a_remote_that_takes_nothing_fails_the_run_with_the_way_out_and_loses_nothing(project, prefect, tmp_path):
    prefect(project)
    (tmp_path / "store").write_text("a file in the place of a folder")
    call(project, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    result = gan(project, "run")
    assert result.returncode == 1 and "the results lie here, and DVC's remote did not take them: unexpected error" in result.stderr
    assert "when it answers: dvc push --run-cache" in result.stderr and started(project) == ["prepare", "train", "register"]
    (tmp_path / "store").unlink()
    assert call(project, "dvc", "push", "--run-cache").returncode == 0 and (tmp_path / "store/runs").is_dir()
    assert "nothing changed" in gan(project, "run").stdout


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_second_of_two_clones_trains_and_registers_nothing(prefect, tmp_path):
    """The pipeline itself, tiny: one remote in a folder, one MLflow server."""
    first, second = clone(tmp_path / "first"), tmp_path / "second"
    small.write_params(first, {**small.TINY, "train.loop.total_kimg": 1, "machine.share": True})
    run(first, "dvc", "remote", "add", "-q", "-d", "store", "../store")
    run(first, "git", "commit", "-qam", "a remote")
    run(tmp_path, "git", "clone", "-q", str(first), str(second))
    prefect(first), prefect(second)
    with served(tmp_path) as uri:

        def ran(folder) -> list[str]:
            return executed(run(folder, "gan", "run", MLFLOW_TRACKING_URI=uri, GANLINE_TRACKING="on"))

        assert ran(first) == ["fetch", "prepare", "reference", "train", "evaluate", "register"]
        assert ran(second) == ["register"] and ran(second) == []
        assert (first / "dvc.lock").read_bytes() == (second / "dvc.lock").read_bytes()
        versions = store.client(uri).search_model_versions("name = 'digits'")
        runs = store.client(uri).search_runs([store.client(uri).get_experiment_by_name("digits").experiment_id])
    assert [str(one.version) for one in versions] == ["1"]
    assert len(runs) == 2 and {run.data.tags["stage.train"] for run in runs} == {"executed", "reused"}
    decision = json.loads((second / "artifacts/register/decision.json").read_text())
    assert decision["uri"] == "models:/digits/1"
    assert not processes_in(tmp_path)
