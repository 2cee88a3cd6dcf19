"""What tells a copier from an honest sampler."""

import numpy as np
import pytest
import scipy.stats

from gan.metrics import memorisation, nearest


def points(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 10))


TRAIN = points(500, 0)


def distances(images: np.ndarray) -> np.ndarray:
    return nearest.nearest(images, TRAIN)[0]


@pytest.mark.parametrize("decimals", [12, 1], ids=["no ties", "ties"])
@pytest.mark.parametrize("scale", [0.5, 1, 1.3])
def test_the_test_of_copying_is_mann_and_whitneys(decimals, scale):
    one, other = distances(points(300, 1) * scale).round(decimals), distances(points(200, 2)).round(decimals)
    expected = scipy.stats.mannwhitneyu(one, other, alternative="less", method="asymptotic", use_continuity=False)
    found = memorisation.copying(one, other)
    assert found["p"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert scipy.stats.norm.cdf(found["z"]) == pytest.approx(found["p"], rel=1e-12)


def test_a_copier_is_found_and_an_honest_sampler_is_not_accused():
    heldout = distances(points(300, 1))
    copies = TRAIN[:300] + 0.1 * points(300, 2)
    assert memorisation.copying(distances(copies), heldout)["z"] < -10
    honest = [memorisation.copying(distances(points(300, seed)), heldout)["z"] for seed in range(3, 13)]
    assert max(map(abs, honest)) < 3
    assert memorisation.copying(distances(points(300, 2) * 3), heldout)["z"] > 10


def test_images_of_one_distance_tell_nothing():
    assert memorisation.copying(np.ones(5), np.ones(9)) == {"z": 0.0, "p": 0.5}


def test_copies_are_not_authentic_and_an_honest_sample_is_as_held_out_images_are():
    own = nearest.nearest(TRAIN, TRAIN, apart_from=np.arange(len(TRAIN)))[0]

    def share(images: np.ndarray) -> float:
        return memorisation.authenticity(*nearest.nearest(images, TRAIN), own)

    assert share(TRAIN[:300] + 0.1 * points(300, 2)) == 0
    assert share(points(2000, 3)) == pytest.approx(share(points(2000, 4)), abs=0.05)
    assert share(points(300, 3) + 30) == 1


def test_an_image_is_authentic_only_if_it_is_farther_than_the_training_image_from_its_next():
    numbers = np.array([0, 0, 1])
    assert memorisation.authenticity(np.array([1.0, 1.5, 1.5]), numbers, np.array([1.0, 2.0])) == pytest.approx(1 / 3)


def test_no_images_are_neither_copies_nor_authentic():
    with pytest.raises(ValueError, match="no generated images"):
        memorisation.authenticity(np.zeros(0), np.zeros(0, np.int64), np.ones(3))
    with pytest.raises(ValueError, match="0 generated and 4 held-out"):
        memorisation.copying(np.zeros(0), np.ones(4))
