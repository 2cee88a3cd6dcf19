"""The loop counts time in images and yields ticks; the caller scores, saves and logs.

Resume is: restore a State, run the same loop. Every draw is named by (seed, purpose, images seen, attempt).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .. import streams
from . import averaging, schedules, step
from .batches import BalancedOrder, Order
from .config import AverageConfig, LoopConfig
from .state import State

Latents = Callable[[int, np.ndarray], Tensor]  # (stream, indices) -> (N, Z)


@dataclass(frozen=True)
class Data:
    """Real images by number, on the side of the loop."""

    images: Callable[[np.ndarray], Tensor]  # numbers (N,) -> (N, C, H, W) float32 in [-1, +1]
    labels: np.ndarray | None  # (N,) int64; None: the class is not used
    size: int  # number of images
    balanced: bool = False  # each class as often as any other, whatever its share of the images


class Probability(Protocol):
    """How often an augmentation is applied: by the share of the training, or by what the discriminator says."""

    def probability(self, share: float, adapted: float) -> float: ...

    def adapt(self, adapted: float, sign: float, num_images: int) -> float: ...


@dataclass(frozen=True)
class Tick:
    """A moment at which the caller may look: means over the images since the last one."""

    nimg: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Rules:
    """All that decides how a training goes, besides its state and its data."""

    game: step.Game
    loop: LoopConfig
    ema: AverageConfig
    seed: int
    probabilities: dict[str, Probability] = field(default_factory=dict)  # of augmentations; 1 for one that is not named

    @property
    def total_nimg(self) -> int:
        return round(self.loop.total_kimg * 1000)

    @property
    def tick_nimg(self) -> int:
        return round(self.loop.tick_kimg * 1000)


class Diverged(ArithmeticError):
    """A loss or a weight is no longer a number, for the second time."""


class Stopped(Exception):
    """The caller asked to stop; the state is that of the last tick."""


def train(
    state: State, data: Data, latents: Latents, rules: Rules, asked_to_stop: Callable[[], bool] = lambda: False
) -> Iterator[Tick]:
    """Train from where `state` is to the end, yielding ticks at which all numbers are finite.

    A first NaN restores the last tick and goes on with another seed (`state.attempt` 1); a second raises Diverged.
    `asked_to_stop` is asked at each step; Stopped is raised with the state of the last tick restored, ready to be saved.
    """
    last_tick = state.snapshot()
    draws = _Draws(data, latents, rules, state.attempt)
    while state.nimg < rules.total_nimg:
        metrics = _to_next_tick(state, draws, rules, asked_to_stop)
        if metrics is None:
            state.restore(*last_tick)
            raise Stopped(f"stopped at {state.nimg} images")
        if not _finite(state, metrics):
            attempt = state.attempt
            state.restore(*last_tick)
            if attempt:
                raise Diverged(f"not a number again at {state.nimg} images, after another seed was tried")
            state.attempt = last_tick[1]["attempt"] = 1
            draws = _Draws(data, latents, rules, state.attempt)
            continue
        yield Tick(state.nimg, metrics)
        last_tick = state.snapshot()


def _to_next_tick(
    state: State, draws: "_Draws", rules: Rules, asked_to_stop: Callable[[], bool]
) -> dict[str, float] | None:
    """Means of the metrics over the steps to the next tick; None if asked to stop on the way."""
    end_nimg = min(rules.total_nimg, (state.nimg // rules.tick_nimg + 1) * rules.tick_nimg)
    sums: dict[str, Tensor] = {}
    steps = 0
    while state.nimg < end_nimg:
        if asked_to_stop():
            return None
        metrics = _step(state, draws, rules)
        steps += 1
        sums = {name: sums[name] + value for name, value in metrics.items()} if sums else metrics
    means = {name: float(value) / steps for name, value in sums.items()}
    return means | {"lr": state.generator_optimizer.param_groups[0]["lr"]} | _probabilities(state, rules, "augment/")


def _step(state: State, draws: "_Draws", rules: Rules) -> dict[str, Tensor]:
    """One step of each network and of the average, over one batch each."""
    config, nimg = rules.loop, state.nimg
    for optimizer in (state.generator_optimizer, state.discriminator_optimizer):
        optimizer.param_groups[0]["lr"] = config.lr * schedules.factor(config.lr_schedule, nimg, rules.total_nimg)
    factor = schedules.factor(config.penalty_schedule, nimg, rules.total_nimg)
    moment = step.Moment(factor, _probabilities(state, rules))
    metrics = step.discriminator_step(state, rules.game, draws.batches("discriminator", nimg), moment)
    metrics |= step.generator_step(state, rules.game, draws.batches("generator", nimg), moment)
    half_life_nimg = averaging.half_life_nimg(rules.ema, nimg)
    averaging.update(state.average, state.generator, config.batch_size, half_life_nimg)
    for name, one in rules.probabilities.items():
        state.running[name] = one.adapt(state.running.get(name, 0.0), float(metrics["sign/real"]), config.batch_size)
    state.nimg += config.batch_size
    return metrics


def _probabilities(state: State, rules: Rules, prefix: str = "") -> dict[str, float]:
    share = state.nimg / rules.total_nimg
    named = {name: one.probability(share, state.running.get(name, 0.0)) for name, one in rules.probabilities.items()}
    return {f"{prefix}{name}": named.get(name, 1.0) for name in rules.game.augment}


class _Draws:
    """Batches by (seed, purpose, images seen, attempt), the same in whatever micro-batches."""

    def __init__(self, data: Data, latents: Latents, rules: Rules, attempt: int):
        self.data, self.latents, self.rules, self.attempt = data, latents, rules, f"attempt {attempt}"
        self.orders: dict[str, Order | BalancedOrder] = {}

    def batches(self, purpose: str, nimg: int) -> list[step.Batch]:
        """The batch of a step in micro-batches."""
        size = self.rules.loop.micro_batch_size or self.rules.loop.batch_size
        return [self._batch(purpose, first, size) for first in range(nimg, nimg + self.rules.loop.batch_size, size)]

    def _batch(self, purpose: str, first: int, size: int) -> step.Batch:
        name, device = f"{purpose}/{self.attempt}", self.rules.game.device
        numbers = self._order(purpose, name).numbers(first, size)
        indices = np.arange(first, first + size)
        labels = None if self.data.labels is None else torch.from_numpy(self.data.labels[numbers]).to(device)

        def draw(law: Callable, what: str, count: int) -> Tensor:
            return torch.from_numpy(law(streams.key(self.rules.seed, f"{what}/{name}"), indices, count)).to(device)

        return step.Batch(
            self.data.images(numbers).to(device),
            labels,
            self.latents(streams.key(self.rules.seed, f"latents/{name}"), indices).to(device),
            lambda what, count: draw(streams.uniform, what, count),
            lambda what, count: draw(streams.normal, what, count),
        )

    def _order(self, purpose: str, name: str) -> Order | BalancedOrder:
        if purpose not in self.orders:
            if self.data.balanced and self.data.labels is not None:
                self.orders[purpose] = BalancedOrder(self.data.labels, self.rules.seed, f"order/{name}")
            else:
                self.orders[purpose] = Order(self.data.size, self.rules.seed, f"order/{name}")
        return self.orders[purpose]


def _finite(state: State, metrics: dict[str, float]) -> bool:
    weights = [*state.average.state_dict().values(), *state.discriminator.state_dict().values()]
    return all(np.isfinite(list(metrics.values()))) and all(bool(torch.isfinite(tensor).all()) for tensor in weights)
