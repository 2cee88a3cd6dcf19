"""Modes covered, divergence and good samples, on cases with a known answer."""

import math

import numpy as np
import pytest

from gan import streams
from gan.metrics import modes


def test_every_class_is_counted_once_and_no_class_is_no_mode():
    counts = modes.counts(np.array([0, 2, 2, -1, 5]), 6)
    assert counts.tolist() == [1, 0, 2, 0, 0, 1] and modes.covered(counts) == 3
    assert modes.covered(modes.counts(np.array([], np.int64), 4)) == 0


def test_a_class_beyond_the_last_is_refused():
    with pytest.raises(ValueError, match="class 4 is none of 4; they are numbered from 0"):
        modes.counts(np.array([4]), 4)


def test_divergence_of_equal_distributions_is_zero_whatever_their_sizes():
    assert modes.divergence([1, 2, 3], [10, 20, 30]) == 0


@pytest.mark.parametrize("found", [1, 8, 99, 1000])
def test_divergence_of_evenly_found_modes_from_all_is_the_log_of_the_ratio(found):
    assert modes.divergence(np.arange(1000) < found, np.ones(1000)) == pytest.approx(math.log(1000 / found))


def test_divergence_of_two_coins_is_the_closed_form_and_not_symmetric():
    wanted = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert modes.divergence([9, 1], [1, 1]) == pytest.approx(wanted)
    assert modes.divergence([1, 1], [9, 1]) == pytest.approx(-0.5 * math.log(4 * 0.9 * 0.1))


def test_divergence_from_what_never_occurs_is_infinite():
    assert modes.divergence([1, 1], [2, 0]) == math.inf
    with pytest.raises(ValueError, match="no sample has a class"):
        modes.divergence([0, 0], [1, 1])


def test_divergence_of_true_samples_is_about_half_a_class_a_sample():
    """2N · KL is χ² with K − 1 degrees of freedom in the limit: 999 ± 45, held to five deviations."""
    drawn = streams.integers(streams.key(0, "test"), np.arange(100_000), 1000)
    assert 2 * 100_000 * modes.divergence(modes.counts(drawn, 1000), np.ones(1000)) == pytest.approx(999, abs=5 * 45)


def test_a_point_is_near_a_mode_up_to_three_deviations():
    centres = np.array([[0.0, 0.0], [1.0, 0.0]])
    points = np.array([[0.0, 0.0], [0.0, 0.3], [0.0, 0.3001], [0.8, 0.0], [0.5, 0.0]])
    found = modes.near(points, centres, 0.1)
    assert found.tolist() == [0, 0, -1, 1, -1] and modes.good_share(found) == pytest.approx(0.6)


def test_the_share_of_good_samples_of_the_truth_is_rayleighs():
    """A plane Gaussian lies within 3σ with probability 1 − exp(−9/2) = .98889; of 100,000, ± .00033, held to five."""
    points = streams.normal(streams.key(0, "test"), np.arange(100_000), 2) * np.float32(0.01)
    found = modes.near(points, np.zeros((1, 2)), 0.01)
    assert modes.good_share(found) == pytest.approx(1 - math.exp(-4.5), abs=5 * 0.00033)
