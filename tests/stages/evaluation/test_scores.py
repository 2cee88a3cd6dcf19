"""A score is a file: what each says of itself is whole, and a new one is measured, shown and compared without another change."""

from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import small
import torch
from coarse import CONFIG, Noise, coarse

import stages.evaluation.scores.classes
from apps.comparison import table
from gan import choices, dataset
from stages import artifacts, params
from stages.evaluation import reference_set, report_page, score_files, scoring
from stages.evaluation.metrics import Interval


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A reference of striped images of two classes; features are coarse colours, and the extractor names nothing."""
    folder = tmp_path_factory.mktemp("reference")
    small.write_prepared(folder, (3, 8, 8))
    root = folder / "artifacts"
    card = artifacts.card_of("prepare", root)
    splits = {split: dataset.read(root / "prepare", split, card["classes"]) for split in dataset.SPLITS}
    seen = {split: [part.numpy() for part in coarse()(torch.from_numpy(one.pixels(np.arange(len(one)))))] for split, one in splits.items()}
    real = {split: reference_set.Real(*seen[split], splits[split].labels) for split in splits}
    kept = reference_set.measured({f"{split}.features": features for split, (features, _) in seen.items()}, splits)
    rules = {"name": "pretext", "hash": "c" * 64, "batch_size": 16, "facts": {}, "extractor": {}}
    return reference_set.ReferenceSet(rules, card, coarse(), real["train"], real["heldout"], splits["train"], kept)


@pytest.fixture
def with_brightness(monkeypatch):
    """The scores of tests beside those of the project."""
    monkeypatch.setattr(stages.evaluation.scores, "__path__", [*stages.evaluation.scores.__path__, str(small.HERE / "toy_scores")])
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
    assert scored.low <= scored.mean <= scored.high and scored.floor > 0 and found.metrics().scores["brightness"] == scored
    row = next(one for one in report_page.scores(found.metrics()) if one["name"] == "brightness")
    assert (row["name"], row["better"]) == ("brightness", "higher")
    assert table.better("brightness") == "higher"


def test_only_the_first_images_stay_as_pixels_and_all_are_seen(measured, monkeypatch):
    monkeypatch.setattr(scoring, "MOST_COMPARED", 5)
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 8, 8)).astype(np.uint8)
    draw = scoring.see(measured, iter((images[:3], images[3:7], images[7:])), None)
    assert (draw.pixels == images[:5]).all() and len(draw.pixels) == 5
    assert (draw.features == coarse()(torch.from_numpy(images))[0].numpy()).all()


@pytest.mark.parametrize("seed", [0, 3])
def test_draws_share_no_seed_with_each_other_nor_with_those_that_people_look_at(measured, monkeypatch, seed):
    asked = []
    monkeypatch.setattr(
        Noise, "blocks", lambda noise, seeds, labels: asked.append(seeds) or iter([np.zeros((len(seeds), 3, 8, 8), np.uint8)])
    )
    scoring.made(Noise(100), measured, CONFIG.model_copy(update={"seed": seed}))
    drawn = np.concatenate(asked)
    assert len(asked) == CONFIG.draws and len(np.unique(drawn)) == len(drawn) == CONFIG.draws * len(measured.heldout.labels)
    assert 2**40 * (1 + seed) <= drawn.min() and drawn.max() < 2**40 * (2 + seed), "another seed draws others"


def test_a_class_without_training_images_leaves_the_divergence_of_classes_finite():
    """Of K classes the real ones count from 1: KL((1, 1, 2) / 4 ‖ (3, 2, 1) / 6) where the third was never trained on."""
    seen = SimpleNamespace(logits=np.eye(3)[[0, 1, 2, 2]], labels=None)
    reference = SimpleNamespace(
        data={"classes": ["a", "b", "c"]},
        train=SimpleNamespace(labels=np.array([0, 0, 1])),
        heldout=SimpleNamespace(logits=np.eye(3)[[0, 1]]),
    )  # fmt: skip
    kept = SimpleNamespace(
        reference=reference,
        draws=[seen],
        interval=lambda value, floor, **limits: Interval(mean=value(seen), low=0.0, high=1.0, floor=floor),
    )
    found = stages.evaluation.scores.classes.measure(kept)["classes"]
    assert found.divergence.mean == pytest.approx(
        0.25 * np.log(0.25 / (3 / 6)) + 0.25 * np.log(0.25 / (2 / 6)) + 0.5 * np.log(0.5 / (1 / 6))
    )
    assert (found.covered, found.of, found.histogram) == (3, 3, {"a": 1, "b": 1, "c": 2})


def test_a_score_is_left_out_where_what_it_needs_is_not_there(measured):
    """An extractor that names no classes has no Inception Score and no agreement; images without labels no FID inside classes."""
    draws, asked = scoring.made(Noise(100), measured, CONFIG)
    labelled = scoring.Scores(measured, draws, asked, CONFIG).metrics().content()
    assert {"fid", "kid", "precision", "intra_fid", "memorisation"} <= set(labelled)
    assert not {"inception_score", "classes", "agreement"} & set(labelled)
    bare = [scoring.Draw(draw.features, draw.logits, None, draw.pixels) for draw in draws]
    assert set(labelled) - set(scoring.Scores(measured, bare, {"labels": "none"}, CONFIG).metrics().content()) == {"intra_fid"}
