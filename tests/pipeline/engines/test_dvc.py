"""What a kill -9 or a full disk leaves of DVC's files is mended, and said."""

import json
import subprocess
import sys

import pytest
from pipeline_project import call, environment, gan, make

from pipeline.commands import status
from pipeline.engines import dvc
from pipeline.errors import Busy, Failure
from pipeline.params import recipe
from pipeline.params import settings as edits


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A project that DVC alone has run, with its dvc.lock committed."""
    folder = make(tmp_path_factory.mktemp("done"))
    assert call(folder, "dvc", "repro", "-q").returncode == 0
    call(folder, "git", "add", "dvc.lock")
    call(folder, "git", "commit", "-qm", "ran")
    return folder


@pytest.fixture
def project(done, monkeypatch):
    monkeypatch.chdir(done)
    yield done
    call(done, "git", "checkout", "-q", "dvc.lock", "params.yaml")
    dvc.RWLOCK.unlink(missing_ok=True)


def test_the_graph_comes_in_an_order_that_can_run(project):
    dvc.graph.cache_clear()
    graph = dvc.graph()
    assert list(graph) == ["prepare", "train", "register"]
    assert graph == {"prepare": set(), "train": {"prepare"}, "register": {"train"}}


def test_a_tracked_folder_is_a_part_of_the_graph(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    call(tmp_path, "git", "rm", "-q", "--cached", "data.txt")
    call(tmp_path, "git", "commit", "-qm", "by DVC now")
    assert call(tmp_path, "dvc", "add", "-q", "data.txt").returncode == 0
    dvc.graph.cache_clear()
    assert next(iter(dvc.graph())) == "data.txt.dvc"


@pytest.mark.parametrize("torn", ["", "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    outs:\n    - pa", "\0\0"])
def test_a_torn_lock_file_comes_back_from_the_last_commit(project, torn):
    whole = dvc.LOCK_FILE.read_bytes()
    dvc.LOCK_FILE.write_text(torn)
    said = []
    assert dvc.mended_status(said.append) == {}
    assert dvc.LOCK_FILE.read_bytes() == whole
    assert said == ["dvc.lock was torn: restored from the last commit (the torn one is work/dvc.lock.torn)"]


def test_a_torn_lock_file_that_was_never_committed_goes(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    dvc.LOCK_FILE.write_text("schema: '2")
    said = []
    assert set(dvc.mended_status(said.append)) == {"prepare", "train", "register"}
    assert "no commit holds one: removed" in said[0] and not dvc.LOCK_FILE.exists()


def test_a_broken_graph_is_not_taken_for_a_torn_lock_file(project):
    whole = dvc.LOCK_FILE.read_bytes()
    good = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text("stages: [")
    try:
        with pytest.raises(Failure, match="dvc.yaml"):
            dvc.mended_status(print)
    finally:
        (project / "dvc.yaml").write_text(good)
    assert dvc.LOCK_FILE.read_bytes() == whole


@pytest.mark.parametrize("torn", ["", '{"wri', '{"write": 3}', '{"write": {"x": {"cmd": "dvc"}}}', "[1]"])
def test_a_torn_rwlock_goes(project, torn):
    dvc.RWLOCK.write_text(torn)
    said = []
    dvc.mend_rwlock(said.append)
    assert said == [".dvc/tmp/rwlock was torn: removed"] and not dvc.RWLOCK.exists()


def rwlock_of(pid: int, project) -> str:
    return json.dumps({"write": {str(project / "artifacts/train"): {"pid": pid, "cmd": "dvc repro"}}, "read": {}})


def test_a_rwlock_of_a_process_that_is_no_dvc_goes(project):
    """DVC asks only whether the number lives: another program that got it would block it for ever."""
    dvc.RWLOCK.write_text(rwlock_of(1, project))
    with pytest.raises(Busy):
        dvc.status()
    said = []
    assert dvc.mended_status(said.append) == {}
    assert "held by processes that are gone (1): removed" in said[0]


def test_a_rwlock_of_a_living_dvc_stays_and_its_holder_is_named(project, tmp_path):
    (tmp_path / "dvc").write_text("import time; print('up', flush=True); time.sleep(6000)")
    holder = subprocess.Popen([sys.executable, str(tmp_path / "dvc"), "repro"], env=environment(), stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"up\n"  # before that the system may not know its command line yet
        dvc.RWLOCK.write_text(rwlock_of(holder.pid, project))
        with pytest.raises(Busy, match=f"another dvc works in this checkout .process {holder.pid}, dvc repro"):
            dvc.mended_status(print)
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("lock", [dvc.RWLOCK, dvc.REPOSITORY_LOCK], ids=["of a stage", "of the repository"])
def test_who_holds_a_lock_of_dvc_is_waited_for_until_it_has_ended_and_said_once(project, tmp_path, lock):
    text = rwlock_of(0, project).replace('"pid": 0', '"pid": %d') if lock == dvc.RWLOCK else " %d\n"
    (tmp_path / "dvc").write_text(
        "import fcntl, os, sys, time; file = open(sys.argv[2], 'w'); fcntl.flock(file, fcntl.LOCK_EX);"
        "file.write(sys.argv[3] % os.getpid()); file.flush(); print('up', flush=True); time.sleep(3)"
    )
    command = [sys.executable, str(tmp_path / "dvc"), "push", str(lock), text]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"up\n"
        said = []
        assert dvc.wait_for_others(said.append)
        assert holder.wait() == 0
    assert len(said) == 1 and said[0].startswith("waiting for dvc push ") and f"(process {holder.pid}, since 20" in said[0]
    assert not dvc.wait_for_others(pytest.fail)
    dvc.RWLOCK.unlink(missing_ok=True)


def test_who_is_busy_for_no_known_reason_is_not_waited_for(project):
    def busy():
        raise Busy("nobody knows")

    with pytest.raises(Busy, match="nobody knows"):
        dvc.patiently(busy, pytest.fail)


def test_an_empty_rwlock_stays(project):
    dvc.RWLOCK.write_text("{}")
    dvc.mend_rwlock(lambda sentence: pytest.fail(sentence))
    assert dvc.RWLOCK.exists()


def test_the_outcome_of_a_stage_is_told_apart(project, monkeypatch):
    def repro(force=False):
        return dvc.repro("prepare", force, "test:1", lambda line: None)

    assert repro(force=True) == "ran"
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("seconds: 0        #", "seconds: 0.01     #"))
    assert repro() == "ran"
    (project / "params.yaml").write_text(params)
    assert (repro(), repro()) == ("restored", "unchanged")
    (project / "params.yaml").write_text(params.replace("seconds: 0        #", "seconds: -1       #"))
    with pytest.raises(Failure, match="stage prepare failed: its command exited with 1"):
        repro()


@pytest.fixture(scope="module")
def templated(tmp_path_factory):
    """A project that has run, in which a dep and an out of train are called by a param, as in our own dvc.yaml."""
    folder = make(tmp_path_factory.mktemp("templated"))
    graph = (folder / "dvc.yaml").read_text()
    train = "    cmd: python -m stages.work train prepare\n    deps: [artifacts/prepare]\n"
    graph = graph.replace(
        train,
        train.replace("prepare\n", "prepare && touch artifacts/by-hinge artifacts/by-minimax\n", 1).replace(
            "[artifacts/prepare]", "['losses/${train.loss.name}', artifacts/prepare]"
        ),
    ).replace("outs: [artifacts/train]", "outs: ['artifacts/by-${train.loss.name}', artifacts/train]")
    (folder / "dvc.yaml").write_text(graph)
    (folder / "losses").mkdir()
    for name in ("hinge", "minimax"):
        (folder / "losses" / name).write_text(name)
    result = call(folder, "dvc", "repro", "-q")
    assert result.returncode == 0, result.stderr
    call(folder, "git", "add", "-A")
    call(folder, "git", "commit", "-qm", "ran")
    return folder


def by_file(changes: dict[str, list]) -> dict[str, dict]:
    """What `dvc status` says, whatever its order."""
    return {
        stage: {(kind, path): state for one in said for kind, files in one.items() for path, state in files.items()}
        for stage, said in changes.items()
    }


@pytest.mark.parametrize(
    ("settings", "beside"),
    [
        (["train.loss.name=minimax"], None),
        (["train.loss.name=wasserstein"], "losses/hinge"),
        (["prepare.seconds=0.25", "train.loss={name: minimax}"], "data.txt"),
    ],
)
def test_a_plan_of_other_params_is_what_dvc_says_of_them(templated, settings, beside, monkeypatch):
    monkeypatch.chdir(templated)
    before = dvc.PARAMS.read_text()
    if beside is not None:
        (templated / beside).write_text("other\n")
    try:
        foreseen = dvc.as_if(recipe.as_if(settings), dvc.status())
        assert dvc.PARAMS.read_text() == before
        dvc.PARAMS.write_text(edits.put_settings(before, settings))
        assert by_file(foreseen) == by_file(dvc.status())
    finally:
        call(templated, "git", "checkout", "-q", ".")


def test_gan_plan_takes_settings_and_changes_nothing(templated):
    before = (templated / "params.yaml").read_bytes()
    shown = gan(templated, "plan", "--set", "train.loss.name=minimax", COLUMNS="200")
    assert "train.loss.name is 'minimax', was 'hinge'" in shown.stdout and shown.returncode == 0, shown.stderr
    refused = gan(templated, "plan", "--set", "tran.x=1")
    assert refused.returncode == 2 and refused.stderr == "gan: params.yaml: tran is no key\n"
    assert (templated / "params.yaml").read_bytes() == before
    assert [path.name for path in (templated / "work").glob("*.yaml")] == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tran: {x: 1}\n", "params.yaml is refused: tran is no key"),
        ("train: [\n", "params.yaml is refused: "),
        ("- 1\n", "params.yaml is refused: holds no sections; "),
    ],
)
def test_status_says_in_a_sentence_that_params_are_refused(templated, text, sentence, monkeypatch):
    monkeypatch.chdir(templated)
    before = dvc.PARAMS.read_text()
    try:
        dvc.PARAMS.write_text(text)
        assert status._stale().startswith(f"not to be known, {sentence}") and "\n" not in status._stale()
    finally:
        dvc.PARAMS.write_text(before)


def test_a_sentence_with_brackets_is_shown_whole_by_gan_status(project, monkeypatch, capsys):
    monkeypatch.setattr(status, "_stale", lambda: "write [low, high], or [/red]")
    status.show()
    assert "write [low, high], or [/red]" in capsys.readouterr().out
