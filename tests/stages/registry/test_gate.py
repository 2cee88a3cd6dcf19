"""The gate: each rule by its own figure, the three answers, words that hold the figures; and the duel of two generators."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import small
from coarse import CONFIG, Noise, coarse

from gan import streams
from gan.metrics import frechet, kernel
from stages import artifacts, params
from stages.evaluation import appraisal, score_files
from stages.evaluation.metrics import Metrics
from stages.registry import duel, gate, versions

LIMITS = params.Gate()
BARE = {"protocol": {"name": "classifier", "hash": "a" * 64}, "num_images": 100, "draws": 2, "fid": {"mean": 5.0, "low": 4.5, "high": 5.5}}
GOOD = BARE | {
    "precision": {"mean": 0.7, "low": 0.6, "high": 0.8, "floor": 0.9}, "recall": {"mean": 0.5, "low": 0.4, "high": 0.6, "floor": 0.9},
    "classes": {"covered": 10, "of": 10},
    "memorisation": {
        "authenticity": {"mean": 0.55, "low": 0.5, "high": 0.6, "floor": 0.6}, "copying": {"z": -1.0, "p": 0.2}, "ratio": 1.0,
    },
}  # fmt: skip
COPIES = {"authenticity": {"mean": 0.2, "low": 0.15, "high": 0.25, "floor": 0.6}, "copying": {"z": -9.0, "p": 0.0}, "ratio": 0.5}
CHAMPION = {"fid": {"mean": 5.0, "low": 4.5, "high": 5.5}, "protocol": {"name": "classifier", "hash": "a" * 64}}


def rules(metrics: dict = GOOD, mb: float = 3.0, ms: float = 9.0, **limits: object) -> dict[str, gate.Rule]:
    return {one.rule: one for one in gate.absolute(LIMITS.model_copy(update=limits), Metrics.model_validate(metrics), mb, lambda: ms)}


def changed(section: str, **values: object) -> dict:
    return GOOD | {section: GOOD.get(section, {}) | values}


def test_a_generator_as_good_as_held_out_images_passes_the_defaults():
    assert all(one.passed for one in rules().values()) and set(rules()) == {"all_classes", "min_authenticity"}


@pytest.mark.parametrize(
    ("metrics", "limits", "rule", "words"),
    [
        (changed("precision", mean=0.3), {"min_precision": 0.5}, "min_precision", "precision 0.3, at least 0.5"),
        (changed("recall", mean=0.1), {"min_recall": 0.2}, "min_recall", "recall 0.1, at least 0.2"),
        (changed("classes", covered=9), {}, "all_classes", "9 of 10 classes are made"),
        (changed("memorisation", **COPIES), {}, "min_authenticity", "a share of 0.3333, at least 0.5: generated images lie nearer"),
        (changed("memorisation", copying={"z": -9.0, "p": 0.0}), {"min_copying_z": -5.0}, "min_copying_z", "-9, at least -5"),
        (GOOD, {"max_mb": 2.0}, "max_mb", "3 MB of weights, at most 2"),
        (GOOD, {"max_latency_ms": 5.0}, "max_latency_ms", "9 ms a block of images, at most 5"),
        (BARE, {"min_recall": 0.2}, "min_recall", "recall is not measured"),
    ],
)
def test_each_rule_refuses_by_its_own_figure(metrics, limits, rule, words):
    found = rules(metrics, **limits)
    failed = [one for one in found.values() if not one.passed]
    assert rule in [one.rule for one in failed] and words in found[rule].words
    assert gate.verdict(list(found.values()), None).answer == gate.REFUSED
    assert words in gate.verdict(list(found.values()), None).sentence


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (
            changed("memorisation", **COPIES | {"copying": {"z": -1.0, "p": 0.2}}),
            "look at the closest pairs",
        ),  # not nearer than held-out images
        (
            changed("memorisation", **COPIES) | {"precision": {"mean": 0.0, "low": 0.0, "high": 0.0, "floor": 0.9}},
            "too far from real to be copies",
        ),
    ],
)
def test_the_gate_calls_copies_what_the_report_calls_so(metrics, words):
    """docs/scores.md: nearer than held-out images, fewer authentic, and real to look at; by one of them alone none is a copier."""
    found = rules(metrics)["min_authenticity"]
    assert found.passed and words in found.words and ", below 0.5, for which copies alone are refused: " in found.words
    assert appraisal.copying(Metrics.model_validate(metrics)).weight == appraisal.ODD
    assert gate.verdict(list(rules(metrics).values()), None).answer == gate.PROMOTED


def test_a_limit_at_the_figure_itself_passes():
    assert all(one.passed for one in rules(min_precision=0.7, min_recall=0.5, max_mb=3.0, max_latency_ms=9.0).values())


def test_latency_is_measured_only_where_it_is_limited():
    assert gate.absolute(LIMITS, Metrics.model_validate(GOOD), 1.0, lambda: pytest.fail("measured"))


def test_a_protocol_without_class_names_asks_for_no_classes():
    assert "all_classes" not in rules({key: value for key, value in GOOD.items() if key != "classes"})


@pytest.mark.parametrize(("gap", "answer"), [
    ((-2, -3, -1), gate.PROMOTED), ((-2, -5, 0.1), gate.CHALLENGER), ((2, -0.1, 5), gate.CHALLENGER), ((2, 0, 4), gate.CHALLENGER),
    ((11.9, 8.6, 15.3), gate.WORSE),
])  # fmt: skip
def test_only_a_difference_wholly_below_zero_promotes_and_one_wholly_above_is_worse(gap, answer):
    fought = {
        "metric": "fid", "version": "3", "champion": 5.0, "challenger": 3.0, "draws": 5, "num_images": 360, "protocol": "b" * 64,
        "was_other": True, "difference": dict(zip(("mean", "low", "high"), gap)),
    }  # fmt: skip
    said = gate.verdict(list(rules().values()), gate.by_duel(fought))
    assert (
        said.answer == answer and "FID 3, champion version 3 5: difference" in said.sentence and "scored by another before" in said.sentence
    )
    assert ("worse by more than noise" in said.sentence) == (answer == gate.WORSE)
    assert ("not better by more than noise" in said.sentence) == (answer == gate.CHALLENGER)


def test_records_of_other_protocols_or_none_promote_nobody():
    mine = {"fid": {"mean": 0.1, "low": 0.05, "high": 0.2}, "protocol": {"name": "classifier", "hash": "b" * 64}}
    assert not gate.by_records("fid", mine, "1", CHAMPION, "its weights are gone").passed
    assert "no recorded FID" in gate.by_records("fid", mine, "1", None, "its weights are gone").words
    for theirs in (CHAMPION, None):
        said = gate.verdict([], gate.by_records("fid", mine, "1", theirs, "its weights are gone"))
        assert said.answer == gate.CHALLENGER and said.sentence.startswith(
            "kept as challenger: whether it is better is not known: champion version 1"
        )
    assert gate.by_records("fid", mine | {"protocol": CHAMPION["protocol"]}, "1", CHAMPION, "its weights are gone").passed
    far = mine | {"protocol": CHAMPION["protocol"], "fid": {"mean": 9.0, "low": 8.5, "high": 9.5}}
    assert gate.verdict([], gate.by_records("fid", far, "1", CHAMPION, "its weights are gone")).answer == gate.WORSE


def test_recorded_intervals_that_touch_tell_nothing():
    """Neither better nor worse: the one's end is the other's beginning."""
    theirs = CHAMPION["fid"]
    for mine in ({"low": theirs["low"] - 1, "high": theirs["low"]}, {"low": theirs["high"], "high": theirs["high"] + 1}):
        score = {"fid": mine | {"mean": (mine["low"] + mine["high"]) / 2}, "protocol": CHAMPION["protocol"]}
        assert gate.by_records("fid", score, "1", CHAMPION, "its weights are gone").standing == gate.EVEN


def test_a_version_rolled_back_from_is_refused_however_good():
    mark = json.dumps({"when": "2026-01-01", "who": "ann@host", "why": "odd eights"})
    said = gate.verdict([*rules().values(), *gate.not_rolled_back(mark)], None)
    assert said.answer == gate.REFUSED and "ann@host: odd eights" in said.sentence


def test_what_a_version_carries_reads_back_as_it_was():
    kid = {"mean": 0.1, "low": 0.0, "high": 0.2, "floor": 0.0}
    metrics = Metrics.model_validate(BARE | {"fid": CHAMPION["fid"], "kid": kid, "classes": GOOD["classes"]})
    scores = versions.scores_of(metrics, {"name": "classifier", "hash": "a" * 64, "evaluate": {"neighborhood": 3}})
    assert versions.recorded(versions.score_tags(scores)) == scores
    assert versions.headline(versions.score_tags(scores)) == {"fid": 5.0, "kid": 0.1}
    before = {key: value for key, value in versions.score_tags(scores).items() if key != "scores"}  # as older versions were tagged
    assert versions.recorded(before)["fid"] == CHAMPION["fid"]


def test_of_versions_with_the_same_weights_the_oldest_is_meant():
    """By number, not by its text: version 10 came after version 9."""
    two = [
        SimpleNamespace(version=number, tags=tags)
        for number, tags in (("10", {"weights_sha256": "a"}), ("9", {"weights_sha256": "a"}), ("2", {}))
    ]
    client = SimpleNamespace(search_model_versions=lambda asked: two)
    assert versions.version_of(client, "digits", "a").version == "9" and versions.version_of(client, "digits", "b") is None


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A reference of random images, features their coarse colours."""
    from stages.evaluation import reference_set

    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("reference")
    small.write_prepared(folder, (3, 8, 8))
    features = {split: random.uniform(0, 200, (count, 4)).astype(np.float32) for split, count in (("train", 80), ("heldout", 40))}
    real = {split: reference_set.Real(one, np.zeros((len(one), 0), np.float32), np.arange(len(one)) % 2) for split, one in features.items()}
    moments = frechet.features_to_statistics(features["train"])
    rules = {"name": "classifier", "hash": "c" * 64, "batch_size": 16}
    kept = {"train.mean": moments.mean, "train.covariance": moments.covariance}
    return reference_set.ReferenceSet(
        rules, artifacts.card_of("prepare", folder / "artifacts"), coarse(), real["train"], real["heldout"], None, kept
    )


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_a_duel_says_which_is_nearer_and_the_same_the_other_way_round(metric, measured):
    near, far = Noise(200), Noise(60)
    one, other = duel.fight(metric, near, far, measured, CONFIG), duel.fight(metric, far, near, measured, CONFIG)
    assert one["difference"]["high"] < 0 < other["difference"]["low"]
    assert one["difference"]["mean"] == pytest.approx(-other["difference"]["mean"]) and one["draws"] == 4 and one["num_images"] == 40
    assert one["challenger"] == other["champion"]


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_a_duel_with_itself_is_exactly_even(metric, measured):
    even = duel.fight(metric, Noise(100), Noise(100), measured, CONFIG)["difference"]
    assert (even["mean"], even["low"], even["high"]) == (0.0, 0.0, 0.0)


def test_the_real_images_part_of_kids_difference_is_that_of_its_bootstrap(measured):
    sides = [[np.random.default_rng(one).normal(80, 20 + 10 * one, (60, 4)).astype(np.float32)] for one in (1, 2)]
    real, random = measured.train.features, np.random.default_rng(3)
    closed = score_files.fights()["kid"].fight(sides, measured, CONFIG)[1]
    gaps = []
    for _ in range(400):
        again = real[random.integers(0, len(real), len(real))]
        gaps.append(kernel.unbiased(sides[0][0], again) - kernel.unbiased(sides[1][0], again))
    assert np.std(gaps, ddof=1) == pytest.approx(closed, rel=4 / np.sqrt(2 * 400))  # four deviations of a deviation of 400


def test_the_real_images_part_of_fids_difference_is_that_of_its_resamples(measured, monkeypatch):
    """Two resamples that are known: the unbiased deviation of two numbers is their distance by √2."""
    sides = [[np.random.default_rng(one).normal(80, 20 + 10 * one, (60, 4)).astype(np.float32)] for one in (1, 2)]
    real, random = measured.train.features, np.random.default_rng(3)
    resamples = [random.integers(0, len(real), len(real)) for _ in range(2)]
    gaps = [frechet.distance(sides[0][0], real[one]) - frechet.distance(sides[1][0], real[one]) for one in resamples]
    waiting = iter(resamples)
    monkeypatch.setattr(streams, "integers", lambda stream, indices, below: next(waiting))
    found = score_files.fights()["fid"].fight(sides, measured, CONFIG.model_copy(update={"bootstrap": 2}))[1]
    assert found == pytest.approx(abs(gaps[0] - gaps[1]) / np.sqrt(2))


def test_a_duels_seed_follows_from_both_weights_in_either_order():
    one, other, third = (hashlib.sha256(word).hexdigest() for word in (b"one", b"other", b"third"))
    assert duel.seed(one, other) == duel.seed(other, one) != duel.seed(one, third)
    assert 2**40 * (2 + duel.seed(one, other)) < 2**63


def test_a_duel_of_a_generator_with_classes_and_one_without_is_refused(measured):
    free = Noise(100)
    free.conditional = False
    with pytest.raises(duel.Impossible, match="asked for classes"):
        duel.fight("fid", Noise(100), free, measured, CONFIG)


def test_how_a_protocol_was_evaluated_reads_back():
    said = {
        "evaluate": CONFIG.model_dump(exclude={"draws", "bootstrap", "seed", "threads"}) | {"num_images": 40},
        "drawn": CONFIG.model_dump(include={"draws", "bootstrap", "seed", "threads"}),
    }
    assert duel.settings(said) == CONFIG
    with pytest.raises(duel.Impossible):
        duel.settings({"evaluate": {}})
