"""Random numbers by (seed, purpose, index)."""

import numpy as np
import pytest

from gan import streams


def test_philox_gives_the_published_numbers():
    """Known answers of Philox4x32-10 from the authors' Random123 (kat_vectors): counter 0, key 0."""
    expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert streams.words(0, np.array([0]), 4)[0].tolist() == expected


def test_every_bit_of_the_index_and_of_the_key_counts():
    """Evaluations draw by seeds above 2**40: were the upper half left out, each would begin with the images that people look at."""
    ones = [1 << bit for bit in range(64)]
    by_index = streams.words(0, np.array([0, *ones], np.uint64), 4)
    by_key = np.concatenate([streams.words(one, np.array([0]), 4) for one in ones])
    assert len(np.unique(np.concatenate([by_index, by_key]), axis=0)) == 1 + 2 * 64


@pytest.mark.parametrize("draw", [streams.uniform, streams.normal])
def test_a_draw_is_the_same_in_any_batch(draw):
    stream = streams.key(7, "test")
    together = draw(stream, np.arange(100), 13)
    alone = np.concatenate([draw(stream, np.array([index]), 13) for index in range(100)])
    assert (together == alone).all()


def test_two_purposes_share_no_numbers():
    one, other = (streams.words(streams.key(0, purpose), np.arange(1000), 4) for purpose in ("a", "b"))
    assert not (one == other).any(axis=1).any()


def test_normal_has_mean_zero_and_unit_variance():
    values = streams.normal(streams.key(1, "moments"), np.arange(20_000), 16).astype(np.float64)
    error = 5 / np.sqrt(values.size)  # five standard errors of the mean
    assert abs(values.mean()) < error
    assert abs(values.var() - 1) < np.sqrt(2) * error
    assert abs((values**4).mean() - 3) < np.sqrt(96) * error


def test_uniform_fills_the_open_interval_evenly():
    values = streams.uniform(streams.key(1, "even"), np.arange(50_000), 4)
    assert 0 < values.min() and values.max() < 1
    counts, _ = np.histogram(values, bins=50, range=(0, 1))
    expected = values.size / 50
    assert ((counts - expected) ** 2 / expected).sum() < 100  # chi-squared, 49 degrees: beyond is one in 100,000


def test_permutation_holds_each_number_once():
    assert sorted(streams.permutation(streams.key(0, "order"), 1001)) == list(range(1001))


def test_choice_follows_its_weights():
    drawn = streams.choice(streams.key(0, "classes"), np.arange(60_000), np.array([1, 0, 2]))
    counts = np.bincount(drawn, minlength=3)
    assert counts[1] == 0
    assert abs(counts[0] - 20_000) < 5 * np.sqrt(60_000 * 2 / 9)
