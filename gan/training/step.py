"""One step: the discriminator's, the generator's, the average's."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from .state import State

Penalty = Callable[[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], Tensor]


@dataclass(frozen=True)
class Batch:
    """Real images (N, C, H, W) in [-1, +1], their labels (N,) or None, and latents (N, Z) to be judged beside them."""

    images: Tensor
    labels: Tensor | None
    latents: Tensor


@dataclass(frozen=True)
class Game:
    """What generator and discriminator play for."""

    loss: ModuleType  # a file of gan/losses
    penalties: dict[str, Penalty]
    autocast: torch.dtype | None  # arithmetic of the networks, None for float32
    device: str

    def mixed(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=self.autocast, enabled=self.autocast is not None)


def discriminator_step(state: State, game: Game, batch: Batch) -> dict[str, Tensor]:
    """Lower the discriminator's loss once; returns 0-d tensors by metric name."""
    with torch.no_grad(), game.mixed():
        fake_images = state.generator(batch.latents, batch.labels)
    real_images = batch.images.detach().requires_grad_(bool(game.penalties))
    fake_images = fake_images.float().requires_grad_(bool(game.penalties))
    with game.mixed():
        real_logits = state.discriminator(real_images, batch.labels).float()
        fake_logits = state.discriminator(fake_images, batch.labels).float()
    loss = game.loss.discriminator_loss(real_logits, fake_logits).mean()
    metrics = {"loss/discriminator": loss.detach()}
    total = loss
    for name, penalty in game.penalties.items():
        value = penalty((real_images, real_logits), (fake_images, fake_logits)).mean()
        total = total + value
        metrics[f"penalty/{name}"] = value.detach()
    _descend(total, state.discriminator_optimizer)
    return metrics | {
        "probability/real": real_logits.detach().sigmoid().mean(),
        "probability/fake": fake_logits.detach().sigmoid().mean(),
    }


def generator_step(state: State, game: Game, batch: Batch) -> dict[str, Tensor]:
    """Lower the generator's loss once; the real batch matters to losses that pair real and fake."""
    state.discriminator.requires_grad_(False)
    with game.mixed():
        fake_logits = state.discriminator(state.generator(batch.latents, batch.labels), batch.labels).float()
        with torch.no_grad():
            real_logits = state.discriminator(batch.images, batch.labels).float() if game.loss.PAIRED else fake_logits
    loss = game.loss.generator_loss(real_logits, fake_logits).mean()
    _descend(loss, state.generator_optimizer)
    state.discriminator.requires_grad_(True)
    return {"loss/generator": loss.detach()}


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
