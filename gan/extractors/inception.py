"""Protocol `inception`: torch-fidelity's inception-v3-compat, the field's reference for natural images.

Its weights are given by path or URL and checked by SHA-256 before they are opened, and only plain tensors are read. The
features are torch-fidelity's to float32's rounding, more than twice as fast on a CPU: batch norms are folded into their
convolutions, channels lie last, resizing is products of narrow matrices, so few images are in flight that they stay in the cache, and
convolutions of seven taps are products of Fourier transforms.
"""

import copy
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .. import choices
from . import _fourier, _pictures, _weights
from ._fitting import Fitting, Labelled

HAS_SCORE = True

SMALL: choices.Section = {}

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

_IMAGES_AT_ONCE = {"cpu": 16, "cuda": 128}
_SIZE = 299  # pixels a side


class Config(choices.Config):
    """`weights`: a file inside or outside the project, or a URL; `sha256`: of that file.

    `resize`: tf1 as in the FID that everybody reports, or clean as in clean-fid. `precision`: bfloat16 is a quick protocol of
    its own, on processors that have it twice as fast again, and never for a reported number.
    """

    weights: str = URL
    sha256: _weights.Sha256 = SHA256
    resize: _pictures.Resize = "tf1"
    precision: Literal["float32", "bfloat16"] = "float32"


class Network(nn.Module):
    """Pixels (N, 1 | 3, H, W) uint8 -> features (N, 2048), logits without bias (N, 1008); grey is repeated to RGB.

    Its state is torch-fidelity's. What is computed with is derived from it at the first use, and again after it has changed.
    """

    _derived: list[nn.Module]  # in a list, so that it is no part of the state

    def __init__(self, resize: _pictures.Resize = "tf1", precision: Literal["float32", "bfloat16"] = "float32") -> None:
        super().__init__()
        self.inception = _without_weights()
        self.resize, self.dtype = resize, getattr(torch, precision)
        self._forget()
        self.inception.register_load_state_dict_post_hook(lambda module, keys: self._forget())

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        on_cpu, at_once = pixels.device.type == "cpu", _IMAGES_AT_ONCE.get(pixels.device.type, 16)
        if not self._derived:
            self._derived = [_folded(self.inception, by_transforms=on_cpu and self.dtype == torch.float32).to(self.dtype)]
        features = torch.cat(
            _by_threads(self._features, pixels, at_once) if on_cpu else [self._features(few) for few in pixels.split(at_once)]
        )
        return features, features @ self.inception.get_parameter("fc.weight").T

    def _features(self, pixels: Tensor) -> Tensor:
        images = (_pictures.resize(pixels, _SIZE, self.resize) - 128) / 128
        images = images.expand(-1, 3, -1, -1).to(self.dtype, memory_format=torch.channels_last)
        return self._derived[0](images).mean((2, 3), dtype=torch.float32)

    def _forget(self) -> None:
        self._derived = []

    def _apply(self, *rest: Any, **options: Any) -> Self:  # of .to(device) and its like
        self._forget()
        return super()._apply(*rest, **options)  # type: ignore[no-untyped-call]  # torch has none here


@torch.inference_mode(False)
@torch.no_grad()
def _folded(network: nn.Module, by_transforms: bool) -> nn.Sequential:
    """The layers before the average over all places; each batch norm of running statistics folded into its convolution.

    `by_transforms`: the convolutions of seven taps along one axis by Fourier transforms, a fifth of the whole on a CPU and nearly
    twice as fast so; those of three gain nothing.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d

    layers = nn.Sequential(*(copy.deepcopy(layer) for name, layer in network.named_children() if name not in ("AvgPool", "fc")))
    for parent in list(layers.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, BasicConv2d):
                folded = fuse_conv_bn_eval(layer.conv.eval(), layer.bn.eval())
                faster = by_transforms and max(folded.kernel_size) > 3 and _fourier.fits(folded)
                setattr(parent, name, nn.Sequential(_fourier.Conv2d(folded) if faster else folded, nn.ReLU(inplace=True)))
    return layers.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _by_threads(work: Callable[[Tensor], Tensor], images: Tensor, at_once: int) -> list[Tensor]:
    """`work` of parts of at most `at_once` images, torch's threads shared out among them: they do not meet at the end of each operation."""
    threads, without_gradients = torch.get_num_threads(), torch.is_inference_mode_enabled()
    rounds = max(1, -(-len(images) // (at_once * threads)))
    parts = images.chunk(rounds * threads)  # as many for each thread
    workers = min(threads, len(parts))

    def with_a_share(part: Tensor) -> Tensor:
        torch.get_num_threads()  # a new thread takes torch's number at its first use, over what was set before
        torch.set_num_threads(threads // workers)  # of this thread
        with torch.inference_mode(without_gradients):
            return work(part)

    if workers < 2:
        return [work(part) for part in parts]
    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(with_a_share, parts))
    finally:
        torch.set_num_threads(threads)  # of this thread, and of those to come


def _without_weights() -> nn.Module:
    """torch-fidelity's network before any weights: its constructor wants a file, so it reads an empty one in memory."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Bare(FeatureExtractorInceptionV3):  # type: ignore[misc]  # torch-fidelity has no types
        def load_state_dict(self, state_dict: _weights.Tensors, *rest: object, **options: object) -> object:
            return super().load_state_dict(state_dict, *rest, **options) if state_dict else None

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    return Bare("inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=empty)


def build(config: Config, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The network with random weights, for images of shape (C, H, W)."""
    _pictures.check_channels(shape, "inception")
    return Network(config.resize, config.precision)


def fit(config: Config, network: Network, train: Labelled, heldout: Labelled, seed: int) -> Fitting:
    """Nothing is trained: the weights are found, checked and read. Returns the facts of the protocol."""
    _weights.load(network.inception, config.weights, config.sha256)
    yield len(train[0])
    return {"weights_sha256": config.sha256}
