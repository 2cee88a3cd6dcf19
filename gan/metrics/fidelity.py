"""torch-fidelity's own FID, IS, KID and precision/recall of features: the reference that ours are held to, in tests and benchmarks.

Its traps are met here: misspelt keywords (checked), float32 means (features are given as float64), a subset size over n (refused).
"""

import numpy as np
import torch
import torch_fidelity
from torch import Tensor
from torch_fidelity.defaults import DEFAULTS
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

_ROWS = 2000  # of distances at a time


def fid(generated: np.ndarray, real: np.ndarray) -> float:
    """Fréchet distance of features (N, D) and (M, D)."""
    statistics = [fid_features_to_statistics(_double(features)) for features in (generated, real)]
    return fid_statistics_to_metric(*statistics, verbose=False)[torch_fidelity.KEY_METRIC_FID]


def inception_score(logits: np.ndarray, splits: int) -> float:
    """exp E KL(p(y|x) ‖ p(y)) of logits (N, K), mean over splits."""
    if splits > len(logits):
        raise ValueError(f"evaluate.isc_splits is {splits}, more than the {len(logits)} images to split")
    return isc_features_to_metric(torch.from_numpy(logits), splits)[torch_fidelity.KEY_METRIC_ISC_MEAN]


def kid(generated: np.ndarray, real: np.ndarray, subsets: int, subset_size: int) -> float:
    """Squared maximum mean discrepancy, cubic kernel, mean over random subsets of features (N, D) and (M, D)."""
    if subset_size > (smallest := min(len(generated), len(real))):
        raise ValueError(f"evaluate.kid_subset_size is {subset_size}, more than the {smallest} images there are; lower it")
    options = _checked(kid_subsets=subsets, kid_subset_size=subset_size, verbose=False)
    return kid_features_to_metric(_double(generated), _double(real), **options)[torch_fidelity.KEY_METRIC_KID_MEAN]


def precision_recall(generated: np.ndarray, real: np.ndarray, neighborhood: int) -> tuple[float, float]:
    """Shares of generated features within the real manifold, and of real ones within the generated.

    Memory: `_ROWS` × the larger number of images at a time, not their square: 56,000 images would take 25 GB each time.
    """
    if neighborhood >= (smallest := min(len(generated), len(real))):
        raise ValueError(f"evaluate.neighborhood is {neighborhood}, but there are only {smallest} images; lower it")
    options = _checked(prc_neighborhood=neighborhood, prc_batch_size=_ROWS, save_cpu_ram=True, verbose=False)
    found = prc_features_to_metric(_double(generated), _double(real), **options)
    return found[torch_fidelity.KEY_METRIC_PRECISION], found[torch_fidelity.KEY_METRIC_RECALL]


def _double(features: np.ndarray) -> Tensor:
    return torch.from_numpy(features.astype(np.float64))


def _checked(**options: object) -> dict[str, object]:
    unknown = set(options) - set(DEFAULTS)
    assert not unknown, f"torch-fidelity has no {unknown}"
    return options
