"""params.yaml, edited by `gan run`: comments stay, the door is asked first, nothing uncommitted is lost."""

import shutil
import time

import pytest
from pipeline_project import FILES, call, make

from pipeline.commands import status
from pipeline.engines import dvc, remote
from pipeline.errors import Mistake
from pipeline.params import door, machine, recipe
from pipeline.params import settings as edits
from pipeline.sweeps import space, sweep


@pytest.fixture
def project(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_missing_recipe_lists_those_that_are_there(project):
    with pytest.raises(Mistake, match="recipe 'slwo' is not in recipes/; there are: slow; did you mean 'slow'"):
        recipe.apply("slwo", [])


def test_what_the_door_refuses_never_reaches_params_yaml(project):
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(Mistake, match="^params.yaml: tran is no key$"):
        recipe.apply(None, ["tran.seconds=1"])
    assert (project / "params.yaml").read_bytes() == before
    assert not recipe.CANDIDATE.exists()


def test_uncommitted_edits_are_not_overwritten(project):
    mine = (project / "params.yaml").read_text().replace("seconds: 0", "seconds: 3")
    (project / "params.yaml").write_text(mine)
    for change in ((None, ["train.seconds=1"]), ("slow", [])):
        with pytest.raises(Mistake, match="edits that are not committed.*git commit params.yaml.*git checkout params.yaml"):
            recipe.apply(*change)
    assert (project / "params.yaml").read_text() == mine
    call(project, "git", "commit", "-qam", "mine")
    assert recipe.apply("slow", [])


def test_the_same_command_twice_works_and_so_does_the_next_one(project):
    assert recipe.apply("slow", ["train.seconds=1"])
    assert not recipe.apply("slow", ["train.seconds=1"])
    assert recipe.apply(None, ["prepare.seconds=1"])
    assert recipe.apply("slow", [])
    assert (project / "params.yaml").read_text() == (project / "recipes/slow.yaml").read_text()


def test_what_was_written_here_may_be_replaced_after_work_was_deleted_too(project):
    recipe.apply(None, ["train.seconds=1"])
    shutil.rmtree(project / "work")
    assert recipe.apply(None, ["train.seconds=2"])
    shutil.rmtree(project / "work")
    assert recipe.apply("slow", [])


def test_what_a_whole_recipe_replaces_is_kept_where_no_commit_holds_it(project, capsys):
    recipe.apply(None, ["train.seconds=1"])
    assert capsys.readouterr().out == "", "single settings replace nothing"
    mine = (project / "params.yaml").read_text()
    recipe.apply("slow", [])
    kept = capsys.readouterr().out.strip().rpartition(" ")[2]
    assert (project / kept).read_text() == mine
    recipe.apply("slow", ["prepare.seconds=1"])
    assert capsys.readouterr().out == "", "a recipe is there to be had again"


def test_an_edit_by_hand_after_a_setting_is_not_overwritten(project):
    recipe.apply(None, ["train.seconds=1"])
    with open(project / "params.yaml", "a") as file:
        file.write("# a thought\n")
    with pytest.raises(Mistake, match="not committed"):
        recipe.apply("slow", [])


def test_without_params_yaml_a_recipe_brings_it(project):
    (project / "params.yaml").unlink()
    with pytest.raises(Mistake, match="gan run --recipe digits .*there are: slow"):
        recipe.apply(None, [])
    assert recipe.apply("slow", [])


def test_the_door_is_asked_once_for_the_same_params_and_code(project):
    from pipeline.params import door

    door.check()
    (project / "stages/params.py").rename(project / "stages/away.py")
    (project / "stages/away.py").rename(project / "stages/params.py")
    door.check()
    (project / "stages/params.py").write_text("import sys; print('shut', file=sys.stderr); sys.exit(2)")
    with pytest.raises(Mistake, match="shut"):
        door.check()


def test_the_project_in_the_small_has_comments_to_keep():
    assert "# the recipe" in FILES["params.yaml"]


@pytest.mark.parametrize(
    ("url", "path"),
    [("file:///data/birds", "/data/birds"), ("'file://localhost/my%20birds%20%231'", "/my birds #1"), ("https://host/file:///x", None)],
)
def test_a_file_url_becomes_the_path_that_dvc_watches_even_among_edits_that_no_commit_holds(url, path, project, monkeypatch):
    asked = []
    monkeypatch.setattr(recipe.door, "check", lambda params=None: asked.append(params))
    text = f"prepare:\n  source:\n    path: {url}  # mine\nother:\n  path: file:///stays\n"
    (project / "params.yaml").write_text(text)
    assert recipe.apply(None, []) == (path is not None) == bool(asked)
    now = (project / "params.yaml").read_text()
    assert now.splitlines()[3:] == text.splitlines()[3:] and "# mine" in now
    assert edits.get(now, "prepare.source.path") == (path or url)
    assert not recipe.apply(None, [])


UNREADABLE = [b"a: " + 100_000 * b"[", b"a: &a [*a]", b"fetch: \xff", b"- 1"]


@pytest.mark.parametrize("content", UNREADABLE)
def test_what_dvc_would_choke_on_is_a_sentence_of_every_command_at_once(project, content):
    """Before DVC is started: with some of these it would not come back."""
    (project / "params.yaml").write_bytes(content)
    axes, asked = space.parse(["train.seconds=1,2"]), {"search": "grid", "seed": 0}
    commands = [
        dvc.status, remote.shares, door.check, lambda: recipe.apply(None, ["train.seconds=1"]),
        lambda: sweep._begun(axes, asked, "x", None, True, print),
    ]  # fmt: skip
    for command in commands:
        started_s = time.monotonic()
        with pytest.raises(Mistake) as refusal:
            command()
        assert str(refusal.value).startswith("params.yaml") and len(str(refusal.value).splitlines()) == 1
        assert time.monotonic() - started_s < 2
    assert machine.section("watch") == {} and "params.yaml" in status._stale()
    assert (project / "params.yaml").read_bytes() == content


@pytest.mark.parametrize("text", [100_000 * "[", "&a [*a]", 5000 * "9", "\udcff", "2026-13-01"])
def test_what_is_typed_is_bounded_too(text):
    with pytest.raises(Mistake, match="--set train.seconds=.*the value") as refusal:
        edits.put_settings("train: {seconds: 0}", [f"train.seconds={text}"])
    assert len(str(refusal.value)) < 1000
    with pytest.raises(Mistake, match="train.seconds=.*the values"):
        space.parse([f"train.seconds={text}"])
