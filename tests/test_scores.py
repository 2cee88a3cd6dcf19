"""A score is a file: what each says of itself is whole, and a new one is measured, shown and compared without another change."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import small
from test_gate import CONFIG, Noise, _Coarse

import stages.scores
from apps.comparison import table
from gan import choices, dataset
from stages import artifacts, evaluation_page, params, score_files, scoring, standard


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A standard of striped images of two classes; features are coarse colours, and the extractor names nothing."""
    folder = tmp_path_factory.mktemp("standard")
    small.write_prepared(folder, (3, 8, 8))
    root = folder / "artifacts"
    card = artifacts.card_of("prepare", root)
    splits = {split: dataset.read(root / "prepare", split, card["classes"]) for split in dataset.SPLITS}
    seen = {split: [part.numpy() for part in _Coarse()(small.torch.from_numpy(one.pixels(np.arange(len(one)))))] for split, one in splits.items()}
    real = {split: standard.Real(*seen[split], splits[split].labels) for split in splits}
    kept = standard.measured({f"{split}.features": features for split, (features, _) in seen.items()}, splits)
    rules = {"name": "pretext", "hash": "c" * 64, "batch_size": 16, "facts": {}, "extractor": {}}
    return standard.Standard(rules, card, _Coarse(), real["train"], real["heldout"], splits["train"], kept)


@pytest.fixture
def with_brightness(monkeypatch):
    """The scores of tests beside those of the project."""
    monkeypatch.setattr(stages.scores, "__path__", [*stages.scores.__path__, str(Path(__file__).with_name("toy_scores"))])
    score_files.every.cache_clear()
    yield
    score_files.every.cache_clear()


@pytest.mark.parametrize("score", score_files.every(), ids=lambda module: module.__name__)
def test_a_score_says_what_it_is_for_and_what_it_needs(score):
    assert set(score.TASKS) <= set(choices.names("tasks")) and score.SAYS and callable(score.measure)
    assert set(score.NEEDS) <= {"logits", "names", "labels"}
    assert all(said.better in ("lower", "higher") and said.meaning for said in score.SAYS.values())


def test_no_two_scores_have_one_place_or_one_name():
    ranks = [score.RANK for score in score_files.every()]
    keys = [key for score in score_files.every() for key in score.SAYS]
    assert len(set(ranks)) == len(ranks) and len(set(keys)) == len(keys)


def test_the_gate_asks_for_just_the_scores_that_can_be_fought_over():
    assert set(get_args(params.Gate.model_fields["metric"].annotation)) == set(score_files.fights())


def test_a_new_score_is_measured_shown_and_compared(with_brightness, measured):
    draws, asked = scoring.made(Noise(100), measured, CONFIG)
    found = scoring.Scores(measured, draws, asked, CONFIG)
    scored = found._scored["brightness"]
    assert scored["low"] <= scored["mean"] <= scored["high"] and scored["floor"] > 0
    row = evaluation_page.scores({"brightness": scored, "memorisation": {"authenticity": {}}})[0]
    assert (row["name"], row["better"]) == ("brightness", "higher")
    assert table.better("brightness") == "higher"


def test_a_score_is_left_out_where_what_it_needs_is_not_there(measured):
    """An extractor that names no classes has no Inception Score and no agreement; images without labels no FID inside classes."""
    draws, asked = scoring.made(Noise(100), measured, CONFIG)
    labelled = scoring.Scores(measured, draws, asked, CONFIG).metrics()
    assert {"fid", "kid", "precision", "intra_fid", "memorisation"} <= set(labelled)
    assert not {"inception_score", "classes", "agreement"} & set(labelled)
    bare = [scoring.Draw(draw.features, draw.logits, None, draw.pixels) for draw in draws]
    assert set(labelled) - set(scoring.Scores(measured, bare, {"labels": "none"}, CONFIG).metrics()) == {"intra_fid"}
