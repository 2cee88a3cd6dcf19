"""Protocol `inception`: torch-fidelity's inception-v3-compat, the field's reference for natural images.

Its weights are given by path or URL and checked by SHA-256 before they are opened, and only plain tensors are read.
"""

import io
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .. import choices
from . import _weights

HAS_SCORE = True

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class Config(choices.Config):
    """`weights`: a file inside or outside the project, or a URL; `sha256`: of that file."""

    weights: str = URL
    sha256: _weights.Sha256 = SHA256


class Network(nn.Module):
    """Pixels (N, 1 | 3, H, W) uint8 -> features (N, 2048), logits without bias (N, 1008); grey is repeated to RGB."""

    def __init__(self) -> None:
        super().__init__()
        self.inception = _without_weights()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return self.inception(pixels.expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels)


def _without_weights() -> nn.Module:
    """torch-fidelity's network before any weights: its constructor wants a file, so it reads an empty one in memory."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Bare(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict: dict, *rest: object, **options: object) -> object:
            return super().load_state_dict(state_dict, *rest, **options) if state_dict else None

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    return Bare("inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=empty)


def build(config: Config, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The network with random weights, for images of shape (C, H, W)."""
    if shape[0] not in (1, 3):
        raise ValueError(f"protocol inception takes 1 or 3 channels, not prepare.channels {shape[0]}")
    return Network()


def fit(config: Config, network: nn.Module, train: tuple, heldout: tuple, seed: int) -> Iterator[int]:
    """Nothing is trained: the weights are found, checked and read. Returns the facts of the protocol."""
    _weights.load(network.inception, config.weights, config.sha256)
    yield len(train[0])
    return {"weights_sha256": config.sha256}
