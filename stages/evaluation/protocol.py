"""The protocol that the reference stage wrote: its extractor and the real features."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

from gan import choices
from gan.metrics import frechet
from stages import artifacts, numerics

FOLDER = artifacts.ROOT / "reference"


def hashed(rules: dict) -> dict:
    """A protocol with the hash of all it says."""
    return rules | {"hash": hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()}


def read(folder: Path = FOLDER) -> dict:
    """artifacts/reference/protocol.json; ValueError where it is not the file that the stage's card names."""
    card, path = artifacts.card_of(folder.name, folder.parent), folder / "protocol.json"
    content, expected = artifacts.read_json(path), card.get("files", {}).get(path.name)
    if expected is not None and artifacts.sha256_of_file(path) != expected:
        raise ValueError(f"{path} is not what the {folder.name} stage wrote; restore it (dvc checkout), or make it again (dvc repro)")
    return content


def extractor(protocol: dict, data: dict, folder: Path = FOLDER) -> torch.nn.Module:
    """The network that takes features: pixels (N, C, H, W) uint8 -> features (N, D), logits (N, K). `data`: prepare's card."""
    module = choices.module("extractors", protocol["name"])
    network = module.build(choices.config("extractors", protocol["extractor"]), tuple(data["shape"]), len(data["classes"]))
    network.load_state_dict(artifacts.read_tensors(folder / "extractor.safetensors", safetensors.torch.load_file))
    return network.eval().requires_grad_(False).to(device(protocol))


def device(rules: dict) -> str:
    """Where the features of a protocol are computed: cpu, or cuda; ValueError where this machine has none."""
    return numerics.resolve_device(rules.get("device", "cpu"), "the protocol's device (reference.device)")


@torch.inference_mode()
def features(network: torch.nn.Module, blocks: Iterable[np.ndarray], batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) and logits (N, K) float32 of images (n, C, H, W) uint8 that come in blocks of any size.

    Computed where the network lies, and brought back a batch at a time.
    """
    device = next(itertools.chain(network.parameters(), network.buffers())).device
    with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):  # float32 is float32 on a GPU too
        batches = [_what_fits(network, torch.from_numpy(batch).to(device)) for batch in _regrouped(blocks, batch_size)]
    if not batches:
        raise ValueError("there is no image to take features of")
    taken, logits = (torch.cat(part).numpy() for part in zip(*batches))
    return frechet.checked(taken), logits


def _what_fits(network: torch.nn.Module, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch at once, or in halves of halves where a GPU has no room for it."""
    try:
        features, logits = (part.float().cpu() for part in network(pixels))
        return features, logits
    except torch.OutOfMemoryError:
        if len(pixels) == 1:
            raise
    halves = [_what_fits(network, half) for half in pixels.chunk(2)]
    return torch.cat([half[0] for half in halves]), torch.cat([half[1] for half in halves])


def _regrouped(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same images in blocks of `size`, the last one smaller: batches decide bits, so how images come must not."""
    waiting: list[np.ndarray] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        while count >= size:
            together = np.concatenate(waiting)
            yield together[:size]
            waiting, count = [together[size:]], count - size
    if count:
        yield np.concatenate(waiting)


def real_features(folder: Path = FOLDER) -> dict[str, np.ndarray]:
    """`train.features` (N, D), `train.logits` (N, K), `heldout.features`, `heldout.logits`, float32."""
    return artifacts.read_tensors(folder / "features.safetensors", safetensors.numpy.load_file)
