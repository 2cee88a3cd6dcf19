"""A small project whose stages run within seconds on a CPU; torch is imported by the stages only (small_training.py has the rest)."""

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

from gan import dataset
from stages import artifacts, exit_codes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


TINY = {
    "prepare.resolution": 8,
    "reference.threads": 1,
    "reference.protocol.width": 16,
    "reference.protocol.num_features": 16,
    "reference.protocol.total_kimg": 20,
    "reference.protocol.min_accuracy": 0.5,
    "train.threads": 1,
    "train.network": {"name": "dcgan", "generator_width": 8, "discriminator_width": 8},
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
