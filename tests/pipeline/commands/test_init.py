"""`gan init`: a folder comes in unchanged, a recipe that fits it is written with reasons, and nothing is lost."""

import contextlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import small
from drawn_folder import EMOJI, draw, facts
from dvc_project import clone
from patience import patient
from PIL import Image, ImageDraw
from pipeline_project import call, environment, make

from apps import propose
from pipeline.commands import init
from pipeline.errors import Mistake
from stages import params


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The small project, for what is refused before any picture is looked at."""
    make(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def gan(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`gan ARGUMENTS` in a clone, whose own code runs."""
    clean = environment() | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=patient(800))


def draw_buttons(folder: Path, count: int, first: int = 0) -> Path:
    """Round RGBA pictures of many sizes with nothing around them; another `first`, other pictures."""
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        width, height = 20 + number % 7, 20 + number % 5
        image = Image.new("RGBA", (width, height))
        colour = (number * 37 % 256, number * 91 % 256, number * 53 % 256, 255)
        ImageDraw.Draw(image).ellipse((number % 4, number % 3, width - 3, height - 3), fill=colour, outline=(0, 0, 0, 255))
        image.save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="module")
def initialised(tmp_path_factory):
    """A clone into which a folder from outside was brought."""
    home = tmp_path_factory.mktemp("init")
    draw(home / "Bird pictures!", {"robin": 60, "wren": 60})
    before = small.contents(home / "Bird pictures!")
    folder = clone(home / "clone")
    result = gan(folder, "init", str(home / "Bird pictures!"))
    assert result.returncode == 0, result.stderr
    assert small.contents(home / "Bird pictures!") == before
    return folder, result.stdout


def test_a_folder_from_outside_is_copied_and_tracked(initialised):
    folder, _ = initialised
    assert (folder / "data/Bird-pictures.dvc").is_file()
    copied = small.contents(folder / "data/Bird-pictures")
    assert len(copied) == 120 and copied == small.contents(folder.parent / "Bird pictures!")


def test_params_fit_the_folder_and_say_why(initialised):
    folder, said = initialised
    written = params.load(folder / "params.yaml")
    assert written.prepare.source["path"] == "data/Bird-pictures" and written.register.name == "Bird-pictures"
    assert written.train.conditional and written.reference.protocol["name"] == "pretext"
    lines = (folder / "params.yaml").read_text().splitlines()
    assert "  resolution: 32                # 9 in 10 pictures have a short side of 36 or more" in lines
    assert lines[0] == "# Proposed by `gan init` for data/Bird-pictures: about 120 pictures in 2 folders."
    assert "2 class folders" in said and said.rstrip().endswith("gan run")


def test_the_same_folder_again_with_another_size_is_no_clash(initialised):
    folder, _ = initialised
    result = gan(folder, "init", "data/Bird-pictures", "--resolution", "16", "--name", "birds")
    assert result.returncode == 0, result.stderr
    written = params.load(folder / "params.yaml")
    assert (written.prepare.resolution, written.register.name) == ((16, 16), "birds")
    assert written.prepare.source["path"] == "data/Bird-pictures"
    tracked = call(folder, "git", "status", "--porcelain").stdout
    assert "data/" in tracked and "M params.yaml" in tracked


def test_edits_that_are_not_committed_are_kept_and_nothing_is_added(initialised):
    folder, _ = initialised
    kept = (folder / "params.yaml").read_text()
    try:
        (folder / "params.yaml").write_text(kept + "# a thought\n")
        result = gan(folder, "init", str(folder.parent / "Bird pictures!"), "--name", "other")
        assert result.returncode == 2 and "edits that are not committed" in result.stderr
        assert not (folder / "data/other").exists() and not (folder / "data/other.dvc").exists()
        assert (folder / "params.yaml").read_text().endswith("# a thought\n")
    finally:
        (folder / "params.yaml").write_text(kept)


def test_what_the_door_refuses_changes_nothing(initialised):
    folder, _ = initialised
    kept = (folder / "params.yaml").read_text()
    result = gan(folder, "init", str(folder.parent / "Bird pictures!"), "--name", "other", "--resolution", "17")
    assert result.returncode == 2 and "prepare.resolution is 17" in result.stderr
    assert (folder / "params.yaml").read_text() == kept and not (folder / "data/other").exists()


def test_a_folder_without_pictures_is_a_sentence(initialised, tmp_path):
    folder, _ = initialised
    result = gan(folder, "init", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr.startswith(f"gan: {tmp_path} holds no picture that can be read among 0 files")


@pytest.mark.parametrize(
    ("asked", "name", "sentence"),
    [
        ("data/none", None, "data/none does not exist"),
        ("data.txt", None, "data.txt is a file; name the folder"),
        ("work/pictures", None, "lies in work/, which the pipeline writes"),
        ("artifacts/train", None, "lies in artifacts/, which the pipeline writes"),
        (".", None, "holds this project itself"),
        ("..", None, "holds this project itself"),
        ("recipes", None, "recipes is tracked by git.*git rm -r --cached recipes"),
        ("../outside", "taken", "data/taken is there already; for that one: gan init data/taken; .*--name"),
        ("../outside", "gone", "data/gone is there already"),
        ("../outside", "a b", "--name 'a b' cannot be a model's name"),
    ],
)
def test_a_folder_that_cannot_be_brought_in_is_refused(asked, name, sentence, project):
    for folder in ("work/pictures", "artifacts/train", "data/taken", "../outside"):
        (project / folder).mkdir(parents=True, exist_ok=True)
    (project / "data/gone.dvc").write_text("outs: []\n")
    with pytest.raises(Mistake, match=sentence):
        init.init(asked, name, None)


def test_a_stages_own_folder_is_refused(project):
    (project / "dvc.yaml").write_text("stages: {fetch: {cmd: 'true', outs: [data/digits, {data/x: {cache: false}}]}}\n")
    (project / "data/digits").mkdir(parents=True)
    for asked, name in (("data/digits", None), ("data", None), ("../project/data/digits", "x")):
        with pytest.raises(Mistake, match="is written by the stage fetch"):
            init.init(asked, name, None)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("parts", [{}, {"train": 100, "test": 20}])
@pytest.mark.parametrize("classes", [{}, {"a": 60, "b: c": 60}, {"a": 900, "b: c": 600}])
def test_what_is_proposed_for_any_machine_passes_the_door(device, classes, parts, tmp_path, monkeypatch):
    count = sum(classes.values()) or 120
    found = facts(classes=classes, files=count, looked_at=count, outside=0 if classes else count, parts=parts)
    monkeypatch.setattr(propose, "look_at", lambda folder: found)
    monkeypatch.setattr(propose, "device_here", lambda: device)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert propose.main(["anywhere"]) == 0
    text = init._params(json.loads(said.getvalue()), Path("data/ü: mine"), "mine")
    (tmp_path / "params.yaml").write_text(text, "utf-8")
    written = params.load(tmp_path / "params.yaml")
    assert written.train.device == device and written.train.network["name"] == {"cpu": "dcgan", "cuda": "r3gan"}[device]
    assert written.prepare.source["path"] == "data/ü: mine" and written.train.conditional == bool(classes)
    assert written.prepare.heldout == ("published" if parts else 0.2)
    assert ("published as train and test." in text) == bool(parts)
    for setting in json.loads(said.getvalue())["settings"]:
        assert f"# {setting['reason']}" in text


@pytest.mark.parametrize(("typed", "size"), [(None, None), ("64", 64), ("48x64", [48, 64])])
def test_a_size_is_a_side_or_height_and_width(typed, size):
    assert init._size(typed) == size
    with pytest.raises(Mistake, match="--resolution '48,64' is no size"):
        init._size("48,64")


def test_values_that_yaml_would_misread_are_quoted(project):
    for value in ("data/a: b", "true", "no", "07", "data/ü #1", "plain-name", True, 1.5, [8, 8], "data/mine"):
        from pipeline.params import settings

        edited = settings.put_settings("key: old  # words\n", [f"key={settings.spelled(value)}"])
        assert settings._yaml("safe").load(edited)["key"] == value


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pictures", ["buttons", "two kinds", "emoji"])
def test_init_then_run_makes_a_registered_generator(pictures, tmp_path):
    if pictures == "emoji" and not EMOJI.is_file():
        pytest.skip(f"needs {EMOJI.name}; set GANLINE_DATA to the folder that holds it")
    folder = clone(tmp_path / "clone")
    if pictures == "emoji":
        with zipfile.ZipFile(EMOJI) as archive:
            archive.extractall(tmp_path / "emoji")
    elif pictures == "buttons":
        draw_buttons(tmp_path / pictures, 110)
    else:
        draw_buttons(tmp_path / pictures / "one", 52)
        draw_buttons(tmp_path / pictures / "two", 55, first=100)
    assert gan(folder, "init", os.path.relpath(tmp_path / pictures, folder)).returncode == 0
    chosen = params.load(folder / "params.yaml")
    assert (chosen.prepare.channels, chosen.train.conditional) == (4, pictures == "two kinds")
    tiny = {"train.loop.total_kimg": 1, "train.loop.tick_kimg": 0.5, "evaluate.draws": 2, "reference.protocol.total_kimg": 10}
    result = gan(folder, "run", *[word for key, value in tiny.items() for word in ("--set", f"{key}={value}")])
    assert result.returncode == 0, result.stderr
    assert f"model         {chosen.register.name} version 1" in result.stdout
    with Image.open(folder / "artifacts/evaluate/grid.png") as grid:
        assert grid.mode == "RGBA"


def test_a_folder_that_a_stage_writes_by_another_recipe_is_refused(project):
    (project / "dvc.yaml").write_text("stages: {fetch: {cmd: 'true', outs: ['data/${fetch.name}']}}\n")
    (project / "recipes").mkdir(exist_ok=True)
    (project / "recipes/other.yaml").write_text("fetch: {name: other}\n")
    (project / "params.yaml").write_text("fetch: {name: mine}\n")
    for name in ("mine", "other", "free"):
        (project / "data" / name).mkdir(parents=True)
    for name in ("mine", "other"):
        with pytest.raises(Mistake, match="is written by the stage fetch"):
            init.init(f"data/{name}", None, None)
    init._refuse_clash(Path("data/free"), project, Path("data/free"))
