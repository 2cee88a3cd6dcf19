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
from ..play import Batch, Data, Draws, Moment, Players, Turn
from . import averaging, schedules, step
from .batches import BalancedOrder, Order
from .config import AverageConfig, LoopConfig
from .state import State


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

    turns: tuple[Turn, ...]  # of a step, in order
    batch: Callable[[str, Data, Draws, Players], Batch]  # a task's
    loop: LoopConfig
    ema: AverageConfig
    seed: int
    device: str
    augment: tuple[str, ...] = ()  # the augmentations in use
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


def train(state: State, data: Data, rules: Rules, asked_to_stop: Callable[[], bool] = lambda: False) -> Iterator[Tick]:
    """Train from where `state` is to the end, yielding ticks at which all numbers are finite.

    A first NaN restores the last tick and goes on with another seed (`state.attempt` 1); a second raises Diverged.
    `asked_to_stop` is asked at each step; Stopped is raised with the state of the last tick restored, ready to be saved.
    """
    last_tick = state.snapshot()
    batches = _Batches(data, rules, state.attempt)
    while state.nimg < rules.total_nimg:
        metrics = _to_next_tick(state, batches, rules, asked_to_stop)
        if metrics is None:
            state.restore(*last_tick)
            raise Stopped(f"stopped at {state.nimg} images")
        if not _finite(state, metrics):
            attempt = state.attempt
            state.restore(*last_tick)
            if attempt:
                raise Diverged(f"not a number again at {state.nimg} images, after another seed was tried")
            state.attempt = last_tick[1]["attempt"] = 1
            batches = _Batches(data, rules, state.attempt)
            continue
        yield Tick(state.nimg, metrics)
        last_tick = state.snapshot()


def _to_next_tick(state: State, batches: "_Batches", rules: Rules, asked_to_stop: Callable[[], bool]) -> dict[str, float] | None:
    """Means of the metrics over the steps to the next tick; None if asked to stop on the way."""
    end_nimg = min(rules.total_nimg, (state.nimg // rules.tick_nimg + 1) * rules.tick_nimg)
    sums: dict[str, Tensor] = {}
    steps = 0
    while state.nimg < end_nimg:
        if asked_to_stop():
            return None
        metrics = _step(state, batches, rules)
        steps += 1
        sums = {name: sums[name] + value for name, value in metrics.items()} if sums else metrics
    means = {name: float(value) / steps for name, value in sums.items()}
    return means | {"lr": next(iter(state.optimizers.values())).param_groups[0]["lr"]} | _probabilities(state, rules, "augment/")


def _step(state: State, batches: "_Batches", rules: Rules) -> dict[str, Tensor]:
    """Every turn once, each over a batch of its own, and one step of the averages."""
    config, nimg = rules.loop, state.nimg
    for optimizer in state.optimizers.values():
        optimizer.param_groups[0]["lr"] = config.lr * schedules.factor(config.lr_schedule, nimg, rules.total_nimg)
    factor = schedules.factor(config.penalty_schedule, nimg, rules.total_nimg)
    moment = Moment(factor, _probabilities(state, rules), state.running)
    metrics: dict[str, Tensor] = {}
    for turn in rules.turns:
        metrics |= step.play(state, turn, batches.of(turn.name, nimg, state.networks), moment, config.clip_norm)
    half_life_nimg = averaging.half_life_nimg(rules.ema, nimg)
    for name, average in state.averages.items():
        averaging.update(average, state.networks[name], config.batch_size, half_life_nimg)
    for name, one in rules.probabilities.items():
        state.running[name] = one.adapt(state.running.get(name, 0.0), float(metrics["sign/real"]), config.batch_size)
    state.nimg += config.batch_size
    return metrics


def _probabilities(state: State, rules: Rules, prefix: str = "") -> dict[str, float]:
    share = state.nimg / rules.total_nimg
    named = {name: one.probability(share, state.running.get(name, 0.0)) for name, one in rules.probabilities.items()}
    return {f"{prefix}{name}": named.get(name, 1.0) for name in rules.augment}


class _Batches:
    """Batches by (seed, turn, images seen, attempt), the same in whatever micro-batches."""

    def __init__(self, data: Data, rules: Rules, attempt: int):
        self.data, self.rules, self.attempt = data, rules, f"attempt {attempt}"
        self.orders: dict[str, Order | BalancedOrder] = {}

    def of(self, turn: str, nimg: int, players: Players) -> list[Batch]:
        """The batch of a turn in micro-batches."""
        size = self.rules.loop.micro_batch_size or self.rules.loop.batch_size
        firsts = range(nimg, nimg + self.rules.loop.batch_size, size)
        return [self._batch(turn, np.arange(first, first + size), players) for first in firsts]

    def _batch(self, turn: str, indices: np.ndarray, players: Players) -> Batch:
        draws = _Draws(self, f"{turn}/{self.attempt}", indices)
        batch = self.rules.batch(turn, self.data, draws, players)
        return Batch({name: tensor.to(self.rules.device) for name, tensor in batch.tensors.items()}, draws)

    def order(self, name: str, among: np.ndarray | None) -> Order | BalancedOrder:
        """The order called so, of all items or of some."""
        if name not in self.orders:
            if among is not None:
                self.orders[name] = Order(len(among), self.rules.seed, name)
            elif self.data.balanced and self.data.labels is not None:
                self.orders[name] = BalancedOrder(self.data.labels, self.rules.seed, name)
            else:
                self.orders[name] = Order(self.data.size, self.rules.seed, name)
        return self.orders[name]


@dataclass(frozen=True)
class _Draws:
    """What chance gives to the places of one batch (`Draws` in gan/play.py)."""

    batches: _Batches
    name: str  # turn and attempt
    indices: np.ndarray

    def key(self, purpose: str) -> int:
        return streams.key(self.batches.rules.seed, f"{purpose}/{self.name}")

    def numbers(self, purpose: str = "order", among: np.ndarray | None = None) -> np.ndarray:
        places = self.batches.order(f"{purpose}/{self.name}", among).numbers(int(self.indices[0]), len(self.indices))
        return places if among is None else among[places]

    def uniform(self, purpose: str, size: int) -> Tensor:
        return self._drawn(streams.uniform, purpose, size)

    def normal(self, purpose: str, size: int) -> Tensor:
        return self._drawn(streams.normal, purpose, size)

    def _drawn(self, law: Callable[[int, np.ndarray, int], np.ndarray], purpose: str, size: int) -> Tensor:
        return torch.from_numpy(law(self.key(purpose), self.indices, size)).to(self.batches.rules.device)


def _finite(state: State, metrics: dict[str, float]) -> bool:
    kept = {**state.networks, **state.averages}  # a network with an average is not finite only where that is not
    weights = [tensor for network in kept.values() for tensor in network.state_dict().values()]
    return all(np.isfinite(list(metrics.values()))) and all(bool(torch.isfinite(tensor).all()) for tensor in weights)
