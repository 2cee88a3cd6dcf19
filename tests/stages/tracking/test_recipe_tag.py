"""The tag that names a run's recipe."""

import shutil

import pytest
import small

from stages.tracking import recipe_tag


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    shutil.copytree(small.ROOT / "recipes", tmp_path / "recipes")
    shutil.copy(small.ROOT / "recipes/digits.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(folder, old: str, new: str) -> None:
    text = (folder / "params.yaml").read_text()
    assert old in text
    (folder / "params.yaml").write_text(text.replace(old, new))


def test_a_recipe_as_it_is_has_its_name_whatever_the_machine(checkout):
    assert recipe_tag.tags() == {"recipe": "digits"}
    edit(checkout, "save_interval_s: 20 ", "save_interval_s: 60 ")
    assert recipe_tag.tags() == {"recipe": "digits"}


def test_what_differs_from_the_nearest_recipe_is_said(checkout):
    edit(checkout, "name: relativistic", "name: hinge")
    assert recipe_tag.tags() == {"recipe": "digits", "recipe.changes": "train.loss.name=hinge"}


def test_on_data_of_its_own_a_run_follows_no_recipe(checkout):
    edit(checkout, "path: data/digits", "path: data/birds")
    assert recipe_tag.tags() == {"recipe": "own"}


def test_without_recipes_nothing_fails(checkout):
    shutil.rmtree(checkout / "recipes")
    assert recipe_tag.tags() == {"recipe": "own"}
