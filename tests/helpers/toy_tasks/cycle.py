"""A game of two generators and two judges, played over two classes of small images: as small as such a game can be.

`there` makes the second class from the first, `back` the reverse; each is judged by a discriminator of its target, and both
together are to bring an image back to itself. A product makes images of the second class from seeded noise.
"""

import numpy as np
import torch
from torch import nn

from .. import choices, streams
from ..play import Batch, Terms, Turn

ITEM = "image"
GIVEN = "seed"
PLAYERS = {"there": "averaged", "back": "averaged", "first_judge": "last", "second_judge": None}
SMALL: dict = {"weight": 1.0}


class Config(choices.Config):
    """`weight`: of the way there and back."""

    weight: float


class Task:
    def __init__(self, config, card):
        self.config, self.card = config, card
        self.shape = card.shape

    def player(self, name):
        channels = self.shape[0]
        if name.endswith("judge"):
            return _Judge(self.shape)
        return nn.Sequential(nn.Conv2d(channels, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, channels, 3, 1, 1), nn.Tanh())

    def turns(self, objective):
        loss = objective.loss

        def judge(players, batch, moment):
            total, metrics = 0.0, {}
            for name, generator, own, other in (("first_judge", "back", "first", "second"), ("second_judge", "there", "second", "first")):
                with torch.no_grad():
                    fake = players[generator](batch[other])
                value = loss.discriminator_loss(players[name](batch[own]), players[name](fake)).mean()
                total, metrics = total + value, metrics | {f"{name}/loss": value}
            return Terms(total, metrics)

        def make(players, batch, moment):
            second, first = players["there"](batch["first"]), players["back"](batch["second"])
            fooled = sum(
                loss.generator_loss(players[name](batch[own]), players[name](fake)).mean()
                for name, own, fake in (("first_judge", "first", first), ("second_judge", "second", second))
            )
            around = (players["back"](second) - batch["first"]).abs().mean()
            jitter = batch.draws.uniform("jitter", 1).mean()
            seen = moment.running.get("seen", 0.0) + 1
            return Terms(fooled + self.config.weight * around * jitter, {"around": around}, {"seen": seen})

        return Turn("judges", ("first_judge", "second_judge"), judge), Turn("makers", ("there", "back"), make)

    def batch(self, turn, data, draws, players):
        sides = {side: np.flatnonzero(data.labels == label) for label, side in enumerate(("first", "second"))}
        return Batch({side: data.items(draws.numbers(side, among)) for side, among in sides.items()}, draws)

    def given(self, players, seeds, labels):
        size = int(np.prod(self.shape))
        return {"first": torch.from_numpy(streams.normal(streams.key(0, "toy"), seeds, size).reshape(-1, *self.shape)).clamp(-1, 1)}

    def make(self, players, given):
        return players["there"](given["first"])


class _Judge(nn.Module):
    def __init__(self, shape):
        super().__init__()
        channels, height, width = shape
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 4, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(4 * (height // 2) * (width // 2), 1)
        )

    def forward(self, images):
        return self.layers(images)[:, 0]
