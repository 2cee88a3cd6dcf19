"""Protocol `inception`: torch-fidelity's inception-v3-compat, the field's reference for natural images.

Its weights are given by path or URL and checked by SHA-256 before they are opened, and only plain tensors are read.
"""

import hashlib
import io
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pydantic
import torch
from torch import Tensor, nn

from .. import choices

HAS_SCORE = True

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"


SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class Config(choices.Config):
    """`weights`: a file inside or outside the project, or a URL; `sha256`: of that file."""

    weights: str = URL
    sha256: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")] = SHA256


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
    path = _file(config)
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != config.sha256:
        raise ValueError(
            f"{path} has SHA-256 {found}, reference.protocol.sha256 says {config.sha256}; it was not opened. "
            "Fetch the file again, or give the hash of the file that is meant"
        )
    network.inception.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    yield len(train[0])
    return {"weights_sha256": found}


def _file(config: Config) -> Path:
    """The weights file, downloaded into the user's cache where a URL is given."""
    if "://" not in config.weights:
        if not Path(config.weights).is_file():
            raise FileNotFoundError(f"{config.weights}, reference.protocol.weights, is no file; {_WAYS_OUT}")
        return Path(config.weights)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ganline" / config.sha256
    if not cache.is_file():
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(f".{os.getpid()}")
        try:
            with urllib.request.urlopen(config.weights, timeout=30) as answer, open(partial, "wb") as file:
                while chunk := answer.read(1 << 20):
                    file.write(chunk)
            os.replace(partial, cache)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise FileNotFoundError(f"{config.weights} could not be fetched ({error}); {_WAYS_OUT}") from None
        finally:
            partial.unlink(missing_ok=True)
    return cache


_WAYS_OUT = (
    f"fetch {URL} on a machine that can and give its path as reference.protocol.weights, or set reference.protocol.name "
    "to classifier (labels) or pretext (no labels). Scores of different protocols cannot be compared"
)
