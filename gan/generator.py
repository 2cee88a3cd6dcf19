"""A trained generator or discriminator: a folder with safetensors and card.json. Save, load, sample by seed.

An image is named by one seed (and a label, where classes are used). Images are made in blocks of a fixed size that the
card gives, the last one padded, by the card's number of threads: other batch sizes would give other bits.
"""

import contextlib
import copy
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from . import choices, images, play, streams
from .card import WAY_OUT, Card

BLOCK_SIZE = 32  # images made at a time

Numbers = Sequence[int] | np.ndarray  # (N,) whole ones


def task(card: Card) -> play.Task:
    """The game that the card's networks were trained by."""
    return _task_file(card).Task(choices.config("tasks", card.task), card)


def players(card: Card) -> dict[str, play.Kept]:
    """The networks of the card's task by name, in the order that they are built in, and what is kept of each."""
    return _task_file(card).PLAYERS


def _task_file(card: Card) -> play.TaskFile:
    return choices.module("tasks", card.task["name"])


def refuse_other_items(card: Card, item: str) -> None:
    """ValueError unless the card's task trains on such items: "image" or "clip"."""
    wanted = _task_file(card).ITEM
    if item != wanted:
        raise ValueError(
            f"train.task {card.task['name']} trains on {wanted}s, and artifacts/prepare holds {item}s; "
            f"prepare {wanted}s, or choose a task of {item}s"
        )


def build(card: Card) -> dict[str, nn.Module]:
    """The untrained networks of the card's task by name, by PyTorch's own generator."""
    game = task(card)
    return {name: game.player(name) for name in players(card)}


def averaged(card: Card) -> list[str]:
    """The networks that are kept as moving averages: those that make a product's items."""
    return [name for name, kept in players(card).items() if kept == "averaged"]


def save(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write weights as safetensors, sorted by name."""
    safetensors.torch.save_file({name: tensors[name].contiguous().cpu() for name in sorted(tensors)}, path)


def weights(folder: Path, name: str, card: Card) -> dict[str, Tensor]:
    """The tensors of folder/<name>.safetensors, after checking the SHA-256 that the card gives."""
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the train stage writes it: dvc repro train")
    content, expected = path.read_bytes(), card.files.get(path.name)
    if (found := hashlib.sha256(content).hexdigest()) != expected:
        raise ValueError(f"{path} has SHA-256 {found}, its card says {expected}: it is not the file that was registered")
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is what its card says, and no safetensors file ({error}); restore both, or: dvc repro train") from None


def load(folder: Path) -> "Generator":
    """Open the generator of a folder; FileNotFoundError or ValueError says what is wrong with it."""
    card = Card.read(folder)
    try:
        names = averaged(card)
    except LookupError as error:
        raise ValueError(f"{folder / 'card.json'} names a task that this code has not ({error}); {WAY_OUT}") from None
    return Generator(card, {name: _opened(folder, name, card) for name in names})


def load_discriminator(folder: Path) -> "Discriminator":
    """Open the discriminator of a folder; FileNotFoundError or ValueError says what is wrong with it."""
    card = Card.read(folder)
    return Discriminator(card, _opened(folder, "discriminator", card))


def _opened(folder: Path, name: str, card: Card) -> nn.Module:
    tensors = weights(folder, name, card)
    try:
        network = task(card).player(name)
        network.load_state_dict(tensors)
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{folder / 'card.json'} does not say what network {name}.safetensors holds ({reason}); restore both") from None
    return network


class Generator:
    """The networks that make a product's items, in evaluation mode, with the card that says what they are."""

    def __init__(self, card: Card, networks: dict[str, nn.Module], game: play.Task | None = None):
        """`game`: the task that says what these networks make of what; None: the card's."""
        self.card, self.task = card, task(card) if game is None else game
        self.asked_by = _task_file(card).GIVEN if game is None else "seed"
        self.networks = {name: network.eval() for name, network in networks.items()}

    @property
    def network(self) -> nn.Module:
        """The network called generator."""
        return self.networks["generator"]

    def replaced(self, **networks: nn.Module) -> "Generator":
        """The same product with other networks in the place of some of its own."""
        other = copy.copy(self)
        other.networks = self.networks | {name: network.eval() for name, network in networks.items()}
        return other

    def to(self, device: str) -> "Generator":
        """Move the networks to a device, on which items are made from then on."""
        for network in self.networks.values():
            network.to(device)
        return self

    def labels(self, seeds: Numbers) -> np.ndarray:
        """The label (N,) int64 of each seed where none is asked for: drawn by the data's histogram."""
        return streams.choice(streams.key(0, "image/label"), _seeds(seeds), np.asarray(self.card.class_counts))

    def sample(self, seeds: Numbers, labels: Numbers | None = None) -> np.ndarray:
        """Images (N, C, H, W) uint8 of seeds (N,) >= 0 and labels (N,); the same pair gives the same bytes in any batch."""
        return self._together(self.blocks(seeds, labels))

    def blocks(self, seeds: Numbers, labels: Numbers | None = None) -> Iterator[np.ndarray]:
        """As `sample`, in blocks of at most `block_size` images, so that any number fits into memory."""
        if labels is None and self.card.conditional:
            labels = self.labels(seeds)
        indices, chosen = _seeds(seeds), self._checked(len(seeds), labels)
        for here, places in self._places(len(indices)):
            yield self._block(self.given(indices[places], None if chosen is None else chosen[places]))[here]

    def given(self, seeds: np.ndarray, labels: np.ndarray | None) -> dict[str, Tensor]:
        """What images of seeds (N,) and labels (N,) are made from: tensors by name, first axis N, as `make` takes them.

        ValueError where the task makes its items from something else than a seed (its GIVEN).
        """
        if self.asked_by != "seed":
            name = self.card.task["name"]
            raise ValueError(f"a product of task {name} is asked by {self.asked_by}s, and has nothing for seeds: give it {self.asked_by}s")
        return self.task.given(self.networks, seeds, labels)

    def make(self, given: dict[str, Tensor]) -> np.ndarray:
        """Images (N, C, H, W) uint8 from what `given` gave, or from other tensors of its form; of one row in any batch the same."""
        return self._together(self.made(given))

    def made(self, given: dict[str, Tensor]) -> Iterator[np.ndarray]:
        """As `make`, in blocks of at most `block_size` images."""
        for here, places in self._places(len(next(iter(given.values())))):
            yield self._block({name: tensor[torch.from_numpy(places)] for name, tensor in given.items()})[here]

    def from_latents(self, latents: Tensor, labels: Numbers | None = None) -> np.ndarray:
        """Images (N, C, H, W) uint8 of latents (N, Z[+E]), as `given` has them, and labels (N,) where classes are used."""
        return self.make(self.of_latents(latents, labels))

    def of_latents(self, latents: Tensor, labels: Numbers | None = None) -> dict[str, Tensor]:
        """What `make` and `made` take, by latents (N, Z[+E]) and labels (N,)."""
        if labels is None and self.card.conditional:
            raise ValueError("latents have no class of their own; give a label for each")
        chosen = self._checked(len(latents), labels)
        return {"latents": latents} | ({} if chosen is None else {"labels": torch.from_numpy(chosen)})

    def _checked(self, count: int, labels: Numbers | None) -> np.ndarray | None:
        """Labels as numbers (N,) int64 of classes; None where classes are not used."""
        if not self.card.conditional:
            if labels is not None:
                raise ValueError("this generator was trained without classes; leave the labels out")
            return None
        chosen, classes = np.asarray(labels, np.int64), self.card.classes
        if chosen.shape != (count,) or ((chosen < 0) | (chosen >= len(classes))).any():
            raise ValueError(f"labels must be {count} numbers from 0 to {len(classes) - 1} ({', '.join(classes)})")
        return chosen

    def _places(self, count: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Of each block: which of its images are wanted, and the places (block_size,) that it is made of, the last repeated."""
        size = self.card.block_size
        for start in range(0, count, size):
            yield slice(count - start), np.arange(start, start + size).clip(max=count - 1)

    @torch.inference_mode()
    def _block(self, given: dict[str, Tensor]) -> np.ndarray:
        device = next(next(iter(self.networks.values())).parameters()).device
        with threads(self.card.threads):
            made = self.task.make(self.networks, {name: tensor.to(device) for name, tensor in given.items()})
        return images.images_to_pixels(made).cpu().numpy()

    def _together(self, blocks: Iterator[np.ndarray]) -> np.ndarray:
        return np.concatenate(list(blocks) or [np.empty((0, *self.card.shape), np.uint8)])


class Discriminator:
    """A network in evaluation mode: how real an image looks to it."""

    def __init__(self, card: Card, network: nn.Module):
        self.card = card
        self.network = network.eval()

    @torch.inference_mode()
    def probability(self, pixels: np.ndarray, labels: Numbers | None = None) -> np.ndarray:
        """The probability (N,) in [0, 1] that images (N, C, H, W) uint8 are real: sigmoid of the logit."""
        if self.card.conditional and labels is None:
            raise ValueError("this discriminator was trained with classes; give a label for each image")
        if pixels.shape[1:] != self.card.shape:
            raise ValueError(f"images are {pixels.shape[1:]}, this discriminator takes (C, H, W) {self.card.shape}")
        chosen = torch.as_tensor(np.asarray(labels, np.int64)) if self.card.conditional else None
        with threads(self.card.threads):
            logits = self.network(images.pixels_to_images(torch.from_numpy(pixels)), chosen)
        return (logits if logits.ndim == 1 else logits[:, 0]).float().sigmoid().numpy()  # beside it: an auxiliary classifier's


def _seeds(seeds: Numbers) -> np.ndarray:
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
