"""Small parts and a small project, for tests that train: seconds on a CPU."""

import contextlib
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import ruamel.yaml
import torch

from gan import choices, dataset, generator, images, play
from gan.card import Card
from gan.training import loop, state
from gan.training.config import LoopConfig
from stages import artifacts, exit_codes, params
from stages.training import rules

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def section(room: str, name: str, **changes: object) -> dict:
    """A section of a recipe that chooses a file: the least it can be."""
    return {"name": name, **choices.module(room, name).SMALL, **changes}


TINY = {
    "prepare.resolution": 8,
    "reference.threads": 1,
    "reference.protocol.width": 16,
    "reference.protocol.num_features": 16,
    "reference.protocol.total_kimg": 20,
    "reference.protocol.min_accuracy": 0.5,
    "train.threads": 1,
    "train.network": section("networks", "dcgan"),
    "train.latent.size": 16,
    "train.loop.total_kimg": 3,
    "train.loop.tick_kimg": 0.5,
    "train.ema.half_life_kimg": 0.5,
    "train.quick.num_images": 64,
    "evaluate.threads": 1,
    "evaluate.draws": 2,
    "evaluate.isc_splits": 2,
    "evaluate.kid_subsets": 5,
    "machine.save_interval_s": 0,
    "machine.workers": 1,
}


def write_params(folder: Path, changes: dict, base: Path = ROOT / "params.yaml") -> None:
    """Write a recipe (the project's own without one) to a folder's params.yaml, some values changed, by dotted key."""
    yaml = ruamel.yaml.YAML()
    yaml.representer.add_representer(float, _as_both_read_it)
    content = yaml.load(base.read_text("utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = content
        for name in sections:
            section = section[name]
        section[last] = value
    with open(folder / "params.yaml", "w", encoding="utf-8") as file:
        yaml.dump(content, file)


def _as_both_read_it(representer, value: float):
    """1.0e-30, which PyYAML and DVC read as a number, not 1e-30."""
    return representer.represent_scalar("tag:yaml.org,2002:float", f"{value:.16e}" if "e" in repr(value) else repr(value))


FORM = {
    "alpha": "black", "fit": "crop", "filter": "lanczos", "jpeg_draft": False, "min_side": 1, "max_pixels": 10**8,
}  # fmt: skip


def write_prepared(folder: Path, shape: tuple[int, int, int], count: int = 120) -> None:
    """artifacts/prepare as the prepare stage leaves it: striped images (C, H, W) of two classes, a third held out."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pixels = random.integers(0, 256, (count, *shape)).astype(np.uint8)
    pixels[labels == 0, :, ::2], pixels[labels == 1, :, :, ::2] = 0, 0
    with contextlib.chdir(folder):
        out = artifacts.start("prepare")
        for split, here in (("train", slice(count // 3, None)), ("heldout", slice(count // 3))):
            dataset.write_shard(out / dataset.shard_name(split, ""), shape, len(pixels[here]), [pixels[here]])
            dataset.write_labels(out, split, labels[here])
        counts = {"inputs": count, "kept": count, "set_aside": 0, "train": count - count // 3, "heldout": count // 3}
        classes = {"classes": ["wide", "tall"], "class_counts": [40, 40]}
        artifacts.seal(
            "prepare", {"shape": list(shape), **classes, "counts": counts, "form": FORM | {"resolution": shape[1:], "channels": shape[0]}}
        )


def environment(**more: str) -> dict:
    """For stages run as processes in another folder, without tracking."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "GANLINE_TRACKING": "off", **more}


def start_stage(folder: Path, stage: str) -> subprocess.Popen:
    """Start a stage as dvc.yaml does, in a project folder, to be killed."""
    command = [sys.executable, "-m", f"stages.{stage}"]
    return subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextlib.contextmanager
def inside(folder: Path):
    """The project folder as the current one, tracking off."""
    with contextlib.chdir(folder), mock.patch.dict(os.environ, {"GANLINE_TRACKING": "off"}):
        yield


def run_stage(folder: Path, stage: str) -> tuple[int, str]:
    """Run a stage in this process (importing torch anew costs seconds): its exit code and all it said."""
    said = io.StringIO()
    with inside(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = exit_codes.exit_code(importlib.import_module(f"stages.{stage}").main)
    return code, said.getvalue()


def run_stages(folder: Path, *stages: str) -> None:
    """Run stages that must succeed."""
    for stage in stages:
        code, said = run_stage(folder, stage)
        assert code == 0, said


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder, by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


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
