"""Scores on cases with a known answer, and beside torch-fidelity's, SciPy's and scikit-learn's own computation."""

import numpy as np
import pytest
import scipy.linalg
from sklearn.neighbors import NearestNeighbors

from gan.metrics import fidelity, frechet, nearest


def features(count: int = 400, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return frechet.statistics_to_distance(frechet.features_to_statistics(one), frechet.features_to_statistics(other))


@pytest.mark.parametrize("score", [distance, fidelity.fid])
def test_frechet_distance_of_shifted_features_is_the_squared_shift(score):
    one = features().astype(np.float64)
    assert score(one, one + 0.5) == pytest.approx(8 * 0.25, rel=1e-9)


@pytest.mark.parametrize("score", [distance, fidelity.fid])
def test_frechet_distance_of_scaled_features_is_known(score):
    """Σ and a²Σ commute: the distance is (a − 1)² tr Σ + (a − 1)² ‖μ‖²."""
    one = features().astype(np.float64)
    expected = 4 * (np.trace(np.cov(one, rowvar=False)) + (one.mean(axis=0) ** 2).sum())
    assert score(one, 3 * one) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_to_itself_is_zero_and_both_ways_the_same():
    one, other = features(seed=0), features(seed=1) * 2 + 1
    assert distance(one, one) < 1e-9
    assert distance(one, other) == pytest.approx(distance(other, one), rel=1e-9)


def test_our_frechet_distance_is_torch_fidelitys_and_scipys():
    one, other = features(seed=0), features(seed=1) ** 2
    ours = distance(one, other)
    assert ours == pytest.approx(fidelity.fid(one, other), rel=1e-9)
    first, second = frechet.features_to_statistics(one), frechet.features_to_statistics(other)
    cross = scipy.linalg.sqrtm(first.covariance @ second.covariance).real
    shift = first.mean - second.mean
    expected = shift @ shift + np.trace(first.covariance + second.covariance - 2 * cross)
    assert ours == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_fewer_images_than_features_is_finite():
    assert np.isfinite(distance(features(5, 32), features(400, 32)))


def test_inception_score_of_sure_and_even_classes_is_their_number():
    logits = np.eye(10, dtype=np.float32)[np.arange(1000) % 10] * 1000
    assert fidelity.inception_score(logits, splits=1) == pytest.approx(10)
    assert fidelity.inception_score(np.zeros((1000, 10), np.float32), splits=10) == pytest.approx(1)


def test_kid_of_one_distribution_is_near_zero_and_of_two_is_not():
    near = fidelity.kid(features(seed=0), features(seed=1), subsets=20, subset_size=100)
    far = fidelity.kid(features(seed=0), features(seed=1) + 2, subsets=20, subset_size=100)
    assert abs(near) < 0.1 < far


def test_precision_and_recall_of_a_part_of_the_data():
    real = features(400, 2)
    precision, recall = fidelity.precision_recall(real[real[:, 0] > 0], real, 3)
    assert precision == 1 and 0.4 < recall < 0.7


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fidelity.kid(features(10), features(10), 5, 100), "kid_subset_size is 100"),
        (lambda: fidelity.inception_score(features(5), 10), "isc_splits is 10"),
        (lambda: fidelity.precision_recall(features(3), features(400), 3), "neighborhood is 3"),
    ],
)
def test_more_than_there_are_images_is_refused_with_the_key(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_nearest_agrees_with_scikit_learn_and_finds_copies():
    queries, references = features(300, seed=0), features(500, seed=1)
    references[7] = queries[3]
    found, number = nearest.nearest(queries, references, block=64)
    expected, places = NearestNeighbors(n_neighbors=1).fit(references.astype(np.float64)).kneighbors(queries.astype(np.float64))
    np.testing.assert_allclose(found, expected[:, 0], atol=1e-9)
    assert (number == places[:, 0]).all() and found[3] == 0
