"""The Inception Score of sure, unsure and random classes."""

import numpy as np
import pytest

from gan.metrics import fidelity
from gan.metrics.inception_score import inception_score


def test_score_of_sure_and_even_classes_is_their_number_and_of_unsure_ones_is_one():
    logits = np.eye(10, dtype=np.float32)[np.arange(1000) % 10] * 1000
    assert inception_score(logits, splits=1) == pytest.approx(10, rel=1e-12)
    assert inception_score(np.zeros((1000, 10), np.float32), splits=10) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_score_is_torch_fidelitys(splits):
    logits = np.random.default_rng(0).standard_normal((301, 7)).astype(np.float32) * 3
    assert inception_score(logits, splits) == pytest.approx(fidelity.inception_score(logits, splits), rel=1e-12)


@pytest.mark.parametrize("splits", [0, 6])
def test_splits_without_images_are_refused(splits):
    with pytest.raises(ValueError, match=f"isc_splits is {splits}: .* 5 images"):
        inception_score(np.zeros((5, 3)), splits)
