"""The graph under DVC itself, in clones of this checkout with a tiny recipe: same bytes, only what is stale, experiments."""

import json
import sys
from pathlib import Path

import pytest
import small
import yaml
from dvc_project import clone, executed, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


STAGES = list(yaml.safe_load((small.ROOT / "dvc.yaml").read_text())["stages"])


def lock(folder: Path) -> dict:
    return yaml.safe_load((folder / "dvc.lock").read_text())["stages"]


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A clone in which everything ran once, with a registry of its own."""
    folder = clone(tmp_path_factory.mktemp("repo"))
    assert executed(run(folder, "dvc", "repro", GANLINE_TRACKING="on")) == STAGES
    run(folder, "git", "add", "dvc.lock")
    run(folder, "git", "commit", "-q", "-m", "what ran")
    return folder


def test_nothing_stale_runs_nothing(repo):
    assert executed(run(repo, "dvc", "repro")) == []


def test_forced_again_leaves_dvc_lock_as_it_was(repo):
    said = run(repo, "dvc", "repro", "--force")
    assert executed(said) == STAGES and "train: kept the generator of" in said
    assert run(repo, "git", "status", "--porcelain", "dvc.lock") == ""


def test_outs_are_equal_with_tracking_on_and_off_and_in_another_clone(repo, tmp_path):
    other = clone(tmp_path)
    run(other, "dvc", "repro", "evaluate", GANLINE_TRACKING="off")
    assert lock(other) == {name: stage for name, stage in lock(repo).items() if name in lock(other)}
    assert set(lock(other)) == {"fetch", "prepare", "reference", "train", "evaluate"}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("evaluate.draws", 3, ["evaluate"]),
        ("machine.save_interval_s", 99, []),
        ("train.ema.half_life_kimg", 0.25, ["train", "evaluate"]),
    ],
)
def test_a_changed_value_runs_only_what_depends_on_it(repo, key, value, expected):
    before = (repo / "params.yaml").read_text()
    try:
        small.write_params(repo, {**small.TINY, "train.loop.total_kimg": 1, key: value})
        ran = executed(run(repo, "dvc", "repro"))
        assert [stage for stage in ran if stage != "register"] == expected  # the registry may answer otherwise meanwhile
        (repo / "params.yaml").write_text(before)
        assert "train" not in executed(run(repo, "dvc", "repro")), "the run-cache restores what ran before"
    finally:
        (repo / "params.yaml").write_text(before)
        run(repo, "git", "checkout", "-q", "dvc.lock")


def test_a_clone_with_an_empty_registry_answers_for_itself_and_dvc_lock_does_not_change(repo, tmp_path):
    """The second version of one registry is the first of another: its champion, said with why; DVC records the same of both."""
    before, other = run(repo, "git", "rev-parse", "HEAD").strip(), tmp_path / "other"
    try:
        run(repo, sys.executable, "-m", "apps.promote", "digits", "1", "--reason", "to have a champion")
        anything = {"register.gate.all_classes": False, "register.gate.min_authenticity": None}
        small.write_params(repo, {**small.TINY, **anything, "train.loop.total_kimg": 1, "train.seed": 1})
        assert executed(run(repo, "dvc", "repro")) == ["train", "evaluate", "register"]
        run(repo, "dvc", "remote", "add", "-q", "-f", "-d", "store", str(tmp_path / "store"))
        run(repo, "git", "commit", "-qam", "another seed, and a remote")
        run(repo, "dvc", "push", "-q")
        run(tmp_path, "git", "clone", "-q", str(repo), str(other))
        run(other, "dvc", "pull", "-q")
        said = run(other, "dvc", "repro")
        assert executed(said) == ["register"] and "note: dvc.lock records this version as registered before" in said
        assert run(other, "git", "status", "--porcelain") == "" and executed(run(other, "dvc", "repro")) == []
        here, there = (json.loads((one / "artifacts/register/decision.json").read_text()) for one in (repo, other))
        assert int(here["version"]) > 1 == int(there["version"]) and here["weights_sha256"] == there["weights_sha256"]
        assert there["alias"] == "champion" and there["decision"].endswith("first champion of this registry") and "note" not in here
        assert "first champion" not in here["decision"]
    finally:
        run(repo, "git", "reset", "-q", "--hard", before)


def test_experiments_run_from_the_command_and_from_the_queue(repo):
    run(repo, "dvc", "exp", "run", "-n", "hinge", "-S", "train.loss.name=hinge")
    run(repo, "git", "checkout", "-q", ".")
    run(repo, "dvc", "exp", "run", "--queue", "-n", "minimax", "-S", "train.loss.name=minimax")
    run(repo, "dvc", "exp", "run", "--run-all")
    shown = run(repo, "dvc", "exp", "show", "--csv", "--no-pager")
    rows = {line.split(",")[0] or line.split(",")[1]: line for line in shown.splitlines()}
    assert any("hinge" in row for row in rows.values()) and any("minimax" in row for row in rows.values())
    names = run(repo, "dvc", "exp", "list", "--name-only").split()
    assert sorted(names) == ["hinge", "minimax"]
    metrics = run(repo, "dvc", "metrics", "diff", "HEAD", "minimax")
    assert "fid.mean" in metrics
