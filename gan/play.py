"""What a game is made of: a task (gan/tasks) says who plays, in which turns, for what; the machinery (gan/training) plays it.

A turn is one optimizer step: some networks move, all others are frozen meanwhile. Its name names its draws, its optimizer and
its metrics, so every number of a training follows from (seed, turn, purpose, index, attempt).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

Players = Mapping[str, nn.Module]  # networks by name
Kept = Literal["averaged", "last", None]  # of a player: its moving average at the best tick, its last weights, or nothing
Draw = Callable[[str, int], Tensor]  # (purpose, size) -> (N, size) of a batch's places, by their indices


class Draws(Protocol):
    """What chance gives to the N places of a batch: a function of their indices, whatever the micro-batches."""

    @property
    def indices(self) -> np.ndarray:
        """(N,) int64, that name the places."""
        ...

    def key(self, purpose: str) -> int:
        """The stream of a purpose, for a law of one's own (a latent space)."""
        ...

    def numbers(self, purpose: str = "order", among: np.ndarray | None = None) -> np.ndarray:
        """The numbers (N,) of the real items at these places: each once an epoch, of all or of those `among` (M,)."""
        ...

    def uniform(self, purpose: str, size: int) -> Tensor:
        """(N, size) float32 in (0, 1)."""
        ...

    def normal(self, purpose: str, size: int) -> Tensor:
        """(N, size) float32 of N(0, 1)."""
        ...


@dataclass(frozen=True)
class Data:
    """Real items (images, clips) by number, on the side of the machinery."""

    items: Callable[[np.ndarray], Tensor]  # numbers (N,) -> (N, …) float32 in [-1, +1]
    labels: np.ndarray | None  # (N,) int64; None: the class is not used
    size: int  # number of items
    balanced: bool = False  # each class as often as any other, whatever its share of the items


@dataclass(frozen=True)
class Batch:
    """Named tensors, their first axis N, and the draws of these N places."""

    tensors: dict[str, Tensor]
    draws: Draws

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def get(self, name: str) -> Tensor | None:
        return self.tensors.get(name)


@dataclass(frozen=True)
class Moment:
    """What the schedules say now, and what adapts (read only: a turn gives new numbers back in its terms)."""

    penalty_factor: float = 1.0
    probabilities: dict[str, float] = field(default_factory=dict)  # of each augmentation
    running: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Terms:
    """What a turn lowers (0-d), what it tells (0-d, by name), and the new numbers of what adapts."""

    total: Tensor
    metrics: dict[str, Tensor]
    running: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """One optimizer step over one batch: `loss` is lowered by the networks that move."""

    name: str
    moves: tuple[str, ...]
    loss: Callable[[Players, Batch, Moment], Terms]


Judged = tuple[Tensor, Tensor]  # images (N, C, H, W) and their logits (N,)
DiscriminatorPenalty = Callable[[Judged, Judged, Callable[[Tensor], Tensor], Draw], Tensor]  # real, fake, images -> logits
GeneratorPenalty = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]  # images, styles, normal, mean -> values, mean
Augment = Callable[[Tensor, Draw, float], Tensor]  # images, uniform, probability -> images


class Architecture(Protocol):
    """A file of gan/networks; `config` is its Config."""

    def Generator(self, config: Any, *, latent_size: int, num_classes: int, shape: tuple[int, int, int]) -> nn.Module:
        """Latents (N, Z[+E]), labels (N,) -> images (N, C, H, W)."""
        ...

    def Discriminator(self, config: Any, *, num_classes: int, shape: tuple[int, int, int]) -> nn.Module:
        """Images (N, C, H, W), labels (N,) -> logits (N,), or (N, 1 + K) with class logits."""
        ...


class Space(Protocol):
    """A file of gan/latents; `config` is its Config. One that learns has `Layer` and `raw_size` beside."""

    def sample(self, config: Any, stream: int, indices: np.ndarray) -> Tensor:
        """(N, S) float32 of the indices (N,) of a stream."""
        ...

    def interpolate(self, config: Any, start: Tensor, end: Tensor, share: float) -> Tensor:
        """From `start` to `end`, (N, S) each, by a share in [0, 1]."""
        ...


class Loss(Protocol):
    """A file of gan/losses."""

    PAIRED: bool  # the generator's loss looks at real images too

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """(N,) of logits (N,)."""
        ...

    def generator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """(N,) of logits (N,)."""
        ...


@dataclass(frozen=True)
class Objective:
    """What generators and discriminators play for: the choices of params.yaml that any task may use."""

    loss: Loss
    device: str
    autocast: torch.dtype | None = None  # arithmetic of the networks, None for float32
    penalties: dict[str, DiscriminatorPenalty] = field(default_factory=dict)
    generator_penalties: dict[str, GeneratorPenalty] = field(default_factory=dict)
    augment: dict[str, Augment] = field(default_factory=dict)  # in this order, real and generated images alike

    def mixed(self) -> torch.autocast:
        """The arithmetic that networks are computed in."""
        return torch.autocast(self.device, dtype=self.autocast, enabled=self.autocast is not None)


class Task(Protocol):
    """The game of a card: what a file of gan/tasks makes of it."""

    def player(self, name: str) -> nn.Module:
        """An untrained network, by PyTorch's own generator."""
        ...

    def turns(self, objective: Objective) -> tuple[Turn, ...]:
        """The turns of a step, in order."""
        ...

    def batch(self, turn: str, data: Data, draws: Draws, players: Players) -> Batch:
        """What a turn is played over."""
        ...

    def given(self, players: Players, seeds: np.ndarray, labels: np.ndarray | None) -> dict[str, Tensor]:
        """What items are made from, of seeds (N,) and labels (N,): tensors by name, first axis N."""
        ...

    def make(self, players: Players, given: dict[str, Tensor]) -> Tensor:
        """(N, C, H, W) or (N, T, C, H, W) in [-1, +1] from what `given` gave."""
        ...


class TaskFile(Protocol):
    """A file of gan/tasks; `config` is its Config, `card` a generator's (gan/card.py). Who asks otherwise than by GIVEN is refused."""

    ITEM: str  # what a row of the prepared set must be: "image" or "clip"
    GIVEN: str  # what a product is asked by, with a label where classes are used: "seed" or "image"
    PLAYERS: dict[str, Kept]  # in the order that they are built in

    def Task(self, config: Any, card: Any) -> Task:
        """The game."""
        ...
