"""The protocol that the reference stage wrote: its extractor and the real features."""

import json
from pathlib import Path

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

from gan import choices
from stages import artifacts

_FOLDER = artifacts.ROOT / "reference"


def read() -> dict:
    """artifacts/reference/protocol.json."""
    artifacts.card_of("reference")
    return json.loads((_FOLDER / "protocol.json").read_text("utf-8"))


def extractor(protocol: dict, data: dict, folder: Path = _FOLDER) -> torch.nn.Module:
    """The network that takes features: pixels (N, C, H, W) uint8 -> features (N, D), logits (N, K). `data`: prepare's card."""
    module = choices.module("extractors", protocol["name"])
    network = module.build(choices.config("extractors", protocol["extractor"]), tuple(data["shape"]), len(data["classes"]))
    network.load_state_dict(safetensors.torch.load_file(folder / "extractor.safetensors"))
    return network.eval().requires_grad_(False)


def real_features() -> dict[str, np.ndarray]:
    """`train.features` (N, D), `train.logits` (N, K), `heldout.features`, `heldout.logits`, float32."""
    return safetensors.numpy.load_file(_FOLDER / "features.safetensors")
