"""A trained generator or discriminator: a folder with safetensors and card.json. Save, load, sample by seed.

An image is named by one seed (and a label, where classes are used). Images are made in blocks of a fixed size that the
card gives, the last one padded, by the card's number of threads: other batch sizes would give other bits.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from . import choices, images, streams

FORMAT = "ganline-generator"
VERSION = 1
BLOCK_SIZE = 32  # images made at a time


def build_generator(card: dict) -> nn.Module:
    """An untrained generator of the card's network, latent, classes and shape."""
    config, latent = choices.config("networks", card["network"]), choices.config("latents", card["latent"])
    network = choices.module("networks", card["network"]["name"]).Generator(
        config, latent_size=latent.size, num_classes=_num_classes(card), shape=shape(card)
    )
    room = choices.module("latents", card["latent"]["name"])
    if not hasattr(room, "Layer"):
        return network
    embedded = StyledEmbedded if hasattr(network, "to_styles") else Embedded
    return embedded(room.Layer(latent), network, room.raw_size(latent))


class Embedded(nn.Module):
    """A generator's network behind the learned layer of its latent space: raw samples (N, S[+E]) -> images (N, C, H, W)."""

    def __init__(self, layer: nn.Module, network: nn.Module, raw_size: int):
        super().__init__()
        self.layer, self.network, self.raw_size = layer, network, raw_size

    def forward(self, latents_NZ: Tensor, labels_N: Tensor | None = None) -> Tensor:
        return self.network(self.embedded(latents_NZ), labels_N)

    def embedded(self, latents_NZ: Tensor) -> Tensor:
        """The latents that the network takes: (N, Z[+E])."""
        return torch.cat([self.layer(latents_NZ[:, : self.raw_size]), latents_NZ[:, self.raw_size :]], dim=1)


class StyledEmbedded(Embedded):
    """The same for a network with styles and draws of its own. A second style's latents teach the layer nothing."""

    def draws(self, sample: Callable[[int, np.ndarray], Tensor], stream: int, indices: np.ndarray) -> Tensor:
        device = next(self.network.parameters()).device
        with torch.no_grad():
            return self.network.draws(lambda key, places: self.layer(sample(key, places).to(device)).cpu(), stream, indices)

    def to_styles(self, latents_NZ: Tensor, labels_N: Tensor | None) -> Tensor:
        return self.network.to_styles(self.embedded(latents_NZ), labels_N)

    def from_styles(self, styles: Tensor, latents_NZ: Tensor) -> Tensor:
        return self.network.from_styles(styles, self.embedded(latents_NZ))


def build_discriminator(card: dict) -> nn.Module:
    """An untrained discriminator of the card's network, classes and shape."""
    config = choices.config("networks", card["network"])
    return choices.module("networks", card["network"]["name"]).Discriminator(
        config, num_classes=_num_classes(card), shape=shape(card)
    )


def _num_classes(card: dict) -> int:
    return len(card["classes"]) if card["conditional"] else 0


def shape(card: dict) -> tuple[int, int, int]:
    """(C, H, W) of the card's images."""
    return tuple(card["shape"])


def sampler(card: dict, network: nn.Module) -> Callable[[int, np.ndarray], Tensor]:
    """(stream, indices) -> what `network` makes images of, (N, Z[+E]): latents of the card's space and its own draws (noise)."""
    module, config = choices.module("latents", card["latent"]["name"]), choices.config("latents", card["latent"])

    def sample(stream: int, indices: np.ndarray) -> Tensor:
        return module.sample(config, stream, indices)

    def with_draws(stream: int, indices: np.ndarray) -> Tensor:
        return torch.cat([sample(stream, indices), network.draws(sample, stream, indices)], dim=1)

    return with_draws if hasattr(network, "draws") else sample


def save(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write weights as safetensors, sorted by name."""
    safetensors.torch.save_file({name: tensors[name].contiguous().cpu() for name in sorted(tensors)}, path)


def weights(folder: Path, name: str, card: dict) -> dict[str, Tensor]:
    """The tensors of folder/<name>.safetensors, after checking the SHA-256 that the card gives."""
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the train stage writes it: dvc repro train")
    content, expected = path.read_bytes(), card["files"][path.name]
    if (found := hashlib.sha256(content).hexdigest()) != expected:
        raise ValueError(f"{path} has SHA-256 {found}, its card says {expected}: it is not the file that was registered")
    return safetensors.torch.load(content)


def read_card(folder: Path) -> dict:
    """The card of a generator's folder, of a version this code knows."""
    path = folder / "card.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no card.json, so it is no generator; the train stage writes one: dvc repro train")
    card = json.loads(path.read_text("utf-8"))
    if card.get("format") != FORMAT or card.get("version", VERSION + 1) > VERSION:
        raise ValueError(
            f"{path} is {card.get('format')!r} version {card.get('version')!r}, this code reads {FORMAT!r} up to {VERSION}"
        )
    return card


def load(folder: Path) -> "Generator":
    """Open the generator of a folder; FileNotFoundError or ValueError says what is wrong with it."""
    card = read_card(folder)
    network = build_generator(card)
    network.load_state_dict(weights(folder, "generator", card))
    return Generator(card, network)


def load_discriminator(folder: Path) -> "Discriminator":
    """Open the discriminator of a folder; FileNotFoundError or ValueError says what is wrong with it."""
    card = read_card(folder)
    network = build_discriminator(card)
    network.load_state_dict(weights(folder, "discriminator", card))
    return Discriminator(card, network)


class Generator:
    """A network in evaluation mode with the card that says what it is."""

    def __init__(self, card: dict, network: nn.Module):
        self.card = card
        self.network = network.eval()
        self.latents = sampler(card, self.network)

    def labels(self, seeds: Sequence[int]) -> np.ndarray:
        """The label (N,) int64 of each seed where none is asked for: drawn by the data's histogram."""
        return streams.choice(streams.key(0, "image/label"), _seeds(seeds), np.asarray(self.card["class_counts"]))

    def sample(self, seeds: Sequence[int], labels: Sequence[int] | None = None) -> np.ndarray:
        """Images (N, C, H, W) uint8 of seeds (N,) >= 0 and labels (N,); the same pair gives the same bytes in any batch."""
        return np.concatenate(list(self.blocks(seeds, labels)) or [self._none()])

    def blocks(self, seeds: Sequence[int], labels: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        """As `sample`, in blocks of at most `block_size` images, so that any number fits into memory."""
        indices, chosen = _seeds(seeds), self._checked(seeds, labels)
        for start in range(0, len(indices), self.card["block_size"]):
            here = slice(start, start + self.card["block_size"])
            yield self._block(indices[here], None if chosen is None else chosen[here])

    def _none(self) -> np.ndarray:
        return np.empty((0, *shape(self.card)), np.uint8)

    def _checked(self, seeds: Sequence[int], labels: Sequence[int] | None) -> np.ndarray | None:
        if not self.card["conditional"]:
            if labels is not None:
                raise ValueError("this generator was trained without classes; leave the labels out")
            return None
        chosen = self.labels(seeds) if labels is None else np.asarray(labels, np.int64)
        classes = self.card["classes"]
        if chosen.shape != (len(seeds),) or ((chosen < 0) | (chosen >= len(classes))).any():
            raise ValueError(f"labels must be {len(seeds)} numbers from 0 to {len(classes) - 1} ({', '.join(classes)})")
        return chosen

    @torch.inference_mode()
    def _block(self, indices: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        places = np.arange(self.card["block_size"]).clip(max=len(indices) - 1)  # padded by repeating the last
        device = next(self.network.parameters()).device
        latents = self.latents(streams.key(0, "image/latent"), indices[places]).to(device)
        chosen = None if labels is None else torch.from_numpy(labels[places]).to(device)
        with threads(self.card["threads"]):
            made = self.network(latents, chosen)
        return images.images_to_pixels(made)[: len(indices)].cpu().numpy()


class Discriminator:
    """A network in evaluation mode: how real an image looks to it."""

    def __init__(self, card: dict, network: nn.Module):
        self.card = card
        self.network = network.eval()

    @torch.inference_mode()
    def probability(self, pixels: np.ndarray, labels: Sequence[int] | None = None) -> np.ndarray:
        """The probability (N,) in [0, 1] that images (N, C, H, W) uint8 are real: sigmoid of the logit."""
        if self.card["conditional"] and labels is None:
            raise ValueError("this discriminator was trained with classes; give a label for each image")
        if pixels.shape[1:] != shape(self.card):
            raise ValueError(f"images are {pixels.shape[1:]}, this discriminator takes (C, H, W) {shape(self.card)}")
        chosen = torch.as_tensor(np.asarray(labels, np.int64)) if self.card["conditional"] else None
        with threads(self.card["threads"]):
            logits = self.network(images.pixels_to_images(torch.from_numpy(pixels)), chosen)
        return (logits if logits.ndim == 1 else logits[:, 0]).float().sigmoid().numpy()  # beside it: an auxiliary classifier's


def _seeds(seeds: Sequence[int]) -> np.ndarray:
    array = np.asarray(seeds)
    if array.size and (array.dtype.kind not in "iu" or array.min() < 0):
        raise ValueError("seeds must be whole numbers, 0 or more")
    return array.astype(np.uint64)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with a number of threads, then as before: another number gives other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
