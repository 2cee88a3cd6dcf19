"""Protocol `dinov2`: the class token of DINOv2 (Oquab et al. 2023, arXiv:2304.07193), whose distances agree best with people.

Which Stein et al. 2023 (arXiv:2306.04675) found by asking them. torch-fidelity has this network by running code that it
downloads; here it is written out, with the names of the published weights, so that a file of plain tensors is all it needs.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from .. import choices
from . import _pictures, _weights
from ._fitting import Fitting, Labelled

HAS_SCORE = False

SMALL: choices.Section = {"variant": "vit-s-14", "sha256": "0" * 64}

_SIZE, _PATCH, _GRID = 224, 14, 37  # pixels a side of an image and of a patch; patches a side that it was trained with
_FORMS = {"vit-s-14": (384, 12, 6), "vit-b-14": (768, 12, 12), "vit-l-14": (1024, 24, 16)}  # width, depth, heads
_URL = "https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth"

Variant = Literal["vit-s-14", "vit-b-14", "vit-l-14"]


class Config(choices.Config):
    """`weights`: a file or a URL, null for the publisher's of this variant; `sha256`: of that file, which nobody publishes."""

    variant: Variant
    weights: str | None = None
    sha256: _weights.Sha256
    resize: _pictures.Resize = "tf1"


def defaults(fit: choices.Fit) -> choices.Section:
    """The smallest. The hash of its file is to be found out."""
    return {"variant": "vit-s-14"}


class Scale(nn.Module):
    """Each channel of a branch by a factor of its own (Touvron et al. 2021, arXiv:2103.17239)."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


class Attention(nn.Module):
    """Self-attention of tokens (N, T, width)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        queries, keys, values = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(nn.functional.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """Two layers, token by token."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(tokens)))


class Block(nn.Module):
    """A transformer's layer: each branch normalised before and scaled behind."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(width, eps=1e-6), Attention(width, heads), Scale(width)
        self.norm2, self.mlp, self.ls2 = nn.LayerNorm(width, eps=1e-6), Perceptron(width), Scale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class Transformer(nn.Module):
    """Images (N, 3, H, W) of a whole number of patches, normalised -> class tokens (N, width)."""

    def __init__(self, width: int, depth: int, heads: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _GRID**2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, _PATCH, _PATCH)})
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](images)
        patches = (patches + self._places(*patches.shape[2:])).flatten(2).transpose(1, 2)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        return self.norm(self.blocks(torch.cat([first, patches], 1))[:, 0])

    def _places(self, height: int, width: int) -> Tensor:
        """Embedding of each patch's place, (1, width, height, width); a tenth of a patch too wide, as published."""
        grid = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (_GRID, _GRID))
        if (height, width) == (_GRID, _GRID):
            return grid
        factors = ((height + 0.1) / _GRID, (width + 0.1) / _GRID)
        return nn.functional.interpolate(grid, scale_factor=factors, mode="bicubic")


class Network(nn.Module):
    """Pixels (N, 1 | 3, H, W) uint8 -> features (N, 384 | 768 | 1024), no logits (N, 0); grey is repeated to RGB."""

    def __init__(self, variant: Variant, resize: _pictures.Resize):
        super().__init__()
        self.resize, self.model = resize, Transformer(*_FORMS[variant])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model(_pictures.normalised(pixels, _SIZE, self.resize, *_pictures.IMAGENET))
        return features, features[:, :0]


def build(config: Config, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The network before its weights, for images of shape (C, H, W)."""
    _pictures.check_channels(shape, "dinov2")
    with torch.device("meta"):
        network = Network(config.variant, config.resize)
    return network.to_empty(device="cpu")


def fit(config: Config, network: Network, train: Labelled, heldout: Labelled, seed: int) -> Fitting:
    """Nothing is trained: the weights are found, checked and read. Returns the facts of the protocol."""
    name = "dinov2_" + config.variant.replace("-", "")
    _weights.load(network.model, config.weights or _URL.format(name=name), config.sha256, _without_mask)
    yield len(train[0])
    return {"weights_sha256": config.sha256}


def _without_mask(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors without the token that stands for hidden patches in their training."""
    return {name: tensor for name, tensor in tensors.items() if name != "mask_token"}
