"""A stage's artifacts folder as MLflow shows it: the same whether the stage ran now or DVC brought it back.

history.csv becomes metrics by step, images/*.png the steps of a series, metrics.json metrics, small files artifacts.
"""

import json
import math
from collections.abc import Iterable, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import artifacts, history, yaml_files
from stages.tracking.journal import Journal

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

LARGEST_ARTIFACT = 64 * 1024**2  # bytes; larger files stay with DVC, and the registry has the weights anyway
SAMPLES = "samples"  # the series of progress pictures


def image_key(key: str) -> str:
    """How a series of pictures is told from a metric of the same name."""
    return f"image:{key}"


def flat(content: Any, between: str, key: str = "") -> dict[str, Any]:
    """Nested dicts, and lists of dicts, as one level; other lists as JSON text."""
    if isinstance(content, dict):
        items: Iterable[tuple[Any, Any]] = content.items()
    elif isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        items = enumerate(content)
    else:
        return {key: json.dumps(content) if isinstance(content, list) else content}
    return {
        name: value for part, item in items for name, value in flat(item, between, f"{key}{between}{part}" if key else str(part)).items()
    }


def stage_names() -> list[str]:
    """The stages of dvc.yaml, in its order, which is the order of the work."""
    path = Path("dvc.yaml")
    return list(yaml_files.read(path)["stages"]) if path.is_file() else []


def stages_before(stage: str) -> list[str]:
    names = stage_names()
    return names[: names.index(stage)] if stage in names else []


def publish_graph(journal: Journal) -> None:
    """params.yaml, dvc.yaml and dvc.lock as they are now."""
    for name in ("params.yaml", "dvc.yaml", "dvc.lock"):
        if Path(name).is_file():
            journal.append_file("artifact", Path(name), place="", name=name)


def publish_reused(journal: Journal, stages: Iterable[str]) -> None:
    """Those of these stages that did not run in this session, from the files they left."""
    known = {entry["stage"] for entry in journal.of_kind("published")}
    for stage in stages:
        if stage not in known and (artifacts.ROOT / stage / "card.json").is_file():
            publish(journal, stage, "reused")


def complete(journal: Journal) -> None:
    """At the end of a session: the stages after the last executed one, where dvc.lock says that they belong to it."""
    publish_reused(journal, [stage for stage in stage_names() if _belongs(stage)])
    publish_graph(journal)


def locked() -> dict[str, dict]:
    """The stages as dvc.lock has them."""
    path = Path("dvc.lock")
    return (yaml_files.read(path) or {}).get("stages", {}) if path.is_file() else {}


def _belongs(stage: str) -> bool:
    """Whether dvc.lock records the stage as made from the artifacts that the stages before it made last."""
    stages = locked()
    last_made = {out["path"]: out.get("md5") for one in stages.values() for out in one.get("outs", [])}
    used = {dep["path"]: dep.get("md5") for dep in stages.get(stage, {}).get("deps", [])}
    return stage in stages and all(last_made.get(path, md5) == md5 for path, md5 in used.items())


def publish(journal: Journal, stage: str, how: str, said: Set[tuple[str, int]] = frozenset()) -> None:
    """Journal everything that artifacts/<stage> holds, less the points already `said`; `how`: executed or reused."""
    folder = artifacts.ROOT / stage
    sealed = (folder / "card.json").is_file()
    journal.append("tags", tags={f"stage.{stage}": how})
    if sealed:
        journal.append("published", stage=stage, how=how, out=artifacts.identity(stage))
        if stage == "prepare":
            _data(journal)
        _history(journal, folder / "history.csv", said)
        _pictures(journal, folder / "images", said)
        _scores(journal, stage, folder / "metrics.json")
        _decision(journal, folder / "decision.json")
        _files(journal, stage, folder)


def _data(journal: Journal) -> None:
    journal.append("data", **data_set())


def data_set() -> dict[str, Any]:
    """The prepared data as MLflow's data set {name, source, digest, profile}: its digest is the identity of what prepare made."""
    card = artifacts.card_of("prepare")
    source = yaml_files.read(Path("params.yaml"))["prepare"]["source"]["path"]
    profile = {key: card[key] for key in ("shape", "counts") if key in card}
    return {"name": Path(source).name, "source": source, "digest": artifacts.identity("prepare")[:36], "profile": profile}


def as_input(data: dict[str, Any]) -> "DatasetInput":
    """A `data_set` as what a run reads."""
    from mlflow.entities import Dataset, DatasetInput

    source, profile = json.dumps({"uri": data["source"]}), json.dumps(data["profile"])
    return DatasetInput(Dataset(data["name"], data["digest"], "local", source, schema=None, profile=profile), tags=[])


def _history(journal: Journal, path: Path, said: Set[tuple[str, int]]) -> None:
    """The rows of a table whose first column is the step; an empty cell was not measured."""
    if not path.is_file():
        return
    for step, values in history.read(path):
        points = [[key, value, step] for key, value in values.items() if value is not None and (key, step) not in said]
        if points:
            journal.append("metrics", points=points)


def _pictures(journal: Journal, folder: Path, said: Set[tuple[str, int]]) -> None:
    for path in sorted(folder.glob("*.png")):
        if path.stem.isdigit() and (image_key(SAMPLES), int(path.stem)) not in said:
            journal.append_file("image", path, key=SAMPLES, step=int(path.stem))


def _scores(journal: Journal, stage: str, path: Path) -> None:
    """Numbers as metrics; words, such as the protocol they belong to, as tags of the stage."""
    if not path.is_file():
        return
    values = flat(json.loads(path.read_text("utf-8")), "/")
    numbers = {key: value for key, value in values.items() if isinstance(value, (int, float)) and math.isfinite(value)}
    words = {f"{stage}.{key.replace('/', '.')}": value for key, value in values.items() if isinstance(value, str)}
    journal.append("metrics", points=[[key, float(value), 0] for key, value in numbers.items()])
    journal.append("tags", tags=words)


def _decision(journal: Journal, path: Path) -> None:
    """What the registry was told, as tags, and in words as the run's description."""
    if path.is_file():
        decision = json.loads(path.read_text("utf-8"))
        said = {f"register.{key}": str(value) for key, value in flat(decision, ".").items()}
        journal.append(
            "tags", tags=said | {"mlflow.note.content": f"{decision['name']} version {decision['version']}, {decision['decision']}"}
        )


def _files(journal: Journal, stage: str, folder: Path) -> None:
    """Files of a bearable size as artifacts under <stage>/; shards and progress pictures are left out."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        inside = path.relative_to(folder)
        if inside.parts[0] != "images" and path.suffix != ".npy" and path.stat().st_size <= LARGEST_ARTIFACT:
            place = (Path(stage) / inside.parent).as_posix()
            journal.append_file("artifact", path, place=place, name=path.name)
