"""The section `train` of params.yaml as what the loop takes: loss, penalties and augmentations opened by name."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch

from gan import choices, play
from gan.choices import Config
from gan.training import loop, schedules
from stages import params


def objective(config: params.Train, device: str) -> play.Objective:
    """What the players of a training play for."""
    return play.Objective(
        loss=choices.module("losses", config.loss["name"]),
        device=device,
        autocast={"float32": None, "bfloat16": torch.bfloat16}[config.precision],
        penalties=_penalties(config, "discriminator"),
        generator_penalties=_penalties(config, "generator"),
        augment={one.name: one.call("augment") for one in _augmentations(config)},
    )


def rules(config: params.Train, task: play.Task, device: str) -> loop.Rules:
    """The loop's rules of a training."""
    turns = task.turns(objective(config, device))
    augment = tuple(one.name for one in _augmentations(config))
    return loop.Rules(turns, task.batch, config.loop, config.ema, config.seed, device, augment, _probabilities(config))


@dataclass(frozen=True)
class _Chosen:
    """A file of a room and its settings."""

    name: str
    module: ModuleType
    settings: Config

    @classmethod
    def of(cls, room: str, section: dict) -> "_Chosen":
        return cls(section["name"], choices.module(room, section["name"]), choices.config(room, section))

    def call(self, function: str) -> Callable:
        """A function of the file, its settings given."""
        return lambda *rest: getattr(self.module, function)(self.settings, *rest)


def _penalties(config: params.Train, side: str) -> dict[str, Callable]:
    chosen = [_Chosen.of("penalties", section) for section in config.penalties]
    return {one.name: one.call("penalty") for one in chosen if one.module.SIDE == side}


def _augmentations(config: params.Train) -> list[_Chosen]:
    return [_Chosen.of("augment", section) for section in config.augment]


def _probabilities(config: params.Train) -> dict[str, loop.Probability]:
    return {one.name: _Probability(one) for one in _augmentations(config) if hasattr(one.module, "probability")}


class _Probability:
    """An augmentation's own rule for how often it is applied."""

    def __init__(self, chosen: _Chosen):
        self.probability, self.adapt = chosen.call("probability"), chosen.call("adapt")


def can_go_on(config: params.Train) -> bool:
    """Whether a longer training starts as this one did: it ends at a tick, and nothing in it knows its end."""
    if round(config.loop.total_kimg * 1000) % round(config.loop.tick_kimg * 1000):
        return False
    if schedules.knows_the_end(config.loop.lr_schedule) or schedules.knows_the_end(config.loop.penalty_schedule):
        return False
    probabilities = _probabilities(config).values()
    return all(one.probability(share, 0.25) == one.probability(0.5, 0.25) for one in probabilities for share in (0.0, 0.2, 1.0))
