"""What a version says of its making, as small tags: code, lock, data, params, seeds, cost, libraries, licence.

The files themselves lie in the version, in made_from/: a tag says the hash, the file the rest.
"""

import hashlib
import importlib.metadata
import json
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages import artifacts, history
from stages.registry import snapshot

if TYPE_CHECKING:
    from gan.card import Card

FOLDER = "made_from"  # of the registered model
FILES = {
    "params.yaml": Path("params.yaml"),
    "dvc.yaml": Path("dvc.yaml"),
    "dvc.lock": Path("dvc.lock"),
    "prepare.json": artifacts.ROOT / "prepare" / "card.json",
    "metrics.json": artifacts.ROOT / "evaluate" / "metrics.json",
    "protocol.json": artifacts.ROOT / "evaluate" / "protocol.json",
}
LIBRARIES = ("torch", "numpy", "torch-fidelity", "safetensors", "pillow", "dvc", "mlflow")


def tags(licence: str | None, run_metrics: Mapping[str, float]) -> dict[str, str]:
    """All of them. `licence`: of the data; `run_metrics`: those of the MLflow run, which alone knows hours."""
    from gan.card import Card

    trained, prepared = Card.read(artifacts.ROOT / "train"), artifacts.card_of("prepare")
    return {
        **snapshot.keep_state(),
        **_sums(),
        "data_counts": json.dumps(prepared["counts"], sort_keys=True),
        "seeds": json.dumps(_seeds(trained), sort_keys=True),
        "cost": json.dumps(_cost(trained, run_metrics), sort_keys=True),
        "libraries": json.dumps(_libraries(trained), sort_keys=True),
        **({"data_licence": licence} if licence else {}),
    }


def write(folder: Path) -> None:
    """The files that tell the making, as they are now, into the folder of a model."""
    (folder / FOLDER).mkdir()
    for name, path in FILES.items():
        if path.is_file():
            shutil.copyfile(path, folder / FOLDER / name)


def code_sha256(folder: Path) -> str:
    """Of all .py files below a folder, with their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _sums() -> dict[str, str]:
    names = {"dvc.lock": "dvc_lock_sha256", "params.yaml": "params_sha256"}
    return {tag: artifacts.sha256_of_file(FILES[name]) for name, tag in names.items() if FILES[name].is_file()}


def _seeds(trained: "Card") -> dict[str, int]:
    """Of training, and of the evaluation whose scores the version carries."""
    drawn = json.loads(FILES["protocol.json"].read_text("utf-8")).get("drawn", {})
    return {stage: said["seed"] for stage, said in (("train", trained.settings), ("evaluate", drawn)) if "seed" in said}


def _cost(trained: "Card", run_metrics: Mapping[str, float]) -> dict:
    """Real images seen, hours where the run of this execution trained, and the kind of processor."""
    seconds = run_metrics.get("system/train_s")
    return {
        "images": _images_seen(),
        "hours": None if seconds is None else float(f"{seconds / 3600:.4g}"),
        "device": trained.device,
        "processor": trained.made_with.get("processor"),
    }


def _images_seen() -> int | None:
    """The last row of the training's history."""
    path = artifacts.ROOT / "train" / "history.csv"
    if not path.is_file():
        return None
    return max((nimg for nimg, _ in history.read(path)), default=None)


def _libraries(trained: "Card") -> dict[str, str]:
    """Versions now; torch's and Python's are those that the training says."""
    now = {name: importlib.metadata.version(name) for name in LIBRARIES} | {"python": platform.python_version()}
    return now | {name: value for name, value in trained.made_with.items() if name != "processor"}
