"""Fréchet distances by closed forms, whatever the number of images, and how moments are gathered."""

import numpy as np
import pytest
import scipy.linalg

from gan.metrics import fidelity, frechet


def features(count: int = 400, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def by_eigenvectors(one: frechet.Statistics, other: frechet.Statistics) -> float:
    values, vectors = np.linalg.eigh(one.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ other.covariance @ root).clip(min=0)
    shift = one.mean - other.mean
    return shift @ shift + np.trace(one.covariance) + np.trace(other.covariance) - 2 * np.sqrt(cross).sum()


def test_triangles_give_what_eigenvectors_give():
    """Spectra that fall over six decades, as those of networks do."""
    random = np.random.default_rng(0)
    mixing = random.standard_normal((40, 40)) * np.logspace(0, -3, 40)
    one, other = (frechet.features_to_statistics(random.standard_normal((500, 40)) @ mixing + place) for place in (0, 0.1))
    assert frechet.statistics_to_distance(one, other) == pytest.approx(by_eigenvectors(one, other), rel=1e-9)


def test_features_and_their_statistics_have_one_distance():
    one, other = features(300), features(200, seed=1) * 2
    by_statistics = frechet.statistics_to_distance(*map(frechet.features_to_statistics, (one, other)))
    assert frechet.distance(one, other) == pytest.approx(by_statistics, rel=1e-12)
    assert frechet.distance(one, other) == pytest.approx(fidelity.fid(one, other), rel=1e-9)


@pytest.mark.parametrize(("few", "many"), [(2, 3), (5, 400), (20, 20), (32, 33)])
def test_fewer_images_than_features_have_the_exact_distance(few, many):
    """As SciPy's roots of slightly regularised covariances say, to the root of what is added."""
    one, other = features(few, 32).astype(np.float64), features(many, 32, seed=1) * 1.5 + 0.3
    covariances = [np.cov(each, rowvar=False) for each in (one, other)]
    roots = [scipy.linalg.sqrtm(covariance + 1e-14 * np.eye(32)).real for covariance in covariances]
    shift = one.mean(axis=0) - other.mean(axis=0)
    nuclear = scipy.linalg.svdvals(roots[0] @ roots[1]).sum()
    expected = shift @ shift + np.trace(sum(covariances)) - 2 * nuclear
    assert frechet.distance(one, other) == pytest.approx(expected, rel=1e-5)
    assert frechet.distance(other, one) == pytest.approx(frechet.distance(one, other), rel=1e-12)
    by_statistics = frechet.statistics_to_distance(*map(frechet.features_to_statistics, (one, other)))
    assert by_statistics == pytest.approx(frechet.distance(one, other), rel=1e-7)


def test_two_images_each_on_lines_at_an_angle_have_a_known_distance():
    """Covariances of rank one: ‖shift‖² + a² + b² − 2ab |cos|, with a, b the deviations along the lines."""
    one, other = np.zeros((2, 50)), np.zeros((2, 50))
    one[1, 0], other[1, :2] = 2, (3, 4)
    shift = np.array([1 - 1.5, -2])
    expected = shift @ shift + 2 + 12.5 - 2 * np.sqrt(2 * 12.5) * 0.6
    assert frechet.distance(one, other) == pytest.approx(expected, rel=1e-12)
    assert frechet.distance(one, one) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("count", [100, 3])
def test_constant_features_are_as_far_as_the_other_sets_spread_and_shift(count):
    constant, other = np.ones((count, 8)), features()
    statistics = frechet.features_to_statistics(other)
    expected = ((statistics.mean - 1) ** 2).sum() + np.trace(statistics.covariance)
    assert frechet.distance(constant, other) == pytest.approx(expected, rel=1e-9)
    assert frechet.distance(constant, constant) == 0


def test_blocks_in_any_order_give_the_moments_of_the_whole():
    whole = features(1000, 6).astype(np.float64) * 1e-3 + 1e3  # cancels where sums of squares are subtracted
    blocks = np.split(whole, [1, 2, 300, 310])
    expected = np.cov(whole, rowvar=False)
    for order in (blocks, blocks[::-1]):
        moments = frechet.Moments()
        for block in order:
            moments.add(block)
        found = moments.statistics()
        assert found.count == 1000
        np.testing.assert_allclose(found.mean, whole.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(found.covariance, expected, rtol=1e-6, atol=1e-16)


def broken(count: int, number: int, value: float) -> np.ndarray:
    found = features(count)
    found[number:, 3] = value
    return found


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (features(1), "two images, and there are 1"),
        (broken(10, 8, np.nan), "2 of 10 images .* not finite, the first is number 8"),
        (broken(400, 399, -np.inf), "1 of 400 images .* not finite, the first is number 399"),
        (features(50, 7), "7 and 8 features|8 and 7 features"),
        (features(400)[:, 0], "table of images"),
    ],
)
def test_what_has_no_distance_is_said_in_a_sentence(one, sentence):
    with pytest.raises(ValueError, match=sentence):
        frechet.distance(one, features())


def test_singular_is_a_set_of_no_more_images_than_features():
    for count in (8, 9):
        rank = np.linalg.matrix_rank(frechet.features_to_statistics(features(count)).covariance)
        assert frechet.is_singular(count, 8) == (rank < 8)
