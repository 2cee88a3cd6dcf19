"""Precision, recall, density, coverage and nearest neighbours, beside torch-fidelity's and beside the definitions."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gan.metrics import _pairs, fidelity, manifold, nearest


def features(count: int = 400, size: int = 8, seed: int = 0, scale: float = 1) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((count, size)) * scale).astype(np.float32)


def by_definition(generated: np.ndarray, real: np.ndarray, neighborhood: int) -> list[np.ndarray]:
    """Precision, recall, density and coverage an image, from all distances."""
    generated, real = generated.astype(np.float64), real.astype(np.float64)
    reach, own = (np.sort(cdist(one, one), axis=1)[:, neighborhood] for one in (real, generated))
    between = cdist(generated, real)
    inside = between <= reach
    return [inside.any(axis=1), (between <= own[:, None]).any(axis=0), inside.sum(axis=1) / neighborhood, inside.any(axis=0)]


def images_say(found: manifold.Manifold) -> list[np.ndarray]:
    return [found.inside_real, found.inside_generated, found.density_terms, found.covered]


@pytest.mark.parametrize("size", [2, 64, 700])
@pytest.mark.parametrize("neighborhood", [1, 5])
def test_every_image_says_what_all_distances_say(size, neighborhood, monkeypatch):
    """Blocks smaller than either set, so that each is cut."""
    monkeypatch.setattr(manifold._pairs.blocks, "__defaults__", (97,))
    generated, real = features(300, size, scale=1.1), features(410, size, seed=1)
    found = manifold.precision_recall(generated, real, neighborhood)
    expected = by_definition(generated, real, neighborhood)
    for ours, theirs in zip(images_say(found), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [found.precision, found.recall, found.density, found.coverage] == [one.mean() for one in expected]


def test_precision_and_recall_are_torch_fidelitys():
    generated, real = features(700, 30, scale=1.2), features(900, 30, seed=1)
    found = manifold.precision_recall(generated, real, 3)
    precision, recall = fidelity.precision_recall(generated, real, 3)
    assert (round(found.precision * 700), round(found.recall * 900)) == (round(precision * 700), round(recall * 900))


def test_radii_that_are_known_change_nothing():
    generated, real = features(), features(seed=1)
    for ours, again in zip(
        images_say(manifold.precision_recall(generated, real, 3)),
        images_say(manifold.precision_recall(generated, real, 3, manifold.radii(real, 3))),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, again)


def test_a_ball_holds_its_centre_and_k_others_however_far_from_zero_they_lie():
    """The k-th neighbour lies on the ball's surface: rounding must not push it out."""
    real = features(500, 20) + 1e3
    found = manifold.precision_recall(real, real, 3)
    assert found.density_terms.sum() == pytest.approx(500 * 4 / 3, rel=1e-12)
    assert found.precision == found.recall == found.coverage == 1


def test_density_and_coverage_of_the_same_distribution_are_what_their_paper_expects():
    """Density 1 and coverage 1 − Π (N − i) / (2N − i) over i < k, about 1 − 2⁻ᵏ (Naeem et al. 2020, 3.3)."""
    runs = [manifold.precision_recall(features(500, 4, 2 * seed), features(500, 4, 2 * seed + 1), 5) for seed in range(8)]
    assert np.mean([run.density for run in runs]) == pytest.approx(1, abs=0.05)
    expected = 1 - np.prod([(500 - i) / (1000 - i) for i in range(5)])
    assert np.mean([run.coverage for run in runs]) == pytest.approx(expected, abs=0.02)


def test_realism_is_the_largest_ratio_of_radius_and_distance(monkeypatch):
    monkeypatch.setattr(manifold._pairs.blocks, "__defaults__", (97,))
    generated, real = features(300, scale=1.5), features(410, seed=1)
    generated[5] = real[np.argmin(manifold.radii(real, 3))]
    radii = manifold.radii(real, 3)
    kept = radii <= np.median(radii)
    with np.errstate(divide="ignore"):
        expected = (radii[kept] / cdist(generated.astype(np.float64), real[kept].astype(np.float64))).max(axis=1)
    found = manifold.realism(generated, real, radii)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found[5] == np.inf
    inside = manifold.precision_recall(generated, real, 3, radii).inside_real
    assert inside[found >= 1].all() and found.max() > 1 > found.min()


def test_constant_images_have_radius_zero_and_repeat_themselves_only():
    constant = np.ones((30, 5), np.float32)
    assert (manifold.radii(constant, 3) == 0).all()
    same = manifold.precision_recall(constant, constant, 3)
    assert same.precision == same.recall == same.coverage == 1
    elsewhere = manifold.precision_recall(constant + 100, features(100, 5), 3)
    assert elsewhere.precision == elsewhere.recall == elsewhere.density == 0


@pytest.mark.parametrize("neighborhood", [0, 400, 1000])
def test_a_neighborhood_of_no_neighbour_is_refused(neighborhood):
    with pytest.raises(ValueError, match=f"neighborhood is {neighborhood}, but there are only 400 images"):
        manifold.precision_recall(features(), features(seed=1), neighborhood)


def test_features_that_are_not_numbers_or_too_large_are_refused():
    broken = features()
    broken[7, 3] = np.nan
    for one, other in ((broken, features()), (features(), broken)):
        with pytest.raises(ValueError, match="1 of 400 images .* the first is number 7"):
            manifold.precision_recall(one, other, 3)
    with pytest.raises(ValueError, match="too large"):
        manifold.radii(features().astype(np.float64) * 1e30, 3)


@pytest.mark.parametrize("scale", [1e-30, 1, 1e15])
def test_bounds_lie_below_the_distances_and_close(scale):
    one, other = features(200, 300) * scale, features(150, 300, seed=1) * scale + scale
    middle = _pairs.centre(one, other)
    first, second = next(_pairs.blocks(one, middle)), next(_pairs.blocks(other, middle))
    true = cdist(one.astype(np.float64), other.astype(np.float64)) ** 2
    bounds = first.lower_bounds(second)
    assert (bounds <= true).all()
    if scale == 1:
        assert (true - bounds < 1e-4 * true).all()


def pixels(count: int, seed: int, levels: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, levels, (count, 49)).astype(np.uint8)


@pytest.fixture(params=["integers", "floats"])
def arithmetic(request, monkeypatch):
    """Both ways of multiplying pixels, whichever this processor would choose."""
    monkeypatch.setattr(_pairs, "fast_integers", lambda: request.param == "integers")


def test_integers_bound_distances_of_pixels_more_closely_than_sums_of_32_bits_could(arithmetic):
    """More features than fit a 32-bit sum, at the far ends of the range."""
    one, other = np.zeros((3, 200_000), np.uint8), np.full((2, 200_000), 255, np.uint8)
    other[1, ::2] = 0
    middle = _pairs.centre(one, other)
    bounds = next(_pairs.blocks(one, middle)).lower_bounds(next(_pairs.blocks(other, middle)))
    true = np.array([[255**2 * 200_000, 255**2 * 100_000]] * 3)
    assert (bounds <= true).all()
    assert nearest.nearest(one, other)[0] == pytest.approx(np.sqrt(true[:, 1]), rel=1e-14)


@pytest.mark.parametrize("levels", [2, 4, 256])
def test_nearest_pixels_are_those_of_all_distances(levels, arithmetic):
    """Few levels make ties, more than the candidates that are kept."""
    queries, references = pixels(300, 0, levels), pixels(500, 1, levels)
    references[7] = queries[3]
    found, number = nearest.nearest(queries, references, block=64)
    between = cdist(queries.astype(np.float64), references.astype(np.float64))
    np.testing.assert_allclose(found, between.min(axis=1), rtol=1e-14)
    np.testing.assert_allclose(between[np.arange(300), number], found, rtol=1e-14)
    assert found[3] == 0 and number[3] == 7


@pytest.mark.parametrize("levels", [2, 256])
def test_leaving_one_out_gives_the_nearest_other_image(levels, arithmetic):
    references = pixels(400, 0, levels)
    references[399] = references[0]
    between = cdist(references.astype(np.float64), references.astype(np.float64))
    np.fill_diagonal(between, np.inf)
    found, number = nearest.nearest(references, references, block=64, apart_from=np.arange(400))
    assert (number != np.arange(400)).all()
    np.testing.assert_allclose(found, between.min(axis=1), rtol=1e-14)
    assert found[0] == found[399] == 0


def peak_mb(call) -> float:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def test_memory_does_not_hold_all_pairs_nor_all_of_long_vectors():
    """5,000² float64 distances are 190 MB, and 1,000 vectors of 40,000 float64 numbers 305 MB."""
    assert peak_mb(lambda: manifold.precision_recall(features(5000), features(5000, seed=1), 3)) < 40
    long = np.random.default_rng(0).integers(0, 256, (1000, 40_000), np.uint8)
    assert peak_mb(lambda: nearest.nearest(long[:200], long)) < 150


def test_one_reference_has_no_other():
    assert nearest.nearest(pixels(1, 0), pixels(1, 0), apart_from=np.zeros(1, int))[0] == np.inf
    with pytest.raises(ValueError, match="there are 0"):
        nearest.nearest(pixels(1, 0), pixels(0, 0))
