"""How the prepared data set of now differs from the one that the champion was trained on.

Of the champion's data only the small files are needed that its MLflow run holds: its extractor, the features of its images,
the counts of its classes, the statistics of its channels. They are fetched once into work/champion/<run>/, checked by hash.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from gan import dataset
from gan.metrics import frechet
from stages import artifacts, numerics
from stages.evaluation import protocol, reference_set
from stages.registry import versions
from stages.tracking import session, store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MOST_IMAGES = 10_000  # whose features are taken, the first in the order of their content hashes
MOST_NAMES = 20  # of classes that are new or gone
NEEDED = (
    "reference/card.json", "reference/protocol.json", "reference/extractor.safetensors", "reference/features.safetensors",
    "prepare/card.json",
)  # fmt: skip
WELCOME = ("prepare/report.json",)  # without it, nothing is said about channels


class Incomparable(Exception):
    """A sentence: why nothing can be said."""


def against_champion(name: str) -> dict:
    """The answer about artifacts/prepare and the champion of a registered model. It never fails: {comparable: False, why}.

    {comparable: True, champion: its version, same_data, num_images n, distance, floor, ratio, classes, channels}, where
    distance is Fréchet's between n images of now and n of the champion's, floor that between the champion's held-out and
    training images at the same n, ratio the one by the other. Of the very same data everything is zero and not computed.
    """
    try:
        return _against_champion(name)
    except (Incomparable, store.Refused, store.Unreachable) as reason:
        return {"comparable": False, "why": str(reason)}
    except (OSError, LookupError, TypeError, ValueError, RuntimeError, SafetensorError) as error:  # files of other code
        return {"comparable": False, "why": f"the champion's files cannot be used here ({type(error).__name__}: {error})"}


def _against_champion(name: str) -> dict:
    uri = session.tracking_uri()
    database = store.database_of(uri)
    if database and not database.is_file():
        raise Incomparable("nothing is registered yet")
    client = store.client(uri)
    with store.answers(uri):
        champion = versions.version_called(client, name, versions.CHAMPION)
    if champion is None:
        raise Incomparable(f"{name} has no champion yet")
    if not (artifacts.ROOT / "prepare" / "card.json").is_file():
        raise Incomparable("there is no prepared data set to compare: dvc repro prepare")
    if champion.tags.get("data") == artifacts.identity("prepare"):
        return _answer(champion, same_data=True)
    return _compared(champion, _fetched(client, uri, champion))


def _answer(champion: "ModelVersion", **figures: object) -> dict:
    nothing: dict[str, Any] = {
        "num_images": 0, "distance": 0.0, "floor": None, "ratio": 0.0, "channels": [],
        "classes": {"distance": 0.0, "new": [], "gone": []},
    }  # fmt: skip
    return {"comparable": True, "champion": str(champion.version), **nothing, **figures}


def _fetched(client: "MlflowClient", uri: str, champion: "ModelVersion") -> Path:
    """work/champion/<run>/ with the champion's files, whole or not at all, and checked."""
    if not champion.run_id:
        raise Incomparable(f"champion version {champion.version} names no run that would hold its data's figures")
    kept = artifacts.WORK / "champion" / session.folder_name(champion.run_id)
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as temporary, store.answers(uri):
            whole = Path(temporary) / "whole"
            for path in _listed(client, champion, champion.run_id):
                (whole / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(client.download_artifacts(champion.run_id, path, temporary), whole / path)
            with contextlib.suppress(OSError):  # another process was faster
                whole.rename(kept)
    _check(champion, kept)
    return kept


def _listed(client: "MlflowClient", champion: "ModelVersion", run_id: str) -> list[str]:
    """Those of the wanted files that the champion's run has; Incomparable if one is missing that is needed."""
    there = {one.path for folder in ("reference", "prepare") for one in client.list_artifacts(run_id, folder)}
    if missing := [path for path in NEEDED if path not in there]:
        raise Incomparable(
            f"the run of champion version {champion.version} does not hold {', '.join(missing)}: it is older than this "
            "comparison, was made with tracking off, or the file is too large for MLflow"
        )
    return [path for path in (*NEEDED, *WELCOME) if path in there]


def _check(champion: "ModelVersion", folder: Path) -> None:
    """Incomparable unless the files are those that the champion was trained and scored with."""
    expected = {"prepare/card.json": champion.tags.get("data")}
    for path in (*NEEDED, *WELCOME):
        stage, _, name = path.partition("/")
        if name != "card.json":
            expected[path] = _json(folder / stage / "card.json")["files"].get(name)
    wrong = [path for path, sha256 in expected.items() if (folder / path).is_file() and artifacts.sha256_of_file(folder / path) != sha256]
    if wrong or _json(folder / "reference" / "protocol.json")["data"] != reference_set.content_of(_json(folder / "prepare" / "card.json")):
        shutil.rmtree(folder)
        raise Incomparable(
            f"the run of champion version {champion.version} holds {wrong[0] if wrong else 'a protocol'} of other data than it "
            "was trained on"
        )


def _json(path: Path) -> dict:
    return artifacts.read_json(path)


def _compared(champion: "ModelVersion", folder: Path) -> dict:
    theirs, ours = _json(folder / "prepare" / "card.json"), artifacts.card_of("prepare")
    if theirs["shape"] != ours["shape"]:
        raise Incomparable(
            f"champion version {champion.version} was trained on images of {_in_words(theirs['shape'])}, those of now are "
            f"{_in_words(ours['shape'])}, which its extractor does not take"
        )
    return _answer(
        champion,
        same_data=False,
        **_distances(theirs, ours, folder),
        classes=_classes(_histogram(theirs), _histogram(ours)),
        channels=_channels(folder / "prepare" / "report.json", artifacts.ROOT / "prepare" / "report.json"),
    )


def _in_words(shape: list[int]) -> str:
    return f"{shape[2]} × {shape[1]} pixels in {shape[0]} channel{'s' if shape[0] > 1 else ''}"


def _distances(theirs: dict, ours: dict, folder: Path) -> dict:
    """{num_images, distance, floor, ratio}, each distance of equally many images, for it shrinks as they get more."""
    scored = _json(folder / "reference" / "protocol.json")
    numerics.settle(scored["threads"])
    counts = theirs["counts"]["train"], theirs["counts"]["heldout"], ours["counts"]["train"]
    number = min(MOST_IMAGES, *counts)
    before, heldout = (_kept_features(folder / "reference", split, number) for split in dataset.SPLITS)
    now = _features_of_now(scored, theirs, ours, folder / "reference", number)
    train = frechet.features_to_statistics(before)
    distance, floor = (frechet.statistics_to_distance(train, frechet.features_to_statistics(one)) for one in (now, heldout))
    if not np.isfinite([distance, floor]).all() or floor <= 0:
        raise ValueError(f"distance {distance} and noise floor {floor} of {number} images make no ratio")
    return {"num_images": number, "distance": distance, "floor": floor, "ratio": distance / floor}


def _kept_features(folder: Path, split: str, number: int) -> np.ndarray:
    """The features of the first images of a split (number, D), as the reference stage took them."""
    with safe_open(folder / "features.safetensors", framework="np") as file:
        return file.get_slice(f"{split}.features")[:number]


@torch.inference_mode()
def _features_of_now(scored: dict, theirs: dict, ours: dict, folder: Path, number: int) -> np.ndarray:
    """The champion's extractor on the first training images of now: (number, D) float32."""
    own = artifacts.ROOT / "reference"
    if (own / "card.json").is_file() and _takes_the_same(protocol.read(), scored):
        return _kept_features(own, "train", number)
    network = protocol.extractor(scored, theirs, folder)
    images = dataset.read(artifacts.ROOT / "prepare", "train", ours["classes"])
    features: list[np.ndarray] = []
    for pixels in images.batches(scored["batch_size"]):
        features.append(network(torch.from_numpy(pixels))[0].numpy())
        if sum(map(len, features)) >= number:
            break
    return np.concatenate(features)[:number]


def _takes_the_same(own: dict, scored: dict) -> bool:
    """Whether artifacts/reference was made from the data of now by the champion's extractor, as a pretrained one is."""
    how = ("name", "extractor_sha256", "threads", "batch_size", "torch")
    return own["data"] == reference_set.content_of(artifacts.card_of("prepare")) and all(own.get(key) == scored.get(key) for key in how)


def _histogram(card: dict) -> dict[str, int]:
    """Training images by the name of their class."""
    return dict(zip(card["classes"], card["class_counts"], strict=True))


def _classes(before: dict[str, int], now: dict[str, int]) -> dict:
    """{distance, new, gone} of class histograms by name; distance is None where one of the two has no classes."""
    first, second = ({name for name, count in one.items() if count} for one in (before, now))
    if not first or not second:
        distance = None if first or second else 0.0
    else:
        distance = total_variation(before, now)
    return {"distance": distance, "new": _some(second - first), "gone": _some(first - second)}


def total_variation(one: dict[str, int], other: dict[str, int]) -> float:
    """Half the sum of the differences of the shares, 0 (alike) to 1 (nothing in common), of two histograms of images."""
    totals = sum(one.values()), sum(other.values())
    moved = sum(abs(one.get(name, 0) * totals[1] - other.get(name, 0) * totals[0]) for name in one.keys() | other.keys())
    return moved / (2 * totals[0] * totals[1])


def _some(names: set[str]) -> list[str]:
    ordered = sorted(names)
    rest = [f"and {len(ordered) - MOST_NAMES} more"] if len(ordered) > MOST_NAMES else []
    return [*ordered[:MOST_NAMES], *rest]


def _channels(before: Path, now: Path) -> list[dict]:
    """What each channel's mean and standard deviation changed by, in levels; nothing where a report is missing."""
    if not before.is_file() or not now.is_file():
        return []
    return [
        {"name": new["name"], **{key: new[key] - old[key] for key in ("mean", "deviation")}}
        for old, new in zip(_json(before)["channels"], _json(now)["channels"], strict=True)
    ]


def record(answer: dict) -> None:
    """Write work/drift.json: the registry's answer of now, so no out of DVC."""
    artifacts.WORK.mkdir(exist_ok=True)
    artifacts.write_json(artifacts.WORK / "drift.json", answer)


def points(answer: dict) -> dict[str, float]:
    """The figures of an answer, as MLflow's metrics."""
    if not answer["comparable"]:
        return {}
    by_name = {f"drift/{key}": answer[key] for key in ("ratio", "distance", "floor")}
    by_name["drift/classes"] = answer["classes"]["distance"]
    for one in answer["channels"]:
        by_name |= {f"drift/{one['name']}_{key}": one[key] for key in ("mean", "deviation")}
    return {key: float(value) for key, value in by_name.items() if value is not None}


def sentence(answer: dict) -> str:
    """An answer in words, names of classes quoted."""
    if not answer["comparable"]:
        return f"drift: not comparable: {answer['why']}"
    champion = f"the data of champion version {answer['champion']}"
    if answer["same_data"]:
        return f"drift: none, the same data as {champion.removeprefix('the data of ')}'s"
    size = "within the noise" if answer["ratio"] <= 1 else f"{answer['ratio']:.3g} times the noise floor"
    parts = [f"drift against {champion}: {size} (Fréchet distance {answer['distance']:.4g}, floor {answer['floor']:.4g})"]
    classes = answer["classes"]
    parts += [f"{classes['distance']:.1%} of the images in other classes"] if classes["distance"] else []
    for word in ("new", "gone"):
        parts += [f"{word}: {', '.join(map(repr, classes[word]))}"] if classes[word] else []
    parts += [f"{one['name']} {one['mean']:+.1f} levels" for one in answer["channels"] if abs(one["mean"]) >= 0.1]
    return "; ".join(parts)
