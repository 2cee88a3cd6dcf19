"""Protocol `vgg16`: the second hidden layer of a VGG-16 trained on ImageNet, as torch-fidelity takes it.

Simonyan & Zisserman 2014 (arXiv:1409.1556); the features of improved precision and recall (Kynkäänniemi et al. 2019,
arXiv:1904.06991). The weights are torchvision's.
"""

import torch
from torch import Tensor, nn

from .. import choices
from . import _pictures, _weights
from ._fitting import Fitting, Labelled

HAS_SCORE = False

SMALL: choices.Section = {"sha256": "0" * 64}

_SIZE = 224  # pixels a side
_TAIL = slice(-3, None)  # of torchvision's classifier: ReLU, dropout and classes behind the second hidden layer


class Config(choices.Config):
    """`weights`: a file or a URL; `sha256`: of that file, whose publisher names its first eight digits only."""

    weights: str = "https://download.pytorch.org/models/vgg16-397923af.pth"
    sha256: _weights.Sha256
    resize: _pictures.Resize = "tf1"


class Network(nn.Module):
    """Pixels (N, 1 | 3, H, W) uint8 -> features (N, 4096) >= 0, no logits (N, 0); grey is repeated to RGB."""

    def __init__(self, resize: _pictures.Resize):
        super().__init__()
        from torchvision.models import vgg16

        self.resize, self.model = resize, vgg16(init_weights=False)
        del self.model.classifier[_TAIL]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model(_pictures.normalised(pixels, _SIZE, self.resize, *_pictures.IMAGENET)).relu()
        return features, features[:, :0]


def build(config: Config, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The network before its weights, for images of shape (C, H, W)."""
    _pictures.check_channels(shape, "vgg16")
    with torch.device("meta"):
        network = Network(config.resize)
    return network.to_empty(device="cpu")


def fit(config: Config, network: Network, train: Labelled, heldout: Labelled, seed: int) -> Fitting:
    """Nothing is trained: the weights are found, checked and read. Returns the facts of the protocol."""
    _weights.load(network.model, config.weights, config.sha256, _without_classes)
    yield len(train[0])
    return {"weights_sha256": config.sha256}


def _without_classes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's weights without those of the last layer."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier.6.")}
