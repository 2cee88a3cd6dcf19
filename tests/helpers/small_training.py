"""Small networks and trainings: seconds on a CPU."""

import contextlib

import numpy as np
import torch
from small import FORM

from gan import choices, generator, images, play
from gan.card import Card
from gan.training import loop, state
from gan.training.config import LoopConfig
from stages import params
from stages.training import rules


def section(room: str, name: str, **changes: object) -> dict:
    """A section of a recipe that chooses a file: the least it can be."""
    return {"name": name, **choices.module(room, name).SMALL, **changes}


def card(
    network: str | dict = "dcgan", latent: str | dict = "normal", num_classes: int = 3, shape: tuple = (1, 8, 8), **changes: object
) -> Card:
    """The card of a small generator; network and latent by name, or as sections."""
    return Card(**{
        "task": {"name": "image"},
        "network": section("networks", network) if isinstance(network, str) else network,
        "latent": section("latents", latent) if isinstance(latent, str) else latent,
        "shape": shape,
        "form": FORM | {"resolution": list(shape[1:]), "channels": shape[0]},
        "classes": [f"class {number}" for number in range(num_classes)],
        "class_counts": [10] * num_classes,
        "conditional": num_classes > 0,
        "block_size": 8,
        "threads": 1,
        **changes,
    })  # fmt: skip


@contextlib.contextmanager
def deterministic():
    """As a stage computes: an operation without a deterministic form is an error."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def start(card: Card, config: LoopConfig, seed: int = 0) -> state.State:
    """A training at image zero."""
    torch.manual_seed(seed)
    turns = rules.rules(settings(), generator.task(card), "cpu").turns
    return state.start(generator.build(card), generator.averaged(card), turns, config)


def loop_config(**changes: object) -> LoopConfig:
    """Four ticks of four steps."""
    settings = {
        "total_kimg": 0.128, "tick_kimg": 0.032, "batch_size": 8, "lr": 1e-3, "lr_schedule": {"name": "cosine", "final": 0.1},
        "betas": (0.5, 0.9),
    }  # fmt: skip
    return LoopConfig(**{**settings, **changes})


def settings(**changes: object) -> params.Train:
    """The section `train` of a small training; loss, penalties and augmentations by name."""
    rooms = {"loss": "losses", "penalties": "penalties", "augment": "augment"}
    chosen = {"loss": "relativistic", "penalties": ("r1", "r2"), "augment": ()} | changes
    for key, room in rooms.items():
        names = chosen[key]
        chosen[key] = section(room, names) if isinstance(names, str) else [section(room, name) for name in names]
    base = {
        "seed": 0, "device": "cpu", "threads": 1, "world_size": 1, "precision": "float32", "conditional": True,
        "task": section("tasks", "image"), "network": section("networks", "dcgan"), "latent": section("latents", "normal"),
        "loop": loop_config(), "ema": {"half_life_kimg": 0.05}, "quick": {"num_images": 16},
    }  # fmt: skip
    return params.Train.model_validate(base | chosen)


def ticks(training: state.State, card: Card, config: LoopConfig, loss: str = "relativistic", penalties: tuple = ("r1", "r2"),
          asked_to_stop=lambda: False, **changes):  # fmt: skip
    """The loop on random pixels."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (50, *card.shape)).astype(np.uint8)
    labels = random.integers(0, max(1, len(card.classes)), 50)
    chosen = settings(loop=config, loss=loss, penalties=penalties, **changes)
    data = play.Data(
        lambda numbers: images.pixels_to_images(torch.from_numpy(pixels[numbers])), labels if card.conditional else None, 50,
        chosen.labels == "balanced",
    )  # fmt: skip
    return loop.train(training, data, rules.rules(chosen, generator.task(card), "cpu"), asked_to_stop)


def same(one: state.State, other: state.State) -> bool:
    """Whether two trainings are at the same moment, bit by bit."""
    ours, theirs = one.tensors(), other.tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours) and one.numbers() == other.numbers()
