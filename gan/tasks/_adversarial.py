"""What an adversarial turn lowers: the discriminator's loss and the generator's, with penalties and augmentations.

Over tensors of a batch: images (N, C, H, W) in [-1, +1], labels (N,) where classes are used.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..play import Batch, Draw, Moment, Objective, Terms


@dataclass(frozen=True)
class Judge:
    """A discriminator behind the augmentation, for one batch.

    Real, generated and a penalty's images of one place in the batch are augmented by the same draws: what a loss or a penalty
    compares differs in the images alone.
    """

    network: nn.Module
    objective: Objective
    moment: Moment
    batch: Batch

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (N,) and, of an auxiliary classifier, class logits (N, K)."""
        for name, augment in self.objective.augment.items():
            uniform = self.uniform(f"augment/{name}")
            images = augment(images, uniform, self.moment.probabilities[name])
        with self.objective.mixed():
            outputs = self.network(images, self.batch.get("labels")).float()
        return (outputs, None) if outputs.ndim == 1 else (outputs[:, 0], outputs[:, 1:])

    def uniform(self, prefix: str) -> Draw:
        """What chance gives for purposes whose names begin so."""
        return lambda purpose, size: self.batch.draws.uniform(f"{prefix}/{purpose}", size)


def discriminator_terms(judge: Judge, make: Callable[[], Tensor]) -> Terms:
    """Of real images against those that `make` gives (N, C, H, W), through which no gradient goes."""
    objective, batch = judge.objective, judge.batch
    with torch.no_grad(), objective.mixed():
        fake_images = make()
    real_images = batch["images"].detach().requires_grad_(bool(objective.penalties))
    fake_images = fake_images.float().requires_grad_(bool(objective.penalties))
    real_logits, real_classes = judge(real_images)
    fake_logits, fake_classes = judge(fake_images)
    total = objective.loss.discriminator_loss(real_logits, fake_logits).mean()
    metrics = {"loss/discriminator": total}
    if real_classes is not None and fake_classes is not None:
        metrics["loss/classes"] = cross_entropy(real_classes, batch) + cross_entropy(fake_classes, batch)
        total = total + metrics["loss/classes"]
    for name, penalty in objective.penalties.items():
        value = penalty(
            (real_images, real_logits), (fake_images, fake_logits), lambda images: judge(images)[0],
            judge.uniform(f"penalty/{name}"),
        ).mean() * judge.moment.penalty_factor  # fmt: skip
        total = total + value
        metrics[f"penalty/{name}"] = value
    metrics["probability/real"] = real_logits.sigmoid().mean()
    metrics["probability/fake"] = fake_logits.sigmoid().mean()
    metrics["sign/real"] = real_logits.sign().mean()
    return Terms(total, metrics)


def generator_terms(judge: Judge, make: Callable[[bool], tuple[Tensor, Tensor | None]]) -> Terms:
    """Of the images (N, C, H, W) that `make` gives, beside what a generator's penalty differentiates them by, if it is asked to.

    The real images of the batch matter to losses that pair real and generated ones.
    """
    objective, batch, moment = judge.objective, judge.batch, judge.moment
    with objective.mixed():
        images, styles = make(bool(objective.generator_penalties))
    fake_logits, fake_classes = judge(images.float())
    with torch.no_grad():
        real_logits = judge(batch["images"])[0] if objective.loss.PAIRED else fake_logits
    total = objective.loss.generator_loss(real_logits, fake_logits).mean()
    metrics = {"loss/generator": total}
    running: dict[str, float] = {}
    if fake_classes is not None:
        total = total + cross_entropy(fake_classes, batch)
    for name, penalty in objective.generator_penalties.items():
        normal = batch.draws.normal(f"penalty/{name}", images[0].numel()).reshape(images.shape)
        mean = torch.tensor(moment.running.get(name, 0.0), device=images.device)
        assert styles is not None  # `make` was asked for them
        values, new_mean = penalty(images.float(), styles, normal, mean)
        running[name] = float(new_mean)
        value = values.mean() * moment.penalty_factor
        total = total + value
        metrics[f"penalty/{name}"] = value
    return Terms(total, metrics, running)


def cross_entropy(classes: Tensor, batch: Batch) -> Tensor:
    """Of an auxiliary classifier (Odena et al. 2017, arXiv:1610.09585, eq. 3)."""
    return nn.functional.cross_entropy(classes, batch["labels"])
