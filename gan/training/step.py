"""One step: the discriminator's and the generator's, each over the micro-batches of a batch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import torch
from torch import Tensor, nn

from .state import State

Pair = tuple[Tensor, Tensor]  # images (N, C, H, W) and their logits (N,)
Draw = Callable[[str, int], Tensor]  # (purpose, size) -> (N, size) of a batch's images, by their numbers
DiscriminatorPenalty = Callable[[Pair, Pair, Callable[[Tensor], Tensor], Draw], Tensor]  # real, fake, judge, uniform
GeneratorPenalty = Callable[[Tensor, Tensor, Tensor, Tensor], Pair]  # images, styles, normal, mean -> values, new mean
Augment = Callable[[Tensor, Draw, float], Tensor]  # images, uniform, probability -> images


@dataclass(frozen=True)
class Batch:
    """Real images (N, C, H, W) in [-1, +1], their labels (N,) or None, latents (N, Z) to be judged beside them, and draws."""

    images: Tensor
    labels: Tensor | None
    latents: Tensor
    uniform: Draw  # in (0, 1)
    normal: Draw  # of N(0, 1)


@dataclass(frozen=True)
class Game:
    """What generator and discriminator play for."""

    loss: ModuleType  # a file of gan/losses
    penalties: dict[str, DiscriminatorPenalty]
    autocast: torch.dtype | None  # arithmetic of the networks, None for float32
    device: str
    generator_penalties: dict[str, GeneratorPenalty] = field(default_factory=dict)
    augment: dict[str, Augment] = field(default_factory=dict)  # in this order, real and generated images alike
    clip_norm: float | None = None

    def mixed(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=self.autocast, enabled=self.autocast is not None)


@dataclass(frozen=True)
class Moment:
    """What the schedules say now."""

    penalty_factor: float = 1.0
    probabilities: dict[str, float] = field(default_factory=dict)  # of each augmentation


@dataclass(frozen=True)
class _Judge:
    """The discriminator behind the augmentation, for one batch.

    Real, generated and a penalty's images of one place in the batch are augmented by the same draws: what a loss or a penalty
    compares differs in the images alone.
    """

    state: State
    game: Game
    moment: Moment
    batch: Batch

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (N,) and, of an auxiliary classifier, class logits (N, K)."""
        for name, augment in self.game.augment.items():
            uniform = self._named(f"augment/{name}")
            images = augment(images, uniform, self.moment.probabilities[name])
        with self.game.mixed():
            outputs = self.state.discriminator(images, self.batch.labels).float()
        return (outputs, None) if outputs.ndim == 1 else (outputs[:, 0], outputs[:, 1:])

    def _named(self, prefix: str) -> Draw:
        return lambda purpose, size: self.batch.uniform(f"{prefix}/{purpose}", size)


class Means:
    """Means of metrics over micro-batches."""

    def __init__(self, count: int):
        self.count, self.values = count, {}

    def add(self, name: str, value: Tensor) -> None:
        value = value.detach() / self.count
        self.values[name] = self.values[name] + value if name in self.values else value


def discriminator_step(state: State, game: Game, batches: list[Batch], moment: Moment) -> dict[str, Tensor]:
    """Lower the discriminator's loss once; returns 0-d tensors by metric name."""
    means = Means(len(batches))
    state.discriminator_optimizer.zero_grad(set_to_none=True)
    for batch in batches:
        (_discriminator_loss(state, game, batch, moment, means) / len(batches)).backward()
    _descend(state.discriminator, state.discriminator_optimizer, game.clip_norm)
    return means.values


def _discriminator_loss(state: State, game: Game, batch: Batch, moment: Moment, means: Means) -> Tensor:
    with torch.no_grad(), game.mixed():
        fake_images = state.generator(batch.latents, batch.labels)
    real_images = batch.images.detach().requires_grad_(bool(game.penalties))
    fake_images = fake_images.float().requires_grad_(bool(game.penalties))
    judge = _Judge(state, game, moment, batch)
    real_logits, real_classes = judge(real_images)
    fake_logits, fake_classes = judge(fake_images)
    total = game.loss.discriminator_loss(real_logits, fake_logits).mean()
    means.add("loss/discriminator", total)
    if real_classes is not None:
        of_classes = _cross_entropy(real_classes, batch) + _cross_entropy(fake_classes, batch)
        means.add("loss/classes", of_classes)
        total = total + of_classes
    for name, penalty in game.penalties.items():
        value = penalty(
            (real_images, real_logits), (fake_images, fake_logits), lambda images: judge(images)[0],
            lambda purpose, size, name=name: batch.uniform(f"penalty/{name}/{purpose}", size),
        ).mean() * moment.penalty_factor  # fmt: skip
        total = total + value
        means.add(f"penalty/{name}", value)
    means.add("probability/real", real_logits.sigmoid().mean())
    means.add("probability/fake", fake_logits.sigmoid().mean())
    means.add("sign/real", real_logits.sign().mean())
    return total


def generator_step(state: State, game: Game, batches: list[Batch], moment: Moment) -> dict[str, Tensor]:
    """Lower the generator's loss once; the real batch matters to losses that pair real and fake."""
    means = Means(len(batches))
    state.generator_optimizer.zero_grad(set_to_none=True)
    state.discriminator.requires_grad_(False)
    for batch in batches:
        (_generator_loss(state, game, batch, moment, means) / len(batches)).backward()
    _descend(state.generator, state.generator_optimizer, game.clip_norm)
    state.discriminator.requires_grad_(True)
    return means.values


def _generator_loss(state: State, game: Game, batch: Batch, moment: Moment, means: Means) -> Tensor:
    judge = _Judge(state, game, moment, batch)
    with game.mixed():
        images, styles = _made(state.generator, batch, styled=bool(game.generator_penalties))
    fake_logits, fake_classes = judge(images.float())
    with torch.no_grad():
        real_logits = judge(batch.images)[0] if game.loss.PAIRED else fake_logits
    total = game.loss.generator_loss(real_logits, fake_logits).mean()
    means.add("loss/generator", total)
    if fake_classes is not None:
        total = total + _cross_entropy(fake_classes, batch)
    for name, penalty in game.generator_penalties.items():
        normal = batch.normal(f"penalty/{name}", images[0].numel()).reshape(images.shape)
        mean = torch.tensor(state.running.get(name, 0.0), device=images.device)
        values, new_mean = penalty(images.float(), styles, normal, mean)
        state.running[name] = float(new_mean)
        value = values.mean() * moment.penalty_factor
        total = total + value
        means.add(f"penalty/{name}", value)
    return total


def _made(generator: nn.Module, batch: Batch, styled: bool) -> tuple[Tensor, Tensor | None]:
    """Generated images and what a generator's penalty differentiates them by: styles, or the latents themselves."""
    if not styled:
        return generator(batch.latents, batch.labels), None
    if hasattr(generator, "to_styles"):
        styles = generator.to_styles(batch.latents, batch.labels)
        return generator.from_styles(styles, batch.latents), styles
    latents = batch.latents.detach().requires_grad_()
    return generator(latents, batch.labels), latents


def _cross_entropy(classes: Tensor, batch: Batch) -> Tensor:
    """Of an auxiliary classifier (Odena et al. 2017, arXiv:1610.09585, eq. 3)."""
    return nn.functional.cross_entropy(classes, batch.labels)


def _descend(network: nn.Module, optimizer: torch.optim.Optimizer, clip_norm: float | None) -> None:
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    optimizer.step()
