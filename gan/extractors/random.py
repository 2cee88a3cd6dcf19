"""Protocol `random`: a convolutional network that nobody trained, for smoke tests and images of unusual channels.

Its distances order gross differences and mean little beyond that; report none of them.
"""

import numpy as np
import pydantic
import torch
from torch import Tensor, nn

from .. import choices, images, streams
from ._fitting import Fitting, Labelled

OWN = ("width",)  # a quarter of its features
HAS_SCORE = False

SMALL: choices.Section = {"width": 8, "seed": 0}


class Config(choices.Config):
    """`width`: channels of each layer, of which four times as many features come; `seed`: of the weights."""

    width: int = pydantic.Field(ge=1, strict=True)
    seed: int = pydantic.Field(ge=0, strict=True)


def defaults(fit: choices.Fit) -> choices.Section:
    """128 features."""
    return {"width": 32, "seed": 0}


class Network(nn.Module):
    """Pixels (N, C, H, W) uint8 -> features (N, 4 * width), no logits (N, 0). Halved until a side has at most 4 pixels."""

    def __init__(self, shape: tuple[int, int, int], config: Config):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(shape[0], config.width, 3, padding=1), nn.LeakyReLU(0.2)]
        side = min(shape[1:])
        while side > 4:
            layers += [nn.Conv2d(config.width, config.width, 3, 2, 1), nn.LeakyReLU(0.2)]
            side = (side + 1) // 2
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        for number, layer in enumerate(layer for layer in layers if isinstance(layer, nn.Conv2d)):
            _draw(layer, streams.key(config.seed, f"extractor/random/{number}"))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.layers(images.pixels_to_images(pixels))
        return features, features[:, :0]


@torch.no_grad()
def _draw(layer: nn.Conv2d, stream: int) -> None:
    """Weights that keep the scale of activations (He et al. 2015, arXiv:1502.01852), a filter an index; no bias."""
    fan_in = layer.weight[0].numel()
    drawn = streams.normal(stream, np.arange(len(layer.weight)), fan_in) * (2 / fan_in) ** 0.5
    layer.weight.copy_(torch.from_numpy(drawn).view_as(layer.weight))
    if layer.bias is not None:
        layer.bias.zero_()


def build(config: Config, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The network, its weights drawn by the seed of its settings, for images of shape (C, H, W)."""
    return Network(shape, config)


def fit(config: Config, network: Network, train: Labelled, heldout: Labelled, seed: int) -> Fitting:
    """Nothing is trained. Returns the fact of the protocol that it is random."""
    yield len(train[0])
    return {"random": True}
