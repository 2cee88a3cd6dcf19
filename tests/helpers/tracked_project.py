"""A small project in a temporary folder for tests of what MLflow is told: real networks, hand-made artifacts, real SQLite."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import small
from patience import patient
from PIL import Image

from gan.card import Card
from stages import artifacts, params
from stages.tracking import delivery, mlflow_run, session, store
from stages.tracking.journal import Journal

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[2]
CLASSES = ["0", "1", "2"]
NETWORKS = {
    "dcgan": {"generator_width": 4, "discriminator_width": 4},
    "r3gan": {"generator_widths": [8, 8], "discriminator_widths": [8, 8]},
}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow database with its tables, made once: that takes seconds."""
    path = tmp_path_factory.getbasetemp() / "empty_store" / "mlflow.db"  # every test module that imports this fixture shares it
    if not path.exists():
        store.client(f"sqlite:///{path}")
    return path


@pytest.fixture
def project(tmp_path, monkeypatch, empty_store) -> Path:
    """The current folder: params.yaml, dvc.yaml, an empty MLflow store; a session that the test owns."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME", "GANLINE_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    enter_session(monkeypatch, "flow:test")
    yield tmp_path
    session.current.cache_clear()


def enter_session(monkeypatch, key: str) -> None:
    """From here on this process belongs to the execution `key`."""
    monkeypatch.setenv("GANLINE_SESSION", key)
    session.current.cache_clear()


def client():
    return store.client(session.tracking_uri())


def runs() -> list:
    """All runs of the store, oldest first."""
    opened = client()
    experiments = [one.experiment_id for one in opened.search_experiments()]
    return opened.search_runs(experiments, order_by=["attributes.start_time ASC"])


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """python -m ARGUMENTS in the current folder."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=patient(120),
        check=False,
        env={**os.environ, **environment},
    )


def recipe() -> params.Params:
    return params.load()


def make_prepare() -> None:
    """artifacts/prepare as far as others read its card."""
    artifacts.start("prepare")
    artifacts.seal("prepare", {"shape": [1, 8, 8], "classes": CLASSES, "counts": {"train": 30, "heldout": 10}})


def make_train(
    seed: int = 0, network: str = "dcgan", conditional: bool = True, ticks: int = 3, shape: tuple = (1, 8, 8), init: dict | None = None
) -> Path:
    """artifacts/train with real, untrained networks, a history and pictures."""
    from gan import generator

    out = artifacts.start("train")
    card = Card(
        task={"name": "image"}, shape=shape, classes=CLASSES,
        class_counts=[5, 3, 2], conditional=conditional, block_size=4, threads=1, data="d" * 64,
        form=small.FORM | {"resolution": list(shape[1:]), "channels": shape[0]},
        network={"name": network, **NETWORKS[network]}, latent={"name": "normal", "size": 4}, settings={"init": init},
    )  # fmt: skip
    generator.save(out / "generator.safetensors", _lively(generator.task(card).player("generator"), seed))
    generator.save(out / "discriminator.safetensors", _lively(generator.task(card).player("discriminator"), seed))
    rows = [f"{nimg},{1 / (nimg + 1 + seed)!r},{'' if nimg == 0 else 5.0 + seed}" for nimg in range(0, ticks * 100, 100)]
    (out / "history.csv").write_text("\n".join(["nimg,loss/discriminator,quick_fid", *rows]) + "\n")
    (out / "images").mkdir()
    for nimg in range(0, ticks * 100, 100):
        picture(seed, nimg).save(out / "images" / f"{nimg:09d}.png")
    artifacts.seal("train", card.content())
    return out


def _lively(network: "torch.nn.Module", seed: int) -> "dict[str, torch.Tensor]":
    """Weights so large that images and probabilities differ visibly, as a trained network's do."""
    import torch

    torch.manual_seed(seed)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.5)
    return network.state_dict()


def picture(seed: int, nimg: int) -> Image.Image:
    """A grey picture that differs by seed and step."""
    return Image.fromarray(np.random.default_rng([seed, nimg]).integers(0, 255, (16, 16), np.uint8))


def make_evaluate(fid: float = 5.0, reach: float = 0.5, protocol: str = "a" * 64, **more: dict) -> None:
    """artifacts/evaluate with a score and its interval, memorisation as of held-out images, and `more` in metrics.json."""
    out = artifacts.start("evaluate")
    metrics = {
        "protocol": {"name": "classifier", "hash": protocol}, "num_images": int(protocol[:8], 16), "draws": 2,
        "fid": {"mean": fid, "low": fid - reach, "high": fid + reach, "floor": 1.0},
        "memorisation": {
            "authenticity": {"mean": 0.6, "low": 0.5, "high": 0.7, "floor": 0.6}, "copying": {"z": 1.0, "p": 0.8}, "ratio": 1.0,
        },
    } | more  # fmt: skip
    artifacts.write_json(out / "metrics.json", metrics)
    artifacts.write_json(out / "protocol.json", {"name": "classifier", "hash": protocol, "evaluate": {"num_images": int(protocol[:8], 16)}})
    artifacts.seal("evaluate", {"protocol": protocol})


def decision() -> dict:
    return json.loads((artifacts.ROOT / "register" / "decision.json").read_text("utf-8"))


def execute(*stages: str, seed: int = 0) -> None:
    """Stages that say nothing live."""
    make = {"prepare": make_prepare, "train": lambda: make_train(seed), "evaluate": make_evaluate}
    for stage in stages:
        with mlflow_run.stage(stage, recipe()):
            make[stage]()


def send() -> str:
    return delivery.deliver(Journal.of(session.current().key))


def picture_steps(run) -> list[int]:
    paths = [one.path for one in client().list_artifacts(run.info.run_id, "images") if one.path.endswith(".png")]
    return sorted(int(path.split("+")[2]) for path in paths)
