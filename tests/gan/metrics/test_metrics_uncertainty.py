"""Intervals that hold what they promise, distances within classes, and distances of infinitely many images."""

import math

import numpy as np
import pytest

from gan.metrics import classwise, extrapolation, frechet, uncertainty


def sample(random: np.random.Generator, count: int, size: int = 4, shift: float = 0.0) -> np.ndarray:
    return random.standard_normal((count, size)) + shift


def test_interval_of_draws_alone_covers_the_true_mean_95_times_in_100():
    random, inside = np.random.default_rng(0), 0
    for _ in range(2000):
        found = uncertainty.interval(list(random.standard_normal(5)))
        inside += found["low"] <= 0 <= found["high"]
    assert abs(inside / 2000 - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 2000)


def test_interval_of_three_draws_is_students():
    """Of 1, 2 and 6: mean 3, variance 14 / 2, and 4.3027 deviations of the mean at two degrees of freedom (Student 1908's table)."""
    found, deviation = uncertainty.interval([1.0, 2.0, 6.0]), np.sqrt(7 / 3)
    assert (found["mean"], found["deviation"]) == pytest.approx((3, deviation))
    assert (found["low"], found["high"]) == pytest.approx((3 - 4.3027 * deviation, 3 + 4.3027 * deviation), rel=1e-4)


@pytest.mark.parametrize("draws", [1, 5])
def test_interval_of_fid_covers_its_expectation_over_draws_and_real_sets(draws):
    """200 worlds, each with its own finite real set, and what FID at this n is on average over all of them."""
    random, found = np.random.default_rng(draws), []
    for _ in range(200):
        real = sample(random, 300)
        generated = [sample(random, 200, shift=0.3) for _ in range(draws)]
        statistics = [frechet.features_to_statistics(one) for one in generated]
        scores = [frechet.statistics_to_distance(one, frechet.features_to_statistics(real)) for one in statistics]
        real_deviation = uncertainty.deviation_frechet(statistics[0], real)
        own = uncertainty.deviation_frechet(frechet.features_to_statistics(real), generated[0])
        found.append(uncertainty.interval(scores, real_deviation, own, least=0))
    expected = np.mean([one["mean"] for one in found])
    covered = np.mean([one["low"] <= expected <= one["high"] for one in found])
    assert 0.88 <= covered <= 0.99


@pytest.mark.parametrize(
    ("count", "size", "shift"),
    [
        pytest.param(300, 4, 0.4, id="apart"),
        pytest.param(300, 4, 0.0, id="of one distribution"),
        pytest.param(2000, 40, 0.1, id="many images"),
        pytest.param(120, 40, 0.1, id="few images"),
        pytest.param(30, 40, 0.2, id="fewer images than features"),
    ],
)
def test_deviation_by_influence_is_that_of_samples_drawn_again(count, size, shift):
    random = np.random.default_rng(0)
    fixed = frechet.features_to_statistics(1.2 * sample(random, 400, size, shift))
    draws = [sample(random, count, size) for _ in range(300)]
    again = [frechet.statistics_to_distance(fixed, frechet.features_to_statistics(one)) for one in draws]
    found = np.mean([uncertainty.deviation_frechet(fixed, one) for one in draws[:20]])
    assert found == pytest.approx(np.std(again), rel=0.3)


def test_the_bootstrap_agrees_where_images_are_many():
    random = np.random.default_rng(0)
    fixed = frechet.features_to_statistics(sample(random, 400, shift=0.4))
    features = sample(random, 300)
    again = [features[random.integers(0, 300, 300)] for _ in range(200)]
    found = np.std([frechet.statistics_to_distance(fixed, frechet.features_to_statistics(one)) for one in again], ddof=1)
    assert found == pytest.approx(uncertainty.deviation_frechet(fixed, features), rel=0.2)


def test_more_draws_do_not_hide_the_finite_real_set():
    few, many = (uncertainty.interval([1.0, 1.0] * count, real_deviation=0.5) for count in (1, 100))
    assert few == many
    assert many["high"] - many["low"] == pytest.approx(2 * 1.96 * 0.5, rel=1e-4)
    assert many["deviation"] == 0.5


def test_interval_is_cut_to_what_a_score_can_be():
    assert uncertainty.interval([0.2, 0.9], most=1, least=0) | {"mean": 0, "deviation": 0} == {
        "mean": 0, "low": 0, "high": 1, "deviation": 0,
    }  # fmt: skip


def test_one_draw_needs_a_deviation_of_its_own():
    found = uncertainty.interval([2.0], 0.3, 0.4)
    assert found["deviation"] == pytest.approx(0.5) and found["high"] - 2 == pytest.approx(1.96 * 0.5, rel=1e-4)
    with pytest.raises(ValueError, match="evaluate.draws"):
        uncertainty.interval([2.0], 0.3)
    for scores in ([], [1.0, math.nan]):
        with pytest.raises(ValueError, match="no scores"):
            uncertainty.interval(scores)


def test_distance_within_a_class_is_that_of_its_images():
    random = np.random.default_rng(0)
    real, labels = sample(random, 300), np.arange(300) % 3
    generated = real + np.array([0.0, 0.5, 2.0])[labels, None]
    found = classwise.intra(generated, labels, real, labels, 3)
    assert [found["of"][number] for number in range(3)] == pytest.approx([0, 4 * 0.25, 4 * 4], abs=1e-9)
    assert found["mean"] == pytest.approx(17 / 3)


def test_a_class_of_fewer_than_two_images_has_no_distance():
    random = np.random.default_rng(0)
    real, generated = sample(random, 21), sample(random, 20)
    found = classwise.intra(generated, np.repeat([0, 2], 10), real, np.array([0] * 10 + [1] * 10 + [2]), 4)
    assert found["of"] == {0: frechet.distance(generated[:10], real[:10]), 1: None, 2: None, 3: None}
    assert found["mean"] == found["of"][0]
    two = classwise.intra(generated, np.array([0, 0] + [1] * 18), real, np.array([1, 1] + [0] * 19), 2)["of"]
    assert two == {0: frechet.distance(generated[:2], real[2:]), 1: frechet.distance(generated[2:], real[:2])}, "two are enough"
    assert classwise.intra(generated, np.zeros(20, int), real, np.ones(21, int), 2) == {"mean": None, "of": {0: None, 1: None}}
    with pytest.raises(ValueError, match="class 2 is none of 2"):
        classwise.intra(generated, np.zeros(20, int), real, np.full(21, 2), 2)
    with pytest.raises(ValueError, match="21 labels for 20 images"):
        classwise.intra(generated, np.ones(21, int), real, np.ones(21, int), 2)


def whitened(features: np.ndarray) -> np.ndarray:
    """The same with mean zero and covariance one, so that only the generated side has a bias."""
    centred = features - features.mean(axis=0)
    return centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred, rowvar=False)).T)


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_fid_of_infinitely_many_images_is_nearer_to_the_truth(shift):
    """N(shift, 1) beside N(0, 1) in D dimensions: D shift², and D + D (D + 1) / 4 more for each 1 / n, to first order."""
    size, real = 12, whitened(sample(np.random.default_rng(0), 500, 12))
    worlds = [sample(np.random.default_rng(seed), 2000, size, shift) for seed in range(1, 41)]
    found = [extrapolation.fid_infinity(generated, real) for generated in worlds]
    truth, slope = size * shift**2, size + size * (size + 1) / 4
    plain_bias = np.mean([frechet.distance(generated, real) for generated in worlds]) - truth
    assert plain_bias == pytest.approx(slope / 2000, rel=0.5)
    assert abs(np.mean([one["value"] for one in found]) - truth) < plain_bias / 2
    if not shift:
        assert np.mean([one["slope"] for one in found]) == pytest.approx(slope, rel=0.15)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_fid_of_infinitely_many_images_varies_as_much_as_fid(shift):
    """So one set of images has an interval: what FID's own images tell of it."""
    size = 16
    real = frechet.features_to_statistics(sample(np.random.default_rng(0), 1000, size))
    worlds = [sample(np.random.default_rng(seed), 300, size, shift) for seed in range(1, 61)]
    found = np.std([extrapolation.fid_infinity(one, real)["value"] for one in worlds], ddof=1)
    assert found == pytest.approx(np.mean([uncertainty.deviation_frechet(real, one) for one in worlds]), rel=0.2)


def test_bias_of_fid_falls_as_one_over_n():
    random, size = np.random.default_rng(0), 8
    real = whitened(sample(random, 500, size))
    bias = [np.mean([frechet.distance(sample(random, count, size), real) for _ in range(60)]) for count in (200, 400, 800)]
    assert bias[0] / bias[1] == pytest.approx(2, rel=0.15) and bias[1] / bias[2] == pytest.approx(2, rel=0.15)


def test_too_few_images_for_a_line_are_refused():
    random = np.random.default_rng(0)
    with pytest.raises(ValueError, match="and 42 images"):
        extrapolation.fid_infinity(sample(random, 9, 8), sample(random, 50, 8))
    with pytest.raises(ValueError, match="two points"):
        extrapolation.fid_infinity(sample(random, 90, 8), sample(random, 50, 8), points=1)
