"""`gan gc` removes what nothing refers to, never what a version of the registry, a commit or the workspace needs, and nothing unasked."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipeline_project import call, environment, make

from pipeline.commands import garbage, gc
from pipeline.engines import registry, workspace
from pipeline.errors import Busy, Failure

DAYS = 14


def version(name: str = "toys version 1", run_id: str = "0" * 32, champion: bool = False, **tags: str) -> registry.Version:
    return registry.Version(name, run_id, None, tags, champion)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A project as the current folder, an empty registry, no MLFLOW_TRACKING_URI."""
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    for key, value in environment().items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    holds(monkeypatch)
    return tmp_path


def holds(monkeypatch, *versions: registry.Version) -> None:
    monkeypatch.setattr(registry, "versions", lambda: list(versions))


def folder(path: str, days: float, size: int = 1000) -> Path:
    """A folder with a file in it, both so old."""
    made = Path(path)
    made.mkdir(parents=True)
    (made / "file").write_bytes(bytes(size))
    for one in (made / "file", made):
        os.utime(one, (time.time() - days * 86_400,) * 2)
    return made


def say_nothing(sentence: str) -> None:
    pytest.fail(sentence)


def found(say=say_nothing) -> list[str]:
    return [one.what for one in garbage.find(DAYS, say)]


def test_old_states_of_trainings_go_and_the_last_one_stays(here):
    for name, days in (("a", 40), ("b", 30), ("c", 3), ("finished/d", 20), ("finished/e", 2)):
        folder(f"work/train/{name}", days)
    assert [one.what for one in garbage._trainings(DAYS)] == ["work/train/a", "work/train/b", "work/train/finished/d"]
    for name in "abc":
        os.rename(f"work/train/{name}", f"work/train/old-{name}")
    os.utime("work/train/old-c/file", (1e9, 1e9)), os.utime("work/train/old-c", (1e9, 1e9))
    assert "work/train/old-b" not in [one.what for one in garbage._trainings(DAYS)], "the last one, however old"


def test_a_file_that_is_linked_elsewhere_frees_nothing(here):
    """As DVC's cache links into the workspace: removing one of two names gives no space back."""
    made = folder("work/train/a", 40, size=100_000)
    alone = garbage._size(made)
    os.link(made / "file", here / "second name")
    assert alone - garbage._size(made) == (made / "file").stat().st_blocks * 512 >= 100_000


def test_copies_go_that_the_registry_gives_again_and_no_others(here, monkeypatch):
    init = (here / "params.yaml").read_text().replace("loss: {", "init: {model: toys, sha256: begun}\n  loss: {")
    (here / "params.yaml").write_text(init)
    for name in ("held", "begun", "unknown"):
        folder(f"work/models/{name}", 30)
    for name in ("of-champion", "of-another", "of-nobody"):
        folder(f"work/champion/{name}", 30)
    known = [
        version(run_id="of-champion", champion=True),
        version(run_id="of-another", weights_sha256="held"),
        version(weights_sha256="begun"),
    ]
    assert [one.what for one in garbage._copies(known, DAYS)] == ["work/champion/of-another", "work/models/held"]


def test_what_a_sweep_began_with_stays_though_no_version_names_it(here):
    (here / "data.txt").write_text("not committed\n")
    for name in ("guard", "tracking/session", "registry/snapshot"):
        (here / f"stages/{name}.py").parent.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).parents[3] / f"stages/{name}.py", here / f"stages/{name}.py")
    state, _ = workspace.keep_files("sweep-1")
    assert state.commit != state.head
    for one in garbage._snapshots([]):
        one.remove()
    assert call(here, "git", "show", "refs/sweeps/sweep-1:data.txt").stdout == "not committed\n"
    garbage._collect("--dry")
    assert call(here, "git", "for-each-ref", "--format=%(refname)", "refs/ganline", "refs/remotes").stdout == ""


def test_what_a_sweep_began_with_goes_with_its_record(here):
    for name in ("sweep-1", "sweep-2"):
        call(here, "git", "update-ref", f"{workspace.KEPT}/{name}", "HEAD")
    (here / "work/sweeps").mkdir(parents=True)
    (here / "work/sweeps/sweep-2.json").write_text("{}")
    [one] = garbage._sweeps()
    one.remove()
    assert one.what == "refs/sweeps/sweep-1" and list(garbage._sweeps()) == []
    assert call(here, "git", "for-each-ref", "--format=%(refname)", workspace.KEPT).stdout == "refs/sweeps/sweep-2\n"


def dangling(here) -> str:
    """A commit that no branch holds."""
    (here / "data.txt").write_text("dangling\n")
    call(here, "git", "commit", "-qam", "to be amended")
    commit = call(here, "git", "rev-parse", "HEAD").stdout.strip()
    call(here, "git", "commit", "-q", "--amend", "-m", "amended")
    return commit


def test_snapshots_without_a_version_go_and_a_versions_commit_gets_one(here):
    commit, head = dangling(here), call(here, "git", "rev-parse", "HEAD").stdout.strip()
    call(here, "git", "update-ref", f"refs/ganline/{head}", head)
    [one] = garbage._snapshots([version(**{"git.state": commit})])
    assert head[:12] in one.what
    one.remove()
    assert call(here, "git", "for-each-ref", "--format=%(refname)", "refs/ganline").stdout == f"refs/ganline/{commit}\n"
    assert not list(garbage._snapshots([version(**{"git.state": commit})]))


@pytest.mark.slow
def test_what_a_version_a_commit_or_the_workspace_needs_stays_in_dvcs_cache(here, monkeypatch):
    """Four states: of a commit, of a version's dangling commit, of nothing, and of the workspace."""
    kept, commit = {}, None
    for letter in "abcd":
        (here / "data.txt").write_text(f"{letter}\n")
        assert call(here, "dvc", "repro", "-q", "train").returncode == 0
        kept[letter] = (here / "artifacts/train/out.txt").read_bytes()
        if letter in "ab":
            call(here, "git", "add", "-A"), call(here, "git", "commit", "-qm", letter)
        if letter == "b":
            commit = call(here, "git", "rev-parse", "HEAD").stdout.strip()
            call(here, "git", "reset", "-q", "--soft", "HEAD~1")
    holds(monkeypatch, version(**{"git.state": commit}))
    contents = lambda: {path.read_bytes() for path in (here / ".dvc/cache/files").rglob("*") if path.is_file()}  # noqa: E731
    gc.collect(yes=False, days=DAYS)
    assert set(kept.values()) < contents(), "a dry run removes nothing"
    gc.collect(yes=True, days=DAYS)
    assert set(kept.values()) & contents() == {kept[letter] for letter in "abd"}
    assert not call(here, "git", "for-each-ref", "refs/remotes").stdout, "what DVC was shown is gone again"
    (here / "data.txt").write_text("c\n")
    assert call(here, "dvc", "repro", "-q", "train").returncode == 0, "the run-cache remembers what is gone, and that stops nothing"
    assert (here / "artifacts/train/out.txt").read_bytes() == kept["c"]


@pytest.mark.parametrize("case", ["no registry", "commit elsewhere", "shared cache"])
def test_dvcs_cache_is_left_alone_where_it_cannot_be_judged(here, monkeypatch, tmp_path_factory, case):
    said: list[str] = []
    folder(".dvc/cache/files/md5/ab", 0)
    (here / ".dvc/cache/files/md5/ab/file").rename(here / ".dvc/cache/files/md5/ab" / ("c" * 30))
    if case == "no registry":
        monkeypatch.setattr(registry, "versions", lambda: (_ for _ in ()).throw(Failure("the registry is not there")))
    elif case == "commit elsewhere":
        holds(monkeypatch, version(**{"git.state": "d" * 40}))
    else:
        call(here, "dvc", "config", "--local", "cache.dir", str(tmp_path_factory.mktemp("shared")))
    assert found(said.append) == [] and len(said) == 1
    assert {"no registry": "the registry is not there; so", "commit elsewhere": "toys version 1 was made from commit dddd",
            "shared cache": "may serve other projects"}[case] in said[0]  # fmt: skip


def test_nothing_is_collected_while_a_dvc_works(here, tmp_path):
    (tmp_path / "dvc").write_text("import time; print('up', flush=True); time.sleep(6000)")
    with subprocess.Popen([sys.executable, str(tmp_path / "dvc")], cwd=here, stdout=subprocess.PIPE) as worker:
        try:
            assert worker.stdout.readline() == b"up\n"
            with pytest.raises(Busy, match=f"process {worker.pid}, .* works in this checkout"):
                gc.collect(yes=True, days=DAYS)
        finally:
            worker.kill()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A real MLflow store: a run, one that was deleted, and one more on disk of which it knows nothing."""
    import mlflow

    place = tmp_path_factory.mktemp("store")
    client = mlflow.MlflowClient(f"sqlite:///{place}/mlflow.db")
    experiment = client.create_experiment("toys", artifact_location=(place / "mlartifacts/toys").as_uri())
    ids = [client.create_run(experiment).info.run_id for _ in range(2)]
    for run in (*ids, "f" * 32):
        (place / "mlartifacts/toys" / run / "artifacts").mkdir(parents=True)
        (place / "mlartifacts/toys" / run / "artifacts/file").write_bytes(bytes(9000))
    client.delete_run(ids[1])
    return place, client, ids


def test_deleted_runs_and_files_of_no_run_go_unless_a_version_needs_them(here, monkeypatch, store):
    place, client, (living, deleted) = store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
    needed, said = version(run_id=deleted), []
    assert not list(garbage._runs([needed], 0, said.append)) and f"mlflow runs restore --run-id {deleted}" in said[0]
    assert [one.what for one in garbage._orphans([needed], 0)] == [os.path.relpath(place / "mlartifacts/toys" / ("f" * 32))]
    assert not list(garbage._orphans([needed], 1)), "an upload that is going on is young"
    assert not list(garbage._runs([], 1, say_nothing)), "deleted less than a day ago"
    [runs] = garbage._runs([version(run_id=living)], 0, say_nothing)
    assert runs.size_bytes >= 9000
    runs.remove()
    assert {path.parts[-3] for path in place.glob("mlartifacts/toys/*/artifacts/file")} == {living, "f" * 32}
    assert [run.info.run_id for run in client.search_runs(["1"])] == [living]


def test_a_size_is_said_in_words():
    assert [gc.in_words(size) for size in (0, 999, 1500, 2_340_000, 5e12)] == ["0 B", "999 B", "1.5 kB", "2.3 MB", "5000.0 GB"]
