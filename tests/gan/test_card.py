"""card.json of a generator: what is written is what is read, of every version that there was, and of no other."""

import json

import pydantic
import pytest
import small_training

from gan import card
from gan.card import Card
from stages import artifacts

ENDED = {
    "attempt": 1, "trained_nimg": 640, "best_nimg": 512, "best_quick_fid": 3.5, "stopped": "train.guards: no better",
    "diverged_at_nimg": None,
}  # fmt: skip


def written(folder, content: object):
    (folder / "card.json").write_text(json.dumps(content))
    return folder


def test_a_card_is_read_as_it_was_written(tmp_path):
    whole = small_training.card(settings={"init": None}, made_with={"torch": "2"}, files={"a": "b"}).ended(**ENDED)
    artifacts.write_json(tmp_path / "card.json", whole.content())
    assert Card.read(tmp_path) == whole and Card.read(tmp_path).stopped == ENDED["stopped"]
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        whole.threads = 2


def test_a_card_of_version_1_is_the_same_generators(tmp_path):
    """It named no task at first, and the first of all the side of a square in place of a shape."""
    now = small_training.card(num_classes=0, files={"generator.safetensors": "a"})
    before = {key: value for key, value in now.content().items() if value is not None} | {"version": 1, "of_before": True}
    assert Card.read(written(tmp_path, before)) == now
    del before["task"], before["shape"]
    assert Card.read(written(tmp_path, before | {"resolution": 8, "channels": 1})) == now


@pytest.mark.parametrize("version", [0, 3, "2", None, True, [1]])
def test_a_version_that_is_not_known_is_a_sentence_with_the_file_and_the_way_out(version, tmp_path):
    content = small_training.card(files={}).content() | {"version": version}
    with pytest.raises(ValueError) as refusal:
        Card.read(written(tmp_path, content))
    said = str(refusal.value)
    assert said.startswith(f"{tmp_path / 'card.json'} is 'ganline-generator' version {version!r}, this code reads")
    assert f"1 to {card.VERSION}" in said and said.endswith("train again: dvc repro train") and "\n" not in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"treads": 1}, "treads: "), ({"threads": "1"}, "threads: "), ({"threads": 0}, "threads: "), ({"shape": [8, 8]}, "shape"),
        ({"shape": [1, 8, 8.5]}, "shape.2: "), ({"classes": "cats"}, "classes: "), ({"conditional": 1}, "conditional: "),
        ({"network": {"nam": "dcgan"}}, "network: "), ({"network": None}, "network: "),
    ],
)  # fmt: skip
def test_a_key_that_is_wrong_is_named(change, said, tmp_path):
    content = small_training.card(files={}).content() | change
    with pytest.raises(ValueError, match=f"card.json does not say what generator this is .*{said}.*dvc repro train"):
        Card.read(written(tmp_path, content))
