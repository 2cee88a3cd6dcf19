"""The exact state of a checkout as a commit: everything that code is, nothing of the user's moved."""

import subprocess
from pathlib import Path

import pytest

from stages.registry import snapshot
from stages.tracking import session


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip("\n")


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@localhost")
    git("init", "-q")
    Path(".gitignore").write_text("/data/\n")
    Path("kept.py").write_text("a = 1\n")
    Path("gone.py").write_text("b = 1\n")
    git("add", "-A")
    git("commit", "-qm", "start")
    return tmp_path


def everything() -> tuple:
    """What a user would see: files, index, branches, head."""
    files = {path: path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file() and ".git" not in path.parts}
    return (
        files,
        git("status", "--porcelain"),
        git("diff", "--cached"),
        git("branch", "--list"),
        git("rev-parse", "HEAD"),
        Path(".git/index").read_bytes(),
    )


def test_a_clean_checkout_is_its_own_commit(checkout):
    said = snapshot.keep_state()
    assert said == {"git.commit": git("rev-parse", "HEAD"), "git.state": git("rev-parse", "HEAD"), "git.dirty": "false"}
    assert git("for-each-ref", snapshot.REF) == ""


def test_changed_new_and_removed_files_are_kept_and_nothing_of_the_users_moves(checkout):
    Path("kept.py").write_text("a = 2\n")
    git("add", "kept.py")
    Path("kept.py").write_text("a = 3\n")
    Path("gone.py").unlink()
    Path("a new [one].py").write_text("c = 1\n")
    Path("data").mkdir()
    Path("data/ignored.png").write_text("x")
    before = everything()
    said = snapshot.keep_state()
    assert everything() == before
    assert git("show", f"{said['git.state']}:kept.py") == "a = 3" and git("show", f"{said['git.state']}:a new [one].py") == "c = 1"
    assert git("ls-tree", "-r", "--name-only", "-z", said["git.state"]).strip("\0").split("\0") == [
        ".gitignore",
        "a new [one].py",
        "kept.py",
    ]
    assert git("rev-parse", f"{said['git.state']}^") == said["git.commit"] == git("rev-parse", "HEAD") and said["git.dirty"] == "true"


def test_the_same_state_is_the_same_commit_and_outlives_a_collection(checkout):
    Path("kept.py").write_text("a = 2\n")
    said = snapshot.keep_state()
    git("gc", "-q", "--prune=now")
    assert snapshot.keep_state() == said and git("show", f"{said['git.state']}:kept.py") == "a = 2"


def test_a_large_new_file_is_named_instead(checkout):
    Path("film.bin").write_bytes(b"0" * (snapshot.LARGEST_NEW_FILE + 1))
    said = snapshot.keep_state()
    Path("table.csv").write_bytes(b"0" * snapshot.LARGEST_NEW_FILE)
    with_the_largest = snapshot.keep_state()
    assert with_the_largest["git.left_out"] == "film.bin"
    assert git("ls-tree", "--name-only", with_the_largest["git.state"], "table.csv") == "table.csv"
    assert said["git.left_out"] == "film.bin" and said["git.state"] == said["git.commit"]


def test_an_experiments_workspace_leaves_its_state_in_the_main_checkout(checkout, monkeypatch, tmp_path_factory):
    workspace = tmp_path_factory.mktemp("workspace")
    git("clone", "-q", str(checkout), str(workspace / "clone"))
    monkeypatch.chdir(workspace / "clone")
    monkeypatch.setenv("DVC_ROOT", str(checkout))
    assert session.root() == checkout
    Path("kept.py").write_text("a = 9\n")
    said = snapshot.keep_state()
    monkeypatch.chdir(checkout)
    assert git("show", f"{said['git.state']}:kept.py") == "a = 9"


def test_outside_git_it_says_why_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert list(snapshot.keep_state()) == ["git.unknown"]
