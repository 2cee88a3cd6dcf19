"""A trained generator packed as an MLflow model: safetensors, a JSON card and the code it needs; no pickle anywhere."""

import importlib.metadata
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np

import gan
from gan import generator
from gan.card import Card

MODEL_CODE = Path(__file__).with_name("pyfunc_model.py")
PACKAGES = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "safetensors", "torch")  # what the shipped code imports


def save(trained: Path, folder: Path) -> None:
    """Write the generator of `trained` (artifacts/train) as an MLflow model to `folder`."""
    import mlflow.pyfunc

    card = Card.read(trained)
    with tempfile.TemporaryDirectory() as temporary:
        shipped = Path(temporary) / "generator"
        shipped.mkdir()
        for name in ("card.json", *weights(card)):
            shutil.copyfile(trained / name, shipped / name)
        copy_code(card, shipped / "code")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # MLflow asks for an example input; the signature is explicit
            mlflow.pyfunc.save_model(
                folder,
                python_model=str(MODEL_CODE),
                artifacts={"generator": str(shipped)},
                signature=signature(card),
                pip_requirements=[f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in PACKAGES],
            )


def weights(card: Card) -> list[str]:
    """The files that hold what is kept of a card's networks."""
    return [f"{name}.safetensors" for name, kept in generator.players(card).items() if kept]


def copy_code(card: Card, target: Path) -> None:
    """The files of gan/ that the generator of a card is opened with; they import each other relatively."""
    source = Path(gan.__file__).parent
    files = [source / f"{name}.py" for name in ("__init__", "card", "choices", "generator", "images", "play", "streams")]
    for room, name in (("networks", card.network["name"]), ("tasks", card.task["name"])):
        files += [source / room / "__init__.py", source / room / f"{name}.py", *(source / room).glob("_[!_]*.py")]
    files += (source / "latents").glob("*.py")
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def signature(card: Card):
    """seed and label in, images (N, H, W, C) uint8 out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns: list[ColSpec | TensorSpec] = [ColSpec(DataType.long, "seed")]
    if card.conditional:
        columns.append(ColSpec(DataType.long, "label", required=False))
    channels, height, width = card.shape
    images = TensorSpec(np.dtype(np.uint8), (-1, height, width, channels))
    return ModelSignature(inputs=Schema(columns), outputs=Schema([images]))
