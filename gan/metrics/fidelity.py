"""torch-fidelity's own FID, IS, KID and precision/recall, of features that a registered extractor takes once.

Its traps are met here: a cache keyed by name (off), worker processes (off), misspelt keywords (checked), float32 means
(features are given as float64), a subset size over n (refused).
"""

import numpy as np
import torch
import torch_fidelity
from torch import Tensor, nn
from torch_fidelity.defaults import DEFAULTS
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
from torch_fidelity.utils import create_feature_extractor, get_featuresdict_from_dataset

FEATURES, LOGITS = "features", "logits"
_ROWS = 2000  # of distances at a time


class Pixels(torch.utils.data.Dataset):
    """Images (N, C, H, W) uint8 as torch-fidelity takes them."""

    def __init__(self, pixels: np.ndarray):
        self.pixels = torch.from_numpy(pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, number: int) -> Tensor:
        return self.pixels[number]


def register(name: str, network: nn.Module) -> None:
    """Make a network (pixels uint8 -> features, logits) torch-fidelity's feature extractor `name`."""

    class Extractor(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **options: object):
            super().__init__(name, features_list)
            self.network = network

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return FEATURES, LOGITS

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return LOGITS if metric == "isc" else FEATURES

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
            found = dict(zip((FEATURES, LOGITS), self.network(pixels), strict=True))
            return tuple(found[layer] for layer in self.features_list)

    FEATURE_EXTRACTORS_REGISTRY.pop(name, None)
    torch_fidelity.register_feature_extractor(name, Extractor)


def extract(name: str, pixels: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) and logits (N, K) of images (N, C, H, W) uint8, by a registered extractor."""
    extractor = create_feature_extractor(name, [FEATURES, LOGITS], cuda=False, verbose=False)
    found = get_featuresdict_from_dataset(
        Pixels(pixels), extractor, batch_size, cuda=False, save_cpu_ram=True, verbose=False
    )
    return found[FEATURES].numpy(), found[LOGITS].numpy()


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


def _checked(**options: object) -> dict:
    unknown = set(options) - set(DEFAULTS)
    assert not unknown, f"torch-fidelity has no {unknown}"
    return options
