"""The loop counts time in images and yields ticks; the caller scores, saves and logs.

Resume is: restore a State, run the same loop. Every draw is named by (seed, purpose, images seen, attempt).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import images, streams
from . import averaging, schedules, step
from .batches import Order, PixelsOf
from .config import AverageConfig, LoopConfig
from .state import State

Latents = Callable[[int, np.ndarray], Tensor]  # (stream, indices) -> (N, Z)


@dataclass(frozen=True)
class Data:
    """Real images by number, on the side of the loop."""

    pixels: PixelsOf
    labels: np.ndarray | None  # (N,) int64; None: the class is not used
    size: int  # number of images


@dataclass(frozen=True)
class Tick:
    """A moment at which the caller may look: means over the images since the last one."""

    nimg: int
    metrics: dict[str, float]


class Diverged(ArithmeticError):
    """A loss or a weight is no longer a number, for the second time."""


def train(
    state: State, data: Data, latents: Latents, game: step.Game, config: LoopConfig, ema: AverageConfig, seed: int
) -> Iterator[Tick]:
    """Train from where `state` is to the end, yielding ticks at which all numbers are finite.

    A first NaN restores the last tick and goes on with another seed (`state.attempt` 1); a second raises Diverged.
    """
    total_nimg = round(config.total_kimg * 1000)
    last_tick = state.snapshot()
    while state.nimg < total_nimg:
        metrics = _to_next_tick(state, data, latents, game, config, ema, seed, total_nimg)
        if not _finite(state, metrics):
            attempt = state.attempt
            state.restore(*last_tick)
            if attempt:
                raise Diverged(f"not a number again at {state.nimg} images, after another seed was tried")
            state.attempt = 1
            last_tick[1]["attempt"] = 1
            continue
        yield Tick(state.nimg, metrics)
        last_tick = state.snapshot()


def _to_next_tick(
    state: State, data: Data, latents: Latents, game: step.Game, config: LoopConfig, ema: AverageConfig, seed: int, total_nimg: int
) -> dict[str, float]:
    draws = _Draws(data, latents, game.device, f"attempt {state.attempt}", seed)
    end_nimg = min(total_nimg, (state.nimg // (tick := round(config.tick_kimg * 1000)) + 1) * tick)
    sums: dict[str, Tensor] = {}
    steps = 0
    while state.nimg < end_nimg:
        for optimizer in (state.generator_optimizer, state.discriminator_optimizer):
            optimizer.param_groups[0]["lr"] = config.lr * schedules.factor(config.lr_schedule, state.nimg / total_nimg)
        metrics = step.discriminator_step(state, game, draws.batch("discriminator", state.nimg, config.batch_size))
        metrics |= step.generator_step(state, game, draws.batch("generator", state.nimg, config.batch_size))
        averaging.update(state.average, state.generator, config.batch_size, ema.half_life_kimg * 1000)
        state.nimg += config.batch_size
        steps += 1
        sums = {name: sums[name] + value for name, value in metrics.items()} if sums else metrics
    means = {name: float(value) / steps for name, value in sums.items()}
    return means | {"lr": state.generator_optimizer.param_groups[0]["lr"]}


class _Draws:
    """Batches by (seed, purpose, images seen, attempt)."""

    def __init__(self, data: Data, latents: Latents, device: str, attempt: str, seed: int):
        self.data, self.latents, self.device, self.attempt, self.seed = data, latents, device, attempt, seed
        self.orders: dict[str, Order] = {}

    def batch(self, purpose: str, nimg: int, batch_size: int) -> step.Batch:
        name = f"{purpose}/{self.attempt}"
        order = self.orders.setdefault(purpose, Order(self.data.size, self.seed, f"order/{name}"))
        numbers = order.numbers(nimg, batch_size)
        pixels = torch.from_numpy(self.data.pixels(numbers)).to(self.device)
        labels = None if self.data.labels is None else torch.from_numpy(self.data.labels[numbers]).to(self.device)
        stream = streams.key(self.seed, f"latents/{name}")
        latents = self.latents(stream, np.arange(nimg, nimg + batch_size)).to(self.device)
        return step.Batch(images.pixels_to_images(pixels), labels, latents)


def _finite(state: State, metrics: dict[str, float]) -> bool:
    weights = [*state.average.state_dict().values(), *state.discriminator.state_dict().values()]
    return all(np.isfinite(list(metrics.values()))) and all(bool(torch.isfinite(tensor).all()) for tensor in weights)
