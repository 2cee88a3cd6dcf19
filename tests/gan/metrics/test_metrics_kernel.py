"""The kernel distance by sums of powers, by moments of Gaussians, by simulation, and as torch-fidelity has it."""

import tracemalloc
from math import comb

import numpy as np
import pytest

from gan.metrics import fidelity, kernel


def features(count: int = 400, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


@pytest.mark.parametrize(
    ("subsets", "subset_size"),
    [
        pytest.param(20, 100, id="a kernel of all"),
        pytest.param(3, 50, id="a kernel a subset"),
        pytest.param(1, 300, id="one subset"),
    ],
)
def test_kid_is_torch_fidelitys_on_the_same_subsets(subsets, subset_size, monkeypatch):
    """Near zero too, where float32 would lose it; blocks that cut either set."""
    monkeypatch.setattr(kernel, "_BLOCK", 128)
    for shift in (0, 0.05, 2):
        generated, real = features(300) + shift, features(400, seed=1)
        expected = fidelity.kid(generated, real, subsets, subset_size)
        assert kernel.kid(generated, real, subsets, subset_size) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_unbiased_distance_of_numbers_is_a_sum_of_their_powers(monkeypatch):
    """(xy + 1)³ = Σ_p C(3, p) xᵖ yᵖ, so each sum over pairs is one of products of power sums."""
    monkeypatch.setattr(kernel, "_BLOCK", 33)
    one, other = features(100, 1).astype(np.float64), features(70, 1, seed=1).astype(np.float64) * 2 + 1

    def within(numbers: np.ndarray) -> float:
        pairs = sum(comb(3, p) * ((numbers**p).sum() ** 2 - (numbers ** (2 * p)).sum()) for p in range(4))
        return pairs / (len(numbers) * (len(numbers) - 1))

    between = sum(comb(3, p) * (one**p).mean() * (other**p).mean() for p in range(4))
    assert kernel.unbiased(one, other) == pytest.approx(within(one) + within(other) - 2 * between, rel=1e-11)


def test_unbiased_distance_of_gaussians_is_that_of_their_moments_on_average():
    """3 Δm₁² + 3 Δm₂² + Δm₃² for N(0, 1) and N(½, 1), whose moments differ by ½, ¼ and 3/2 + 1/8, at thirty images each."""
    random = np.random.default_rng(0)
    scores = [kernel.unbiased(random.standard_normal((30, 1)), random.standard_normal((30, 1)) + 0.5) for _ in range(4000)]
    expected = 3 * 0.5**2 + 3 * 0.25**2 + 1.625**2
    assert np.mean(scores) == pytest.approx(expected, abs=4 * np.std(scores) / np.sqrt(4000))


def test_deviation_is_that_of_samples_drawn_again():
    random = np.random.default_rng(0)
    draw = lambda count, shift: random.standard_normal((count, 6)) + shift  # noqa: E731
    generated, real = draw(200, 0.5), draw(300, 0)
    again = (
        [kernel.unbiased(draw(200, 0.5), real) for _ in range(400)],
        [kernel.unbiased(generated, draw(300, 0)) for _ in range(400)],
    )
    found = np.mean([kernel.deviation(draw(200, 0.5), draw(300, 0)) for _ in range(20)], axis=0)
    np.testing.assert_allclose(found, [np.std(scores) for scores in again], rtol=0.2)


def test_deviation_is_that_of_twice_the_mean_kernel_with_the_others_of_its_kind_less_that_with_the_other_kind():
    random = np.random.default_rng(0)
    generated, real = random.standard_normal((3, 2)), random.standard_normal((4, 2)) + 1
    k = lambda x, y: (x @ y / 2 + 1) ** 3  # noqa: E731
    for number, (one, other) in enumerate(((generated, real), (real, generated))):
        influence = [
            2 * np.mean([k(x, y) for place, y in enumerate(one) if place != mine]) - 2 * np.mean([k(x, y) for y in other])
            for mine, x in enumerate(one)
        ]  # fmt: skip
        assert kernel.deviation(generated, real)[number] == pytest.approx(np.std(influence, ddof=1) / np.sqrt(len(one)))


def test_deviation_of_equals_is_not_too_small():
    random = np.random.default_rng(0)
    real = random.standard_normal((300, 6))
    again = np.std([kernel.unbiased(random.standard_normal((200, 6)), real) for _ in range(400)])
    found = np.mean([kernel.deviation(random.standard_normal((200, 6)), real)[0] for _ in range(50)])
    assert 0.95 * again < found < 1.6 * again


def test_distance_of_constant_images_is_that_of_two_points():
    """k(a, a) + k(b, b) − 2 k(a, b) at a = 0, b = 1: 1 + 8 − 2."""
    zeros, ones = np.zeros((5, 3)), np.ones((7, 3))
    assert kernel.unbiased(zeros, ones) == pytest.approx(7, rel=1e-12)
    assert kernel.kid(zeros, ones, 4, 3) == pytest.approx(7, rel=1e-12)
    assert kernel.deviation(zeros, ones) == pytest.approx((0, 0), abs=1e-12)


def test_memory_does_not_hold_the_kernel():
    """5,000² float64 values are 190 MB."""
    generated, real = features(5000), features(5000, seed=1)
    tracemalloc.start()
    kernel.unbiased(generated, real), kernel.kid(generated, real, 50, 1000)
    assert tracemalloc.get_traced_memory()[1] / 2**20 < 60
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: kernel.kid(features(10), features(12), 5, 11), "kid_subset_size is 11: .* no more than the 10 images"),
        (lambda: kernel.kid(features(10), features(12), 5, 1), "kid_subset_size is 1: take at least 2"),
        (lambda: kernel.kid(features(10), features(12), 0, 5), "kid_subsets is 0"),
        (lambda: kernel.unbiased(features(1), features(12)), "two images on either side, and there are 1"),
        (lambda: kernel.deviation(features(5), features(1)), "two images on either side, and there are 1"),
        (lambda: kernel.unbiased(features(5) * np.nan, features(9)), "5 of 5 images"),
    ],
)
def test_what_has_no_kernel_distance_is_said_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
