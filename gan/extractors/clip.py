"""Protocol `clip`: the image tower of CLIP ViT-B/32 (Radford et al. 2021, arXiv:2103.00020), as torch-fidelity takes it.

Features of what a picture shows rather than of ImageNet's thousand classes (Kynkäänniemi et al. 2023, arXiv:2203.06026).
"""

import torch
from torch import Tensor, nn

from .. import choices
from . import _pictures, _weights
from ._fitting import Fitting, Labelled

HAS_SCORE = False

SMALL: choices.Section = {}

SHA256 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
URL = f"https://openaipublic.azureedge.net/clip/models/{SHA256}/ViT-B-32.pt"

_SIZE = 224  # pixels a side
_FORM = {"input_resolution": _SIZE, "patch_size": 32, "width": 768, "layers": 12, "heads": 12, "output_dim": 512}
_NORMAL = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of the images CLIP was trained on


class Config(choices.Config):
    """`weights`: a file or a URL, the publisher's archive or its tensors alone; `sha256`: of that file."""

    weights: str = URL
    sha256: _weights.Sha256 = SHA256
    resize: _pictures.Resize = "tf1"


class Network(nn.Module):
    """Pixels (N, 1 | 3, H, W) uint8 -> features (N, 512), no logits (N, 0); grey is repeated to RGB."""

    def __init__(self, resize: _pictures.Resize):
        super().__init__()
        from torch_fidelity.feature_extractor_clip import VisionTransformer

        self.resize, self.visual = resize, VisionTransformer(**_FORM)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.visual(_pictures.normalised(pixels, _SIZE, self.resize, *_NORMAL))
        return features, features[:, :0]


def build(config: Config, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The network before its weights, for images of shape (C, H, W)."""
    _pictures.check_channels(shape, "clip")
    with torch.device("meta"):
        network = Network(config.resize)
    return network.to_empty(device="cpu")


def fit(config: Config, network: Network, train: Labelled, heldout: Labelled, seed: int) -> Fitting:
    """Nothing is trained: the weights are found, checked and read. Returns the facts of the protocol."""
    _weights.load(network.visual, config.weights, config.sha256, _of_images)
    yield len(train[0])
    return {"weights_sha256": config.sha256}


def _of_images(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The image tower's tensors; published in half precision, computed with in float32."""
    return {name.removeprefix("visual."): tensor.float() for name, tensor in tensors.items() if name.startswith("visual.")}
